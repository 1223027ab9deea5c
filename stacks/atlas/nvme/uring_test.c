/* uring_test: the uring back end against real files.
 *
 * A file's bytes are a function of its seed and the offset, so every read is checked in full. The
 * files lie in scratch directories on two file systems ($TMPDIR or /tmp, and /dev/shm).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hist.h"
#include "base/rng.h"
#include "stacks/atlas/nvme/nvme.h"
#include "stacks/atlas/nvme/uring_files.h"

#define DEPTH 32
#define SLOT  (128u << 10)
#define MAXNS 8

struct fixture {
	char dir[64];
	struct nvme *n;
	char *region;
	struct iodesc io[DEPTH];
	bool busy[DEPTH];
	int last_res[DEPTH];
	unsigned int done;
};

static uint8_t byte_at(uint64_t seed, uint64_t off)
{
	return (uint8_t)(rng_mix(seed + off / 8) >> (off % 8 * 8));
}

static void make_file(const char *dir, const char *name, uint64_t seed, size_t len)
{
	char path[128], *b = malloc(len ? len : 1);
	int fd;

	assert_non_null(b);
	for (size_t i = 0; i < len; i++)
		b[i] = (char)byte_at(seed, i);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, b, len), len);
	fsync(fd);
	close(fd);
	free(b);
}

static void assert_bytes(uint64_t seed, uint64_t off, const void *buf, size_t len)
{
	const uint8_t *b = buf;

	for (size_t i = 0; i < len; i++)
		if (b[i] != byte_at(seed, off + i))
			fail_msg("byte %zu of %zu at offset %llu is wrong", i, len,
				 (unsigned long long)off);
}

static void on_done(struct iodesc *d, int res)
{
	struct fixture *f = d->cookie;
	size_t i = (size_t)(d - f->io);

	assert_true(f->busy[i]);
	f->busy[i] = false;
	f->last_res[i] = res;
	f->done++;
}

static int start(struct fixture *f, const char *device, unsigned int flags)
{
	struct nvme_cfg cfg = {
		.device = device,
		.region_bytes = (size_t)DEPTH * SLOT,
		.depth = DEPTH,
		.max_ns = MAXNS,
		.flags = flags,
	};
	struct errbuf e = {{0}};
	int err = nvme_open(&f->n, &cfg, &e);

	if (err) {
		print_message("%s\n", e.s);
		return err;
	}
	f->region = nvme_region(f->n, NULL);
	for (int i = 0; i < DEPTH; i++)
		f->io[i] = (struct iodesc){
			.buf = f->region + (size_t)i * SLOT, .cb = on_done, .cookie = f};
	return 0;
}

static int setup_in(void **state, const char *base)
{
	struct fixture *f = calloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "%s/nvme_testXXXXXX", base);
	if (!mkdtemp(f->dir))
		return -1;
	*state = f;
	return 0;
}

static int setup_disk(void **state)
{
	const char *t = getenv("TMPDIR");

	return setup_in(state, t ? t : "/tmp");
}

static int setup_shm(void **state)
{
	return setup_in(state, "/dev/shm");
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[128];
	int rc;

	nvme_close(f->n);
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", f->dir);
	rc = system(cmd);
	free(f);
	return rc;
}

static int attach(struct fixture *f, const char *name, int flags)
{
	char path[128];
	int fd, nsid;

	snprintf(path, sizeof path, "%s/%s", f->dir, name);
	fd = open(path, flags);
	if (fd < 0)
		return -errno;
	nsid = nvme_attach(f->n, fd);
	close(fd); /* the ring holds it */
	return nsid;
}

static void drain(struct fixture *f)
{
	nvme_sqsync(f->n);
	while (nvme_outstanding(f->n)) {
		assert_true(nvme_wait(f->n, 1, 5000000000ull) >= 0);
		assert_true(nvme_consume_completions(f->n, DEPTH) >= 0);
	}
}

static int one(struct fixture *f, int nsid, uint64_t off, uint32_t len)
{
	int err;

	f->io[0].nsid = (uint32_t)nsid;
	f->io[0].off = off;
	f->io[0].len = len;
	err = nvme_read(f->n, &f->io[0]);
	if (err)
		return err;
	f->busy[0] = true;
	drain(f);
	return f->last_res[0];
}

/* Thousands of random reads at full depth over two files with tails, every byte compared. */
static void random_reads_with(void **state, unsigned int extra)
{
	static const size_t size[2] = {(3u << 20) + 12345, (1u << 20) + 511};
	struct fixture *f = *state;
	struct nvme_ns_info ni[2];
	struct nvme_stats st;
	unsigned int issued = 0;
	int nsid[2];
	struct rng r;

	rng_seed(&r, 7);
	make_file(f->dir, "a", 1000, size[0]);
	make_file(f->dir, "b", 9999, size[1]);
	assert_int_equal(start(f, "uring:", NVME_STAMP | extra), 0);
	nsid[0] = attach(f, "a", O_RDONLY | O_DIRECT);
	nsid[1] = attach(f, "b", O_RDONLY | O_DIRECT);
	for (int i = 0; i < 2; i++) {
		assert_true(nsid[i] >= 1);
		assert_int_equal(nvme_ns(f->n, (uint32_t)nsid[i], &ni[i]), 0);
		assert_int_equal(ni[i].bytes, size[i]);
	}
	while (f->done < 3000) {
		for (int i = 0; i < DEPTH; i++) {
			struct iodesc *d = &f->io[i];
			unsigned int k = (unsigned int)rng_below(&r, 2);

			if (f->busy[i] || issued == 3000)
				continue;
			d->nsid = (uint32_t)nsid[k];
			d->off = rng_below(&r, size[k]) / ni[k].block * ni[k].block;
			d->len = (uint32_t)(1 + rng_below(&r, SLOT / ni[k].block)) * ni[k].block;
			if (d->off + d->len > size[k] && rng_below(&r, 2))
				d->len = (uint32_t)(size[k] - d->off); /* the tail, exactly */
			memset(d->buf, 0xee, d->len);
			assert_int_equal(nvme_read(f->n, d), 0);
			f->busy[i] = true;
			f->last_res[i] = -1;
			issued++;
		}
		assert_true(nvme_sqsync(f->n) >= 0);
		assert_true(nvme_wait(f->n, 1, 5000000000ull) >= 0);
		assert_true(nvme_consume_completions(f->n, 5) >= 0);
		for (int i = 0; i < DEPTH; i++) {
			struct iodesc *d = &f->io[i];
			size_t k = d->nsid == (uint32_t)nsid[1], left = size[k] - d->off;

			if (f->busy[i] || f->last_res[i] < 0)
				continue;
			assert_int_equal(f->last_res[i], d->len < left ? d->len : left);
			assert_bytes(k ? 9999 : 1000, d->off, d->buf, (size_t)f->last_res[i]);
			f->last_res[i] = -1;
		}
	}
	nvme_get_stats(f->n, &st);
	assert_int_equal(st.reads, 3000);
	assert_int_equal(st.errors, 0);
	assert_int_equal(st.outstanding, 0);
	assert_int_equal(st.outstanding_max, DEPTH);
	assert_true(st.syscalls > 0 && st.syscalls <= 2 * 3000);
	assert_int_equal(nvme_latency(f->n)->n, 3000);
}

static void random_reads(void **state)
{
	random_reads_with(state, 0);
}

static void random_reads_nofd(void **state)
{
	random_reads_with(state, NVME_NOFD);
}

/* What must be refused, and that it never reaches the device. */
static void bounds(void **state)
{
	struct fixture *f = *state;
	struct nvme_ns_info ni;
	struct nvme_stats st;
	size_t bytes;
	int ns;

	make_file(f->dir, "a", 5, 100000);
	assert_int_equal(start(f, "uring:", 0), 0);
	nvme_region(f->n, &bytes);
	ns = attach(f, "a", O_RDONLY | O_DIRECT);
	assert_true(ns >= 1);
	nvme_ns(f->n, (uint32_t)ns, &ni);

	assert_int_equal(one(f, ns, 0, 0), -EINVAL);
	assert_int_equal(one(f, ns, 1, ni.block), -EINVAL);
	assert_int_equal(one(f, ns, 0, ni.block + 1), -EINVAL);
	assert_int_equal(one(f, ns, 100000 / ni.block * ni.block + ni.block, ni.block), -EINVAL);
	assert_int_equal(one(f, ns, UINT64_MAX / ni.block * ni.block, ni.block), -EINVAL);
	assert_int_equal(one(f, 0, 0, ni.block), -ENXIO);
	assert_int_equal(one(f, ns + 1, 0, ni.block), -ENXIO);
	assert_int_equal(one(f, MAXNS + 1, 0, ni.block), -ENXIO);
	f->io[0].nsid = (uint32_t)ns;
	assert_int_equal(nvme_write(f->n, &f->io[0]), -EPERM);

	f->io[0].buf = f->region - ni.block; /* before, */
	assert_int_equal(one(f, ns, 0, ni.block), -EINVAL);
	f->io[0].buf = f->region + bytes; /* behind, */
	assert_int_equal(one(f, ns, 0, ni.block), -EINVAL);
	f->io[0].buf = f->region + bytes - ni.block; /* over the end: */
	assert_int_equal(one(f, ns, 0, 2 * ni.block), -EINVAL);
	f->io[0].buf = f->region + 1;
	assert_int_equal(one(f, ns, 0, ni.block), ni.mem_align > 1 ? -EINVAL : (int)ni.block);
	/* also what the device writes beyond a tail's length */
	f->io[0].buf = f->region + bytes - ni.block;
	assert_int_equal(one(f, ns, 0, 100000), -EINVAL);

	nvme_get_stats(f->n, &st);
	assert_int_equal(st.bytes_read, 0);
	f->io[0].buf = f->region;
	assert_int_equal(one(f, ns, 0, 100000), 100000);
	assert_bytes(5, 0, f->region, 100000);
}

static void full_queue(void **state)
{
	struct fixture *f = *state;
	struct iodesc extra;
	struct nvme_ns_info ni;
	int ns;

	make_file(f->dir, "a", 5, 1 << 20);
	assert_int_equal(start(f, "uring:", 0), 0);
	ns = attach(f, "a", O_RDONLY | O_DIRECT);
	nvme_ns(f->n, (uint32_t)ns, &ni);
	assert_int_equal(nvme_sqsync(f->n), 0);
	assert_int_equal(nvme_consume_completions(f->n, 10), 0);
	for (int i = 0; i < DEPTH; i++) {
		f->io[i].nsid = (uint32_t)ns;
		f->io[i].len = ni.block;
		assert_int_equal(nvme_read(f->n, &f->io[i]), 0);
		f->busy[i] = true;
	}
	extra = f->io[0];
	assert_int_equal(nvme_read(f->n, &extra), -EAGAIN);
	assert_int_equal(nvme_detach(f->n, (uint32_t)ns), -EBUSY);
	assert_int_equal(nvme_close_file(f->n, (uint32_t)ns), -EBUSY);
	assert_int_equal(nvme_sqsync(f->n), DEPTH);
	assert_int_equal(nvme_read(f->n, &extra), -EAGAIN);
	drain(f);
	assert_int_equal(f->done, DEPTH);
	assert_int_equal(nvme_read(f->n, &f->io[0]), 0);
	f->busy[0] = true;
	drain(f);
	assert_int_equal(nvme_detach(f->n, (uint32_t)ns), 0);
	assert_int_equal(nvme_detach(f->n, (uint32_t)ns), -ENXIO);
	assert_int_equal(nvme_read(f->n, &f->io[0]), -ENXIO);
}

/* A file cut short under our feet gives a short result, never stale bytes as success. */
static void truncated(void **state)
{
	struct fixture *f = *state;
	char path[128];
	int ns;

	make_file(f->dir, "a", 5, 64 << 10);
	assert_int_equal(start(f, "uring:", 0), 0);
	ns = attach(f, "a", O_RDONLY | O_DIRECT);
	snprintf(path, sizeof path, "%s/a", f->dir);
	assert_int_equal(truncate(path, 20000), 0);
	assert_int_equal(one(f, ns, 0, 64 << 10), 20000);
	assert_int_equal(one(f, ns, 32 << 10, 4096), 0);
	assert_int_equal(nvme_resize(f->n, (uint32_t)ns, 20000), 0);
	assert_int_equal(one(f, ns, 32 << 10, 4096), -EINVAL);
}

static void attach_refuses(void **state)
{
	struct fixture *f = *state;
	int p[2];

	make_file(f->dir, "a", 5, 8192);
	assert_int_equal(start(f, "uring:", 0), 0);
	assert_int_equal(nvme_attach(f->n, -1), -EBADF);
	assert_int_equal(attach(f, "a", O_RDONLY), -EINVAL);
	assert_int_equal(pipe2(p, O_DIRECT), 0);
	assert_int_equal(nvme_attach(f->n, p[0]), -EINVAL);
	close(p[0]);
	close(p[1]);
	for (int i = 0; i < MAXNS; i++)
		assert_int_equal(attach(f, "a", O_RDONLY | O_DIRECT), i + 1);
	assert_int_equal(attach(f, "a", O_RDONLY | O_DIRECT), -ENOSPC);
	assert_int_equal(nvme_detach(f->n, 3), 0);
	assert_int_equal(attach(f, "a", O_RDONLY | O_DIRECT), 3);
}

/* "uring:/path" with writes: what was written comes back, also through the page cache. */
static void writes(void **state)
{
	struct fixture *f = *state;
	char dev[128];
	struct nvme_ns_info ni;
	uint8_t *b, c[4096];
	int fd;

	make_file(f->dir, "a", 5, 1 << 20);
	snprintf(dev, sizeof dev, "uring:%s/a", f->dir);
	assert_int_equal(start(f, dev, NVME_WRITE), 0);
	assert_int_equal(nvme_ns(f->n, 1, &ni), 0);
	f->io[0].nsid = 1;
	f->io[0].off = 8192;
	f->io[0].len = 16384;
	b = f->io[0].buf;
	for (size_t i = 0; i < 16384; i++)
		b[i] = byte_at(77, i);
	assert_int_equal(nvme_write(f->n, &f->io[0]), 0);
	f->busy[0] = true;
	drain(f);
	assert_int_equal(f->last_res[0], 16384);
	memset(b, 0, 65536);
	assert_int_equal(one(f, 1, 0, 32768), 32768);
	assert_bytes(5, 0, b, 8192);
	assert_bytes(77, 0, b + 8192, 16384);
	assert_bytes(5, 24576, b + 24576, 8192);
	fd = open(dev + 6, O_RDONLY);
	assert_int_equal(pread(fd, c, sizeof c, 8192), sizeof c);
	close(fd);
	assert_bytes(77, 0, c, sizeof c);
	f->io[0].off = 1 << 20; /* a write never extends the file */
	assert_int_equal(nvme_write(f->n, &f->io[0]), -EINVAL);
	f->io[0].off = (1 << 20) - 8192;
	assert_int_equal(nvme_write(f->n, &f->io[0]), -EINVAL);
}

static void open_errors(void **state)
{
	struct fixture *f = *state;
	struct errbuf e = {{0}};
	struct nvme_cfg cfg = {.region_bytes = 1 << 20, .depth = 4};
	struct nvme *n = NULL;
	char dev[128];

	static const char *const bad[] = {"uring:/nonexistent/file", "floppy:0",       "uring", "",
					  "uring:/proc/self/maps",   "uring:/dev/null"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e.s[0] = 0;
		cfg.device = bad[i];
		assert_true(nvme_open(&n, &cfg, &e) < 0);
		assert_true(e.s[0] != 0);
		assert_null(n);
	}
	snprintf(dev, sizeof dev, "uring:%s", f->dir);
	cfg.device = dev;
	assert_true(nvme_open(&n, &cfg, &e) < 0);
	cfg.device = "uring:";
	cfg.depth = 0;
	assert_int_equal(nvme_open(&n, &cfg, &e), -EINVAL);
	cfg.depth = 1 << 20;
	assert_int_equal(nvme_open(&n, &cfg, &e), -EINVAL);
	cfg.depth = 4;
	cfg.region_bytes = 0;
	assert_int_equal(nvme_open(&n, &cfg, &e), -EINVAL);
	nvme_close(NULL);
}

struct opened {
	int res;
	bool done;
};

static void on_file(struct nvme_file_req *r, int res)
{
	struct opened *o = r->cookie;

	o->res = res;
	o->done = true;
}

/* Only consume_completions and poll: as the core's loop runs it. */
static int open_async(struct fixture *f, int root, const char *path, struct nvme_file_req *r)
{
	struct opened o = {0};
	int err;

	r->cb = on_file;
	r->cookie = &o;
	err = nvme_open_file(f->n, root, path, r);
	if (err)
		return err;
	nvme_sqsync(f->n);
	for (int i = 0; !o.done && i < 100000; i++) {
		nvme_consume_completions(f->n, 10);
		if (!o.done)
			usleep(10);
	}
	assert_true(o.done);
	return o.res;
}

static void files(void **state)
{
	struct fixture *f = *state;
	struct nvme_file_req r;
	struct nvme_stats st;
	char path[128];
	int root, ns, fds, k;
	struct stat sb;

	make_file(f->dir, "a", 5, 50000);
	snprintf(path, sizeof path, "%s/sub", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	make_file(path, "b", 6, 1000);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	snprintf(path, sizeof path, "%s/sub/inside", f->dir);
	assert_int_equal(symlink("b", path), 0);
	snprintf(path, sizeof path, "%s/sub/outside", f->dir);
	assert_int_equal(symlink("../a", path), 0);
	snprintf(path, sizeof path, "%s/sub/absolute", f->dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof path, "%s/sub/fifo", f->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof path, "%s/sub/dir", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(start(f, "uring:", 0), 0);
	fds = dup(0);
	close(fds);

	ns = open_async(f, root, "b", &r);
	assert_true(ns >= 1);
	snprintf(path, sizeof path, "%s/sub/b", f->dir);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(r.st.stx_size, 1000);
	assert_int_equal(r.st.stx_ino, sb.st_ino);
	assert_int_equal(r.st.stx_mtime.tv_nsec, sb.st_mtim.tv_nsec);
	assert_int_equal(one(f, ns, 0, 1000), 1000);
	assert_bytes(6, 0, f->region, 1000);
	assert_true(open_async(f, root, "inside", &r) >= 1);

	assert_int_equal(open_async(f, root, "outside", &r), -EXDEV);
	assert_int_equal(open_async(f, root, "absolute", &r), -EXDEV);
	assert_int_equal(open_async(f, root, "../a", &r), -EXDEV);
	assert_int_equal(open_async(f, root, "/etc/passwd", &r), -EXDEV);
	assert_int_equal(open_async(f, root, "missing", &r), -ENOENT);
	assert_int_equal(open_async(f, root, "b/c", &r), -ENOTDIR);
	assert_true(open_async(f, root, "dir", &r) < 0);
	assert_true(open_async(f, root, "fifo", &r) < 0);

	/* Numbers come back, and no descriptor of the process is held. */
	for (k = 0; k < 3 * MAXNS; k++) {
		int t = open_async(f, root, "b", &r);

		assert_true(t >= 1);
		assert_int_equal(nvme_close_file(f->n, (uint32_t)t), 0);
		assert_int_equal(nvme_close_file(f->n, (uint32_t)t), -ENXIO);
		drain(f);
	}
	while ((k = open_async(f, root, "b", &r)) > 0)
		;
	assert_int_equal(k, -ENOSPC);
	drain(f);
	k = dup(0);
	close(k);
	assert_int_equal(k, fds);
	nvme_get_stats(f->n, &st);
	assert_int_equal(st.errors, 0);
	close(root);
}

/* nvme_fd() wakes a poll. */
static void pollable(void **state)
{
	struct fixture *f = *state;
	struct nvme_stats a, b;
	int ns;

	make_file(f->dir, "a", 5, 1 << 20);
	assert_int_equal(start(f, "uring:", 0), 0);
	ns = attach(f, "a", O_RDONLY | O_DIRECT);
	for (int i = 0; i < 50; i++) {
		struct pollfd p = {.fd = nvme_fd(f->n), .events = POLLIN};

		f->io[0].nsid = (uint32_t)ns;
		f->io[0].len = 65536;
		assert_int_equal(nvme_read(f->n, &f->io[0]), 0);
		f->busy[0] = true;
		assert_int_equal(nvme_sqsync(f->n), 1);
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(nvme_consume_completions(f->n, 1), 1);
		assert_int_equal(f->last_res[0], 65536);
	}
	/* Nothing outstanding, nothing asked. */
	nvme_get_stats(f->n, &a);
	nvme_consume_completions(f->n, 1);
	nvme_sqsync(f->n);
	nvme_get_stats(f->n, &b);
	assert_int_equal(a.syscalls, b.syscalls);
	assert_true(a.syscalls <= 100);
}

static void *use_and_close(void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(one(f, 1, 4096, 65536), 65536);
	nvme_close(f->n);
	f->n = NULL;
	return NULL;
}

/* Made by one thread, used by another. */
static void moves_once(void **state)
{
	static const unsigned int flags[] = {0, NVME_NOFD};
	struct fixture *f = *state;
	pthread_t t;

	make_file(f->dir, "a", 5, 1 << 20);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(start(f, "uring:", flags[i]), 0);
		assert_int_equal(attach(f, "a", O_RDONLY | O_DIRECT), 1);
		assert_int_equal(pthread_create(&t, NULL, use_and_close, f), 0);
		pthread_join(t, NULL);
	}
}

static void close_while_busy(void **state)
{
	struct fixture *f = *state;
	struct nvme_file_req r[4];
	int ns, root;

	make_file(f->dir, "a", 5, 4 << 20);
	assert_int_equal(start(f, "uring:", 0), 0);
	root = open(f->dir, O_PATH | O_DIRECTORY);
	ns = attach(f, "a", O_RDONLY | O_DIRECT);
	for (int i = 0; i < DEPTH; i++) {
		f->io[i].nsid = (uint32_t)ns;
		f->io[i].len = SLOT;
		assert_int_equal(nvme_read(f->n, &f->io[i]), 0);
		if (i == DEPTH / 2)
			nvme_sqsync(f->n);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(nvme_open_file(f->n, root, "a", &r[i]), 0);
	nvme_close(f->n); /* callbacks would fail: r[i].cb is not set */
	f->n = NULL;
	assert_int_equal(f->done, 0);
	close(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_reads, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(random_reads, setup_shm, teardown),
		cmocka_unit_test_setup_teardown(random_reads_nofd, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(random_reads_nofd, setup_shm, teardown),
		cmocka_unit_test_setup_teardown(bounds, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(bounds, setup_shm, teardown),
		cmocka_unit_test_setup_teardown(full_queue, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(truncated, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(attach_refuses, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(writes, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(open_errors, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(files, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(files, setup_shm, teardown),
		cmocka_unit_test_setup_teardown(pollable, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(moves_once, setup_disk, teardown),
		cmocka_unit_test_setup_teardown(close_while_busy, setup_disk, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
