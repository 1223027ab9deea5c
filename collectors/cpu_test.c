/* collector cpu on recorded trees, value by value, and once on the running kernel. */
#include "collectors/test_kit.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static struct testbed bed(int server, int client)
{
	struct testbed tb = {.server_fd = -1};

	CPU_ZERO(&tb.server_cpus);
	CPU_ZERO(&tb.client_cpus);
	CPU_SET(server, &tb.server_cpus);
	CPU_SET(client, &tb.client_cpus);
	return tb;
}

/* cpu0 in 2 s: user 0.6, nice 0.02, system 0.4, idle 0.6, iowait -0.1 (taken as 0), irq 0.01,
 * softirq 0.26, steal 0.1: busy 2 - 0.6 - 0.1 = 1.3. With cpu1: 4 - 1.8 - 0.1 (iowait of both:
 * -0.1). */
static void test_window(void **state)
{
	struct testbed tb = bed(0, 1);
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	kit_begin(&k, "cpu");
	kit_run(&k, &collector_cpu, &env);
	kit_near(&k, "cpu_pct", 65);
	kit_near(&k, "cpu_user_pct", 31);
	kit_near(&k, "cpu_sys_pct", 20);
	kit_near(&k, "cpu_softirq_pct", 13.5);
	kit_near(&k, "steal_pct", 5);
	kit_near(&k, "cpu_s_per_gb", 1.3 / 4);
	kit_near(&k, "host_cpu_s_per_gb", 2.1 / 4);
	kit_end(&k);
}

static void test_all_cpus_without_a_testbed(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct kit k;

	(void)state;
	kit_begin(&k, "cpu");
	kit_run(&k, &collector_cpu, &env);
	kit_near(&k, "cpu_pct", 100 * (8 - 4.4 - 0.1) / 2);
	kit_near(&k, "host_cpu_s_per_gb", 3.5 / 4);
	kit_end(&k);
}

/* Where the server's CPUs can't be told from the client's, only their sum is given. */
static void test_testbed_reason(void **state)
{
	struct testbed tb = bed(0, 1);
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	snprintf(tb.cpu_why, sizeof tb.cpu_why, "no steering");
	kit_begin(&k, "cpu");
	kit_run(&k, &collector_cpu, &env);
	assert_string_equal(kit_why(&k, "cpu_pct"), "no steering");
	assert_string_equal(kit_why(&k, "cpu_softirq_pct"), "no steering");
	assert_string_equal(kit_why(&k, "cpu_s_per_gb"), "no steering");
	kit_near(&k, "host_cpu_s_per_gb", 2.1 / 4);
	kit_end(&k);
}

static void test_unplugged(void **state)
{
	struct testbed tb = bed(1, 2);
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	kit_begin(&k, "cpu-unplugged");
	kit_run(&k, &collector_cpu, &env);
	assert_non_null(strstr(kit_why(&k, "cpu_pct"), "offline"));
	assert_non_null(strstr(kit_why(&k, "host_cpu_s_per_gb"), "offline"));
	kit_end(&k);

	tb = bed(2, 3); /* others are not concerned */
	kit_begin(&k, "cpu-unplugged");
	kit_run(&k, &collector_cpu, &env);
	kit_near(&k, "cpu_pct", 100 * (2 - 0.8) / 2);
	kit_end(&k);
}

static void test_backwards(void **state)
{
	struct testbed tb = bed(0, 1);
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	kit_begin(&k, "cpu-backwards");
	kit_run(&k, &collector_cpu, &env);
	assert_string_equal(kit_why(&k, "cpu_pct"), "/proc/stat ran backwards");
	kit_end(&k);
}

static void test_cpu_that_is_not_there(void **state)
{
	struct testbed tb = bed(9, 1);
	struct collector_env env = {.tb = &tb};
	struct collector *c = NULL;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "cpu");
	env.proc_root = k.proc;
	assert_int_equal(collector_cpu.open(&c, &env, &e), -ENOENT);
	assert_non_null(strstr(e.s, "none of the server's CPUs"));
	kit_end(&k);
}

static void test_no_file(void **state)
{
	struct collector_env env = {.proc_root = "/nonexistent"};
	struct collector *c = NULL;
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(collector_cpu.probe(&env, &e), -ENOENT);
	assert_non_null(strstr(e.s, "/nonexistent/stat"));
	assert_int_equal(collector_cpu.open(&c, &env, &e), -ENOENT);
}

static void test_never_marked(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct collector *c;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "cpu");
	env.proc_root = k.proc;
	assert_int_equal(collector_cpu.open(&c, &env, &e), 0);
	collector_cpu.finish(c, 1, &k.sink);
	collector_cpu.close(c);
	kit_complete(&k, &collector_cpu);
	assert_non_null(kit_why(&k, "cpu_pct"));
	kit_end(&k);
}

/* The running kernel: whatever the load, busy time lies between none and all. */
static void test_live(void **state)
{
	struct collector_env env = {.proc_root = "/proc", .sys_root = "/sys"};
	struct timespec ts = {.tv_nsec = 50000000};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct collector *c;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "");
	assert_int_equal(collector_cpu.open(&c, &env, &e), 0);
	collector_cpu.mark(c, 0, 1);
	nanosleep(&ts, NULL);
	collector_cpu.mark(c, 1, KIT_S);
	collector_cpu.finish(c, 1000000000, &k.sink);
	collector_cpu.close(c);
	kit_complete(&k, &collector_cpu);
	assert_true(kit_get(&k, "cpu_pct") >= 0 && kit_get(&k, "cpu_pct") <= 100.001 * cpus);
	kit_end(&k);
}

/* A CPU that something spins on is never idle, whatever else runs there: it is busy or stolen, all
 * of the time to 2 %. */
static void test_spinning_cpu_is_busy(void **state)
{
	struct testbed tb = bed(sched_getcpu(), sched_getcpu());
	struct collector_env env = {.tb = &tb, .proc_root = "/proc", .sys_root = "/sys"};
	struct timespec ts = {.tv_nsec = 600000000};
	struct collector *c;
	struct errbuf e = {""};
	struct kit k;
	int ready[2];
	char byte = 0;
	pid_t pid;

	(void)state;
	kit_begin(&k, "");
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		if (sched_setaffinity(0, sizeof tb.server_cpus, &tb.server_cpus) ||
		    write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			;
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(collector_cpu.open(&c, &env, &e), 0);
	collector_cpu.mark(c, 0, 1);
	nanosleep(&ts, NULL);
	collector_cpu.mark(c, 1, KIT_S);
	collector_cpu.finish(c, 1000000000, &k.sink);
	collector_cpu.close(c);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	kit_end(&k);
	assert_true(kit_get(&k, "cpu_pct") + kit_get(&k, "steal_pct") > 98);
	assert_true(kit_get(&k, "cpu_pct") + kit_get(&k, "steal_pct") < 102);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_all_cpus_without_a_testbed),
		cmocka_unit_test(test_testbed_reason),
		cmocka_unit_test(test_unplugged),
		cmocka_unit_test(test_backwards),
		cmocka_unit_test(test_cpu_that_is_not_there),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_never_marked),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_spinning_cpu_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
