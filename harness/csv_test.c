/* csv: quoting both ways, torn and hostile files. */
#include "harness/csv.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct csv c;
static struct errbuf e;

static int parse(const char *text)
{
	return csv_parse(&c, strdup(text), "t.csv", &e);
}

static void test_plain(void **state)
{
	(void)state;
	assert_int_equal(parse("a,b,why\n1,2.5,\"x, \"\"y\"\"\"\n,nan,\r\n"), 0);
	assert_int_equal(c.rows, 2);
	assert_int_equal(c.cols, 3);
	assert_true(csv_number(&c, 0, csv_column(&c, "b")) == 2.5);
	assert_string_equal(csv_text(&c, 0, 2), "x, \"y\"");
	assert_true(isnan(csv_number(&c, 1, 0))); /* empty is missing, not 0 */
	assert_true(isnan(csv_number(&c, 1, 1)));
	assert_string_equal(csv_text(&c, 1, 2), "");
	assert_int_equal(csv_column(&c, "nonsense"), -1);
	assert_string_equal(csv_text(&c, 0, -1), "");
	assert_string_equal(csv_text(&c, 9, 0), "");
	csv_free(&c);
}

static void test_torn(void **state)
{
	(void)state;
	assert_int_equal(parse("a,b\n1,2\n3,"), 0); /* killed while writing */
	assert_int_equal(c.rows, 1);
	csv_free(&c);
	assert_int_equal(parse("a,b\n1,2,3\n4,5\n"), -EINVAL);
	assert_non_null(strstr(e.s, "t.csv:2"));
	assert_int_equal(parse(""), -EINVAL);
	assert_int_equal(parse("a,b"), -EINVAL);
	assert_int_equal(parse("\n\n"), -EINVAL);
	assert_int_equal(parse("a\n\"unclosed"), 0);
	assert_int_equal(c.rows, 0);
	csv_free(&c);
	assert_int_equal(csv_load(&c, "/nonexistent.csv", &e), -ENOENT);
}

static void test_round_trip(void **state)
{
	static const char *const field[] = {"plain", "a,b", "say \"hi\"", "", "two\nlines", " x "};
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	fputs("a,b,c,d,e,f\n", f);
	for (int i = 0; i < 6; i++) {
		if (i)
			fputc(',', f);
		csv_put(f, field[i]);
	}
	fputc('\n', f);
	fclose(f);
	assert_int_equal(csv_parse(&c, text, "t.csv", &e), 0);
	assert_int_equal(c.rows, 1);
	for (int i = 0; i < 6; i++)
		assert_string_equal(csv_text(&c, 0, i), i == 4 ? "two lines" : field[i]);
	csv_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
