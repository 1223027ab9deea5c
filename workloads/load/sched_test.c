/* sched: uniform times are exact, Poisson gaps have the right mean, spread and seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "workloads/load/sched.h"

static void uniform_is_exact(void **state)
{
	struct sched s;
	uint64_t start = 123456789000ull;

	(void)state;
	sched_init(&s, 3000, ARRIVAL_UNIFORM, 1, start);
	for (uint64_t n = 1; n <= 100000; n++) {
		double want = (double)n * 1e9 / 3000;

		assert_true(fabs((double)(sched_peek(&s) - start) - want) < 2); /* ns: no drift */
		sched_pop(&s);
	}
}

static void poisson_has_the_rate(void **state)
{
	struct sched s;
	double sum = 0, sum2 = 0, mean, cv;
	uint64_t last = 0;
	int n = 200000;

	(void)state;
	sched_init(&s, 1000, ARRIVAL_POISSON, 42, 0);
	for (int i = 0; i < n; i++) {
		uint64_t t = sched_peek(&s);
		double gap = (double)(t - last);

		assert_true(t >= last);
		sum += gap;
		sum2 += gap * gap;
		last = t;
		sched_pop(&s);
	}
	mean = sum / n;
	cv = sqrt(sum2 / n - mean * mean) / mean;
	assert_true(fabs(mean - 1e6) < 5 * 1e6 / sqrt(n)); /* five standard errors */
	assert_true(fabs(cv - 1) < 0.02);		   /* an exponential's is 1 */
}

static void seed_decides(void **state)
{
	struct sched a, b, c;

	(void)state;
	sched_init(&a, 10, ARRIVAL_POISSON, 1, 5);
	sched_init(&b, 10, ARRIVAL_POISSON, 1, 5);
	sched_init(&c, 10, ARRIVAL_POISSON, 2, 5);
	assert_true(sched_peek(&a) == sched_peek(&b));
	assert_true(sched_peek(&a) != sched_peek(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uniform_is_exact),
		cmocka_unit_test(poisson_has_the_rate),
		cmocka_unit_test(seed_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
