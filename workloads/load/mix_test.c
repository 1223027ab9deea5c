/* mix: the permutation is one, each cold object comes once a cycle, the ratio holds, seeds decide.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "workloads/load/mix.h"

#define MAX 5000

static void permutation_is_a_bijection(void **state)
{
	static const uint64_t sizes[] = {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4096, MAX};
	static uint8_t seen[MAX];

	(void)state;
	for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
		for (uint64_t key = 0; key < 5; key++) {
			memset(seen, 0, sizeof seen);
			for (uint64_t i = 0; i < sizes[k]; i++) {
				uint64_t v = mix_permute(key, sizes[k], i);

				assert_true(v < sizes[k]);
				assert_int_equal(seen[v], 0);
				seen[v] = 1;
			}
		}
}

static void each_cold_object_once_a_cycle(void **state)
{
	struct content c = {.seed = 1, .object_size = 1, .hot = 0, .cold = 1234};
	static uint32_t order[3][1234];
	static uint8_t seen[1234];
	struct errbuf e;
	struct mix m;
	int same = 0;

	(void)state;
	assert_int_equal(mix_init(&m, &c, 0, 7, &e), 0);
	for (int cycle = 0; cycle < 3; cycle++) {
		memset(seen, 0, sizeof seen);
		for (uint32_t i = 0; i < c.cold; i++) {
			uint64_t id = mix_next(&m);

			assert_false(mix_is_hot(id));
			order[cycle][i] = (uint32_t)(id - CONTENT_COLD);
			assert_true(order[cycle][i] < c.cold);
			assert_int_equal(seen[order[cycle][i]]++, 0);
		}
	}
	for (uint32_t i = 0; i < c.cold; i++)
		same += order[0][i] == order[1][i] || order[1][i] == order[2][i];
	assert_true(same < 20); /* fresh each cycle: 2 expected by chance */
}

static void ratio_and_hot_spread(void **state)
{
	struct content c = {.seed = 1, .object_size = 1, .hot = 10, .cold = 100};
	uint64_t per_hot[10] = {0}, hot = 0, n = 100000;
	struct errbuf e;
	struct mix m;

	(void)state;
	assert_int_equal(mix_init(&m, &c, 30, 3, &e), 0);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t id = mix_next(&m);

		if (mix_is_hot(id)) {
			hot++;
			assert_true(id < 10);
			per_hot[id]++;
		}
	}
	/* five standard deviations of a binomial */
	assert_true(fabs((double)hot - 0.3 * (double)n) < 5 * sqrt(0.3 * 0.7 * (double)n));
	for (int i = 0; i < 10; i++)
		assert_true(fabs((double)per_hot[i] - (double)hot / 10) <
			    5 * sqrt(0.1 * 0.9 * (double)hot));
}

static void extremes(void **state)
{
	struct content hot_only = {.hot = 3}, cold_only = {.cold = 3};
	struct errbuf e = {""};
	struct mix m;

	(void)state;
	assert_int_equal(mix_init(&m, &hot_only, 100, 1, &e), 0);
	for (int i = 0; i < 1000; i++)
		assert_true(mix_is_hot(mix_next(&m)));
	assert_int_equal(mix_init(&m, &cold_only, 0, 1, &e), 0);
	for (int i = 0; i < 1000; i++)
		assert_false(mix_is_hot(mix_next(&m)));
	assert_true(mix_init(&m, &hot_only, 99, 1, &e) < 0);
	assert_non_null(strstr(e.s, "cold"));
	assert_true(mix_init(&m, &cold_only, 1, 1, &e) < 0);
	assert_non_null(strstr(e.s, "hot"));
}

static void seed_decides(void **state)
{
	struct content c = {.hot = 50, .cold = 50};
	struct mix a, b, d;
	struct errbuf e;
	int differ = 0;

	(void)state;
	mix_init(&a, &c, 50, 11, &e);
	mix_init(&b, &c, 50, 11, &e);
	mix_init(&d, &c, 50, 12, &e);
	for (int i = 0; i < 1000; i++) {
		uint64_t x = mix_next(&a);

		assert_true(x == mix_next(&b));
		differ += x != mix_next(&d);
	}
	assert_true(differ > 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permutation_is_a_bijection),
		cmocka_unit_test(each_cold_object_once_a_cycle),
		cmocka_unit_test(ratio_and_hot_spread),
		cmocka_unit_test(extremes),
		cmocka_unit_test(seed_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
