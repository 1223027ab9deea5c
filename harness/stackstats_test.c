/* stackstats_test: counters at both ends of a window against what they must come to. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "harness/stackstats.h"

/* A worker as atlas describes it, after `k` steps that are all alike. */
static json_t *worker(int k, int stages)
{
	return json_pack("{s:{s:i,s:i}, s:{s:i,s:i}, s:{s:i,s:i,s:i,s:i,s:i,s:i}, "
			 "s:{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}, "
			 "s:{s:i,s:I,s:i,s:i,s:{s:i,s:i}}}",
			 "tcp", "bytes_out", 1100000 * k, "bytes_rexmit", 11000 * k, /* 1 % */
			 "nvme", "syscalls", 3 * k, "submits", 2 * k, "io", "tx_frames", 40 * k,
			 "tx_calls", 4 * k, "rx_calls", 0, "rx_frames", 30 * k, "tx_bytes",
			 1200000 * k, "tx_copied_bytes", 1200000 * k, "copied", "at_bytes_body",
			 1000000 * k, "at_bytes_copied", 300000 * k, "at_sleeps", 1 * k,
			 "at_rx_bursts", 10 * k, "at_reads", 16 * k, "at_bytes_read",
			 16 * 65536 * k, "at_completions", 16 * k, "at_reaps", 8 * k,
			 "at_turns_useful", 30 * k, "at_turns_empty", 10 * k, "stages", "on",
			 stages, "hz", (json_int_t)2000000000, "borders", 100 * k, "border_cycles",
			 30, "cycles", "seal", 200000 * k, "idle", 100000 * k);
}

static json_t *stats(int k, int stages)
{
	return json_pack("{s:i, s:[o,o]}", "io_window", 64, "workers", worker(k, stages),
			 worker(k, stages));
}

static void near(const struct metrics *m, const char *name, double want)
{
	double v = metrics_get(m, name);

	if (!(fabs(v - want) < 1e-9 * (1 + fabs(want))))
		fail_msg("%s is %g, not %g", name, v, want);
}

/* Only what came in the window counts, summed over the workers. */
static void test_window(void **state)
{
	json_t *a = stats(5, 1), *b = stats(9, 1);
	struct metrics m = {.n = 0};

	(void)state;
	stackstats_metrics(a, b, &m);
	near(&m, "io_window", 64);
	near(&m, "retrans_pct", 1);
	near(&m, "syscalls_per_mb", 3 + 4 + 1);
	near(&m, "copied_per_body_byte", 1.5);
	near(&m, "tx_burst", 10);
	near(&m, "rx_burst", 3);
	near(&m, "submit_batch", 8);
	near(&m, "completion_batch", 2);
	near(&m, "tx_frame_bytes", 30000);
	near(&m, "read_bytes", 65536);
	near(&m, "turns_useful_per_mb", 30);
	near(&m, "turns_empty_pct", 25);
	near(&m, "tsc_ghz", 2);
	near(&m, "stage_seal_cyc_per_byte", 0.2);
	near(&m, "stage_idle_cyc_per_byte", 0.1);
	near(&m, "stages_cost_pct", 100.0 * 3000 / 200000);
	json_decref(a);
	json_decref(b);
}

static void test_since_start(void **state)
{
	json_t *b = stats(3, 0);
	struct metrics m = {.n = 0};

	(void)state;
	stackstats_metrics(NULL, b, &m);
	near(&m, "retrans_pct", 1);
	near(&m, "tx_burst", 10);
	assert_true(isnan(metrics_get(&m, "stage_seal_cyc_per_byte")));
	assert_non_null(metrics_find(&m, "stage_seal_cyc_per_byte"));
	assert_true(metrics_find(&m, "stage_seal_cyc_per_byte")->why[0]);
	json_decref(b);
}

/* A stack without statistics, and one that stood still: reasons, no numbers. */
static void test_nothing(void **state)
{
	json_t *a = stats(4, 1), *b = stats(4, 1);
	struct metrics m = {.n = 0}, none = {.n = 0};

	(void)state;
	stackstats_metrics(a, b, &m);
	assert_true(isnan(metrics_get(&m, "tx_burst")));
	assert_true(metrics_find(&m, "tx_burst")->why[0]);
	stackstats_metrics(NULL, NULL, &none);
	assert_true(isnan(metrics_get(&none, "syscalls_per_mb")));
	assert_true(metrics_find(&none, "stages_cost_pct")->why[0]);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_window),
					   cmocka_unit_test(test_since_start),
					   cmocka_unit_test(test_nothing)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
