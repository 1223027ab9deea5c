/* content_test: the fast code against a slow oracle, and the directory against everything that can
 * have gone wrong in it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "workloads/content.h"

static const struct content small = {.seed = 7, .object_size = 10007, .hot = 3, .cold = 5};

/* content.h's definition, one byte at a time, little endian by arithmetic. */
static uint8_t oracle(uint64_t seed, uint64_t id, uint64_t off)
{
	uint64_t key = rng_mix(seed ^ rng_mix(id + 1));
	uint64_t w = rng_mix(key + off / 8 * 0x9e3779b97f4a7c15ull);

	return (uint8_t)(w >> (8 * (off % 8)));
}

static void fill_equals_oracle(void **state)
{
	uint8_t buf[600];
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	for (int i = 0; i < 3000; i++) {
		uint64_t seed = rng_u64(&r), id = rng_u64(&r) >> (i % 50);
		uint64_t off = rng_u64(&r) >> (20 + i % 44);
		size_t len = rng_below(&r, sizeof buf - 1);

		memset(buf, 0xee, sizeof buf);
		content_fill(seed, id, off, buf + 1, len);
		assert_int_equal(buf[0], 0xee);
		assert_int_equal(buf[1 + len], 0xee);
		for (size_t k = 0; k < len; k++)
			assert_int_equal(buf[1 + k], oracle(seed, id, off + k));
		assert_int_equal(content_check(seed, id, off, buf + 1, len), 0);
	}
}

static void check_names_first_wrong_byte(void **state)
{
	uint8_t buf[600];
	struct rng r;

	(void)state;
	rng_seed(&r, 2);
	for (int i = 0; i < 3000; i++) {
		uint64_t off = rng_below(&r, 1000);
		size_t len = 1 + rng_below(&r, sizeof buf - 1), bad = rng_below(&r, len);
		size_t later = bad + rng_below(&r, len - bad);

		content_fill(3, 4, off, buf, len);
		buf[bad] ^= (uint8_t)(1u << (i % 8));
		if (later != bad)
			buf[later] ^= 0x55;
		assert_int_equal(content_check(3, 4, off, buf, len), bad + 1);
	}
	content_fill(3, 4, 0, buf, sizeof buf);
	assert_int_not_equal(content_check(3, 5, 0, buf, sizeof buf), 0);
	assert_int_not_equal(content_check(2, 4, 0, buf, sizeof buf), 0);
	assert_int_not_equal(content_check(3, 4, 8, buf, sizeof buf), 0);
}

static void paths(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(content_path(0, buf), "/hot/000000");
	assert_string_equal(content_path(123, buf), "/hot/000123");
	assert_string_equal(content_path(CONTENT_COLD + 99999, buf), "/cold/099999");
}

/* A fresh directory below TMPDIR; removed by teardown. */
static char root[128], dir[160];

static int setup_below(const char *tmp)
{
	snprintf(root, sizeof root, "%.80s/dcn-content-XXXXXX", tmp);
	if (!mkdtemp(root))
		return -1;
	snprintf(dir, sizeof dir, "%s/a/b", root);
	return 0;
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	return setup_below(tmp ? tmp : "/tmp");
}

static int setup_memory(void **state)
{
	(void)state;
	return setup_below("/dev/shm");
}

static int teardown(void **state)
{
	char cmd[256];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
	return system(cmd);
}

static char *in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void make_ok(const struct content *c)
{
	struct errbuf e = {""};

	if (content_make(dir, c, NULL, NULL, &e))
		fail_msg("content_make: %s", e.s);
}

/* Every byte of every object, and nothing else in the directories. */
static void all_right(const struct content *c)
{
	uint8_t *buf = malloc(c->object_size + 1);
	char path[32], cmd[256];
	struct content got;

	assert_non_null(buf);
	for (uint32_t i = 0; i < c->hot + c->cold; i++) {
		uint64_t id = i < c->hot ? i : CONTENT_COLD + i - c->hot;
		FILE *f = fopen(in_dir(content_path(id, path) + 1), "r");

		assert_non_null(f);
		assert_int_equal(fread(buf, 1, c->object_size + 1, f), c->object_size);
		assert_int_equal(content_check(c->seed, id, 0, buf, c->object_size), 0);
		fclose(f);
	}
	free(buf);
	assert_int_equal(content_load(dir, &got, NULL), 0);
	assert_memory_equal(&got, c, sizeof got);
	snprintf(cmd, sizeof cmd, "test -z \"$(find '%s' -name '.*' -type f)\"", dir);
	assert_int_equal(system(cmd), 0);
}

static void damage(const char *name, off_t at)
{
	int fd = open(in_dir(name), O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "wrong bytes", 11, at), 11);
	close(fd);
}

static void make_and_reuse(void **state)
{
	struct stat before, after;

	(void)state;
	make_ok(&small);
	all_right(&small);
	assert_int_equal(stat(in_dir("cold/000004"), &before), 0);
	make_ok(&small);
	assert_int_equal(stat(in_dir("cold/000004"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static bool count_progress(void *arg, uint64_t done, uint64_t total)
{
	*(uint64_t *)arg = done;
	assert_true(done <= total);
	return true;
}

static bool stop_at_once(void *arg, uint64_t done, uint64_t total)
{
	(void)arg;
	return done >= total;
}

static void completes_and_mends(void **state)
{
	struct content more = small, other = small;
	struct errbuf e;
	uint64_t done = 0;

	(void)state;
	make_ok(&small);
	more.cold = 200; /* more than a batch */
	assert_int_equal(content_make(dir, &more, count_progress, &done, &e), 0);
	assert_int_equal(done, 195 * small.object_size); /* the rest was kept */
	all_right(&more);
	more.cold = 1200;
	assert_int_equal(content_make(dir, &more, stop_at_once, NULL, &e), -EINTR);
	assert_int_equal(content_make(dir, &more, count_progress, &done, &e), 0);
	assert_in_range(done, small.object_size, 999 * small.object_size); /* it went on */
	all_right(&more);
	unlink(in_dir("hot/000001"));
	damage("cold/000002", (off_t)small.object_size - 20); /* the last block is always sampled */
	assert_int_equal(truncate(in_dir("cold/000003"), 5), 0);
	make_ok(&more);
	all_right(&more);
	other.seed = 0xfedcba9876543210ull; /* top bit set: must survive JSON */
	make_ok(&other);
	all_right(&other);
	other.object_size = 1;
	make_ok(&other);
	all_right(&other);
}

/* A maker killed at any moment leaves no catalogue, and the next one mends everything. */
static void killed_maker(void **state)
{
	struct content big = {.seed = 9, .object_size = 300 << 10, .hot = 100, .cold = 400};
	struct content got;

	(void)state;
	for (int i = 0; i < 6; i++) {
		pid_t pid = fork();

		big.seed++;
		assert_true(pid >= 0);
		if (pid == 0) {
			content_make(dir, &big, NULL, NULL, NULL);
			_exit(0);
		}
		usleep(1000u << (2 * i));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (content_load(dir, &got, NULL) == 0 && got.seed == big.seed)
			all_right(&big);
	}
	make_ok(&big);
	all_right(&big);
}

static void refuses(void **state)
{
	struct content c = small;
	struct errbuf e;

	(void)state;
	c.cold = 900000;
	c.object_size = 1ull << 33; /* 7 PiB */
	assert_int_equal(content_make(dir, &c, NULL, NULL, &e), -ENOSPC);
	assert_non_null(strstr(e.s, "MiB needed"));
	assert_non_null(strstr(e.s, dir));
	assert_int_equal(access(in_dir("hot/000000"), F_OK), -1);
	c = small;
	c.object_size = 0;
	assert_int_equal(content_make(dir, &c, NULL, NULL, &e), -EINVAL);
	c = small;
	c.hot = c.cold = 0;
	assert_int_equal(content_make(dir, &c, NULL, NULL, &e), -EINVAL);
	c.hot = 2000000;
	assert_int_equal(content_make(dir, &c, NULL, NULL, &e), -EINVAL);
	assert_int_equal(content_make("/proc/dcn-content", &small, NULL, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.s, "/proc/dcn-content"));
	assert_int_equal(content_make("", &small, NULL, NULL, &e), -ENAMETOOLONG);
}

/* As an ordinary user where we are root: a child gives its rights up. */
static void no_right_to_write(void **state)
{
	struct errbuf e = {""};
	int status;
	pid_t pid;

	(void)state;
	snprintf(dir, sizeof dir, "%s/b", root);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(chmod(root, 0755), 0);
	assert_int_equal(chmod(dir, 0555), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534))
			_exit(3);
		_exit(content_make(dir, &small, NULL, NULL, &e) == -EACCES && strstr(e.s, dir) ? 0
											       : 1);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void bad_catalogs(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{\"version\": 1}",
		"{\"version\":1,\"seed\":1,\"object_size\":0,\"hot\":1,\"cold\":1}",
		"{\"version\":1,\"seed\":1,\"object_size\":-5,\"hot\":1,\"cold\":1}",
		"{\"version\":1,\"seed\":1,\"object_size\":5,\"hot\":-1,\"cold\":1}",
		"{\"version\":1,\"seed\":1,\"object_size\":5,\"hot\":99999999,\"cold\":1}",
		"{\"version\":9,\"seed\":1,\"object_size\":5,\"hot\":1,\"cold\":1}",
		"{\"version\":1,\"seed\":\"x\",\"object_size\":5,\"hot\":1,\"cold\":1}",
	};
	struct content got;
	struct errbuf e;

	(void)state;
	assert_int_equal(content_load(dir, &got, &e), -ENOENT);
	assert_non_null(strstr(e.s, dir));
	make_ok(&small);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		FILE *f = fopen(in_dir("catalog.json"), "w");

		assert_non_null(f);
		fputs(bad[i], f);
		fclose(f);
		assert_int_equal(content_load(dir, &got, &e), -EINVAL);
		assert_non_null(strstr(e.s, "catalog.json"));
	}
	make_ok(&small);
	all_right(&small);
}

static void evicts(void **state)
{
	struct content c = {.seed = 1, .object_size = 300 << 10, .hot = 4, .cold = 4};
	struct errbuf e = {""};
	struct statfs fs;

	(void)state;
	make_ok(&c);
	all_right(&c); /* reads all: now cached */
	if (statfs(dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		skip(); /* nothing to drop: below */
	assert_int_equal(content_evict(dir, &c, &e), 0);
	all_right(&c);
	unlink(in_dir("cold/000003"));
	assert_int_equal(content_evict(dir, &c, &e), -ENOENT);
	assert_non_null(strstr(e.s, "cold/000003"));
}

/* Of a file system in memory the pages are the content. */
static void evicts_nothing_in_memory(void **state)
{
	struct content c = {.seed = 1, .object_size = 300 << 10, .hot = 2, .cold = 2};
	struct errbuf e = {""};
	struct statfs fs;

	(void)state;
	make_ok(&c);
	if (statfs(dir, &fs) || fs.f_type != TMPFS_MAGIC)
		skip();
	assert_int_equal(content_evict(dir, &c, &e), 0);
	all_right(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fill_equals_oracle),
		cmocka_unit_test(check_names_first_wrong_byte),
		cmocka_unit_test(paths),
		cmocka_unit_test_setup_teardown(make_and_reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(completes_and_mends, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_maker, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(no_right_to_write, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_catalogs, setup, teardown),
		cmocka_unit_test_setup_teardown(evicts, setup, teardown),
		cmocka_unit_test_setup_teardown(evicts_nothing_in_memory, setup_memory, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
