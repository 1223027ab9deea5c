/* Collectors against instruments that are not ours: mpstat for the CPU, fio for a disk's reads and
 * how long they took. The disk is a loop device of our own, so that nobody else is counted.
 *
 * A busy machine moves what is compared between the moments when two instruments look: each
 * comparison has three tries, of which one must agree. */
#include "collectors/test_kit.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"

#define TRIES 3

static char *output_of(const char *cmd)
{
	char *text = calloc(1, 1 << 16);
	FILE *p = popen(cmd, "r");
	size_t n = p && text ? fread(text, 1, (1 << 16) - 1, p) : 0;

	if (p && pclose(p) != 0)
		n = 0;
	if (text)
		text[n] = 0;
	return text;
}

static bool have(const char *program)
{
	char cmd[128];

	snprintf(cmd, sizeof cmd, "command -v %s >/dev/null", program);
	return system(cmd) == 0;
}

/* --- CPU --- */

/* Busy about half of the time, on one CPU. */
static pid_t half_load(int cpu)
{
	struct timespec rest = {.tv_nsec = 30000000};
	pid_t pid = fork();
	cpu_set_t set;

	if (pid)
		return pid;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
	for (;;) {
		uint64_t until = clock_ns() + 30000000;

		while (clock_ns() < until)
			;
		nanosleep(&rest, NULL);
	}
}

/* 100 - idle - iowait - steal of mpstat's average; NAN if it says something else. */
static double mpstat_busy(int cpu)
{
	double v[10] = {0};
	char cmd[96], *text, *p;
	int n = 0, at;

	snprintf(cmd, sizeof cmd, "LC_ALL=C S_TIME_FORMAT=ISO mpstat -P %d 1 1", cpu);
	text = output_of(cmd);
	p = text ? strstr(text, "Average:") : NULL; /* the header's, then the values' */
	p = p ? strstr(p + 1, "Average:") : NULL;
	if (p && sscanf(p, "Average: %*s%n", &at) == 0)
		for (p += at; n < 10 && sscanf(p, "%lf%n", &v[n], &at) == 1; n++)
			p += at;
	free(text);
	return n == 10 ? 100 - v[9] - v[3] - v[6] : NAN;
}

static double cpu_with_mpstat(int cpu, double *theirs)
{
	struct testbed tb = {.server_fd = -1};
	struct collector_env env = {
		.tb = &tb, .proc_root = "/proc", .sys_root = "/sys", .options = ""};
	struct collector *c;
	struct errbuf e = {""};
	struct kit k;

	CPU_SET(cpu, &tb.server_cpus);
	kit_begin(&k, "");
	assert_int_equal(collector_cpu.open(&c, &env, &e), 0);
	collector_cpu.mark(c, 0, 1);
	*theirs = mpstat_busy(cpu);
	collector_cpu.mark(c, 1, KIT_S);
	collector_cpu.finish(c, 1, &k.sink);
	collector_cpu.close(c);
	kit_end(&k);
	return kit_get(&k, "cpu_pct");
}

static void test_mpstat(void **state)
{
	int cpu = sched_getcpu(), tries = 0;
	double ours = 0, theirs = 0;
	pid_t pid;

	(void)state;
	if (!have("mpstat")) {
		print_message("skipped: no mpstat; make deps\n");
		skip();
	}
	pid = half_load(cpu);
	do
		ours = cpu_with_mpstat(cpu, &theirs);
	while (++tries < TRIES && !(fabs(ours - theirs) <= 2));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	print_message("CPU %d: %.1f %%, mpstat %.1f %%\n", cpu, ours, theirs);
	assert_true(fabs(ours - theirs) <= 2);
	assert_true(ours > 20);
}

/* --- disk --- */

struct fio {
	double reads, bytes, mean_us, p50_us;
};

static bool run_fio(const char *device, struct fio *out)
{
	char cmd[400], *text;
	json_t *j, *r;

	/* With real-time priority: what fio waits for a CPU is no disk's. */
	snprintf(cmd, sizeof cmd,
		 "rt=; chrt -f 1 true 2>/dev/null && rt='chrt -f 1'; $rt fio --name=a "
		 "--filename=%s --direct=1 --rw=randread --bs=16k --ioengine=psync "
		 "--number_ios=2000 --runtime=3 --randrepeat=1 --output-format=json 2>/dev/null",
		 device);
	text = output_of(cmd);
	j = text ? json_loads(strchr(text, '{') ? strchr(text, '{') : "", 0, NULL) : NULL;
	r = json_object_get(json_array_get(json_object_get(j, "jobs"), 0), "read");
	out->reads = json_number_value(json_object_get(r, "total_ios"));
	out->bytes = json_number_value(json_object_get(r, "io_bytes"));
	out->mean_us =
		json_number_value(json_object_get(json_object_get(r, "clat_ns"), "mean")) / 1e3;
	out->p50_us = json_number_value(json_object_get(
			      json_object_get(json_object_get(r, "clat_ns"), "percentile"),
			      "50.000000")) /
		      1e3;
	json_decref(j);
	free(text);
	return out->reads > 0;
}

/* Reads and sectors of the device so far, by /proc/diskstats as the shell sees it. */
static void diskstats(const char *disk, double *reads, double *sectors)
{
	char cmd[128], *text;

	snprintf(cmd, sizeof cmd, "awk '$3 == \"%s\" {print $4, $6}' /proc/diskstats", disk);
	text = output_of(cmd);
	assert_int_equal(sscanf(text, "%lf %lf", reads, sectors), 2);
	free(text);
}

static void measure_disk(const char *disk, struct kit *k, struct fio *f, double *seconds)
{
	struct testbed tb = {.server_fd = -1};
	struct collector_env env = {
		.tb = &tb, .proc_root = "/proc", .sys_root = "/sys", .options = ""};
	struct collector *c;
	struct errbuf e = {""};
	char device[80];
	uint64_t t0;

	snprintf(tb.disk, sizeof tb.disk, "%s", disk);
	snprintf(device, sizeof device, "/dev/%s", disk);
	kit_begin(k, "");
	assert_int_equal(collector_disk.open(&c, &env, &e), 0);
	collector_disk.mark(c, 0, 0);
	t0 = clock_ns();
	assert_true(run_fio(device, f));
	*seconds = (double)(clock_ns() - t0) / 1e9;
	collector_disk.mark(c, 1, UINT64_MAX);
	collector_disk.finish(c, 0, &k->sink);
	collector_disk.close(c);
	kit_end(k);
}

static void compare_counts(struct kit *k, const struct fio *f, double s, double reads,
			   double sectors)
{
	double ours = kit_get(k, "disk_reads_per_s") * s;

	/* The device is ours alone: what fio read, and a few reads of whoever looks at partitions.
	 */
	assert_true(f->bytes == f->reads * 16384);
	assert_true(reads >= f->reads && reads <= 1.02 * f->reads + 20);
	assert_true(sectors * 512 >= f->bytes && sectors * 512 <= 1.02 * f->bytes + 1e6);
	assert_true(fabs(ours / reads - 1) < 0.02); /* the window is known to a millisecond */
	assert_true(fabs(kit_get(k, "disk_read_gbps") / 8 * 1e9 * s / (sectors * 512) - 1) < 0.02);
}

/* A read as the block layer sees it lies within what fio waits for: most of it, never more. fio's
 * mean also has what it waited for a CPU, so that only the median is compared from both sides. */
static bool latency_agrees(struct kit *k, const struct fio *f)
{
	double mean = kit_get(k, "disk_lat_us_mean"), p50 = kit_get(k, "disk_lat_us_p50");

	print_message("%g reads: mean %.0f us, fio %.0f us; median %.0f us, fio %.0f us\n",
		      kit_get(k, "disk_lat_n"), mean, f->mean_us, p50, f->p50_us);
	return mean <= 1.02 * f->mean_us && p50 <= 1.05 * f->p50_us && p50 >= 0.5 * f->p50_us &&
	       kit_get(k, "disk_lat_n") >= 0.98 * f->reads;
}

static void on_loop(const char *disk)
{
	double reads[2], sectors[2], s;
	bool agrees = false;
	struct fio f;
	struct kit k;

	for (int i = 0; i < TRIES && !agrees; i++) {
		const char *why;

		diskstats(disk, &reads[0], &sectors[0]);
		measure_disk(disk, &k, &f, &s);
		diskstats(disk, &reads[1], &sectors[1]);
		compare_counts(&k, &f, s, reads[1] - reads[0], sectors[1] - sectors[0]);
		why = kit_why(&k, "disk_lat_us_mean");
		if (why) {
			print_message("latency not compared: %s\n", why);
			return;
		}
		agrees = latency_agrees(&k, &f);
	}
	assert_true(agrees);
}

static void test_fio(void **state)
{
	static const char make[] = "f=$(mktemp /var/tmp/dcn-loop.XXXXXX) && head -c 64M "
				   "/dev/urandom >$f && sync $f && "
				   "losetup -f --show --direct-io=on $f 2>/dev/null; rm -f $f";
	char *device, cmd[128];
	bool failed;

	(void)state;
	if (geteuid() || !have("fio") || !have("losetup")) {
		print_message("skipped: needs root, fio and loop devices\n");
		skip();
	}
	device = output_of(make);
	device[strcspn(device, "\n")] = 0;
	failed = strncmp(device, "/dev/loop", 9) != 0;
	if (!failed) {
		pid_t pid = fork(); /* an assertion must not leave the device behind */
		int status = 1;

		if (!pid) {
			on_loop(device + 5);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		snprintf(cmd, sizeof cmd, "losetup -d %s", device);
		assert_int_equal(system(cmd), 0);
		assert_int_equal(status, 0);
	}
	free(device);
	if (failed) {
		print_message("skipped: no loop device can be made\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mpstat),
		cmocka_unit_test(test_fio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
