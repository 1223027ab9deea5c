/* nvme-check: is what a back end reads what lies on the device, byte for byte?
 *
 * The device's bytes are those of workloads/content.h (seed, object 0), put there by --make on the
 * image of an emulated drive, or by --fill through the back end itself. Prints `ok NAME` or `not ok
 * NAME: why` lines; exit 1 if one failed. Used by tests/guest; works on any device, and writes only
 * with --write.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/units.h"
#include "stacks/atlas/nvme/nvme.h"
#include "stacks/atlas/nvme/uring_files.h"
#include "workloads/content.h"

#define DEPTH 64u
#define SLOT  (1u << 20)
#define SMALL (128u << 10) /* of --forever, which starts sooner with less memory */

static struct nvme *n;
static struct nvme_ns_info ns;
static struct iodesc io[DEPTH];
static char *region;
static size_t stride = SLOT; /* of the buffers */
static struct rng rng;
static uint64_t seed = 1;
static uint32_t nsid = 1;
static const char *label = "nvme";
static int bad;
static unsigned int done_count;
static bool use_fd;

static void result(const char *name, bool ok, const char *fmt, ...)
{
	va_list ap;

	printf(ok ? "ok %s: %s" : "not ok %s: %s", label, name);
	if (!ok) {
		printf(": ");
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
		bad = 1;
	}
	printf("\n");
	fflush(stdout);
}

static void on_done(struct iodesc *d, int res)
{
	*(int *)d->cookie = res;
	done_count++;
}

static int res_of[DEPTH];

static int wait_some(void)
{
	struct pollfd p = {.fd = nvme_fd(n), .events = POLLIN};
	int err;

	if (use_fd && p.fd >= 0) {
		err = nvme_sqsync(n);
		if (err >= 0 && poll(&p, 1, 10000) != 1)
			return -ETIMEDOUT;
	} else {
		err = nvme_wait(n, 1, 10 * NSEC_PER_SEC);
	}
	return err < 0 ? err : nvme_consume_completions(n, (int)DEPTH);
}

/* Drain; false if that takes forever. */
static bool drain(void)
{
	for (int i = 0; nvme_outstanding(n) && i < 10000; i++)
		if (wait_some() < 0)
			return false;
	return !nvme_outstanding(n);
}

static void place(unsigned int i, uint64_t off, uint32_t len, uint32_t shift)
{
	io[i] = (struct iodesc){.nsid = nsid,
				.off = off,
				.len = len,
				.buf = region + i * stride + shift,
				.cb = on_done,
				.cookie = &res_of[i]};
	res_of[i] = -EINPROGRESS;
}

/* A random piece of the device; at most SLOT minus the shift. */
static void place_random(unsigned int i, uint32_t max)
{
	uint32_t shift = (uint32_t)rng_below(&rng, 8192 / ns.mem_align) * ns.mem_align;
	uint32_t blocks = (uint32_t)(1 + rng_below(&rng, max / ns.block));
	uint32_t len = blocks * ns.block;

	if (len > SLOT - 8192)
		len = (SLOT - 8192) / ns.block * ns.block;
	place(i, rng_below(&rng, (ns.bytes - len) / ns.block + 1) * ns.block, len, shift);
}

static bool verify(const struct iodesc *d, int res)
{
	size_t wrong;

	if (res != (int)d->len) {
		printf("  read of %u at %llu gave %d, status %x\n", d->len,
		       (unsigned long long)d->off, res, d->status);
		return false;
	}
	wrong = content_check(seed, 0, d->off, d->buf, d->len);
	if (wrong)
		printf("  byte %zu of %u at %llu is wrong\n", wrong - 1, d->len,
		       (unsigned long long)d->off);
	return !wrong;
}

/* `total` reads with `window` outstanding, each verified when it comes back. */
static void reads(const char *name, unsigned int window, unsigned int total, uint32_t max)
{
	unsigned int issued = 0, finished = 0;
	bool busy[DEPTH] = {false}, ok = true;

	while (finished < total && ok) {
		for (unsigned int i = 0; i < window && issued < total; i++) {
			if (busy[i])
				continue;
			place_random(i, max);
			memset(io[i].buf, 0xa5, io[i].len);
			ok &= nvme_read(n, &io[i]) == 0;
			busy[i] = true;
			issued++;
		}
		ok &= wait_some() >= 0;
		for (unsigned int i = 0; i < window; i++) {
			if (!busy[i] || res_of[i] == -EINPROGRESS)
				continue;
			busy[i] = false;
			finished++;
			ok &= verify(&io[i], res_of[i]);
		}
	}
	drain();
	result(name, ok, "after %u of %u reads", finished, total);
}

static void refusals(void)
{
	bool ok = true;

	place(0, ns.bytes, ns.block, 0);
	ok &= nvme_read(n, &io[0]) == -EINVAL;
	place(0, 0, ns.block, 0);
	io[0].nsid = 4711;
	ok &= nvme_read(n, &io[0]) == -ENXIO;
	place(0, 1, ns.block, 0);
	ok &= nvme_read(n, &io[0]) == -EINVAL;
	place(0, 0, ns.block, 0);
	io[0].buf = region - 4096;
	ok &= nvme_read(n, &io[0]) == -EINVAL;
	ok &= nvme_write(n, &io[0]) != 0;
	result("what is out of bounds is refused", ok, "a command was taken");
}

/* Memory beside a buffer stays as it was. */
static void canaries(void)
{
	bool ok = true;

	for (unsigned int round = 0; round < 12 && ok; round++) {
		unsigned int i = (unsigned int)rng_below(&rng, DEPTH);
		char *slot = region + (size_t)i * SLOT, *buf;

		memset(slot, 0x5c, SLOT);
		place_random(i, 65536);
		buf = io[i].buf;
		ok &= nvme_read(n, &io[i]) == 0 && drain() && verify(&io[i], res_of[i]);
		for (char *p = slot; p < slot + SLOT && ok; p++)
			if ((p < buf || p >= buf + io[i].len) && *p != 0x5c)
				ok = false;
	}
	result("bytes beside a buffer are untouched", ok, "a byte changed");
}

/* Write other bytes over half of the device, read all of it, put the old ones back. */
static void writes(void)
{
	uint64_t base = ns.bytes / 2 / SLOT * SLOT, old = seed;
	bool ok = true;

	for (int pass = 0; pass < 2 && ok; pass++) {
		uint64_t s = pass ? old : old + 1;
		unsigned int i;

		for (i = 0; i < 16; i++) {
			uint32_t len =
				(uint32_t)(1 + rng_below(&rng, 300000 / ns.block)) * ns.block;

			place(i, base + (uint64_t)i * SLOT, pass ? SLOT : len, 0);
			if (base + (uint64_t)i * SLOT + SLOT > ns.bytes)
				break;
			content_fill(s, 0, io[i].off, io[i].buf, io[i].len);
			ok &= nvme_write(n, &io[i]) == 0;
		}
		ok &= drain();
		for (unsigned int k = 0; k < i && ok; k++) {
			uint32_t len = io[k].len;

			ok &= res_of[k] == (int)len;
			memset(io[k].buf, 0, SLOT);
			place(k, io[k].off, SLOT, 0);
			ok &= nvme_read(n, &io[k]) == 0 && drain() && res_of[k] == SLOT;
			ok &= !content_check(s, 0, io[k].off, io[k].buf, len);
			ok &= !content_check(old, 0, io[k].off + len, (char *)io[k].buf + len,
					     SLOT - len);
		}
	}
	result("writes come back, and only they", ok, "bytes differ");
}

/* want: its NVMe status, 0: the back end knows none. */
static void expect_error(uint64_t off, unsigned int want)
{
	place(0, off, ns.block, 0);
	if (nvme_read(n, &io[0]) || !drain())
		result("an error of the device", false, "no answer");
	else
		result("an error of the device reaches the callback",
		       res_of[0] < 0 && (!want || io[0].status == want), "result %d, status %x",
		       res_of[0], io[0].status);
	printf("  status %x\n", io[0].status);
}

/* Full window until somebody ends us. */
static void forever(void)
{
	printf("running\n");
	fflush(stdout);
	for (;;) {
		for (unsigned int i = 0; i < DEPTH; i++) {
			place_random(i, 65536);
			if (nvme_read(n, &io[i]))
				return;
		}
		if (!drain())
			return;
		for (unsigned int i = 0; i < DEPTH; i++)
			if (res_of[i] < 0) {
				result("reads go on", false, "result %d", res_of[i]);
				return;
			}
	}
}

static int make(const char *path, uint64_t bytes)
{
	static char buf[1 << 20];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	for (uint64_t at = 0; fd >= 0 && at < bytes; at += sizeof buf) {
		size_t len = bytes - at < sizeof buf ? bytes - at : sizeof buf;

		content_fill(seed, 0, at, buf, len);
		if (pwrite(fd, buf, len, (off_t)at) != (ssize_t)len)
			return 1;
	}
	return fd < 0 || close(fd);
}

static void on_file(struct nvme_file_req *r, int res)
{
	*(int *)r->cookie = res;
}

/* A file of the device becomes the namespace that is read. */
static int open_path(const char *path)
{
	static struct nvme_file_req r;
	int res = 0, root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	r.cb = on_file;
	r.cookie = &res;
	if (nvme_open_file(n, root, path, &r))
		return -1;
	for (int i = 0; !res && i < 100; i++) {
		nvme_wait(n, 1, 100 * NSEC_PER_MSEC);
		nvme_consume_completions(n, 1);
	}
	nsid = (uint32_t)res;
	return res > 0 ? 0 : -1;
}

static void run(bool write, const char *error_at, unsigned int status, bool endless,
		uint32_t longest)
{
	uint64_t off;

	if (endless) {
		forever();
		return;
	}
	if (error_at) {
		if (!units_size(error_at, &off))
			expect_error(off, status);
		place(1, 0, ns.block, 0);
		result("other blocks still read",
		       !nvme_read(n, &io[1]) && drain() && verify(&io[1], res_of[1]), "status %x",
		       io[1].status);
		return;
	}
	reads("one read at a time", 1, 100, 65536);
	reads("a full queue, rings wrap", DEPTH, 900, 16384);
	reads("longer than the device takes", 8, 24, longest);
	use_fd = true;
	reads("woken by the descriptor", 16, 200, 16384);
	use_fd = false;
	refusals();
	canaries();
	if (write)
		writes();
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{"nsid", 1, 0, 'n'},  {"seed", 1, 0, 's'},  {"label", 1, 0, 'l'},
		{"write", 0, 0, 'w'}, {"error", 1, 0, 'e'}, {"status", 1, 0, 'S'},
		{"make", 1, 0, 'm'},  {"poll", 0, 0, 'p'},  {"forever", 0, 0, 'f'},
		{"nofd", 0, 0, 'N'},  {"path", 1, 0, 'P'},  {0},
	};
	struct nvme_cfg cfg = {
		.region_bytes = (size_t)DEPTH * SLOT, .depth = DEPTH, .flags = NVME_STAMP};
	const char *error_at = NULL, *path = NULL;
	uint64_t make_bytes = 0, v;
	bool write = false, endless = false;
	unsigned int status = 0;
	struct nvme_stats st;
	struct errbuf e = {""};
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (c) {
		case 'n':
			nsid = (uint32_t)atoi(optarg);
			break;
		case 's':
			seed = units_count(optarg, &v) ? 1 : v;
			break;
		case 'l':
			label = optarg;
			break;
		case 'w':
			write = true;
			cfg.flags |= NVME_WRITE;
			break;
		case 'e':
			error_at = optarg;
			break;
		case 'S':
			status = (unsigned int)strtoul(optarg, NULL, 16);
			break;
		case 'm':
			make_bytes = units_size(optarg, &v) ? 0 : v;
			break;
		case 'p':
			cfg.flags |= NVME_POLL;
			break;
		case 'N':
			cfg.flags |= NVME_NOFD;
			break;
		case 'P':
			path = optarg;
			break;
		case 'f':
			endless = true;
			stride = SMALL;
			cfg.region_bytes = DEPTH * SMALL;
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: nvme-check [--nsid N] [--seed N] [--write] [--poll] "
				"[--error OFFSET [--status HEX]] "
				"[--forever] [--path FILE] DEVICE | --make BYTES FILE\n");
		return 2;
	}
	if (make_bytes)
		return make(argv[optind], make_bytes);
	cfg.device = argv[optind];
	rng_seed(&rng, seed);
	if (nvme_open(&n, &cfg, &e)) {
		result("open", false, "%s", e.s);
		return 1;
	}
	region = nvme_region(n, NULL);
	if (path && open_path(path)) {
		result("a file", false, "%s is not there", path);
		return 1;
	}
	if (nvme_ns(n, nsid, &ns)) {
		result("namespace", false, "no namespace %u", nsid);
		return 1;
	}
	printf("  %s namespace %u: %llu bytes, block %u, at most %u a command\n", nvme_model(n),
	       nsid, (unsigned long long)ns.bytes, ns.block, ns.max_io);
	if (*nvme_note(n))
		printf("  %s\n", nvme_note(n));
	run(write, error_at, status, endless, path ? 200 << 10 : SLOT);
	nvme_get_stats(n, &st);
	printf("  %llu reads, %llu system calls\n", (unsigned long long)st.reads,
	       (unsigned long long)st.syscalls);
	nvme_close(n);
	return bad;
}
