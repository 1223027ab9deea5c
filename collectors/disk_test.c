/* collector disk: counters on recorded trees, the matching of trace events and the reader of a ring
 * on made-up ones, and both on the running kernel where it lets us. */
#include "collectors/test_kit.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/rng.h"
#include "collectors/blocklat.h"
#include "collectors/trace.h"

static void test_window(void **state)
{
	struct testbed tb = {.disk = "vda"};
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	kit_begin(&k, "disk");
	kit_run(&k, &collector_disk, &env);
	kit_near(&k, "disk_read_gbps", 3906250 * 512.0 * 8 / 2e9);
	kit_near(&k, "disk_write_gbps", 15625 * 512.0 * 8 / 2e9);
	kit_near(&k, "disk_reads_per_s", 20000);
	kit_near(&k, "disk_util_pct", 75); /* 1,500 ms, over the wrap of 32 bits */
	assert_non_null(strstr(kit_why(&k, "disk_lat_us_p50"), "recorded"));
	kit_end(&k);
}

static void test_disk_goes_away(void **state)
{
	struct collector_env env = {.options = "x=y;disk.name=vda"};
	struct kit k;

	(void)state;
	kit_begin(&k, "disk-gone");
	kit_run(&k, &collector_disk, &env);
	assert_non_null(strstr(kit_why(&k, "disk_read_gbps"), "went away"));
	kit_end(&k);
}

static void test_no_disk(void **state)
{
	struct testbed tb = {.disk = "vd"};
	struct collector_env env = {.tb = &tb};
	struct collector *c = NULL;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "disk");
	env.proc_root = k.proc;
	env.options = "";
	assert_int_equal(collector_disk.open(&c, &env, &e), -ENODEV);
	assert_non_null(strstr(e.s, "no disk vd"));
	tb.disk[0] = '\0';
	assert_int_equal(collector_disk.open(&c, &env, &e), -ENODEV);
	assert_non_null(strstr(e.s, "disk.name"));
	kit_end(&k);
}

/* --- matching --- */

static void test_matching(void **state)
{
	struct blocklat *b = blocklat_bare();

	(void)state;
	blocklat_begin(b, 1000);
	blocklat_end(b, 9000);
	blocklat_event(b, 2500, 8, 1); /* its issue comes later from another ring */
	blocklat_event(b, 2000, 8, 0);
	blocklat_event(b, 500, 16, 0); /* issued before the window, completed in it */
	blocklat_event(b, 1100, 16, 1);
	blocklat_event(b, 400, 24, 0); /* completed before it */
	blocklat_event(b, 900, 24, 1);
	blocklat_event(b, 3000, 32, 1); /* issue not seen */
	blocklat_event(b, 8000, 40, 0); /* completed after it */
	blocklat_event(b, 9500, 40, 1);
	blocklat_event(b, 4000, 48, 0); /* issued again: the later one counts */
	blocklat_event(b, 5000, 48, 0);
	blocklat_event(b, 5100, 48, 1);
	blocklat_event(b, 6000, 48, 1); /* completed in two parts: once */
	blocklat_match(b, 10000);
	assert_int_equal(blocklat_hist(b)->n, 3);
	assert_int_equal(blocklat_hist(b)->min, 100);
	assert_int_equal(blocklat_hist(b)->max, 600);
	assert_true(blocklat_hist(b)->sum == 500 + 600 + 100);
	blocklat_close(b);
}

/* What is too young waits. */
static void test_held_back(void **state)
{
	struct blocklat *b = blocklat_bare();

	(void)state;
	blocklat_event(b, 300, 8, 1);
	blocklat_match(b, 250); /* the completion is in hand, its issue is not yet */
	assert_int_equal(blocklat_hist(b)->n, 0);
	blocklat_event(b, 200, 8, 0);
	blocklat_match(b, 400);
	assert_int_equal(blocklat_hist(b)->n, 1);
	assert_int_equal(blocklat_hist(b)->max, 100);
	blocklat_close(b);
}

/* Thousands of requests in flight, in random order, against the known answer. */
static void test_many(void **state)
{
	enum { N = 20000 };
	static uint64_t end[N];
	struct blocklat *b = blocklat_bare();
	uint64_t want = 0, sum = 0;
	struct rng r;

	(void)state;
	rng_seed(&r, 3);
	for (int i = 0; i < N; i++) {
		uint64_t start = (uint64_t)i * 1000, took = 1 + rng_below(&r, 500000);

		end[i] = start + took;
		sum += took;
		blocklat_event(b, start, (uint64_t)i * 96, 0);
		blocklat_event(b, end[i], (uint64_t)i * 96, 1);
		if (i % 1000 == 999)
			blocklat_match(b, start);
	}
	blocklat_match(b, UINT64_MAX);
	want = blocklat_hist(b)->n;
	/* at most 500 are in flight in 16384 slots: about 1.5 % meet another in their slot */
	assert_true(want > N * 95 / 100 && want <= N);
	assert_true(blocklat_hist(b)->sum > (long double)sum * 0.95L);
	assert_int_equal(blocklat_lost(b), 0);
	blocklat_close(b);
}

static void test_too_many_are_counted(void **state)
{
	struct blocklat *b = blocklat_bare();

	(void)state;
	for (uint64_t i = 0; i < 70000; i++)
		blocklat_event(b, i + 1, i, 0);
	assert_int_equal(blocklat_lost(b), 70000 - 65536);
	blocklat_close(b);
}

/* --- format files and rings --- */

static void point_from(const char *file, struct trace_point *p)
{
	assert_true(procfs_slurp("tests/fixtures/collectors/trace", file, p->format,
				 sizeof p->format) > 0);
}

static void test_format(void **state)
{
	struct trace_field f = {0};
	struct trace_point p;

	(void)state;
	point_from("block_rq_complete.format", &p);
	assert_true(trace_point_field(&p, "sector", &f));
	assert_int_equal(f.offset, 16);
	assert_int_equal(f.size, 8);
	assert_true(trace_point_field(&p, "nr_sector", &f));
	assert_int_equal(f.offset, 24);
	assert_true(trace_point_field(&p, "rwbs", &f));
	assert_int_equal(f.offset, 34);
	assert_true(trace_point_field(&p, "common_type", &f));
	assert_int_equal(f.offset, 0);
	assert_false(trace_point_field(&p, "ector", &f));
	assert_false(trace_point_field(&p, "bytes", &f));
}

struct seen {
	int n;
	uint64_t sum_ns, sum_raw;
};

static void on_record(void *arg, uint64_t t_ns, const uint8_t *raw, uint32_t len)
{
	struct seen *s = arg;
	uint64_t v;

	assert_int_equal(len, 12);
	memcpy(&v, raw, 8);
	s->n++;
	s->sum_ns += t_ns;
	s->sum_raw += v;
}

static uint64_t ring_put(uint8_t *ring, uint64_t size, uint64_t at, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ring[(at + i) & (size - 1)] = ((const uint8_t *)p)[i];
	return at + n;
}

/* Records that wrap around the ring's end at every offset, and a count of lost ones between. */
static void test_ring(void **state)
{
	enum { SIZE = 256 };
	struct {
		struct perf_event_header h;
		uint64_t t_ns;
		uint32_t len;
		uint8_t raw[12];
	} __attribute__((packed)) sample = {{PERF_RECORD_SAMPLE, 0, 32}, 0, 12, {0}};
	struct {
		struct perf_event_header h;
		uint64_t id, lost;
	} lost = {{PERF_RECORD_LOST, 0, 24}, 1, 5};

	(void)state;
	for (uint64_t start = 0; start < 2 * SIZE; start += 8) {
		uint8_t ring[SIZE];
		uint64_t at = start, lost_n = 0;
		struct seen seen = {0};

		for (uint64_t i = 1; i <= 5; i++) {
			sample.t_ns = i;
			memcpy(sample.raw, &(uint64_t){i * 100}, 8);
			at = ring_put(ring, SIZE, at, &sample, sizeof sample);
			if (i == 2)
				at = ring_put(ring, SIZE, at, &lost, sizeof lost);
		}
		assert_int_equal(trace_ring_read(ring, SIZE, at, start, on_record, &seen, &lost_n),
				 at);
		assert_int_equal(seen.n, 5);
		assert_int_equal(seen.sum_ns, 15);
		assert_int_equal(seen.sum_raw, 1500);
		assert_int_equal(lost_n, 5);
	}
}

static void test_broken_ring(void **state)
{
	uint8_t ring[64] = {0}; /* a record of size 0 */
	struct seen seen = {0};
	uint64_t lost = 0;

	(void)state;
	assert_int_equal(trace_ring_read(ring, 64, 64, 0, on_record, &seen, &lost), 64);
	ring[6] = 200; /* one longer than what is there */
	assert_int_equal(trace_ring_read(ring, 64, 64, 0, on_record, &seen, &lost), 64);
	assert_int_equal(seen.n, 0);
}

/* --- the running kernel --- */

static bool whole_disk(const char *path, char *out, size_t cap)
{
	char link[128], target[512], *slash;
	struct stat st;
	ssize_t n;

	if (stat(path, &st))
		return false;
	snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	n = readlink(link, target, sizeof target - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	slash = strrchr(target, '/');
	snprintf(out, cap, "%s", slash + 1);
	snprintf(link, sizeof link, "/sys/block/%s", out);
	if (access(link, F_OK) == 0)
		return true;
	*slash = '\0'; /* a partition: its directory lies in the disk's */
	snprintf(out, cap, "%s", strrchr(target, '/') + 1);
	return true;
}

/* N reads past the page cache; false if the file system can't. */
static bool read_directly(const char *path, int n)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0600);
	void *buf = NULL;
	bool ok = fd >= 0 && posix_memalign(&buf, 4096, 16384) == 0;

	if (ok)
		memset(buf, 7, 16384);
	for (int i = 0; ok && i < n; i++)
		ok = pwrite(fd, buf, 16384, i * 16384L) == 16384;
	ok = ok && fsync(fd) == 0;
	for (int i = 0; ok && i < n; i++)
		ok = pread(fd, buf, 16384, i * 16384L) == 16384;
	free(buf);
	if (fd >= 0)
		close(fd);
	unlink(path);
	return ok;
}

static void test_live(void **state)
{
	struct testbed tb = {.server_fd = -1};
	struct collector_env env = {
		.tb = &tb, .proc_root = "/proc", .sys_root = "/sys", .options = ""};
	struct collector *c;
	struct errbuf e = {""};
	const char *why = NULL;
	bool read_ok = false;
	struct kit k;

	(void)state;
	kit_begin(&k, "");
	if (!whole_disk(k.root, tb.disk, sizeof tb.disk))
		why = "/tmp is not on a disk";
	if (!why && collector_disk.open(&c, &env, &e))
		why = e.s;
	if (!why) {
		char file[128];

		snprintf(file, sizeof file, "%s/data", k.root);
		collector_disk.mark(c, 0, 0);
		read_ok = read_directly(file, 100);
		collector_disk.mark(c, 1, UINT64_MAX);
		collector_disk.finish(c, 0, &k.sink);
		collector_disk.close(c);
		kit_complete(&k, &collector_disk);
		why = read_ok ? kit_why(&k, "disk_lat_us_mean") : "no O_DIRECT in /tmp";
	}
	kit_end(&k);
	if (why) {
		print_message("skipped: %s\n", why);
		skip();
	}
	assert_true(kit_get(&k, "disk_lat_n") + kit_get(&k, "disk_lat_lost") >= 90 ||
		    kit_get(&k, "disk_lat_one_of") > 1);
	assert_true(kit_get(&k, "disk_lat_us_mean") > 0);
	assert_true(kit_get(&k, "disk_lat_us_p50") <= kit_get(&k, "disk_lat_us_p99"));
	assert_true(kit_get(&k, "disk_reads_per_s") > 0);
	print_message("%g reads traced, mean %.0f us, median %.0f us, 99 %% %.0f us\n",
		      kit_get(&k, "disk_lat_n"), kit_get(&k, "disk_lat_us_mean"),
		      kit_get(&k, "disk_lat_us_p50"), kit_get(&k, "disk_lat_us_p99"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_disk_goes_away),
		cmocka_unit_test(test_no_disk),
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_too_many_are_counted),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_broken_ring),
		cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
