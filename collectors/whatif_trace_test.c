/* whatif_trace: traces written by hand, counted by hand; files that are no traces. */
#include "collectors/whatif_trace.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/touch.h"

static char dir[] = "/tmp/dcn-whatif-XXXXXX";
static char path[2][64];

static const char *put(int i, const struct touch *t, uint64_t n, uint64_t claimed)
{
	struct touch_header h = {.magic = TOUCH_MAGIC, .count = claimed};
	FILE *f = fopen(path[i], "w");

	assert_non_null(f);
	assert_int_equal(fwrite(&h, sizeof h, 1, f), 1);
	assert_int_equal(fwrite(t, sizeof *t, n, f), n);
	fclose(f);
	return path[i];
}

static int replay(struct whatif_result *r, int files, bool at_issue, double warm)
{
	const char *const p[2] = {path[0], path[1]};
	struct whatif_replay t = {
		.path = p, .paths = files, .dma_at_issue = at_issue, .warm_pct = warm};
	struct whatif_cfg c;
	struct errbuf e = {""};
	int err;

	whatif_defaults(&c);
	c.sample = 1;
	c.llc = 1 << 20;
	assert_int_equal(whatif_resolve(&c, &e), 0);
	err = whatif_replay(&c, &t, r, &e);
	assert_true(!err == !e.s[0]);
	return err;
}

/* One pull of 4 KiB: read, sealed, sent with a header from elsewhere. */
#define PULL(t, a)                                                                                 \
	{(t), (a), 4096, TOUCH_ISSUE}, {(t) + 10, (a), 4096, TOUCH_DMA_IN},                        \
		{(t) + 11, (a), 4000, TOUCH_CPU_READ}, {(t) + 12, (a), 4000, TOUCH_CPU_WRITE},     \
		{(t) + 13, 0x77770000, 54, TOUCH_DMA_OUT},                                         \
	{                                                                                          \
		(t) + 13, (a), 4000, TOUCH_DMA_OUT                                                 \
	}

static void test_pull(void **state)
{
	static const struct touch t[] = {PULL(100, 0x100000), PULL(200, 0x100000)};
	struct whatif_result r;
	const struct llc_count *c = r.count[WHATIF_BUFFERS];

	(void)state;
	put(0, t, 12, 12);
	assert_int_equal(replay(&r, 1, false, 0), 0);
	assert_int_equal(r.net_bytes, 2 * 4054);
	assert_int_equal(r.disk_bytes, 2 * 4096);
	assert_int_equal(r.buffers_used, 1);
	assert_int_equal(r.span_ns, 113);
	assert_int_equal(c[LLC_DMA_IN].lines, 128);
	assert_int_equal(c[LLC_DMA_IN].hits, 64); /* the second time */
	assert_int_equal(c[LLC_READ].lines, 2 * 63);
	assert_int_equal(c[LLC_READ].hits, 2 * 63);
	assert_int_equal(c[LLC_WRITE].hits, 2 * 63);
	assert_int_equal(c[LLC_DMA_OUT].lines, 2 * 63); /* the header is not among them */
	assert_int_equal(c[LLC_DMA_OUT].hits, 2 * 63);
	assert_true(r.reading_mean > 20.0 / 113 - 0.001 && r.reading_mean < 20.0 / 113 + 0.001);
	assert_int_equal(replay(&r, 1, false, 50), 0); /* the first half only warms */
	assert_int_equal(r.warm_bytes, 4054);
	assert_int_equal(r.net_bytes, 4054);
	assert_int_equal(c[LLC_DMA_IN].lines, 64);
	assert_int_equal(c[LLC_DMA_IN].hits, 64);
}

/* Two workers' traces, one buffer each; merged by time the total is the sum. */
static void test_merge(void **state)
{
	static const struct touch a[] = {PULL(100, 0x100000), PULL(300, 0x100000)};
	static const struct touch b[] = {PULL(105, 0x200000), PULL(400, 0x300000)};
	struct whatif_result r;

	(void)state;
	put(0, a, 12, 12);
	put(1, b, 12, 12);
	assert_int_equal(replay(&r, 2, false, 0), 0);
	assert_int_equal(r.buffers_used, 3);
	assert_int_equal(r.span_ns, 313);
	assert_int_equal(r.count[WHATIF_BUFFERS][LLC_DMA_IN].hits, 64);
}

/* Data that arrives before the completion is seen can be evicted, or be there, earlier. */
static void test_dma_at_issue(void **state)
{
	static const struct touch t[] = {
		{100, 0x100000, 4096, TOUCH_ISSUE},
		{101, 0x100000, 64, TOUCH_CPU_READ}, /* cold, or DMA was first */
		{110, 0x100000, 4096, TOUCH_DMA_IN},
		{120, 0x100000, 64, TOUCH_DMA_OUT},
	};
	struct whatif_result r;

	(void)state;
	put(0, t, 4, 4);
	assert_int_equal(replay(&r, 1, false, 0), 0);
	assert_int_equal(r.count[WHATIF_BUFFERS][LLC_READ].hits, 0);
	assert_int_equal(replay(&r, 1, true, 0), 0);
	assert_int_equal(r.count[WHATIF_BUFFERS][LLC_READ].hits, 1);
	assert_int_equal(r.count[WHATIF_BUFFERS][LLC_DMA_IN].lines, 64);
}

static void test_bad_files(void **state)
{
	struct touch t[] = {{100, 0x1000, 64, TOUCH_DMA_IN}, {101, 0x1000, 64, TOUCH_DMA_OUT}};
	struct touch bad_kind[] = {{100, 0x1000, 64, TOUCH_KINDS}};
	struct touch backwards[] = {t[1], t[0]}, wraps[] = {{1, UINT64_MAX - 5, 64, TOUCH_DMA_IN}};
	struct whatif_result r;
	FILE *f;

	(void)state;
	put(0, t, 2, 2);
	assert_int_equal(replay(&r, 1, false, 0), 0);
	put(0, t, 2, 3);
	assert_int_equal(replay(&r, 1, false, 0), -EINVAL);
	put(0, t, 2, 1);
	assert_int_equal(replay(&r, 1, false, 0), -EINVAL);
	put(0, bad_kind, 1, 1);
	assert_int_equal(replay(&r, 1, false, 0), -EINVAL);
	put(0, backwards, 2, 2);
	assert_int_equal(replay(&r, 1, false, 0), -EINVAL);
	put(0, wraps, 1, 1);
	assert_int_equal(replay(&r, 1, false, 0), -EINVAL);
	put(0, t, 0, UINT64_MAX);
	assert_int_equal(replay(&r, 1, false, 0), -EINVAL);
	put(0, t, 0, 0);
	assert_int_equal(replay(&r, 1, false, 0), -ENODATA);
	f = fopen(path[0], "w");
	assert_non_null(f);
	fputs("not a trace at all, only some text", f);
	fclose(f);
	assert_int_equal(replay(&r, 1, false, 0), -EINVAL);
	unlink(path[0]);
	assert_int_equal(replay(&r, 1, false, 0), -ENOENT);
	assert_int_equal(replay(&r, 0, false, 0), -EINVAL);
}

static int make(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	for (int i = 0; i < 2; i++)
		snprintf(path[i], sizeof path[i], "%s/%d", dir, i);
	return 0;
}

static int done(void **state)
{
	(void)state;
	unlink(path[0]);
	unlink(path[1]);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pull),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_dma_at_issue),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, make, done);
}
