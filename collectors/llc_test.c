/* collector llc on a made-up machine: counting, sharing of counters, each errno; libpfm4's names;
 * and software events on the running kernel. */
#include "collectors/test_kit.h"

#include "collectors/perf_fake.h"

#include <time.h>

/* The real call, before a test takes its place. */
static int (*live_open)(struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd,
			unsigned long flags);

static void on_time(double s)
{
	fake_now_s = s;
}

static struct testbed bed(void)
{
	struct testbed tb = {.server_fd = -1};

	CPU_SET(1, &tb.server_cpus);
	CPU_SET(3, &tb.server_cpus);
	return tb;
}

/* No hardware counters, as in most virtual machines. Software event n counts n * 10 + cpu a second.
 */
static int vm(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	(void)share;
	if (a->type != PERF_TYPE_SOFTWARE)
		return ENOENT;
	*per_s = (double)a->config * 1000 + cpu;
	return 0;
}

static void test_virtual_machine(void **state)
{
	struct testbed tb = bed();
	struct collector_env env = {.tb = &tb, .options = "llc.events=nonsense,MINOR-FAULTS"};
	struct kit k;
	struct errbuf e = {""};

	(void)state;
	kit_on_time = on_time;
	fake_machine(vm);
	kit_begin(&k, "llc");
	kit_run(&k, &collector_llc, &env);
	kit_near(&k, "sw_switches_per_s", PERF_COUNT_SW_CONTEXT_SWITCHES * 2000 + 4);
	kit_near(&k, "sw_faults_per_s", PERF_COUNT_SW_PAGE_FAULTS * 2000 + 4);
	kit_near(&k, "sw_migrations_per_s", PERF_COUNT_SW_CPU_MIGRATIONS * 2000 + 4);
	kit_near(&k, "event2_per_s", PERF_COUNT_SW_PAGE_FAULTS_MIN * 2000 + 4);
	kit_near(&k, "llc_running_share", 1);
	assert_non_null(strstr(kit_why(&k, "llc_miss_per_s"), "no such counter"));
	assert_non_null(strstr(kit_why(&k, "event1_per_s"), "'nonsense'"));
	assert_non_null(strstr(kit_why(&k, "event3_per_s"), "llc.events"));
	assert_int_equal(collector_llc.probe(&env, &e), 0);
	assert_non_null(strstr(e.s, "software events only"));
	assert_int_equal(fake_open, 0);
	kit_end(&k);
}

/* Hardware events by their generic numbers (the names for this CPU differ, the last of the table is
 * known everywhere); counters run a quarter of the time on CPU 3. */
static int metal(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	if (a->type == PERF_TYPE_SOFTWARE || a->exclude_user || a->exclude_kernel)
		return EINVAL;
	*per_s = 4000;
	*share = cpu == 3 ? 0.25 : 1;
	return 0;
}

static void test_multiplexing(void **state)
{
	struct testbed tb = bed();
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	fake_machine(metal);
	kit_begin(&k, "llc");
	kit_run(&k, &collector_llc, &env);
	kit_near(&k, "llc_miss_per_s", 8000);
	kit_near(&k, "cycles_per_s", 8000);
	kit_near(&k, "llc_running_share", 0.25);
	assert_int_equal(kit_slot(&k, "llc_miss_per_s", 1)->has, 1);
	assert_true(kit_slot(&k, "llc_miss_per_s", 1)->value == 8000);
	assert_int_equal(fake_open, 0);
	kit_end(&k);
}

/* CPU 3 is unplugged in the middle of the window, before it, after it; another is. */
static void test_unplugged_cpu(void **state)
{
	static const struct {
		int cpu;
		double at_s;
		bool counts;
	} cases[] = {
		{3, 11, false}, {3, 9.5, false}, {1, 11.5, false}, {3, 12, true}, {2, 11, true}};
	struct testbed tb = bed();
	struct collector_env env = {.tb = &tb};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kit k;

		fake_machine(metal);
		fake_unplugged = cases[i].cpu;
		fake_unplugged_at_s = cases[i].at_s;
		kit_begin(&k, "llc");
		kit_run(&k, &collector_llc, &env);
		if (cases[i].counts)
			kit_near(&k, "llc_miss_per_s", 8000);
		else
			assert_non_null(strstr(kit_why(&k, "llc_miss_per_s"), "went offline"));
		kit_end(&k);
	}
}

static int never_runs(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	(void)cpu;
	*per_s = 1000;
	*share = a->type == PERF_TYPE_SOFTWARE ? 1 : 0;
	return 0;
}

static void test_never_runs(void **state)
{
	struct testbed tb = bed();
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	fake_machine(never_runs);
	kit_begin(&k, "llc");
	kit_run(&k, &collector_llc, &env);
	assert_non_null(strstr(kit_why(&k, "llc_miss_per_s"), "not counted"));
	kit_near(&k, "sw_faults_per_s", 2000);
	kit_end(&k);
}

static int chosen_errno;

static int refuses(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	(void)a;
	(void)cpu;
	(void)per_s;
	(void)share;
	return chosen_errno;
}

static void test_each_errno(void **state)
{
	static const struct {
		int err;
		const char *says;
	} cases[] = {
		{ENOENT, "no such counter"},
		{EACCES, "perf_event_paranoid"},
		{EPERM, "perf_event_paranoid"},
		{EBUSY, "stop other profilers"},
		{ENODEV, "offline"},
		{EINVAL, "configuration"},
		{EMFILE, "ulimit -n"},
		{EOPNOTSUPP, "no such counter"},
		{EIO, "Input/output error"},
	};
	struct testbed tb = bed();
	struct collector_env env = {.tb = &tb, .options = ""};
	struct kit k;

	(void)state;
	kit_begin(&k, "llc");
	env.proc_root = k.proc;
	env.sys_root = k.sys;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct errbuf e = {""};

		chosen_errno = cases[i].err;
		fake_machine(refuses);
		assert_true(collector_llc.probe(&env, &e) < 0);
		if (!strstr(e.s, cases[i].says))
			fail_msg("errno %d says: %s", cases[i].err, e.s);
		assert_int_equal(fake_open, 0);
	}
	kit_end(&k);
}

/* The second of two CPUs went offline: all or none of an event. */
static int one_offline(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	(void)a;
	(void)per_s;
	(void)share;
	return cpu == 3 ? ENODEV : 0;
}

static void test_offline_cpu(void **state)
{
	struct testbed tb = bed();
	struct collector_env env = {.tb = &tb, .options = ""};
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "llc");
	env.proc_root = k.proc;
	env.sys_root = k.sys;
	fake_machine(one_offline);
	assert_true(collector_llc.probe(&env, &e) < 0);
	assert_non_null(strstr(e.s, "offline"));
	assert_int_equal(fake_open, 0);
	kit_end(&k);
}

/* AMD: misses are the L3 PMU's, on the CPUs of its mask, whatever the server's are. */
static int amd(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	(void)share;
	if (a->type != 12)
		return ENOENT;
	assert_true(cpu == 0 || cpu == 8);
	*per_s = a->config == 0x104 ? 100 : a->config == 0xff04 ? 700 : -1;
	return *per_s < 0 ? EINVAL : 0;
}

static void test_amd_l3(void **state)
{
	struct testbed tb = bed();
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	fake_machine(amd);
	kit_begin(&k, "llc-amd");
	kit_run(&k, &collector_llc, &env);
	kit_near(&k, "llc_miss_per_s", 200);
	kit_near(&k, "llc_ref_per_s", 1400);
	kit_end(&k);
}

static void test_increase(void **state)
{
	const struct perf_spec s = {.unit = 64};
	const struct perf_reading a = {1000, 100, 100}, b = {1500, 300, 200},
				  back = {900, 300, 200};
	double v, share = 1;

	(void)state;
	assert_true(perf_increase(&s, &a, &b, &v, &share));
	assert_true(v == 500 * 2 * 64 && share == 0.5);
	assert_false(perf_increase(&s, &a, &back, &v, &share));
	assert_false(perf_increase(&s, &a, &a, &v, &share));
}

static void test_names(void **state)
{
	struct perf_spec s;
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(perf_named("perf::PERF_COUNT_SW_PAGE_FAULTS", &s, &e), 0);
	assert_int_equal(s.type, PERF_TYPE_SOFTWARE);
	assert_int_equal(s.config, PERF_COUNT_SW_PAGE_FAULTS);
	assert_int_equal(perf_named("perf::PERF_COUNT_HW_CACHE_LL:READ:MISS", &s, &e), 0);
	assert_int_equal(s.type, PERF_TYPE_HW_CACHE);
	assert_int_equal(perf_named("no::SUCH:EVENT", &s, &e), -ENOENT);
	assert_non_null(strstr(e.s, "no::SUCH:EVENT"));
}

/* The running kernel: our own page faults on all CPUs are at least those made in the window. */
static void test_live(void **state)
{
	struct collector_env env = {.proc_root = "/proc", .sys_root = "/sys", .options = ""};
	struct timespec a, b;
	struct collector *c = NULL;
	struct errbuf e = {""};
	struct kit k;
	double seconds, faults;
	char *memory;

	(void)state;
	perf_calls.open = live_open;
	perf_calls.read = read;
	perf_calls.close = close;
	if (collector_llc.open(&c, &env, &e)) {
		print_message("skipped: %s\n", e.s);
		skip();
	}
	kit_begin(&k, "");
	memory = malloc(1000 * 4096);
	clock_gettime(CLOCK_MONOTONIC, &a);
	collector_llc.mark(c, 0, 0);
	for (int i = 0; i < 1000; i++)
		((volatile char *)memory)[i * 4096] = 1;
	collector_llc.mark(c, 1, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	free(memory);
	collector_llc.finish(c, 0, &k.sink);
	collector_llc.close(c);
	kit_complete(&k, &collector_llc);
	seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	faults = kit_get(&k, "sw_faults_per_s") * seconds;
	kit_end(&k);
	assert_true(faults >= 1); /* huge pages may make it few */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_virtual_machine), cmocka_unit_test(test_multiplexing),
		cmocka_unit_test(test_unplugged_cpu),	cmocka_unit_test(test_never_runs),
		cmocka_unit_test(test_each_errno),	cmocka_unit_test(test_offline_cpu),
		cmocka_unit_test(test_amd_l3),		cmocka_unit_test(test_increase),
		cmocka_unit_test(test_names),		cmocka_unit_test(test_live),
	};

	live_open = perf_calls.open;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
