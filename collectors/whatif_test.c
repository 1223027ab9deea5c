/* whatif: the model against what must come out of it; parameters; the event queue. */
#include "collectors/whatif.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "collectors/whatif_cfg.h"
#include "collectors/whatif_events.h"
#include "collectors/whatif_out.h"

static void set(struct whatif_cfg *c, const char *name, const char *text)
{
	struct errbuf e = {""};

	if (whatif_set(c, whatif_find(name), text, &e))
		fail_msg("%s", e.s);
}

/* Pairs "name", "text", ..., NULL on top of: LIFO, whole records, little work to do. */
static struct whatif_result run(const char *name, ...)
{
	struct whatif_result r = {0};
	struct whatif_cfg c;
	struct errbuf e = {""};
	va_list ap;

	whatif_defaults(&c);
	set(&c, "connections", "100");
	set(&c, "io_window", "128");
	set(&c, "llc", "8MiB");
	va_start(ap, name);
	for (const char *n = name; n; n = va_arg(ap, const char *))
		set(&c, n, va_arg(ap, const char *));
	va_end(ap);
	if (whatif_resolve(&c, &e) || whatif_run(&c, &r, &e))
		fail_msg("%s", e.s);
	return r;
}

static double value(const struct whatif_result *r, const char *name)
{
	for (int i = 0; i < whatif_metrics_n; i++)
		if (!strcmp(whatif_metrics[i].name, name))
			return whatif_metrics[i].get(r);
	fail_msg("no metric %s", name);
	return NAN;
}

static void near(double v, double want, double tolerance)
{
	if (fabs(v - want) > tolerance)
		fail_msg("%g, not %g +- %g", v, want, tolerance);
}

/* ---- closed forms ---- */

/* LIFO: a few buffers are in flight, DDIO holds them: nothing reaches DRAM. */
static void test_lifo_fits(void **state)
{
	struct whatif_result r = run("ddio_ways", "10", NULL);

	(void)state;
	near(value(&r, "mem_read_per_net_byte"), 0, 0.001);
	near(value(&r, "mem_write_per_net_byte"), 0, 0.001);
	near(value(&r, "dma_in_hit_pct"), 100, 0.6);
	near(value(&r, "disk_read_per_net_byte"), 1, 0.02);
	assert_true(r.buffers_used < 64);
}

/* FIFO walks the whole pool: each byte from the disk evicts a dirty one, which is written. It has
 * still left from the cache. */
static void test_fifo_too_large(void **state)
{
	struct whatif_result r = run("free_list", "fifo", NULL);

	(void)state;
	assert_int_equal(r.buffers_used, 512);
	near(value(&r, "mem_write_per_net_byte"), value(&r, "disk_read_per_net_byte"), 0.02);
	near(value(&r, "dma_in_hit_pct"), 0, 1);
}

/* The same pool under a DDIO share that holds all of it. */
static void test_fifo_fits(void **state)
{
	struct whatif_result r = run("free_list", "fifo", "llc", "80MiB", "ddio_ways", "20", NULL);

	(void)state;
	assert_int_equal(r.buffers_used, 512);
	near(value(&r, "mem_write_per_net_byte"), 0, 0.001);
	near(value(&r, "mem_read_per_net_byte"), 0, 0.001);
}

/* Without DDIO a byte from the disk is written once, and read once by whoever needs it first. */
static void test_no_ddio(void **state)
{
	struct whatif_result tls = run("ddio_ways", "0", "llc", "80MiB", NULL);
	struct whatif_result plain = run("ddio_ways", "0", "tls", "off", NULL);

	(void)state;
	near(value(&tls, "buf_write_per_net_byte"), value(&tls, "disk_read_per_net_byte"), 0.01);
	near(value(&tls, "buf_read_per_net_byte"), value(&tls, "disk_read_per_net_byte"), 0.01);
	near(value(&tls, "dma_out_hit_pct"), 100, 0.1);
	near(value(&plain, "buf_write_per_net_byte"), value(&plain, "disk_read_per_net_byte"),
	     0.01);
	near(value(&plain, "buf_read_per_net_byte"), 1, 0.01);
	assert_int_equal(plain.count[WHATIF_BUFFERS][LLC_READ].lines, 0);
}

/* Little's law: reads outstanding = reads per second x time of one. */
static void test_little(void **state)
{
	struct whatif_result r = run("disk_jitter", "0", "disk_latency", "200us", "disk_rate",
				     "4000Gbit", "pull", "15872", NULL);
	double per_s = (double)r.disk_bytes / 15872 / ((double)r.span_ns / 1e9);

	(void)state;
	near(r.reading_mean / (per_s * 200e-6), 1, 0.03);
	near(value(&r, "net_gbps"), 38, 1);
}

/* A small I/O window is the limit: window x size / latency. */
static void test_window_limits(void **state)
{
	struct whatif_result r = run("io_window", "8", "pull", "15872", "disk_jitter", "0",
				     "disk_latency", "100us", "disk_rate", "4000Gbit", NULL);

	(void)state;
	near(r.reading_mean, 8, 0.01);
	near(value(&r, "net_gbps"), 8 * 15872 * 8 / 100e-6 / 1e9, 0.3);
}

/* Many slow connections, few buffers: held ones are taken away and their records read again. */
static void test_steals(void **state)
{
	struct whatif_result r =
		run("min_pull", "0", "connections", "2000", "buffers", "256", NULL);
	struct whatif_result enough =
		run("min_pull", "0", "connections", "2000", "buffers", "3000", NULL);

	(void)state;
	assert_true(r.stolen > 0);
	assert_int_equal(r.busy_max, 256);
	assert_true(value(&r, "disk_read_per_net_byte") > 1.5);
	assert_int_equal(enough.stolen, 0);
	near(value(&enough, "disk_read_per_net_byte"), 1, 0.05);
	assert_true(enough.busy_mean > 1000);
}

/* State of connections that does not fit is counted apart. */
static void test_state(void **state)
{
	struct whatif_result r = run("llc", "1MiB", "connections", "4000", NULL);

	(void)state;
	assert_true(value(&r, "state_mem_per_net_byte") > 0.1);
	near(value(&r, "mem_read_per_net_byte") + value(&r, "mem_write_per_net_byte"),
	     value(&r, "buf_read_per_net_byte") + value(&r, "buf_write_per_net_byte") +
		     value(&r, "state_mem_per_net_byte"),
	     1e-9);
}

/* A run is a function of its seed; sampling changes little. */
static void test_repeats(void **state)
{
	struct whatif_result a = run("free_list", "lifo", NULL), b = run("seed", "1", NULL);
	struct whatif_result c = run("seed", "2", NULL), d = run("sample", "1", NULL);

	(void)state;
	assert_memory_equal(a.count, b.count, sizeof a.count);
	assert_true(a.span_ns == b.span_ns);
	assert_true(a.span_ns != c.span_ns);
	near(value(&a, "mem_write_per_net_byte"), value(&d, "mem_write_per_net_byte"), 0.02);
	near(value(&a, "dma_in_hit_pct"), value(&d, "dma_in_hit_pct"), 2);
}

/* Whatever the parameters: bytes and lines are conserved. */
static void test_random_configurations(void **state)
{
	static const char *const sizes[] = {"1MiB", "3MiB", "20MiB"};
	struct rng rng;

	(void)state;
	rng_seed(&rng, 9);
	for (int i = 0; i < 25; i++) {
		char conns[16], window[16], ddio[16], buffers[16];
		struct whatif_result r;
		uint64_t n = 1 + rng_below(&rng, 300);

		snprintf(conns, sizeof conns, "%d", 1 + (int)rng_below(&rng, 1500));
		snprintf(window, sizeof window, "%d", (int)n);
		snprintf(buffers, sizeof buffers, "%d", (int)(n + rng_below(&rng, 400)));
		snprintf(ddio, sizeof ddio, "%d", (int)rng_below(&rng, 21));
		r = run("connections", conns, "io_window", window, "buffers", buffers, "ddio_ways",
			ddio, "llc", sizes[rng_below(&rng, 3)], "min_pull",
			rng_below(&rng, 2) ? "0" : "20KiB", "free_list",
			rng_below(&rng, 2) ? "lifo" : "fifo", "tls",
			rng_below(&rng, 4) ? "on" : "off", NULL);
		assert_true(r.net_bytes > 16 << 20);
		assert_true(r.busy_max <= r.buffers && r.buffers_used <= r.buffers);
		assert_true(r.reading_mean <= (double)n + 0.001);
		/* what was sent had been read; buffers and cache may hold the difference */
		assert_true(r.net_bytes < r.disk_bytes + r.buffers * 65536);
		for (int k = 0; k < LLC_KINDS; k++) {
			const struct llc_count *c = &r.count[WHATIF_BUFFERS][k];

			assert_true(c->hits + c->reads <= c->lines);
		}
	}
}

/* ---- parameters ---- */

static void test_parameters(void **state)
{
	struct whatif_cfg c, d;
	struct errbuf e = {""};
	char text[64];

	(void)state;
	whatif_defaults(&c);
	whatif_defaults(&d);
	for (int i = 0; i < whatif_params_n; i++) {
		assert_int_equal(whatif_find(whatif_params[i].name), i);
		assert_int_equal(whatif_set(&d, i, whatif_text(&c, i, text, sizeof text), &e), 0);
		assert_true(whatif_number(&c, i) == whatif_number(&d, i));
	}
	set(&c, "line_rate", "2500Mbit");
	assert_string_equal(whatif_text(&c, whatif_find("line_rate"), text, sizeof text),
			    "2500Mbit");
	set(&c, "free_list", "fifo");
	assert_int_equal(c.fifo, 1);
	assert_string_equal(whatif_text(&c, whatif_find("free_list"), text, sizeof text), "fifo");
	assert_int_equal(whatif_find("nonsense"), -1);
}

static void test_bad_parameters(void **state)
{
	static const char *const bad[][2] = {
		{"llc", "20"},	     {"llc", "much"},	   {"ways", "0"},
		{"ways", "65"},	     {"free_list", "lif"}, {"load", "101"},
		{"line_rate", "40"}, {"rtt", "20"},	   {"connections", "0"}};
	static const char *const pair[][4] = {{"ways", "8", "ddio_ways", "9"},
					      {"pull", "512", "record_size", "1024"},
					      {"pull", "64KiB", "buffer_size", "32KiB"},
					      {"io_window", "300", "buffers", "299"}};
	struct whatif_cfg c;
	struct errbuf e;

	(void)state;
	whatif_defaults(&c);
	for (unsigned int i = 0; i < sizeof bad / sizeof *bad; i++) {
		e.s[0] = 0;
		assert_int_equal(whatif_set(&c, whatif_find(bad[i][0]), bad[i][1], &e), -EINVAL);
		assert_non_null(strstr(e.s, bad[i][0]));
	}
	for (unsigned int i = 0; i < sizeof pair / sizeof *pair; i++) {
		whatif_defaults(&c);
		set(&c, pair[i][0], pair[i][1]);
		set(&c, pair[i][2], pair[i][3]);
		assert_int_equal(whatif_resolve(&c, &e), -EINVAL);
	}
}

static void test_json(void **state)
{
	struct whatif_result r = run("llc", "1MiB", NULL);
	struct whatif_cfg c;
	json_t *j;

	(void)state;
	whatif_defaults(&c);
	j = whatif_json(&c, &r, NULL);
	assert_true(json_is_true(json_object_get(j, "simulated")));
	for (int i = 0; i < whatif_metrics_n; i++)
		assert_non_null(json_object_get(j, whatif_metrics[i].name));
	json_decref(j);
}

/* ---- events ---- */

static void test_events(void **state)
{
	struct events q = {0};
	struct event last = {0}, ev;
	struct rng rng;
	int in = 0, out = 0;

	(void)state;
	rng_seed(&rng, 3);
	while (out < 5000) {
		if (in < 5000 && (!q.n || rng_below(&rng, 3))) {
			/* never in the past, often the same time */
			ev = (struct event){.t_ns = last.t_ns + rng_below(&rng, 40)};
			assert_int_equal(events_put(&q, ev), 0);
			in++;
			continue;
		}
		ev = events_take(&q);
		assert_true(ev.t_ns > last.t_ns ||
			    (ev.t_ns == last.t_ns && (!out || ev.order > last.order)));
		last = ev;
		out++;
	}
	assert_int_equal(q.n, 0);
	events_free(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lifo_fits),  cmocka_unit_test(test_fifo_too_large),
		cmocka_unit_test(test_fifo_fits),  cmocka_unit_test(test_no_ddio),
		cmocka_unit_test(test_little),	   cmocka_unit_test(test_window_limits),
		cmocka_unit_test(test_steals),	   cmocka_unit_test(test_state),
		cmocka_unit_test(test_repeats),	   cmocka_unit_test(test_random_configurations),
		cmocka_unit_test(test_parameters), cmocka_unit_test(test_bad_parameters),
		cmocka_unit_test(test_json),	   cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
