/* stats: histogram JSON can be merged back without loss, quantiles are in ms, the verdict about the
 * client follows its signs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "workloads/load/stats.h"

static void hist_json_round_trip(void **state)
{
	static struct hist h, back;
	struct rng r;
	json_t *a, *pair;
	size_t i;

	(void)state;
	hist_init(&h);
	hist_init(&back);
	rng_seed(&r, 5);
	for (int k = 0; k < 10000; k++)
		hist_add(&h, rng_u64(&r) >> (20 + rng_below(&r, 40)));
	a = stats_hist_json(&h, 1000);
	json_array_foreach(a, i, pair)
	{
		/* the lower bound in us names the bucket exactly */
		uint64_t lo = (uint64_t)llround(json_number_value(json_array_get(pair, 0)) * 1000);

		for (json_int_t n = json_integer_value(json_array_get(pair, 1)); n > 0; n--)
			hist_add(&back, lo);
	}
	json_decref(a);
	assert_int_equal(back.n, h.n);
	assert_memory_equal(back.b, h.b, sizeof h.b);
}

static void hist_json_empty(void **state)
{
	static struct hist h;
	json_t *a;

	(void)state;
	hist_init(&h);
	a = stats_hist_json(&h, 1000);
	assert_int_equal(json_array_size(a), 0);
	json_decref(a);
}

static void quantiles(void **state)
{
	static struct hist h;
	json_t *o;

	(void)state;
	hist_init(&h);
	for (uint64_t i = 1; i <= 1000; i++)
		hist_add(&h, i * 1000000); /* 1 to 1000 ms */
	o = stats_quantiles_json(&h);
	assert_true(fabs(json_number_value(json_object_get(o, "p50")) - 500) < 5);
	assert_true(fabs(json_number_value(json_object_get(o, "p99")) - 990) < 10);
	assert_true(fabs(json_number_value(json_object_get(o, "mean")) - 500.5) < 0.01);
	assert_true(json_number_value(json_object_get(o, "max")) == 1000);
	json_decref(o);
}

/* A window of one second in which the client did nothing remarkable. */
static struct load_stats calm(void)
{
	struct load_stats st;

	memset(&st, 0, sizeof st);
	st.use1.t_ns = 1000000000;
	st.use1.cpu_ns = 300000000;
	st.blocked_ns = 600000000;
	return st;
}

static void verdict(void **state)
{
	static struct load_stats st;
	char why[160];

	(void)state;
	st = calm();
	assert_false(stats_client_limited(&st, why, sizeof why));
	assert_string_equal(why, "");

	st.use1.cpu_ns = 970000000;
	assert_true(stats_client_limited(&st, why, sizeof why));
	assert_non_null(strstr(why, "97 % of a core"));

	st = calm();
	st.blocked_ns = 20000000;
	assert_true(stats_client_limited(&st, why, sizeof why));
	assert_non_null(strstr(why, "loop was busy 98 %"));
	st.use1.wait_ns = 400000000;
	assert_true(stats_client_limited(&st, why, sizeof why));
	assert_non_null(strstr(why, "others had its CPU for 40 %"));

	st = calm();
	st.use1.cpus_total = 100;
	st.use1.cpus_busy = 99;
	assert_true(stats_client_limited(&st, why, sizeof why));
	assert_non_null(strstr(why, "CPUs were busy 99 %"));

	st = calm();
	for (int i = 0; i < 100; i++)
		hist_add(&st.lag, 80000000);
	assert_true(stats_client_limited(&st, why, sizeof why));
	assert_non_null(strstr(why, "late"));
}

static void samples_are_bounded(void **state)
{
	static struct load_stats st;

	(void)state;
	assert_int_equal(stats_init(&st, 3), 0);
	for (uint64_t i = 0; i < 10; i++)
		stats_sample(&st, i);
	assert_int_equal(st.n_samples, 3);
	stats_free(&st);
}

static void usage_grows(void **state)
{
	struct self_usage a, b;
	volatile double x = 1;

	(void)state;
	self_usage_read(&a);
	for (int i = 0; i < 3000000; i++)
		x = x * 1.0000001;
	self_usage_read(&b);
	assert_true(b.cpu_ns > a.cpu_ns && b.t_ns > a.t_ns);
	assert_true(b.wait_ns >= a.wait_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hist_json_round_trip),
		cmocka_unit_test(hist_json_empty),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(verdict),
		cmocka_unit_test(samples_are_bounded),
		cmocka_unit_test(usage_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
