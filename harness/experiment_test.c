/* experiment: what people write, what they mistype, and that what is written back reads the same.
 */
#include "harness/experiment.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/sweep.h"

static struct experiment x, y;
static struct errbuf e;

static const char full[] = "[experiment]\n"
			   "title = A title ; and a comment\n"
			   "figure = fig2\n"
			   "[testbed]\n"
			   "rtt = 10ms..40ms\n"
			   "[load]\n"
			   "tls = on\n"
			   "[sweep]\n"
			   "stack = nginx, nginx:aio, atlas\n"
			   "cache_ratio = 0, 100\n"
			   "connections = 2000..16000 step 2000\n"
			   "[run]\n"
			   "duration = 10s\n"
			   "[quick]\n"
			   "sweep.connections = 128, 512\n"
			   "run.duration = 3s\n";

static int parse(const char *text)
{
	memset(&e, 0, sizeof e);
	return experiment_parse(&x, text, "t.exp", false, NULL, 0, &e);
}

static void refuses(const char *text, const char *sentence)
{
	if (parse(text) != -EINVAL)
		fail_msg("accepted: %s", text);
	if (!strstr(e.s, sentence))
		fail_msg("'%s' does not say '%s'", e.s, sentence);
	assert_non_null(strstr(e.s, "t.exp"));
}

static bool caches(const char *stack)
{
	return strncmp(stack, "atlas", 5) != 0;
}

static void test_full(void **state)
{
	struct cell cell[64];
	char label[128];
	int n;

	(void)state;
	assert_int_equal(parse(full), 0);
	assert_string_equal(experiment_text(&x, "experiment.title"), "A title");
	assert_string_equal(experiment_text(&x, "run.duration"), "10s");
	assert_string_equal(experiment_text(&x, "run.warmup"), "2s");
	assert_int_equal(x.axes, 3);
	n = sweep_cells(&x, caches, cell, &e);
	assert_int_equal(n, 2 * 2 * 8 + 8); /* atlas once a point */
	for (int i = 0; i < n; i++)
		assert_int_equal(cell[i].index, i);
	assert_string_equal(cell_text(&x, &cell[0], "stack"), "nginx");
	assert_int_equal(cell_count(&x, &cell[7], "connections"), 16000);
	assert_string_equal(cell_label(&x, &cell[9], label, sizeof label),
			    "nginx tls bc=100% conn=4000");
	assert_string_equal(cell_label(&x, &cell[n - 1], label, sizeof label),
			    "atlas tls conn=16000");
	assert_string_equal(cell_text(&x, &cell[n - 1], "cache_ratio"), "0");
	assert_true(cell[n - 1].uncached);
}

static void test_quick_and_set(void **state)
{
	char *sets[] = {"load.verify=all", "sweep.stack=null", "sweep.tls=on, off"};
	char *bad[] = {"run.duration"};
	char *bad2[] = {"run.duratoin=3s"};
	char *bad3[] = {"load.connections=5"};
	struct cell cell[64];

	(void)state;
	assert_int_equal(experiment_parse(&x, full, "t.exp", true, NULL, 0, &e), 0);
	assert_string_equal(experiment_text(&x, "run.duration"), "3s");
	assert_int_equal(sweep_cells(&x, NULL, cell, &e), 3 * 2 * 2);
	assert_int_equal(experiment_parse(&x, full, "t.exp", true, sets, 2, &e), 0);
	assert_string_equal(experiment_text(&x, "load.verify"), "all");
	assert_int_equal(sweep_cells(&x, NULL, cell, &e), 2 * 2);
	assert_int_equal(experiment_parse(&x, full, "t.exp", true, sets, 3, &e), -EINVAL);
	assert_non_null(strstr(e.s, "t.exp:7")); /* tls is set there */
	assert_int_equal(experiment_parse(&x, full, "t.exp", true, bad, 1, &e), -EINVAL);
	assert_non_null(strstr(e.s, "section.key=value"));
	assert_int_equal(experiment_parse(&x, full, "t.exp", true, bad2, 1, &e), -EINVAL);
	assert_non_null(strstr(e.s, "did you mean 'duration'"));
	assert_int_equal(experiment_parse(&x, full, "t.exp", true, bad3, 1, &e), -EINVAL);
	assert_non_null(strstr(e.s, "sweep.connections"));
}

static void test_refusals(void **state)
{
	(void)state;
	refuses("[load]\nconections = 5\n",
		"t.exp:2: unknown key 'conections' in [load]; did you mean "
		"'connections'?");
	refuses("[laod]\ntls = on\n", "t.exp:2: unknown section [laod]; did you mean [load]?");
	refuses("[quack]\nrun.duration = 3s\n", "did you mean [quick]?");
	refuses("tls = on\n", "before any [section]");
	refuses("[load]\ntls = yes\n",
		"t.exp:2: load.tls: 'yes' is not possible; choose from: on off");
	refuses("[run]\nduration = 5\n", "write for example 500ms or 3s");
	refuses("[run]\nduration = 0s\n", "out of range");
	refuses("[run]\nrepetitions = 0\n", "1 to 1000");
	refuses("[run]\nrepetitions =\n", "empty");
	refuses("[run]\nduration = 5s\nduration = 6s\n",
		"t.exp:3: 'duration' is set already in line 2");
	refuses("[sweep]\nstack = nginx\nstack = atlas\n", "swept already in line 2");
	refuses("[sweep]\nconnections = 5, 5\n", "there twice");
	refuses("[sweep]\nconnections = 5,\n", "empty item");
	refuses("[sweep]\nconnections = 10..5\n", "the smaller");
	refuses("[sweep]\nconnections = 1..60000\n", "use a larger step");
	refuses("[sweep]\nconnections = 1..5 stop 2\n", "not a range");
	refuses("[sweep]\nconnections = 1..5 step 0\n", "step");
	refuses("[sweep]\nrate = 1Gbit\n", "write section.rate");
	refuses("[sweep]\nconections = 5\n", "did you mean 'connections'");
	refuses("[sweep]\ncollect.collectors = cpu\n", "can't be swept");
	refuses("[load]\nengine = fio\n", "belong to load.program");
	refuses("[load]\nmode = open\n", "needs load.rate");
	refuses("[load]\nmode = open\nrate_of_ceiling = 60\n[run]\nceilings = none\n",
		"needs run.ceilings");
	assert_int_equal(parse("[load]\nmode = open\nrate_of_ceiling = 60\n"), 0);
	refuses("[content]\ncold = 1KiB\n", "smaller than one object");
	refuses("[content]\nhot = 1GiB\ncache_budget = 64MiB\n", "does not hold the hot set");
	refuses("[collect]\ninterval = 20s\n", "longer than run.duration");
	refuses("[experiment]\nfigure = ../x\n", "not a path");
	refuses("[experiment]\nx = conections\n", "name of a key");
	refuses("[sweep]\nstack = external\n", "stack.command");
	refuses("[sweep]\nstack = rm -rf\n", "not the name of a stack");
	refuses("[run]\nnonsense\n", "t.exp:2: neither");
	refuses("[run\nduration = 1s\n", "t.exp:1: neither");
	refuses("[stack]\nurl =;b\n", "start with");
	refuses("[stack]\nurl = a\x01\n", "control");
	refuses("[quick]\nduration = 1s\n", "must name its section");
	refuses("[quick]\nrun.duratoin = 1s\n", "did you mean 'duration'");
}

static void test_hostile(void **state)
{
	char text[5000], *p;

	(void)state;
	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = 0;
	refuses(text, "longer than");
	snprintf(text, sizeof text, "[%0190d]\n", 1);
	assert_int_equal(parse(text), 0); /* an empty section of any name holds nothing */
	p = text;
	for (int i = 0; i < 300; i++)
		p += snprintf(p, sizeof text - (size_t)(p - text), "[run]\nk%d=1\n", i);
	refuses(text, "more than 256 entries");
	assert_int_equal(parse(""), 0); /* all defaults */
	assert_string_equal(experiment_text(&x, "experiment.figure"), "t");
	assert_int_equal(parse("\xef\xbb\xbf[run]\nseed = 7\n"), 0); /* byte order mark */
	assert_int_equal(parse("  [run]\n\t  seed = 7\n   duration = 5s ; five\n; c\n# c\n"), 0);
	assert_string_equal(experiment_text(&x, "run.seed"), "7");
	assert_string_equal(experiment_text(&x, "run.duration"), "5s");
	assert_int_equal(parse("[run]\r\nseed = 9\r\n"), 0);
	assert_string_equal(experiment_text(&x, "run.seed"), "9");
	assert_int_equal(experiment_load(&x, "/nonexistent.exp", false, NULL, 0, &e), -ENOENT);
	assert_int_equal(experiment_load(&x, "/", false, NULL, 0, &e), -EIO);
}

static void test_ranges(void **state)
{
	static const struct {
		const char *key, *text, *values;
	} row[] = {
		{"connections", "2000..16000 step 2000",
		 "2000 4000 6000 8000 10000 12000 14000 16000"},
		{"connections", "1..5", "1 2 3 4 5"},
		{"connections", "1..100 x2", "1 2 4 8 16 32 64"},
		{"connections", "7, 1..3, 9", "7 1 2 3 9"},
		{"cache_ratio", "0..100 step 25", "0 25 50 75 100"},
		{"loss", "0, 0.1, 1%", "0 0.1 1%"},
		{"object_size", "16KiB..64KiB x2", "16KiB 32KiB 64KiB"},
		{"rtt", "0, 20ms, 10ms..40ms", "0 20ms 10ms..40ms"},
		{"io_window", "128..512 step 128", "128 256 384 512"},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof row / sizeof *row; i++) {
		char text[256], got[256] = "";

		snprintf(text, sizeof text, "[sweep]\n%s = %s\n", row[i].key, row[i].text);
		if (parse(text))
			fail_msg("%s", e.s);
		for (int k = 0; k < x.axis[0].n; k++) {
			if (k)
				strcat(got, " ");
			strcat(got, x.axis[0].value[k]);
		}
		assert_string_equal(got, row[i].values);
	}
}

static void round_trip(const char *text, bool quick)
{
	char *a = NULL, *b = NULL;
	size_t na, nb;
	FILE *f;

	assert_int_equal(experiment_parse(&x, text, "t.exp", quick, NULL, 0, &e), 0);
	f = open_memstream(&a, &na);
	experiment_write(&x, f);
	fclose(f);
	if (experiment_parse(&y, a, "t.exp", false, NULL, 0, &e))
		fail_msg("%s\n%s", e.s, a);
	y.quick = x.quick; /* only names its origin in a comment */
	f = open_memstream(&b, &nb);
	experiment_write(&y, f);
	fclose(f);
	assert_string_equal(a, b);
	assert_int_equal(x.axes, y.axes);
	for (int i = 0; i < settings_n; i++)
		if (!experiment_axis_of(&x, i))
			assert_string_equal(x.v[i].text, y.v[i].text);
	for (int k = 0; k < x.axes; k++) {
		assert_int_equal(x.axis[k].n, y.axis[k].n);
		for (int i = 0; i < x.axis[k].n; i++)
			assert_string_equal(x.axis[k].value[i], y.axis[k].value[i]);
	}
	free(a);
	free(b);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip(full, false);
	round_trip(full, true);
	round_trip("", false);
	round_trip("[sweep]\nloss = 0, 0.1, 1\nrtt = 0, 10ms..40ms\nstack = a:b, c\n", false);
}

static void test_orders(void **state)
{
	int a[50], b[50], seen[50] = {0}, differ = 0;

	(void)state;
	sweep_order(1, 0, a, 50);
	sweep_order(1, 0, b, 50);
	assert_memory_equal(a, b, sizeof a); /* a function of seed and block */
	for (int i = 0; i < 50; i++)
		seen[a[i]]++;
	for (int i = 0; i < 50; i++)
		assert_int_equal(seen[i], 1);
	sweep_order(1, 1, b, 50);
	for (int i = 0; i < 50; i++)
		differ += a[i] != b[i];
	assert_true(differ > 30);
	sweep_order(2, 0, b, 50);
	differ = 0;
	for (int i = 0; i < 50; i++)
		differ += a[i] != b[i];
	assert_true(differ > 30);
}

static void test_uncached_cells(void **state)
{
	struct cell cell[64];
	int n;

	(void)state;
	assert_int_equal(
		parse("[sweep]\ncache_ratio = 50, 100\nstack = nginx, atlas\nconnections = 1, 2\n"),
		0);
	n = sweep_cells(&x, caches, cell, &e);
	assert_int_equal(n, 4 + 2);
	for (int i = 0; i < n; i++)
		if (!caches(cell_text(&x, &cell[i], "stack")))
			assert_string_equal(cell_text(&x, &cell[i], "load.cache_ratio"), "0");
	assert_int_equal(parse("[load]\ncache_ratio = 100\n[sweep]\nstack = atlas\n"), 0);
	assert_int_equal(sweep_cells(&x, caches, cell, &e), 1);
	assert_string_equal(cell_text(&x, &cell[0], "cache_ratio"), "0");
	assert_int_equal(parse("[sweep]\nconnections = 1..100\nio_window = 1..100\n"), 0);
	{
		struct cell *many = calloc(CELLS_MAX, sizeof *many);

		assert_int_equal(sweep_cells(&x, NULL, many, &e), -E2BIG);
		free(many);
	}
}

static void test_settings_are_sound(void **state)
{
	struct errbuf why;

	(void)state;
	for (int i = 0; i < settings_n; i++) {
		char name[64];

		if (setting_check(&settings[i], settings[i].def, &why))
			fail_msg("%s.%s: %s", settings[i].section, settings[i].key, why.s);
		snprintf(name, sizeof name, "%s.%s", settings[i].section, settings[i].key);
		assert_int_equal(setting_find_name(name), i);
		assert_true(strlen(settings[i].def) < EXPERIMENT_TEXT);
	}
	assert_int_equal(setting_distance("kitten", "sitting"), 3);
	assert_int_equal(setting_distance("", "abc"), 3);
	assert_int_equal(setting_find_name("seed"), -2); /* content and run have one */
	assert_int_equal(setting_find_name("testbed.rate"), setting_find("testbed", "rate"));
	assert_int_equal(setting_find_name("nonsense"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_quick_and_set),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_uncached_cells),
		cmocka_unit_test(test_settings_are_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
