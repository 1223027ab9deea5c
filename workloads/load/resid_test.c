/* resid: a file just written is resident by both system calls; one that is missing is a failure,
 * not a count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workloads/content.h"
#include "workloads/load/resid.h"

#define PAGES 20
#define SIZE  (PAGES * 4096ull)

static char dir[] = "/tmp/dcn-resid-XXXXXX";

static void make_object(uint64_t id)
{
	static const char zeros[SIZE];
	char path[128], name[32];
	int fd;

	snprintf(path, sizeof path, "%s%s", dir, content_path(id, name));
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, zeros, SIZE), SIZE);
	close(fd);
}

static int setup(void **state)
{
	char path[128];

	(void)state;
	if (sysconf(_SC_PAGESIZE) != 4096 || !mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/hot", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/cold", dir);
	mkdir(path, 0700);
	make_object(0);
	make_object(CONTENT_COLD + 3);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"/hot/000000", "/cold/000003", "/hot", "/cold", ""};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s%s", dir, names[i]);
		remove(path);
	}
	return 0;
}

static void counts(void **state)
{
	struct resid r;

	(void)state;
	resid_init(&r, dir, SIZE);
	resid_sample(&r, 0);
	resid_sample(&r, CONTENT_COLD + 3);
	resid_sample(&r, CONTENT_COLD + 3);
	resid_sample(&r, 5); /* there is none */
	assert_int_equal(r.hot_samples, 1);
	assert_int_equal(r.hot_resident, 1);
	assert_int_equal(r.cold_samples, 2);
	assert_int_equal(r.cold_resident, 2);
	assert_int_equal(r.failures, 1);
}

static void both_calls_agree(void **state)
{
	char path[128];
	int64_t a, b;
	int fd;

	(void)state;
	snprintf(path, sizeof path, "%s/hot/000000", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	b = resid_mincore(fd, SIZE);
	a = resid_cachestat(fd, SIZE);
	close(fd);
	assert_int_equal(b, PAGES);
	if (a == -ENOSYS || a == -EPERM)
		skip(); /* before Linux 6.5, or forbidden in a container */
	assert_int_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),
		cmocka_unit_test(both_calls_agree),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
