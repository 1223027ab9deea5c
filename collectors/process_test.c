/* collector process on a recorded tree, value by value, and on a child that burns CPU. */
#include "collectors/test_kit.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* 101: 80 + 60 ticks; 102, born within the window: 20 + 10; 100: none. 1.7 s of CPU in 2 s. */
static void test_window(void **state)
{
	struct collector_env env = {.stack_pid = 100, .load_pid = 200};
	double page = (double)sysconf(_SC_PAGESIZE) / 1e6;
	char cgroup[128];
	struct kit k;

	(void)state;
	kit_begin(&k, "process");
	snprintf(cgroup, sizeof cgroup, "%s/cgroup-v2", k.root);
	env.cgroup_dir = cgroup;
	kit_run(&k, &collector_process, &env);
	kit_near(&k, "stack_cpu_pct", 85);
	kit_near(&k, "stack_rss_mb", 4500 * page);
	kit_near(&k, "stack_threads", 3);
	kit_near(&k, "stack_switches_per_s", (2 + 530 + 40) / 2.0);
	kit_near(&k, "stack_thread_max_pct", 60);
	kit_near(&k, "stack_cache_mb", 300);
	kit_near(&k, "stack_reclaim_mb_per_s", 5000 * page);
	kit_near(&k, "stack_refault_per_s", 25);
	kit_near(&k, "load_thread_max_pct", 45);
	kit_near(&k, "load_cpu_pct", 75);
	kit_near(&k, "load_rss_mb", 4100 * page);
	kit_near(&k, "load_threads", 2);
	kit_near(&k, "load_switches_per_s", (10 + 102) / 2.0);
	kit_end(&k);
}

static void test_cgroup_v1(void **state)
{
	struct collector_env env = {.stack_pid = 100, .load_pid = 200};
	double page = (double)sysconf(_SC_PAGESIZE) / 1e6;
	char cgroup[128];
	struct kit k;

	(void)state;
	kit_begin(&k, "process");
	snprintf(cgroup, sizeof cgroup, "%s/cgroup-v1", k.root);
	env.cgroup_dir = cgroup;
	kit_run(&k, &collector_process, &env);
	kit_near(&k, "stack_cache_mb", 200);
	kit_near(&k, "stack_reclaim_mb_per_s", 500 * page);
	kit_near(&k, "stack_refault_per_s", 5);
	kit_end(&k);
}

static void test_not_running(void **state)
{
	struct collector_env env = {.stack_pid = 0, .load_pid = 999};
	struct kit k;

	(void)state;
	kit_begin(&k, "process");
	kit_run(&k, &collector_process, &env);
	assert_non_null(strstr(kit_why(&k, "stack_cpu_pct"), "not running"));
	assert_non_null(strstr(kit_why(&k, "load_cpu_pct"), "not running"));
	assert_non_null(strstr(kit_why(&k, "stack_cache_mb"), "no memory cgroup"));
	kit_end(&k);
}

/* Pids may be filled in after open(), until the first mark. */
static void test_pid_comes_later(void **state)
{
	struct collector_env env = {.load_pid = 200};
	struct collector *c;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "process");
	env.proc_root = k.proc;
	assert_int_equal(collector_process.open(&c, &env, &e), 0);
	env.stack_pid = 101;
	collector_process.mark(c, 0, KIT_S);
	kit_advance(&k);
	collector_process.mark(c, 1, 3 * KIT_S);
	collector_process.finish(c, 0, &k.sink);
	collector_process.close(c);
	kit_near(&k, "stack_cpu_pct", 70);
	kit_end(&k);
}

/* The load is gone when the end is read: the sample before stands for the window. */
static void test_ended(void **state)
{
	struct collector_env env = {.load_pid = 200, .interval_ns = KIT_S / 10};
	struct collector *c;
	struct errbuf e = {""};
	char cmd[128];
	struct kit k;

	(void)state;
	kit_begin(&k, "process");
	env.proc_root = k.proc;
	assert_int_equal(collector_process.open(&c, &env, &e), 0);
	collector_process.mark(c, 0, KIT_S);
	kit_advance(&k);
	collector_process.sample(c, 3 * KIT_S, &k.sink);
	snprintf(cmd, sizeof cmd, "rm -r %s/200", k.proc);
	assert_int_equal(system(cmd), 0);
	collector_process.mark(c, 1, 4 * KIT_S);
	collector_process.finish(c, 0, &k.sink);
	collector_process.close(c);
	kit_complete(&k, &collector_process);
	kit_near(&k, "load_cpu_pct", 75);
	assert_true(kit_get(&k, "load_rss_mb") > 0);
	assert_non_null(strstr(kit_why(&k, "load_threads"), "ended"));
	assert_non_null(strstr(kit_why(&k, "load_switches_per_s"), "ended"));
	kit_end(&k);
}

static uint64_t own_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * KIT_S + (uint64_t)ts.tv_nsec;
}

/* In the child: wait for a byte, burn 60 ms of CPU by its own clock, tell how much it was in all.
 */
static void burner(int in, int out)
{
	uint64_t before, spent;
	char byte;

	if (read(in, &byte, 1) != 1)
		_exit(1);
	before = own_cpu_ns();
	do
		spent = own_cpu_ns() - before;
	while (spent < 60000000);
	if (write(out, &spent, sizeof spent) != sizeof spent || read(in, &byte, 1) < 0)
		_exit(1);
	_exit(0);
}

static void test_live(void **state)
{
	struct collector_env env = {.proc_root = "/proc", .sys_root = "/sys", .options = ""};
	int in[2], out[2];
	uint64_t spent = 0;
	struct timespec a, b;
	struct collector *c;
	struct errbuf e = {""};
	struct kit k;
	double cpu_s;

	(void)state;
	kit_begin(&k, "");
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	env.stack_pid = fork();
	if (!env.stack_pid) {
		close(in[1]);
		burner(in[0], out[1]);
	}
	assert_int_equal(collector_process.open(&c, &env, &e), 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	collector_process.mark(c, 0, 0);
	assert_int_equal(write(in[1], "x", 1), 1);
	assert_int_equal(read(out[0], &spent, sizeof spent), sizeof spent);
	collector_process.mark(c, 1, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	close(in[1]);
	waitpid(env.stack_pid, NULL, 0);
	collector_process.finish(c, 0, &k.sink);
	collector_process.close(c);
	/* The window lies within [a, b], the burning within the window. */
	cpu_s = kit_get(&k, "stack_cpu_pct") / 100 *
		(double)(b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9);
	assert_true(cpu_s >= (double)spent / 1e9);
	assert_true(kit_get(&k, "stack_threads") == 1);
	assert_true(kit_get(&k, "stack_rss_mb") > 0);
	kit_end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),	    cmocka_unit_test(test_cgroup_v1),
		cmocka_unit_test(test_not_running), cmocka_unit_test(test_pid_comes_later),
		cmocka_unit_test(test_ended),	    cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
