/* iowindow_test: the load of figure 6 against the simulated device, where the answer is known, and
 * its command line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "workloads/content.h"
#include "workloads/iowindow/iowindow.h"

static int parse(struct iowindow_opts *o, struct errbuf *e, const char *line)
{
	static char copy[256]; /* options point into it */
	char *argv[24] = {(char *)"iowindow"}, *save = NULL;
	int argc = 1;

	snprintf(copy, sizeof copy, "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	e->s[0] = 0;
	return iowindow_parse(argc, argv, o, e);
}

static void options(void **state)
{
	static const char *const bad[] = {
		"",
		"--device",
		"--device sim:p3700 --window 0",
		"--device sim:p3700 --window 5000",
		"--device sim:p3700 --window 4 --threads 5",
		"--device sim:p3700 --window 4 --threads 2 --batch 3",
		"--device sim:p3700 --size 1000",
		"--device sim:p3700 --duration 5",
		"--device sim:p3700 --duration 0",
		"--device sim:p3700 --wibble",
		"--device sim:p3700 extra",
		"--device sim:p3700 --engine dd",
		"--device sim:p3700 --engine fio",
		"--device sim:p3700 --create 1MiB",
	};
	struct iowindow_opts o;
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(parse(&o, &e, bad[i]), -EINVAL);
		assert_true(strlen(e.s) > 20);
	}
	assert_int_equal(parse(&o, &e,
			       "--device sim:p3700 --size 4KiB --window 9 --threads 2 --batch 4 "
			       "--duration 20ms --seed 7 --json"),
			 0);
	assert_int_equal(o.size, 4096);
	assert_int_equal(o.window, 9);
	assert_int_equal(o.duration_ns, 20000000);
	assert_true(o.json);
}

/* 16 KiB at window 4 is below the knee of 2.8 GB/s and 20 us, 100 above. */
static void known_answers(void **state)
{
	static struct iowindow_result r;
	struct iowindow_opts o;
	struct errbuf e;

	(void)state;
	assert_int_equal(
		parse(&o, &e, "--device sim:p3700 --window 2 --duration 100ms --warmup 5ms"), 0);
	assert_int_equal(iowindow_run(&o, &r, &e), 0);
	assert_true(r.simulated);
	assert_int_equal(r.errors, 0);
	assert_in_range((uint64_t)(r.reads / r.span_s), 97000, 101000); /* 2 / 20 us */
	assert_true(iowindow_little(&o, &r) > 0.98 && iowindow_little(&o, &r) < 1.02);

	assert_int_equal(
		parse(&o, &e,
		      "--device sim:p3700 --window 101 --threads 1 --duration 100ms --warmup 5ms"),
		0);
	assert_int_equal(iowindow_run(&o, &r, &e), 0);
	assert_in_range((uint64_t)(r.reads / r.span_s), 169000, 172000); /* 2.8 GB/s */
	assert_in_range((uint64_t)r.lat_mean, 580, 600); /* 101 x 16 KiB / 2.8 GB/s */
	assert_true(r.lat_p50 <= r.lat_p99 && r.lat_p99 <= r.lat_p999 && r.lat_p999 <= r.lat_max);

	assert_int_equal(
		parse(&o, &e, "--device sim:p3700,error_rate=0.1 --window 8 --duration 20ms"), 0);
	assert_int_equal(iowindow_run(&o, &r, &e), 0);
	assert_true(r.errors > r.reads / 20);
}

static void json_of_a_run(void **state)
{
	static struct iowindow_result r;
	struct iowindow_opts o;
	struct errbuf e;
	json_t *j;

	(void)state;
	assert_int_equal(parse(&o, &e, "--device sim:p3700 --window 8 --duration 20ms"), 0);
	assert_int_equal(iowindow_run(&o, &r, &e), 0);
	j = iowindow_json(&o, &r);
	assert_non_null(j);
	assert_true(json_is_true(json_object_get(j, "valid")));
	assert_true(json_is_null(json_object_get(j, "invalid_why")));
	assert_true(json_is_true(json_object_get(j, "simulated")));
	json_decref(j);
	r.lat_mean *= 1.06; /* as if latency had been measured wrongly */
	j = iowindow_json(&o, &r);
	assert_true(json_is_false(json_object_get(j, "valid")));
	json_decref(j);
}

/* A real file, made, completed and read by two threads. */
static void file(void **state)
{
	static struct iowindow_result r;
	char path[] = "/tmp/iowindow_testXXXXXX", line[200], buf[64];
	struct iowindow_opts o;
	struct errbuf e;
	struct stat st;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	snprintf(line, sizeof line,
		 "--device uring:%s --create 5000KiB --window 8 --threads 2 --duration 50ms "
		 "--warmup 1ms --seed 3",
		 path);
	assert_int_equal(parse(&o, &e, line), 0);
	assert_int_equal(ftruncate(fd, 1500000), 0);
	assert_int_equal(iowindow_create(&o, &e), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 5000 << 10);
	assert_int_equal(pread(fd, buf, sizeof buf, (5000 << 10) - 64), 64);
	assert_int_equal(content_check(3, 0, (5000 << 10) - 64, buf, 64), 0);
	assert_int_equal(iowindow_run(&o, &r, &e), 0);
	assert_int_equal(r.errors, 0);
	assert_true(r.reads > 0 && r.syscalls > 0);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options),
		cmocka_unit_test(known_answers),
		cmocka_unit_test(json_of_a_run),
		cmocka_unit_test(file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
