/* results: rows, summary and resuming, from outcomes made up here. */
#include "harness/results.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/stats.h"
#include "harness/csv.h"

static char base[64], dir[96];
static struct experiment x;
static struct cell cell[16];
static int cells;
static struct results r;
static struct errbuf e;

static const char text[] = "[experiment]\ntitle = a \"b\", c\n[sweep]\nstack = null, nginx\n"
			   "connections = 8, 16\n[run]\nrepetitions = 3\n";

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(base, sizeof base, "/tmp/dcn-results-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(dir, sizeof dir, "%s/out", base);
	if (experiment_parse(&x, text, "t.exp", false, NULL, 0, &e))
		return -1;
	cells = sweep_cells(&x, NULL, cell, &e);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void add(int c, int block, double gbps, bool valid)
{
	struct outcome o = {.ran = true, .valid = valid, .t_start = 1000, .t_end = 2000};

	o.load = json_pack("{s:[[i,i,i],[i,i,i]], s:{s:[[i,i]], s:[]}}", "samples", 1000, 0, 0,
			   1500, 1000, 1, "hist", "latency_us", 100, 7, "ttfb_us");
	assert_non_null(o.load);
	metrics_set(&o.m, "net_gbps", gbps);
	metrics_missing(&o.m, "cpu_pct", "no \"steering\"");
	if (!valid)
		outcome_invalid(&o, "because, said he");
	assert_int_equal(results_add(&r, &cell[c], block, &o, &e), 0);
	outcome_free(&o);
}

static char *slurp(const char *name)
{
	static char buf[65536];
	char path[200];
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(buf, 1, sizeof buf - 1, f);
	buf[n] = 0;
	fclose(f);
	return buf;
}

static void all_runs(int from)
{
	static const double v[3][4] = {{1, 2, 3, 4}, {1.1, 2.2, 3.3, 4.4}, {0.9, 2.5, 3.2, 4.3}};

	for (int i = from; i < 12; i++)
		add(i % 4, i / 4, v[i / 4][i % 4], i != 5);
}

static void check_summary(void)
{
	static const double one[] = {1, 1.1, 0.9};
	char path[200];
	struct csv c;

	assert_int_equal(summary_write(dir, &e), 0);
	snprintf(path, sizeof path, "%s/summary.csv", dir);
	assert_int_equal(csv_load(&c, path, &e), 0);
	assert_int_equal(c.rows, 4);
	assert_string_equal(c.name[0], "stack");
	assert_string_equal(csv_text(&c, 0, csv_column(&c, "stack")), "null");
	assert_string_equal(csv_text(&c, 1, csv_column(&c, "connections")), "16");
	assert_true(csv_number(&c, 0, csv_column(&c, "n")) == 3);
	assert_true(csv_number(&c, 1, csv_column(&c, "n")) == 2); /* one was invalid */
	assert_true(csv_number(&c, 1, csv_column(&c, "runs")) == 3);
	assert_true(fabs(csv_number(&c, 0, csv_column(&c, "net_gbps")) - 1) < 1e-9);
	assert_true(fabs(csv_number(&c, 0, csv_column(&c, "net_gbps_ci95")) - stats_ci95(one, 3)) <
		    1e-5);
	assert_true(isnan(csv_number(&c, 0, csv_column(&c, "cpu_pct")))); /* missing, not 0 */
	csv_free(&c);
}

static void test_rows_and_summary(void **state)
{
	json_t *why;

	(void)state;
	assert_int_equal(results_create(&r, &x, dir, &e), 0);
	all_runs(0);
	assert_int_equal(results_write_meta(&r, &e), 0);
	check_summary();
	why = json_object_get(json_object_get(r.meta, "missing"), "cpu_pct");
	assert_int_equal(json_integer_value(json_object_get(why, "no \"steering\"")), 12);
	assert_non_null(strstr(slurp("runs.csv"), "\"because, said he\""));
	assert_non_null(strstr(slurp("samples.csv"), "net_gbps,16\n")); /* 1000 bytes in 500 ns */
	assert_string_equal(slurp("latency/cell002-rep3.csv"),
			    "kind,lower_us,count\nlatency_us,100,7\n");
	assert_non_null(strstr(slurp("experiment.exp"), "title = a \"b\", c"));
	results_close(&r);
	assert_int_equal(results_create(&r, &x, dir, &e), -EEXIST);
	assert_non_null(strstr(e.s, "--resume"));
	results_close(&r);
}

static void test_resume(void **state)
{
	char path[200], *whole;
	FILE *f;

	(void)state;
	assert_int_equal(results_create(&r, &x, dir, &e), 0);
	all_runs(0);
	results_close(&r);
	whole = strdup(slurp("runs.csv"));
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);

	assert_int_equal(results_create(&r, &x, dir, &e), 0);
	for (int i = 0; i < 7; i++)
		add(i % 4, i / 4, i < 4 ? i + 1 : (i - 3) * 1.1, i != 5);
	assert_int_equal(results_write_meta(&r, &e), 0);
	results_close(&r);
	snprintf(path, sizeof path, "%s/runs.csv",
		 dir); /* killed after the row, before the journal */
	f = fopen(path, "a");
	fputs("3,2,null,off,0,16,1,,", f);
	fclose(f);
	snprintf(path, sizeof path, "%s/samples.csv", dir);
	f = fopen(path, "a");
	fputs("0.1,3,2,net_gbps,4\n", f);
	fclose(f);

	assert_int_equal(results_resume(&r, &x, dir, &e), 0);
	assert_int_equal(r.ledger.runs, 7);
	assert_true(ledger_has(&r.ledger, 1, 2));
	assert_false(ledger_has(&r.ledger, 1, 3));
	all_runs(7);
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(json_object_get(r.meta, "missing"), "cpu_pct"),
				 "no \"steering\"")),
			 12);
	results_close(&r);
	assert_string_equal(slurp("runs.csv"), whole);
	check_summary();
	free(whole);
}

static void test_resume_of_nothing(void **state)
{
	(void)state;
	assert_int_equal(results_create(&r, &x, dir, &e), 0);
	results_close(&r);
	assert_int_equal(results_resume(&r, &x, dir, &e), 0);
	assert_int_equal(r.ledger.runs, 0);
	all_runs(0);
	results_close(&r);
	check_summary();
	assert_int_equal(results_resume(&r, &x, "/nonexistent", &e), -ENOENT);
	results_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows_and_summary, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resume, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resume_of_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
