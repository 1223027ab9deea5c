/* ledger: what is done survives a crash, a torn last line does not count. */
#include "harness/ledger.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/dcn-ledger-XXXXXX";
static char path[64];
static struct ledger l;
static struct errbuf e;

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/dcn-ledger-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/journal", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void append(const char *text)
{
	FILE *f = fopen(path, "a");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_goes_on(void **state)
{
	struct ledger_ceiling c = {
		.block = 1, .kind = "disk", .key = "size=300KiB", .gbps = 7.25, .at_least = true};
	struct ledger_ceiling none = {
		.block = 1, .kind = "crypto", .gbps = NAN, .why = "not \"built\""};

	(void)state;
	assert_int_equal(ledger_open(&l, dir, &e), 0);
	assert_int_equal(l.runs, 0);
	assert_true(l.runs_bytes < 0);
	assert_int_equal(ledger_add_ceiling(&l, &c), 0);
	assert_int_equal(ledger_add_ceiling(&l, &none), 0);
	assert_int_equal(ledger_add_run(&l, 0, 3, "ok", 100, 1000), 0);
	assert_int_equal(ledger_add_run(&l, 1, 4, "invalid", 200, 5000000000), 0);
	ledger_close(&l);
	append("{\"block\": 1, \"cell\": 5, \"runs_by"); /* the machine died here */
	assert_int_equal(ledger_open(&l, dir, &e), 0);
	assert_int_equal(l.runs, 2);
	assert_true(ledger_has(&l, 0, 3) && ledger_has(&l, 1, 4));
	assert_false(ledger_has(&l, 1, 5) || ledger_has(&l, 1, 3));
	assert_int_equal(l.runs_bytes, 200);
	assert_true(l.samples_bytes == 5000000000);
	assert_true(ledger_ceiling(&l, 1, "disk", "size=300KiB")->gbps == 7.25);
	assert_true(ledger_ceiling(&l, 1, "disk", "size=300KiB")->at_least);
	assert_false(ledger_ceiling(&l, 1, "crypto", "")->at_least);
	assert_null(ledger_ceiling(&l, 0, "disk", "size=300KiB"));
	assert_true(isnan(ledger_ceiling(&l, 1, "crypto", "")->gbps));
	assert_string_equal(ledger_ceiling(&l, 1, "crypto", "")->why, "not \"built\"");
	assert_int_equal(ledger_add_run(&l, 1, 5, "ok", 300, 5000000001),
			 0); /* after the torn line */
	ledger_close(&l);
	assert_int_equal(ledger_open(&l, dir, &e), 0);
	assert_int_equal(l.runs, 3);
	ledger_close(&l);
}

static void test_hostile(void **state)
{
	(void)state;
	append("nonsense\n{\"block\": 0, \"cell\": 0}\n");
	assert_int_equal(ledger_open(&l, dir, &e), -EINVAL);
	assert_non_null(strstr(e.s, "journal:1"));
	unlink(path);
	append("{\"block\": 0, \"cell\": 0}"); /* whole, but for its newline: was not synced */
	assert_int_equal(ledger_open(&l, dir, &e), 0);
	assert_int_equal(l.runs, 0);
	ledger_close(&l);
	assert_int_equal(ledger_open(&l, "/nonexistent", &e), -ENOENT);
}

static void test_many(void **state)
{
	(void)state;
	assert_int_equal(ledger_open(&l, dir, &e), 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(ledger_add_run(&l, i / 20, i % 20, "ok", i, i), 0);
	ledger_close(&l);
	assert_int_equal(ledger_open(&l, dir, &e), 0);
	assert_int_equal(l.runs, 300);
	ledger_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
