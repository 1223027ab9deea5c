/* trace: off records nothing, on records in order, and the ring keeps the newest. */
#include "stacks/atlas/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "stacks/atlas/net/pktio.h"

static char path[] = "/tmp/dcn-trace-XXXXXX";

static struct touch *load(const char *name, struct touch_header *h)
{
	FILE *f = fopen(name, "r");
	struct touch *v;

	assert_non_null(f);
	assert_int_equal(fread(h, sizeof *h, 1, f), 1);
	assert_true(h->magic == TOUCH_MAGIC);
	v = calloc(h->count + 1, sizeof *v);
	assert_non_null(v);
	assert_int_equal(fread(v, sizeof *v, h->count + 1, f), h->count);
	fclose(f);
	unlink(name);
	return v;
}

static void test_off(void **state)
{
	struct errbuf e = {""};

	(void)state;
	trace_touch(TOUCH_DMA_IN, path, 1);
	trace_frames(NULL, 1);
	assert_int_equal(trace_close("/nowhere/at/all", 0, &e), 0);
}

static void test_order(void **state)
{
	struct pkt_tx frame = {.niov = 3};
	struct touch_header h;
	struct errbuf e = {""};
	struct touch *v;
	char name[64], buf[8];

	(void)state;
	assert_int_equal(trace_open(&e), 0);
	trace_touch(TOUCH_ISSUE, buf, 8);
	trace_touch(TOUCH_DMA_IN, buf, 7);
	frame.iov[0].iov_len = 1; /* the back end's own */
	frame.iov[1] = (struct iovec){buf + 1, 5};
	frame.iov[2] = (struct iovec){buf + 2, 6};
	trace_frames(&frame, 1);
	assert_int_equal(trace_close(path, 3, &e), 0);
	assert_null(trace_on);
	snprintf(name, sizeof name, "%s.3", path);
	v = load(name, &h);
	assert_int_equal(h.count, 4);
	assert_int_equal(h.lost, 0);
	assert_int_equal(v[0].kind, TOUCH_ISSUE);
	assert_int_equal(v[1].kind, TOUCH_DMA_IN);
	assert_int_equal(v[1].len, 7);
	assert_int_equal(v[2].kind, TOUCH_DMA_OUT);
	assert_true(v[2].addr == (uintptr_t)(buf + 1));
	assert_int_equal(v[3].len, 6);
	for (int i = 1; i < 4; i++)
		assert_true(v[i].t_ns >= v[i - 1].t_ns);
	free(v);
}

static void test_newest(void **state)
{
	uint64_t n = TRACE_ENTRIES + 1000;
	struct touch_header h;
	struct errbuf e = {""};
	struct touch *v;

	(void)state;
	assert_int_equal(trace_open(&e), 0);
	for (uint64_t i = 0; i < n; i++)
		trace_touch(TOUCH_CPU_READ, path, (uint32_t)i);
	assert_int_equal(trace_close(path, 0, &e), 0);
	v = load(path, &h);
	assert_int_equal(h.count, TRACE_ENTRIES);
	assert_int_equal(h.lost, 1000);
	for (uint64_t i = 0; i < h.count; i++)
		assert_int_equal(v[i].len, 1000 + i);
	free(v);
}

static void test_cannot_write(void **state)
{
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(trace_open(&e), 0);
	assert_true(trace_close("/nowhere/at/all", 0, &e) < 0);
	assert_null(trace_on);
	assert_non_null(e.s[0] ? e.s : NULL);
}

static int make(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int done(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_newest),
		cmocka_unit_test(test_cannot_write),
	};

	return cmocka_run_group_tests(tests, make, done);
}
