/* sim_test: the software controller against its own description, through the public interface.
 *
 * The reference model is the formula: with a window of w reads of s bytes, throughput is
 * min(w s / L0, X) and latency max(L0, w s / X). Without jitter it holds to a part in a thousand.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hist.h"
#include "base/rng.h"
#include "stacks/atlas/nvme/nvme.h"
#include "stacks/atlas/nvme/simctl.h"

#define DEPTH 512
#define SLOT  (256u << 10)

static struct iodesc io[DEPTH];
static int result[DEPTH];
static unsigned int order[DEPTH], done;

static void on_done(struct iodesc *d, int res)
{
	size_t i = (size_t)(d - io);

	result[i] = res;
	order[done++ % DEPTH] = (unsigned int)i;
}

static struct nvme *start(const char *device, unsigned int depth, unsigned int flags)
{
	struct nvme_cfg cfg = {.device = device,
			       .region_bytes = (size_t)depth * SLOT,
			       .depth = depth,
			       .flags = flags};
	struct errbuf e = {{0}};
	struct nvme *n = NULL;
	char *r;

	if (nvme_open(&n, &cfg, &e))
		fail_msg("%s", e.s);
	assert_true(nvme_simulated(n));
	r = nvme_region(n, NULL);
	for (unsigned int i = 0; i < depth; i++)
		io[i] = (struct iodesc){.nsid = 1, .buf = r + (size_t)i * SLOT, .cb = on_done};
	done = 0;
	return n;
}

static void drain(struct nvme *n)
{
	assert_true(nvme_sqsync(n) >= 0);
	while (nvme_outstanding(n)) {
		assert_int_equal(nvme_wait(n, 1, NSEC_PER_SEC), 0);
		assert_true(nvme_consume_completions(n, DEPTH) >= 0);
	}
}

static struct iodesc *rerun;
static struct nvme *rerun_on;
static uint64_t rerun_left;

static void again(struct iodesc *d, int res)
{
	assert_int_equal(res, d->len);
	if (rerun_left) {
		rerun_left--;
		d->off = d->off * 7 % (1u << 30) / 16384 * 16384;
		assert_int_equal(nvme_read(rerun_on, d), 0);
	}
}

/* Bytes/s and mean latency (ns) of a fixed window. */
static void window(const char *device, unsigned int w, uint32_t len, uint64_t reads, double *x,
		   double *lat)
{
	struct nvme *n = start(device, w, NVME_STAMP);
	uint64_t t0 = nvme_clock(n);

	rerun = io;
	rerun_on = n;
	rerun_left = reads - w;
	for (unsigned int i = 0; i < w; i++) {
		io[i].cb = again;
		io[i].len = len;
		io[i].off = i * 16384ull;
		assert_int_equal(nvme_read(n, &io[i]), 0);
	}
	drain(n);
	*x = (double)reads * len / ((double)(nvme_clock(n) - t0) / 1e9);
	*lat = hist_mean(nvme_latency(n));
	nvme_close(n);
}

static void assert_near(double got, double want, double tolerance)
{
	if (got < want * (1 - tolerance) || got > want * (1 + tolerance))
		fail_msg("%g is not within %g %% of %g", got, tolerance * 100, want);
}

static void formula(void **state)
{
	static const double L0 = 20e-6, X = 2.8e9;

	(void)state;
	for (unsigned int w = 1; w <= 512; w *= 2) {
		double x, lat, s = 16384, want = w * s / L0 < X ? w * s / L0 : X;
		uint64_t reads = 400 * w < 4000 ? 4000 : 400 * w < 40000 ? 400 * w : 40000;

		window("sim:p3700,jitter=0", w, 16384, reads, &x, &lat);
		assert_near(x, want, w > 64 ? 0.03 : 0.005); /* start and end of a short run */
		assert_near(lat, w * s / want * 1e9, w > 64 ? 0.03 : 0.005);
		/* Little's law, whatever the jitter */
		window("sim:p3700,jitter=0.5", w, 16384, reads, &x, &lat);
		assert_near(x * lat / 1e9, w * s, 0.03);
		if (w == 1 || w > 32)
			assert_near(x, want, 0.03);
	}
}

/* What figure 6 of the paper shows: the maximum at a window of about 128, below 1 ms. */
static void figure6(void **state)
{
	double x128, x512, lat;

	(void)state;
	window("sim:p3700", 512, 16384, 60000, &x512, &lat);
	window("sim:p3700", 128, 16384, 60000, &x128, &lat);
	assert_true(x128 > 0.98 * x512);
	assert_true(lat < 1e6);
}

static void same_seed_same_run(void **state)
{
	double x[3], lat[3];

	(void)state;
	window("sim:p3700,seed=5", 16, 4096, 2000, &x[0], &lat[0]);
	window("sim:p3700,seed=5", 16, 4096, 2000, &x[1], &lat[1]);
	window("sim:p3700,seed=6", 16, 4096, 2000, &x[2], &lat[2]);
	assert_true(x[0] == x[1] && lat[0] == lat[1]);
	assert_true(x[0] != x[2]);
}

static void assert_pattern(uint64_t off, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (b[i] != sim_byte(off + i))
			fail_msg("byte at %llu", (unsigned long long)(off + i));
}

/* Random offsets, lengths beyond MDTS, unaligned buffers: every byte, and the order is not ours. */
static void contents(void **state)
{
	struct nvme *n = start("sim:p3700,jitter=0.9", 64, 0);
	struct nvme_ns_info ni;
	bool overtaken = false;
	struct rng r;

	(void)state;
	rng_seed(&r, 2);
	assert_int_equal(nvme_ns(n, 1, &ni), 0);
	for (int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < 64; i++) {
			io[i].len = (uint32_t)(1 + rng_below(&r, SLOT / 512 - 8)) * 512;
			if (rng_below(&r, 2))
				io[i].len = 512;
			io[i].off = rng_below(&r, ni.bytes - io[i].len) / 512 * 512;
			io[i].buf = (char *)nvme_region(n, NULL) + (size_t)i * SLOT +
				    rng_below(&r, 1024) * 4;
			result[i] = -1;
			assert_int_equal(nvme_read(n, &io[i]), 0);
		}
		done = 0;
		drain(n);
		for (unsigned int i = 0; i < 64; i++) {
			assert_int_equal(result[i], io[i].len);
			assert_pattern(io[i].off, io[i].buf, io[i].len);
			overtaken |= order[i] != i;
		}
	}
	assert_true(overtaken);
	nvme_close(n);
}

static int run1(struct nvme *n, bool write)
{
	int err = write ? nvme_write(n, &io[0]) : nvme_read(n, &io[0]);

	if (err)
		return err;
	drain(n);
	return result[0];
}

static void writes(void **state)
{
	struct nvme *n = start("sim:p3700", 4, NVME_WRITE);
	uint8_t *b = io[0].buf;

	(void)state;
	io[0].off = 1 << 20;
	io[0].len = 8192;
	io[0].buf = b + 4;
	for (int i = 0; i < 8192; i++)
		b[4 + i] = (uint8_t)(i * 13);
	assert_int_equal(run1(n, true), 8192);
	io[0].buf = b;
	io[0].off -= 4096;
	io[0].len = 16384;
	memset(b, 0, 16384);
	assert_int_equal(run1(n, false), 16384);
	assert_pattern(io[0].off, b, 4096);
	for (int i = 0; i < 8192; i++)
		assert_int_equal(b[4096 + i], (uint8_t)(i * 13));
	assert_pattern(io[0].off + 12288, b + 12288, 4096);
	nvme_close(n);
	n = start("sim:p3700", 4, 0);
	io[0].len = 512;
	assert_int_equal(run1(n, true), -EPERM);
	nvme_close(n);
}

static void errors(void **state)
{
	struct nvme *n = start("sim:p3700,error_lba=100", 64, 0);
	struct nvme_stats st;
	unsigned int failed = 0;

	(void)state;
	io[0].len = 4096;
	io[0].off = 96 * 512;
	assert_int_equal(run1(n, false), -EIO);
	assert_int_equal(io[0].status, NVME_SC_UNRECOVERED_READ);
	io[0].off = 104 * 512;
	assert_int_equal(run1(n, false), 4096);
	assert_int_equal(io[0].status, 0);
	nvme_get_stats(n, &st);
	assert_int_equal(st.errors, 1);
	nvme_close(n);

	n = start("sim:p3700,error_rate=0.2", 64, 0);
	for (int round = 0; round < 100; round++) {
		for (unsigned int i = 0; i < 64; i++) {
			io[i].len = 4096;
			io[i].off = 0;
			assert_int_equal(nvme_read(n, &io[i]), 0);
		}
		drain(n);
		for (unsigned int i = 0; i < 64; i++)
			failed += result[i] == -EIO;
	}
	assert_in_range(failed, 6400 * 0.17, 6400 * 0.23);
	nvme_close(n);
}

static void real_time(void **state)
{
	struct nvme *n = start("sim:p3700,time=real", 8, NVME_STAMP);

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		io[i].len = 4096;
		assert_int_equal(nvme_read(n, &io[i]), 0);
	}
	drain(n);
	for (unsigned int i = 0; i < 8; i++)
		assert_pattern(io[i].off, io[i].buf, 4096);
	assert_true(nvme_latency(n)->min >= 18000); /* never early */
	nvme_close(n);
}

static void refusals(void **state)
{
	static const char *const bad[] = {"sim:",
					  "sim:nosuch",
					  "sim:/nonexistent.model",
					  "sim:p3700,seed",
					  "sim:p3700,colour=red",
					  "sim:p3700,jitter=2",
					  "sim:p3700,time=slow",
					  "sim:p3700,seed=x"};
	static const char *const text[] = {"[device]\ncapacity = 1\n", "[device]\nspeed = 5\n",
					   "[devise]\nblock = 512\n", "[device]\nblock = 512\n",
					   "nonsense\n"};
	struct nvme_cfg cfg = {.region_bytes = 4096, .depth = 4};
	char path[] = "/tmp/sim_testXXXXXX", dev[64];
	struct nvme *n = NULL;
	struct errbuf e;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e.s[0] = 0;
		cfg.device = bad[i];
		assert_true(nvme_open(&n, &cfg, &e) < 0);
		assert_true(strlen(e.s) > 20);
	}
	snprintf(dev, sizeof dev, "sim:%s", path);
	cfg.device = dev;
	for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
		e.s[0] = 0;
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, text[i], strlen(text[i]), 0), strlen(text[i]));
		assert_int_equal(nvme_open(&n, &cfg, &e), -EINVAL);
		assert_non_null(strstr(e.s, path));
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formula),   cmocka_unit_test(figure6),
		cmocka_unit_test(contents),  cmocka_unit_test(same_seed_same_run),
		cmocka_unit_test(writes),    cmocka_unit_test(errors),
		cmocka_unit_test(real_time), cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
