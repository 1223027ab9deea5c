/* units: what people write, what they mistype, and what must not overflow. */
#include "base/units.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint64_t size(const char *s)
{
	uint64_t v = 0;

	assert_int_equal(units_size(s, &v), 0);
	return v;
}

static uint64_t dur(const char *s)
{
	uint64_t v = 0;

	assert_int_equal(units_duration(s, &v), 0);
	return v;
}

static void test_sizes(void **state)
{
	static const char *const bad[] = {"",	  " 1",	 "-1",	  "KiB", "1 k b", "1kib",
					  "0x10", "1e3", "1..2",  ".5G", "5.",	  "5.G",
					  "inf",  "nan", "1GiBx", "++1", "1,5G"};
	uint64_t v = 7;

	(void)state;
	assert_int_equal(size("300KiB"), 307200);
	assert_int_equal(size("6GiB"), 6ull << 30);
	assert_int_equal(size("64k"), 65536);
	assert_int_equal(size("0"), 0);
	assert_int_equal(size("1.5GiB"), 3ull << 29);
	assert_int_equal(size("1 GB"), 1000000000);
	assert_int_equal(size("18446744073709551615"), UINT64_MAX);
	for (unsigned int i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(units_size(bad[i], &v), -EINVAL);
	assert_int_equal(units_size("18446744073709551616", &v), -ERANGE);
	assert_int_equal(units_size("99999999TiB", &v), -ERANGE);
	assert_int_equal(units_size("99999999999999.5TiB", &v), -ERANGE);
	assert_int_equal(v, 7);
}

static void test_durations(void **state)
{
	uint64_t lo = 0, hi = 0;

	(void)state;
	assert_int_equal(dur("0"), 0);
	assert_int_equal(dur("2s"), 2000000000);
	assert_int_equal(dur("100ms"), 100000000);
	assert_int_equal(dur("1.5ms"), 1500000);
	assert_int_equal(dur("1m"), 60000000000);
	assert_int_equal(units_duration("3", &lo), -EINVAL);
	assert_int_equal(units_duration("3 parsecs", &lo), -EINVAL);
	assert_int_equal(units_duration_range("10ms..40ms", &lo, &hi), 0);
	assert_int_equal(lo, 10000000);
	assert_int_equal(hi, 40000000);
	assert_int_equal(units_duration_range("5us", &lo, &hi), 0);
	assert_int_equal(lo, hi);
	assert_int_equal(units_duration_range("40ms..10ms", &lo, &hi), -EINVAL);
	assert_int_equal(units_duration_range("..", &lo, &hi), -EINVAL);
	assert_int_equal(units_duration_range("1ms..", &lo, &hi), -EINVAL);
	assert_int_equal(
		units_duration_range("00000000000000000000000000000000000001ms..2s", &lo, &hi),
		-EINVAL);
}

static void test_others(void **state)
{
	uint64_t v = 0;
	double d = 0;

	(void)state;
	assert_int_equal(units_rate("10Gbit", &v), 0);
	assert_int_equal(v, 10000000000);
	assert_int_equal(units_rate("2.5Mbit/s", &v), 0);
	assert_int_equal(v, 2500000);
	assert_int_equal(units_rate("10", &v), -EINVAL);
	assert_int_equal(units_count("16000", &v), 0);
	assert_int_equal(v, 16000);
	assert_int_equal(units_count("1.0", &v), -EINVAL);
	assert_int_equal(units_count("99999999999999999999", &v), -ERANGE);
	assert_int_equal(units_number("-1.5", &d), 0);
	assert_true(d == -1.5);
	assert_int_equal(units_number("1e999", &d), -ERANGE);
	assert_int_equal(units_number("nan", &d), -EINVAL);
	assert_int_equal(units_number("1 ", &d), -EINVAL);
	assert_int_equal(units_percent("0.1%", &d), 0);
	assert_true(d == 0.1);
	assert_int_equal(units_percent("100", &d), 0);
	assert_int_equal(units_percent("100.1", &d), -ERANGE);
	assert_int_equal(units_percent("-1", &d), -EINVAL);
	assert_int_equal(units_percent("5%%", &d), -EINVAL);
}

static void test_text_round_trips(void **state)
{
	static const uint64_t v[] = {0,		 1,	     512,	 307200,
				     1ull << 20, 268435456,  3ull << 29, 1000001,
				     6ull << 30, UINT64_MAX, 100000000,	 1500000000};
	char buf[32], one[32];
	uint64_t back;

	(void)state;
	for (unsigned int i = 0; i < sizeof v / sizeof *v; i++) {
		assert_int_equal(units_size(units_size_text(v[i], buf, sizeof buf), &back), 0);
		assert_true(back == v[i]);
		assert_int_equal(units_duration(units_duration_text(v[i], buf, sizeof buf), &back),
				 0);
		assert_true(back == v[i]);
	}
	assert_string_equal(units_size_text(307200, one, sizeof one), "300KiB");
	assert_string_equal(units_duration_text(1500000000, one, sizeof one), "1.5s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_text_round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
