/* uring_poll_test: a ring that shall poll and can't says why, and reads all the same. That it does
 * poll where it can is for tests/guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "stacks/atlas/nvme/nvme.h"

static void on_read(struct iodesc *d, int res)
{
	*(int *)d->cookie = res;
}

static void falls_back(void **state)
{
	char path[] = "/dev/shm/uring_pollXXXXXX", device[64], text[4096];
	struct nvme_cfg cfg = {
		.device = device, .region_bytes = 1 << 20, .depth = 4, .flags = NVME_POLL};
	struct errbuf e = {""};
	struct iodesc d;
	struct nvme *n;
	int fd = mkstemp(path), res = 0;

	(void)state;
	memset(text, 'x', sizeof text);
	assert_int_equal(write(fd, text, sizeof text), sizeof text);
	close(fd);
	snprintf(device, sizeof device, "uring:%s", path);
	if (nvme_open(&n, &cfg, &e)) {
		unlink(path);
		print_message("%s\n", e.s); /* an old tmpfs */
		skip();
	}
	assert_non_null(strstr(nvme_note(n), "no polling"));
	assert_non_null(strstr(nvme_note(n), path));
	assert_true(nvme_fd(n) >= 0);
	d = (struct iodesc){.nsid = 1,
			    .len = sizeof text,
			    .buf = nvme_region(n, NULL),
			    .cb = on_read,
			    .cookie = &res};
	assert_int_equal(nvme_read(n, &d), 0);
	for (int i = 0; i < 10 && !res; i++) {
		assert_true(nvme_wait(n, 1, 1000000000) >= 0);
		nvme_consume_completions(n, 4);
	}
	assert_int_equal(res, sizeof text);
	assert_memory_equal(d.buf, text, sizeof text);
	nvme_close(n);
	unlink(path);
}

static void files_are_not_polled(void **state)
{
	struct nvme_cfg cfg = {
		.device = "uring:", .region_bytes = 1 << 20, .depth = 4, .flags = NVME_POLL};
	struct errbuf e = {""};
	struct nvme *n;

	(void)state;
	assert_int_equal(nvme_open(&n, &cfg, &e), 0);
	assert_non_null(strstr(nvme_note(n), "opens files"));
	nvme_close(n);
	cfg.flags = 0;
	assert_int_equal(nvme_open(&n, &cfg, &e), 0);
	assert_string_equal(nvme_note(n), "");
	nvme_close(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(falls_back),
		cmocka_unit_test(files_are_not_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
