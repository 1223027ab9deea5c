/* verdict: each check refuses what it is for, and a good run passes all; what bound it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/bench.h"

static struct experiment x;
static struct bench b;
static struct cell cell;
static struct outcome o;
static struct verdict_in in;

static void good(const char *text)
{
	struct errbuf e;

	outcome_free(&o);
	memset(&o, 0, sizeof o);
	assert_int_equal(experiment_parse(&x, text, "t.exp", false, NULL, 0, &e), 0);
	b.x = &x;
	b.content.object_size = 300 << 10;
	in = (struct verdict_in){&b, &cell, true, NULL, 0.0, 3e6};
	o.ran = o.valid = true;
	o.t_start = 1000000000;
	o.t_end = 4000000000;
	o.load = json_pack("{s:I, s:i, s:i, s:i}", "body_bytes", (json_int_t)3000000000,
			   "responses", 9765, "errors_total", 0, "verify_failures", 0);
	metrics_set(&o.m, "net_gbps", 8);
	metrics_set(&o.m, "net_tx_gbps", 8.2);
	metrics_set(&o.m, "cache_hit_pct", 99);
	metrics_set(&o.m, "disk_read_gbps", 0.01);
	metrics_set(&o.m, "steal_pct", 0);
	metrics_set(&o.m, "req_per_s", 3255);
}

static void invalid(const char *sentence)
{
	verdict(&in, &o);
	assert_false(o.valid);
	for (int i = 0; i < o.whys; i++)
		if (strstr(o.why[i], sentence))
			return;
	fail_msg("no verdict says '%s' (first: %s)", sentence, o.why[0]);
}

static const char hot[] = "[load]\ncache_ratio = 100\n";

static void test_good(void **state)
{
	(void)state;
	good(hot);
	verdict(&in, &o);
	if (!o.valid)
		fail_msg("%s", o.why[0]);
	assert_string_equal(o.warning, "");
	assert_true(fabs(metrics_get(&o.m, "cache_hit_bytes_pct") - 99.9) < 1e-6);
}

/* A drive that kept cool and counters that see 90 to 110 % of a known walk are no news. */
static void test_collectors(void **state)
{
	static const double pct[] = {89, 90, 100, 110, 111};

	(void)state;
	for (int i = 0; i < 5; i++) {
		good(hot);
		metrics_set(&o.m, "nvme_throttle_n", 0);
		metrics_set(&o.m, "nvme_throttle_s", 0);
		metrics_set(&o.m, "mem_calibration_pct", pct[i]);
		verdict(&in, &o);
		assert_true(o.valid);
		if (i == 0 || i == 4)
			assert_non_null(strstr(o.warning, "% of a known walk"));
		else
			assert_string_equal(o.warning, "");
	}
}

static void test_each_check(void **state)
{
	(void)state;
	good(hot);
	json_object_set_new(o.load, "verify_failures", json_integer(1));
	invalid("wrong bytes");
	good(hot);
	json_object_set_new(o.load, "errors_total", json_integer(50));
	invalid("50 errors");
	good(hot);
	json_object_set_new(o.load, "responses", json_integer(0));
	invalid("no response");
	good(hot);
	metrics_set(&o.m, "net_tx_gbps", 5);
	invalid("both ends");
	good(hot);
	metrics_set(&o.m, "nvme_throttle_n", 2);
	metrics_set(&o.m, "nvme_throttle_s", 0);
	invalid("slowed down for heat (2 times");
	good(hot);
	metrics_set(&o.m, "nvme_throttle_n", 0);
	metrics_set(&o.m, "nvme_throttle_s", 7);
	invalid("slowed down for heat (0 times, 7 s)");
	good(hot);
	metrics_set(&o.m, "cache_hit_pct", 80);
	invalid("residency");
	good(hot);
	in.read_bytes = 1.5e9;
	invalid("disk bytes");
	good(hot);
	o.mark_late_ns = 500000000;
	invalid("too busy");
}

static void test_slack_grows_with_bytes_in_flight(void **state)
{
	(void)state;
	good("[load]\ncache_ratio = 100\nconnections = 2000\n");
	in.read_bytes = 0.2e9; /* 6.7 points of 3 GB; 2000 x 300 KiB are 20 */
	verdict(&in, &o);
	assert_true(o.valid);
	good("[load]\ncache_ratio = 100\nconnections = 10\n");
	in.read_bytes = 0.2e9;
	invalid("disk bytes");
}

static void test_uncached_is_not_asked(void **state)
{
	(void)state;
	good("[load]\ncache_ratio = 0\n");
	in.caches = false;
	verdict(&in, &o);
	assert_true(o.valid);
	assert_false(isfinite(metrics_get(&o.m, "nonsense")));
}

static void test_warnings(void **state)
{
	(void)state;
	good(hot);
	in.irq_client_share = 0.2;
	metrics_set(&o.m, "steal_pct", 30);
	metrics_set(&o.m, "disk_read_gbps", 3);
	verdict(&in, &o);
	assert_true(o.valid);
	assert_non_null(strstr(o.warning, "20 % of the disk's interrupts"));
	assert_non_null(strstr(o.warning, "30 % of the server's CPUs"));
	assert_non_null(strstr(o.warning, "something else"));
}

static void bound_is(const char *want)
{
	verdict_bound(&b, &cell, 1, &o);
	assert_string_equal(o.bound, want);
}

static void test_bound(void **state)
{
	(void)state;
	good(hot);
	bound_is("");
	metrics_set(&o.m, "cpu_pct", 99);
	bound_is("server_cpu");
	metrics_set(&o.m, "ceil_disk_gbps", 8);
	metrics_set(&o.m, "cache_hit_bytes_pct", 90);
	bound_is("server_cpu");
	metrics_set(&o.m, "cache_hit_bytes_pct", 1);
	bound_is("server_cpu"); /* seen at work, while a ceiling is of another time */
	metrics_set(&o.m, "cpu_pct", 60);
	bound_is("disk");
	metrics_set(&o.m, "ceil_client_gbps", 8.2);
	metrics_set(&o.m, "ceil_client_at_least",
		    1); /* the null server's limit, not the client's */
	bound_is("disk");
	metrics_set(&o.m, "ceil_client_at_least", 0);
	bound_is("client");
	metrics_set(&o.m, "cpu_pct", 99);
	bound_is("server_cpu");
	metrics_set(&o.m, "turns_empty_pct", 80); /* it polls */
	bound_is("client");
	metrics_set(&o.m, "ceil_client_gbps", 20);
	metrics_set(&o.m, "client_limited", 1);
	bound_is("client");
	good("[load]\nmode = open\nrate = 3200\n");
	bound_is("load");
	good("[testbed]\nloss = 1\n");
	bound_is("network");
	metrics_set(&o.m, "ceil_client_gbps", 8.2);
	bound_is("network"); /* the ceiling took the same path */
	metrics_set(&o.m, "client_limited", 1);
	bound_is("client");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_collectors),
		cmocka_unit_test(test_each_check),
		cmocka_unit_test(test_slack_grows_with_bytes_in_flight),
		cmocka_unit_test(test_uncached_is_not_asked),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_bound),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	outcome_free(&o);
	return failed;
}
