/* collector disk: counters on recorded trees, the reader of traced latencies on made-up ones, and
 * both on the running kernel where it lets us. */
#include "collectors/test_kit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "collectors/blocklat.h"
#include "collectors/smart.h"
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

/* --- reading what the kernel's program appends --- */

static struct blocklat_shared shared;

static void append(uint64_t end_ns, uint64_t took_ns)
{
	shared.ring[shared.head++ % BLOCKLAT_RING] = (struct blocklat_read){end_ns, took_ns};
}

static struct blocklat *fresh(void)
{
	struct blocklat *b;

	memset(&shared, 0, sizeof shared);
	b = blocklat_bare(&shared);
	assert_non_null(b);
	return b;
}

static void test_latency_window(void **state)
{
	struct blocklat *b = fresh();

	(void)state;
	append(500, 7);
	blocklat_drain(b, 600);
	assert_int_equal(blocklat_hist(b)->n, 1); /* no window yet: all */
	append(900, 7);				  /* before the window, read in it */
	blocklat_begin(b, 1000);
	append(1000, 700); /* issued before it, completed in it */
	append(2000, 100);
	blocklat_drain(b, 2100);
	append(3000, 200);
	blocklat_end(b, 3000);
	append(3001, 9);
	blocklat_drain(b, 4000);
	assert_int_equal(blocklat_hist(b)->n, 3);
	assert_int_equal(blocklat_hist(b)->min, 100);
	assert_int_equal(blocklat_hist(b)->max, 700);
	assert_true(blocklat_hist(b)->sum == 1000);
	blocklat_close(b);
}

/* An entry that is counted but not written yet holds up those behind it, once. */
static void test_half_written(void **state)
{
	struct blocklat *b = fresh();

	(void)state;
	append(10, 1);
	append(0, 2); /* the end time comes last */
	append(30, 3);
	blocklat_drain(b, 50);
	assert_int_equal(blocklat_hist(b)->n, 1);
	shared.ring[1].end_ns = 20;
	blocklat_drain(b, 60);
	assert_int_equal(blocklat_hist(b)->n, 3);
	blocklat_drain(b, 70);
	assert_int_equal(blocklat_hist(b)->n, 3);
	blocklat_close(b);
}

/* Many times around the ring, and once too many. */
static void test_around_the_ring(void **state)
{
	struct blocklat *b = fresh();
	uint64_t n = 0;

	(void)state;
	for (int round = 0; round < 7; round++) {
		for (int i = 0; i < 30000; i++, n++)
			append(n + 1, n + 1);
		blocklat_drain(b, 1000000000ull * 3600 * (uint64_t)(round + 1));
		assert_int_equal(blocklat_hist(b)->n, n);
	}
	assert_int_equal(blocklat_lost(b), 0);
	assert_int_equal(blocklat_sampling(b), 1);
	for (int i = 0; i < BLOCKLAT_RING + 100; i++, n++)
		append(n + 1, n + 1);
	blocklat_drain(b, 1000000000ull * 3600 * 9);
	assert_int_equal(blocklat_lost(b), 100);
	assert_int_equal(blocklat_hist(b)->n, n - 100);
	blocklat_close(b);
}

/* More reads than may be traced: the mask for the kernel gets coarser, step by step, and stays. */
static void test_cost_is_bounded(void **state)
{
	static const struct {
		int reads; /* in a tenth of a second */
		uint64_t mask;
	} ticks[] = {{999, 0},	     {1001, 0xf00},  {900, 0xf00},
		     {5000, 0xff00}, {9000, 0xff00}, {0, 0xff00}};
	struct blocklat *b = fresh();
	uint64_t now = KIT_S;

	(void)state;
	blocklat_drain(b, now);
	for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++) {
		for (int k = 0; k < ticks[i].reads; k++)
			append(now, 1);
		now += KIT_S / 10;
		blocklat_drain(b, now);
		assert_int_equal(shared.mask, ticks[i].mask);
	}
	assert_int_equal(blocklat_sampling(b), 256);
	blocklat_close(b);

	b = fresh(); /* two drains in a row, a mark after a sample, make no rate */
	blocklat_drain(b, now);
	append(now, 1);
	blocklat_drain(b, now + 1000);
	assert_int_equal(shared.mask, 0);
	blocklat_close(b);
}

/* --- format files --- */

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

/* --- SMART --- */

/* Offsets of NVMe 1.4, figure 194. */
static void test_smart(void **state)
{
	uint8_t log[SMART_LOG_BYTES] = {[0] = 0x02, [1] = 0x4d, [2] = 0x01,   [216] = 3, [217] = 1,
					[220] = 4,  [224] = 10, [228] = 0x20, [229] = 1};
	struct smart s;
	struct errbuf e = {""};

	(void)state;
	smart_decode(log, &s);
	assert_int_equal(s.critical_warning, 2);
	assert_true(s.temp_c == 60);
	assert_int_equal(s.throttle_n, 259 + 4);
	assert_int_equal(s.throttle_s, 10 + 288);
	assert_int_equal(smart_open("/sys", "vda", &e), -ENODEV);
	assert_non_null(strstr(e.s, "not NVMe"));
	assert_int_equal(smart_open("/nonexistent", "nvme0n1", &e), -ENOENT);
}

/* A drive that got hot within the run: temperature, throttling since before. Then one that refuses.
 */
static int logs_read;

static int hot_drive(int fd, uint8_t log[SMART_LOG_BYTES])
{
	assert_true(fd >= 0);
	memset(log, 0, SMART_LOG_BYTES);
	logs_read++;
	log[1] = logs_read > 1 ? 0x61 : 0x41; /* 353 K, 321 K */
	log[2] = 1;
	log[216] = logs_read > 1 ? 7 : 5;
	log[224] = logs_read > 1 ? 40 : 10;
	return 0;
}

static int refusing_drive(int fd, uint8_t log[SMART_LOG_BYTES])
{
	(void)fd;
	(void)log;
	return 0x2002;
}

/* /dev/null stands in for the controller's device. */
static void run_nvme(struct kit *k, int (*drive)(int fd, uint8_t log[SMART_LOG_BYTES]))
{
	struct testbed tb = {.disk = "nvme0n1"};
	struct collector_env env = {.tb = &tb};
	int (*real)(int, uint8_t *) = smart_get_log;
	char cmd[256];

	kit_begin(k, "disk");
	snprintf(cmd, sizeof cmd,
		 "mkdir -p %s/block/nvme0n1 && ln -s ../../null %s/block/nvme0n1/device", k->sys,
		 k->sys);
	assert_int_equal(system(cmd), 0);
	logs_read = 0;
	smart_get_log = drive;
	kit_run(k, &collector_disk, &env);
	smart_get_log = real;
	kit_end(k);
}

static void test_smart_before_and_after(void **state)
{
	struct kit k;

	(void)state;
	run_nvme(&k, hot_drive);
	assert_int_equal(logs_read, 2);
	kit_near(&k, "nvme_temp_c", 80);
	kit_near(&k, "nvme_throttle_n", 2);
	kit_near(&k, "nvme_throttle_s", 30);
	kit_near(&k, "nvme_critical", 0);
	run_nvme(&k, refusing_drive);
	assert_non_null(strstr(kit_why(&k, "nvme_throttle_n"), "status 2002h"));
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
	assert_true(kit_get(&k, "disk_lat_n") + kit_get(&k, "disk_lat_lost") >= 100 ||
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
		cmocka_unit_test(test_latency_window),
		cmocka_unit_test(test_half_written),
		cmocka_unit_test(test_around_the_ring),
		cmocka_unit_test(test_cost_is_bounded),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_smart),
		cmocka_unit_test(test_smart_before_and_after),
		cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
