/* whatif_exp and whatif_sweep: what files may say, which cells they mean, and that the results
 * folder has the schema that the driver's own tools read. */
#include "collectors/whatif_sweep.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "harness/csv.h"
#include "harness/results.h"

static char dir[] = "/tmp/dcn-whatif-XXXXXX";
static char file[64];

static const char small[] = "; comment\n"
			    "[experiment]\n"
			    "title = A test\n"
			    "cross = free_list\n"
			    "[whatif]\n"
			    "llc = 1MiB ; small\n"
			    "connections = 20\n"
			    "io_window = 16\n"
			    "buffers = 32\n"
			    "[sweep]\n"
			    "free_list = lifo, fifo\n"
			    "llc = 512KiB, 1MiB, 2MiB\n"
			    "ddio_ways = 0,2 , 20\n"
			    "[run]\n"
			    "repetitions = 2\n"
			    "[quick]\n"
			    "sweep.llc = 512KiB\n"
			    "run.repetitions = 1\n"
			    "whatif.connections = 10\n";

static int load(struct whatif_exp *x, const char *text, bool quick, struct errbuf *e)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	e->s[0] = 0;
	return whatif_exp_load(x, file, quick, e);
}

/* Two combinations x (the base + two other caches + two other shares). */
static void test_cells(void **state)
{
	static struct whatif_cell c[WHATIF_CELLS];
	static struct whatif_exp x;
	struct errbuf e;

	(void)state;
	assert_int_equal(load(&x, small, false, &e), 0);
	assert_int_equal(whatif_exp_cells(&x, c, &e), 10);
	assert_int_equal(c[0].vary, -1);
	assert_int_equal(c[0].cfg.llc, 1 << 20);
	assert_int_equal(c[1].cfg.llc, 512 << 10);
	assert_int_equal(c[1].cfg.ddio_ways, 2);
	assert_int_equal(c[3].cfg.ddio_ways, 0);
	assert_int_equal(c[3].cfg.llc, 1 << 20);
	assert_int_equal(c[4].cfg.fifo, 0);
	assert_int_equal(c[5].cfg.fifo, 1);
	assert_int_equal(c[9].cfg.ddio_ways, 20);
	assert_int_equal(x.repetitions, 2);
}

static void test_quick(void **state)
{
	static struct whatif_cell c[WHATIF_CELLS];
	static struct whatif_exp x;
	struct errbuf e;

	(void)state;
	assert_int_equal(load(&x, small, true, &e), 0);
	assert_int_equal(whatif_exp_cells(&x, c, &e), 8);
	assert_int_equal(x.repetitions, 1);
	assert_int_equal(x.base.connections, 10);
}

/* What is written reads back as the same. */
static void test_written(void **state)
{
	static struct whatif_exp x, y;
	char text[4096];
	struct errbuf e;
	FILE *f;

	(void)state;
	assert_int_equal(load(&x, small, true, &e), 0);
	f = fmemopen(text, sizeof text, "w");
	whatif_exp_write(&x, f);
	fclose(f);
	assert_int_equal(load(&y, text, false, &e), 0);
	assert_memory_equal(&x.base, &y.base, sizeof x.base);
	assert_int_equal(x.axes, y.axes);
	for (int i = 0; i < x.axes; i++)
		assert_memory_equal(&x.axis[i], &y.axis[i], sizeof x.axis[i]);
	assert_int_equal(x.repetitions, y.repetitions);
}

static void test_refused(void **state)
{
	static const char *const bad[][2] = {
		{"[whatif]\nllc = 20\n[wrong]\nx = 1\n", "20"},
		{"[whatif]\ncache = 20MiB\n", "cache"},
		{"[wrong]\nx = 1\n", "[wrong]"},
		{"[sweep]\nllc = 1MiB, 2\n", "llc = 2"},
		{"[sweep]\nllc = ,\n", "no values"},
		{"[sweep]\nnothing = 1\n", "nothing"},
		{"[experiment]\ncross = llc\n", "cross = llc"},
		{"[experiment]\nx = llc\n", "unknown key x"},
		{"[run]\nrepetitions = 0\n", "repetitions"},
		{"[run]\nseed = x\n", "seed = x"},
		{"nonsense\n", "neither"},
	};
	static struct whatif_cell c[WHATIF_CELLS];
	static struct whatif_exp x;
	struct errbuf e;

	(void)state;
	for (unsigned int i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(load(&x, bad[i][0], false, &e), -EINVAL);
		if (!strstr(e.s, bad[i][1]) || !strstr(e.s, file))
			fail_msg("%s", e.s);
	}
	assert_int_equal(load(&x, "[quick]\nllc = 1MiB\n", true, &e), -EINVAL);
	assert_int_equal(load(&x, "[quick]\nllc = 1MiB\n", false, &e), 0);
	assert_int_equal(load(&x, "[sweep]\nddio_ways = 2, 21\n", false, &e), 0);
	assert_int_equal(whatif_exp_cells(&x, c, &e), -EINVAL);
	unlink(file);
	assert_int_equal(whatif_exp_load(&x, file, false, &e), -ENOENT);
}

/* The committed experiment is a good one. */
static void test_committed(void **state)
{
	static struct whatif_cell c[WHATIF_CELLS];
	static struct whatif_exp x;
	struct errbuf e = {""};

	(void)state;
	if (access("workloads/whatif.exp", R_OK))
		skip();
	for (int quick = 0; quick < 2; quick++) {
		if (whatif_exp_load(&x, "workloads/whatif.exp", quick, &e) ||
		    whatif_exp_cells(&x, c, &e) < 50)
			fail_msg("%s", e.s);
	}
}

static char *slurp(const char *name)
{
	char path[128], *text = calloc(1, 65536);
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

/* The driver makes the same summary.csv of our runs.csv as we did, but for the bound, which a
 * repetition does not have. */
static void test_folder(void **state)
{
	static struct whatif_exp x;
	struct csv ours, theirs;
	struct errbuf e;
	char *text;

	(void)state;
	assert_int_equal(load(&x, small, false, &e), 0);
	if (whatif_sweep(&x, dir, &e))
		fail_msg("%s", e.s);
	assert_int_equal(whatif_sweep(&x, dir, &e), -EEXIST);
	assert_int_equal(csv_parse(&ours, slurp("summary.csv"), "ours", &e), 0);
	assert_int_equal(ours.rows, 10);
	assert_int_equal(summary_write(dir, &e), 0);
	assert_int_equal(csv_parse(&theirs, slurp("summary.csv"), "theirs", &e), 0);
	assert_int_equal(ours.rows, theirs.rows);
	assert_int_equal(ours.cols, theirs.cols);
	for (int c = 0; c < ours.cols; c++) {
		assert_string_equal(ours.name[c], theirs.name[c]);
		for (int r = 0; r < ours.rows && strcmp(ours.name[c], "bound"); r++) {
			double a = csv_number(&ours, r, c), b = csv_number(&theirs, r, c);

			if (a == a && b == b)
				assert_true(a - b < 1e-4 * (1 + a) && b - a < 1e-4 * (1 + a));
			else
				assert_string_equal(csv_text(&ours, r, c), csv_text(&theirs, r, c));
		}
	}
	assert_string_equal(csv_text(&ours, 3, csv_column(&ours, "simulated")), "1");
	csv_free(&ours);
	csv_free(&theirs);
	text = slurp("meta.json");
	assert_non_null(strstr(text, "\"simulated\": true"));
	free(text);
}

static int make(void **state)
{
	(void)state;
	log_init("test", LOG_ERR);
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof file, "%s.exp", dir);
	return 0;
}

static int done(void **state)
{
	char cmd[128];

	(void)state;
	unlink(file);
	snprintf(cmd, sizeof cmd, "rm -r %s", dir);
	return system(cmd) != 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells),	  cmocka_unit_test(test_quick),
		cmocka_unit_test(test_written),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_committed), cmocka_unit_test(test_folder),
	};

	return cmocka_run_group_tests(tests, make, done);
}
