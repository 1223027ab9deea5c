/* limits: the arithmetic of descriptors and ports, and that the sentence names limit and fix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "workloads/load/limits.h"

static void files(void **state)
{
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(limits_check_files(16000, 20000, &e), 0);
	assert_int_equal(limits_check_files(16000, 16000, &e), -EMFILE);
	assert_non_null(strstr(e.s, "ulimit"));
	assert_non_null(strstr(e.s, "16000"));
	assert_int_equal(limits_check_files(UINT32_MAX, 20000, &e), -EMFILE); /* no overflow */
	assert_int_equal(limits_check_files(1, 10, &e), -EMFILE);
}

static void ports(void **state)
{
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(limits_check_ports(28232, 32768, 60999, 0, &e), 0);
	assert_int_equal(limits_check_ports(28233, 32768, 60999, 0, &e), -EADDRNOTAVAIL);
	assert_non_null(strstr(e.s, "ip_local_port_range"));
	assert_non_null(strstr(e.s, "28232"));
	assert_int_equal(limits_check_ports(28232, 32768, 60999, 1, &e), -EADDRNOTAVAIL);
	assert_int_equal(limits_check_ports(1, 10, 9, 0, &e), -EADDRNOTAVAIL);
}

static void reserved(void **state)
{
	(void)state;
	assert_int_equal(limits_count_reserved("", 1, 100), 0);
	assert_int_equal(limits_count_reserved("\n", 1, 100), 0);
	assert_int_equal(limits_count_reserved("5", 1, 100), 1);
	assert_int_equal(limits_count_reserved("5,7-9,200\n", 1, 100), 4);
	assert_int_equal(limits_count_reserved("90-110", 100, 105), 6);
	assert_int_equal(limits_count_reserved("1-10", 11, 20), 0);
	assert_int_equal(limits_count_reserved("x,5", 1, 100), 0);
}

static void windows_cover_the_range(void **state)
{
	struct ports p = {.lo = 1000, .hi = 1200, .next = 1000};
	uint32_t lo, hi, at = 1000;

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_true(ports_window(&p, &lo, &hi));
		assert_int_equal(lo, at);
		assert_true(hi >= lo && hi <= 1200 && hi - lo < PORTS_WINDOW);
		at = hi + 1;
	}
	assert_int_equal(at, 1201);
	assert_true(ports_window(&p, &lo, &hi));
	assert_int_equal(lo, 1000); /* and round again */
	p = (struct ports){0};
	assert_false(ports_window(&p, &lo, &hi));
	ports_init(&p);
	assert_true(p.hi == 0 || (p.lo <= p.hi && p.next == p.lo));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(ports),
		cmocka_unit_test(reserved),
		cmocka_unit_test(windows_cover_the_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
