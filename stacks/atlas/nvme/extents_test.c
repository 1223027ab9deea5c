/* extents_test: files by their extents, on a device that is a file made here.
 *
 * The device has a superblock (ext4's fields), a partition offset and three files whose blocks lie
 * apart and out of order. No file system and no root: tests/guest does the same with real ones.
 */
#include <errno.h>
#include <fcntl.h>
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

#include "base/rng.h"
#include "stacks/atlas/nvme/catalog.h"
#include "stacks/atlas/nvme/leases.h"
#include "stacks/atlas/nvme/nvme.h"
#include "stacks/atlas/nvme/uring_files.h"

#define PART  (1u << 20)
#define BLOCK 4096u
#define SIZE  (16u << 20)

static char dir[] = "/tmp/extents_testXXXXXX";
static char image[64], catfile[64], device[200];
static char *disk; /* what the image holds */

static uint8_t byte_of(const char *path, uint64_t off)
{
	return (uint8_t)(rng_mix((uint64_t)(unsigned char)path[0] * 1000003 + off / 8) >>
			 (off % 8 * 8));
}

/* Lay a file over blocks, each somewhere else; fills disk, extents, hashes. */
static void lay(struct catalog_file *f, const char *path, uint64_t size, struct rng *r)
{
	static bool taken[SIZE / BLOCK];
	uint64_t blocks = (size + BLOCK - 1) / BLOCK;

	*f = (struct catalog_file){
		.path = strdup(path), .size = size, .mtime_ns = 1234567890123456789ull, .ino = 7};
	f->extent = calloc(blocks ? blocks : 1, sizeof *f->extent);
	for (uint64_t b = 0; b < blocks; b++) {
		struct catalog_extent *last = f->extents ? &f->extent[f->extents - 1] : NULL;
		uint64_t at;

		do
			at = PART / BLOCK + 4 + rng_below(r, (SIZE - PART) / BLOCK - 4);
		while (taken[at]);
		/* half of the blocks follow their predecessor, if that place is free */
		if (last && rng_below(r, 2) && last->phys + last->len < SIZE &&
		    !taken[(last->phys + last->len) / BLOCK])
			at = (last->phys + last->len) / BLOCK;
		taken[at] = true;
		for (uint64_t i = 0; i < BLOCK; i++)
			disk[at * BLOCK + i] =
				b * BLOCK + i < size ? (char)byte_of(path, b * BLOCK + i) : 0x55;
		if (last && last->phys + last->len == at * BLOCK)
			last->len += BLOCK;
		else
			f->extent[f->extents++] =
				(struct catalog_extent){b * BLOCK, at * BLOCK, BLOCK};
	}
	for (int i = 0; i < CATALOG_SAMPLES; i++) {
		char s[CATALOG_SAMPLE];
		uint64_t off = catalog_sample_at(f, i),
			 n = size - off < sizeof s ? size - off : sizeof s;

		for (uint64_t k = 0; k < n; k++)
			s[k] = (char)byte_of(path, off + k);
		f->hash[i] = catalog_hash(s, (uint32_t)n);
	}
}

static void write_image(void)
{
	int fd = open(image, O_WRONLY | O_CREAT, 0600);

	assert_int_equal(pwrite(fd, disk, SIZE, 0), SIZE);
	fsync(fd);
	close(fd);
}

static int setup(void **state)
{
	struct catalog c = {.fs = "ext4",
			    .mount_count = 3,
			    .mount_time = 1000,
			    .block = BLOCK,
			    .part_off = PART};
	struct errbuf e;
	struct rng r;
	uint8_t *sb;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(image, sizeof image, "%s/disk", dir);
	snprintf(catfile, sizeof catfile, "%s/catalog", dir);
	snprintf(device, sizeof device, "extents:%s,uring:%s", catfile, image);
	rng_seed(&r, 4);
	disk = calloc(1, SIZE);
	sb = (uint8_t *)disk + PART + 1024;
	sb[0x38] = 0x53;
	sb[0x39] = 0xef;
	sb[0x34] = 3;
	sb[0x2c] = 1000 & 0xff;
	sb[0x2d] = 1000 >> 8;
	for (int i = 0; i < 16; i++)
		sb[0x68 + i] = (uint8_t)(i * 17);
	strcpy(c.uuid, "00112233-4455-6677-8899-aabbccddeeff");
	c.files = 4;
	c.file = calloc(4, sizeof *c.file);
	lay(&c.file[0], "c/object", 3 << 20, &r);
	lay(&c.file[1], "a", 1000003, &r);
	lay(&c.file[2], "b", 17, &r);
	lay(&c.file[3], "empty", 0, &r);
	write_image();
	if (catalog_save(&c, catfile, &e))
		return -1;
	catalog_free(&c);
	return 0;
}

static int teardown(void **state)
{
	char cmd[100];

	(void)state;
	free(disk);
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd);
}

static int open_dev(struct nvme **n, struct errbuf *e)
{
	struct nvme_cfg cfg = {
		.device = device, .region_bytes = 8 << 20, .depth = 32, .flags = NVME_STAMP};

	e->s[0] = 0;
	return nvme_open(n, &cfg, e);
}

static int last_res, calls;

static void on_file(struct nvme_file_req *r, int res)
{
	(void)r;
	last_res = res;
	calls++;
}

static int open_file(struct nvme *n, const char *path, struct nvme_file_req *r)
{
	calls = 0;
	r->cb = on_file;
	assert_int_equal(nvme_open_file(n, -1, path, r), 0);
	assert_int_equal(calls, 0); /* never from inside */
	assert_int_equal(nvme_outstanding(n), 1);
	assert_true(nvme_sqsync(n) >= 0);
	assert_int_equal(nvme_consume_completions(n, 10), 1);
	assert_int_equal(calls, 1);
	return last_res;
}

static void on_read(struct iodesc *d, int res)
{
	*(int *)d->cookie = res;
}

static void files(void **state)
{
	struct nvme_file_req r;
	struct errbuf e;
	struct nvme *n;

	(void)state;
	if (open_dev(&n, &e))
		fail_msg("%s", e.s);
	assert_int_equal(open_file(n, "nothing", &r), -ENOENT);
	assert_int_equal(open_file(n, "c", &r), -ENOENT);
	assert_true(open_file(n, "c/object", &r) >= 1);
	assert_int_equal(r.st.stx_size, 3 << 20);
	assert_int_equal(r.st.stx_mtime.tv_sec, 1234567890);
	assert_int_equal(r.st.stx_mtime.tv_nsec, 123456789);
	assert_true(open_file(n, "empty", &r) >= 1);
	assert_int_equal(nvme_close_file(n, (uint32_t)last_res), 0);
	assert_int_equal(nvme_close_file(n, 77), -ENXIO);
	nvme_close(n);
}

/* Random reads of all files at full depth, across extents, with tails. */
static void reads(void **state)
{
	static const char *const path[] = {"c/object", "a", "b"};
	static const uint64_t size[] = {3 << 20, 1000003, 17};
	struct nvme_file_req r;
	struct iodesc io[32];
	int res[32], ns[3];
	unsigned int which[32];
	struct errbuf e;
	struct nvme *n;
	struct rng g;

	(void)state;
	rng_seed(&g, 9);
	if (open_dev(&n, &e))
		fail_msg("%s", e.s);
	for (int i = 0; i < 3; i++)
		ns[i] = open_file(n, path[i], &r);
	for (int round = 0; round < 40; round++) {
		for (unsigned int i = 0; i < 32; i++) {
			unsigned int k = which[i] = (unsigned int)rng_below(&g, 3);
			struct nvme_ns_info ni;
			uint64_t off, left;

			nvme_ns(n, (uint32_t)ns[k], &ni);
			off = rng_below(&g, size[k]) / ni.block * ni.block;
			left = size[k] - off;
			io[i] = (struct iodesc){.nsid = (uint32_t)ns[k],
						.off = off,
						.len = (uint32_t)(1 + rng_below(&g, 64)) * BLOCK,
						.buf = (char *)nvme_region(n, NULL) +
						       (size_t)i * (256 << 10),
						.cb = on_read,
						.cookie = &res[i]};
			if (io[i].len > left && rng_below(&g, 2))
				io[i].len = (uint32_t)left;
			res[i] = -1000;
			assert_int_equal(nvme_read(n, &io[i]), 0);
		}
		nvme_sqsync(n);
		for (int spin = 0; nvme_outstanding(n) && spin < 1000; spin++) {
			assert_int_equal(nvme_wait(n, 1, 5000000000ull), 0);
			assert_true(nvme_consume_completions(n, 7) >= 0);
		}
		for (unsigned int i = 0; i < 32; i++) {
			uint64_t left = size[which[i]] - io[i].off;
			const uint8_t *b = io[i].buf;

			assert_int_equal(res[i], io[i].len < left ? io[i].len : left);
			for (int k = 0; k < res[i]; k++)
				if (b[k] != byte_of(path[which[i]], io[i].off + (uint64_t)k))
					fail_msg("%s: byte %llu", path[which[i]],
						 (unsigned long long)(io[i].off + (uint64_t)k));
		}
	}
	io[0].len = (1 << 20) + BLOCK; /* longer than it takes */
	assert_int_equal(nvme_read(n, &io[0]), -EINVAL);
	assert_int_equal(nvme_write(n, &io[0]), -EPERM);
	nvme_close(n);
}

static void refuse(const char *what, const char *word)
{
	struct errbuf e;
	struct nvme *n = NULL;
	int err;

	write_image();
	err = open_dev(&n, &e);
	if (!err || !strstr(e.s, word))
		fail_msg("%s: %d %s", what, err, e.s);
	assert_int_equal(err, -ESTALE);
}

static void changes(void **state)
{
	uint8_t *sb = (uint8_t *)disk + PART + 1024;
	struct catalog c;
	struct errbuf e;
	struct nvme *n;
	uint64_t at;

	(void)state;
	sb[0x34]++;
	refuse("mounted again", "mounted again");
	sb[0x34]--;
	sb[0x70]++;
	refuse("another file system", "is of file system");
	sb[0x70]--;
	sb[0x38] = 0;
	refuse("none", "no ext4");
	sb[0x38] = 0x53;
	assert_int_equal(catalog_load(&c, catfile, &e), 0);
	at = catalog_find(&c, "a")->extent[0].phys;
	disk[at + 100]++;
	refuse("a changed file", "a has changed");
	disk[at + 100]--;
	at = catalog_find(&c, "b")->extent[0].phys;
	disk[at + 20]++; /* behind the end of the file */
	write_image();
	assert_int_equal(open_dev(&n, &e), 0);
	nvme_close(n);
	catalog_free(&c);
	assert_int_equal(truncate(image, 2 << 20), 0);
	assert_int_equal(open_dev(&n, &e), -ESTALE);
	write_image();
}

static struct leases *held;
static bool written;

static void *append(void *arg)
{
	int fd = open(arg, O_WRONLY | O_APPEND); /* waits for the lease */

	assert_true(fd >= 0);
	assert_true(!leases_begin(held, 0)); /* nobody reads any more */
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	written = true;
	return NULL;
}

/* Whoever wants to change a file waits until the reads in flight have ended. */
static void lease(void **state)
{
	struct catalog c = {.files = 2};
	struct catalog_file f[2];
	char path[2][100];
	struct errbuf e;
	struct stat st;
	pthread_t t;
	int fd;

	(void)state;
	c.file = f;
	for (int i = 0; i < 2; i++) {
		snprintf(path[i], sizeof path[i], "%s/lease%d", dir, i);
		fd = open(path[i], O_WRONLY | O_CREAT, 0600);
		assert_int_equal(write(fd, "12345", 5), 5);
		close(fd);
		assert_int_equal(stat(path[i], &st), 0);
		f[i] = (struct catalog_file){.path = strrchr(path[i], '/') + 1,
					     .size = 5,
					     .ino = st.st_ino,
					     .mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
							 (uint64_t)st.st_mtim.tv_nsec};
	}
	if (leases_take(&held, &c, dir, &e))
		fail_msg("%s", e.s);
	assert_true(leases_begin(held, 0));
	assert_int_equal(pthread_create(&t, NULL, append, path[0]), 0);
	while (leases_begin(held, 0)) /* until the break has come */
		leases_end(held, 0);
	assert_false(written);
	assert_true(leases_begin(held, 1)); /* the other file is served on */
	leases_end(held, 1);
	leases_end(held, 0);
	pthread_join(t, NULL);
	assert_true(written);
	leases_drop(held);
	assert_int_equal(leases_take(&held, &c, dir, &e), -ESTALE); /* it has grown */
	fd = open(path[1], O_WRONLY);
	f[0] = f[1];
	assert_int_equal(leases_take(&held, &c, dir, &e), -EAGAIN); /* open for writing */
	close(fd);
	f[0].path = (char *)(uintptr_t) "missing";
	assert_int_equal(leases_take(&held, &c, dir, &e), -ENOENT);
}

static void bad_catalogues(void **state)
{
	static const char *const text[] = {
		"",
		"{",
		"[]",
		"{\"version\":2}",
#define HEAD                                                                                       \
	"{\"version\":1,\"fs\":\"ext4\",\"uuid\":\"x\",\"mount_count\":1,\"mount_time\":1,"        \
	"\"serial\":\"\",\"nsid\":1,"
		HEAD "\"block\":4095,\"partition_offset\":0,\"files\":[]}",
		HEAD "\"block\":4096,\"partition_offset\":-1,\"files\":[]}",
#define FILE1                                                                                      \
	HEAD "\"block\":4096,\"partition_offset\":0,\"files\":[{\"path\":\"a\",\"size\":5000,"     \
	     "\"mtime_ns\":1,\"ino\":1,\"hashes\":[\"1\",\"2\",\"3\"],\"extents\":"
		FILE1 "[[0,4096,4096]]}]}",		     /* too short */
		FILE1 "[[0,4096,4096],[8192,8192,4096]]}]}", /* a hole */
		FILE1 "[[0,4095,8192]]}]}",		     /* not aligned */
		FILE1 "[[0,9223372036854771712,8192]]}]}",   /* wraps */
		FILE1 "[[0,4096,-8192]]}]}",
		FILE1 "[[0,4096]]}]}",
		FILE1 "\"x\"}]}",
	};
	char path[100];
	struct catalog c;
	struct errbuf e;

	(void)state;
	snprintf(path, sizeof path, "%s/bad", dir);
	for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
		FILE *f = fopen(path, "w");

		fputs(text[i], f);
		fclose(f);
		e.s[0] = 0;
		if (!catalog_load(&c, path, &e))
			fail_msg("catalogue %zu was taken", i);
		assert_non_null(strstr(e.s, path));
	}
	snprintf(path, sizeof path, "%s/missing", dir);
	assert_true(catalog_load(&c, path, &e) < 0);
	assert_true(catalog_take(&c, path, &e) < 0);
	assert_true(catalog_take(&c, "/proc", &e) < 0);
	assert_non_null(strstr(e.s, "/proc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),	  cmocka_unit_test(reads),
		cmocka_unit_test(changes),	  cmocka_unit_test(lease),
		cmocka_unit_test(bad_catalogues),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
