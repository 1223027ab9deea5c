/* collector membw: each kind of uncore PMU from a recorded /sys on a made-up machine, resctrl from
 * a recorded one, pcm-memory's CSV from recorded output and from a stand-in program; the known
 * walk. */
#include "collectors/test_kit.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#include "collectors/membw.h"
#include "collectors/perf_fake.h"

static void on_time(double s)
{
	fake_now_s = s;
}

/* --- PMUs --- */

/* Reads 1e6 lines a second on each controller and socket, twice that on CPU 16's; writes half. */
static int intel(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	(void)share;
	if (a->type != 13 && a->type != 14)
		return ENOENT;
	assert_true(!a->exclude_user && !a->exclude_kernel && !a->exclude_hv);
	assert_true(cpu == 0 || cpu == 16);
	assert_true(a->config == 0x304 || a->config == 0xc04);
	*per_s = (a->config == 0x304 ? 1e6 : 5e5) * (cpu ? 2 : 1);
	return 0;
}

static void test_intel_imc(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct kit k;

	(void)state;
	kit_on_time = on_time;
	fake_machine(intel);
	kit_begin(&k, "membw-imc");
	kit_run(&k, &collector_membw, &env);
	kit_near(&k, "mem_source", MEMBW_IMC);
	kit_near(&k, "mem_s0_read_gbps", 2 * 1e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_s1_read_gbps", 4 * 1e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_s1_write_gbps", 2 * 1e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_read_gbps", 6 * 1e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_write_gbps", 3 * 1e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_total_gbps", 9 * 1e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_read_per_net_byte", 2 * 6e6 * 64 / 4e9);
	kit_near(&k, "mem_running_share", 1);
	assert_non_null(kit_why(&k, "mem_s2_read_gbps"));
	assert_non_null(kit_why(&k, "mem_calibration_pct")); /* no walk on a recorded machine */
	assert_true(fabs(kit_slot(&k, "mem_read_gbps", 1)->value - 3.072) < 1e-9);
	assert_int_equal(fake_open, 0);
	kit_end(&k);
}

static int amd_umc(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	if (a->type < 20 || a->type > 22)
		return ENOENT;
	assert_int_equal(cpu, 0);
	assert_true(a->config == 0x10a || a->config == 0x20a);
	*per_s = a->config == 0x10a ? 3e6 : 1e6;
	*share = 0.5; /* time-shared: scaled up */
	return 0;
}

static void test_amd_umc(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct kit k;

	(void)state;
	fake_machine(amd_umc);
	kit_begin(&k, "membw-umc");
	kit_run(&k, &collector_membw, &env);
	kit_near(&k, "mem_source", MEMBW_UMC);
	kit_near(&k, "mem_read_gbps", 9e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_write_gbps", 3e6 * 64 * 8 / 1e9);
	kit_near(&k, "mem_running_share", 0.5);
	kit_end(&k);
}

/* The event number is wider than its first field: 0x1c7 is spread over bits 0-7 and 32-35. */
static int amd_df(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	static const uint64_t want[] = {0x3807,		0x3847,		0x3887,
					0x38c7,		0x100003807ull, 0x100003847ull,
					0x100003887ull, 0x1000038c7ull};
	bool known = false;

	(void)cpu;
	(void)share;
	if (a->type != 30)
		return ENOENT;
	for (size_t i = 0; i < sizeof want / sizeof *want; i++)
		known |= a->config == want[i];
	assert_true(known);
	*per_s = 1e6;
	return 0;
}

static void test_amd_df(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct kit k;

	(void)state;
	fake_machine(amd_df);
	kit_begin(&k, "membw-df");
	kit_run(&k, &collector_membw, &env);
	kit_near(&k, "mem_source", MEMBW_DF);
	kit_near(&k, "mem_total_gbps", 8e6 * 64 * 8 / 1e9);
	assert_non_null(strstr(kit_why(&k, "mem_read_gbps"), "does not tell"));
	kit_end(&k);
}

static int not_permitted(const struct perf_event_attr *a, int cpu, double *per_s, double *share)
{
	(void)a;
	(void)cpu;
	(void)per_s;
	(void)share;
	return EACCES;
}

static void test_not_permitted(void **state)
{
	struct collector_env env = {.options = ""};
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	fake_machine(not_permitted);
	kit_begin(&k, "membw-imc");
	env.proc_root = k.proc;
	env.sys_root = k.sys;
	assert_true(collector_membw.probe(&env, &e) < 0);
	assert_non_null(strstr(e.s, "perf_event_paranoid"));
	kit_end(&k);
}

static void test_nothing_there(void **state)
{
	struct collector_env env = {.options = ""};
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	fake_machine(not_permitted);
	kit_begin(&k, "llc");
	env.proc_root = k.proc;
	env.sys_root = k.sys;
	assert_int_equal(collector_membw.probe(&env, &e), -ENOENT);
	assert_non_null(strstr(e.s, "no memory controller in sysfs"));
	assert_non_null(strstr(e.s, "install the package pcm"));
	kit_end(&k);
}

/* A source that is named is the only one asked. */
static void test_named_source(void **state)
{
	struct collector_env env = {.options = "llc.events=x;membw.source=umc"};
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	fake_machine(intel);
	kit_begin(&k, "membw-imc");
	env.proc_root = k.proc;
	env.sys_root = k.sys;
	assert_true(collector_membw.probe(&env, &e) < 0);
	assert_non_null(strstr(e.s, "membw.source = umc: "));
	env.options = "membw.source=mic";
	assert_int_equal(collector_membw.probe(&env, &e), -EINVAL);
	assert_non_null(strstr(e.s, "choose imc"));
	env.options = "membw.source=imc";
	assert_int_equal(collector_membw.probe(&env, &e), 0);
	kit_end(&k);
}

/* --- resctrl --- */

static void test_resctrl(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct kit k;

	(void)state;
	fake_machine(not_permitted);
	kit_begin(&k, "membw-resctrl");
	kit_run(&k, &collector_membw, &env);
	kit_near(&k, "mem_source", MEMBW_RESCTRL);
	kit_near(&k, "mbm_total_gbps", 2.5e9 * 8 / 2e9);
	assert_non_null(strstr(kit_why(&k, "mem_read_gbps"), "no memory traffic"));
	assert_non_null(strstr(kit_why(&k, "mem_total_gbps"), "no memory traffic"));
	kit_end(&k);
}

static void test_resctrl_unavailable(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct kit k;

	(void)state;
	kit_begin(&k, "membw-resctrl-unavailable");
	kit_run(&k, &collector_membw, &env);
	assert_non_null(kit_why(&k, "mbm_total_gbps"));
	kit_end(&k);
}

/* --- pcm-memory's CSV --- */

struct csv {
	char text[8192];
	char *line[16];
	int lines;
	struct pcm_csv c;
};

static bool csv_load(struct csv *f, const char *name)
{
	char *p;

	memset(f, 0, sizeof *f);
	assert_true(procfs_slurp("tests/fixtures/collectors/pcm", name, f->text, sizeof f->text) >
		    0);
	for (p = strtok(f->text, "\n"); p; p = strtok(NULL, "\n"))
		f->line[f->lines++] = p;
	return pcm_header(&f->c, f->line[0], f->line[1]);
}

static void test_csv_one_socket(void **state)
{
	struct pcm_row r;
	struct csv f;

	(void)state;
	assert_true(csv_load(&f, "one-socket.csv"));
	assert_int_equal(f.c.sockets, 1);
	assert_int_equal(f.c.columns, 13);
	assert_true(pcm_values(&f.c, f.line[2], &r));
	assert_true(r.read == 2101.00 && r.write == 410.50);
	assert_true(r.socket_read[0] == 2101.00 && r.socket_write[0] == 410.50);
	assert_true(pcm_values(&f.c, f.line[3], &r));
	assert_true(r.read == 4000 && r.write == 800);
}

static void test_csv_two_sockets(void **state)
{
	struct pcm_row r;
	struct csv f;

	(void)state;
	assert_true(csv_load(&f, "two-sockets.csv"));
	assert_int_equal(f.c.sockets, 2);
	assert_true(pcm_values(&f.c, f.line[2], &r));
	assert_true(r.read == 40 && r.write == 60);
	assert_true(r.socket_read[0] == 10 && r.socket_read[1] == 30);
	assert_true(r.socket_write[0] == 20 && r.socket_write[1] == 40);
}

static void test_csv_dead_channels(void **state)
{
	struct pcm_row r;
	struct csv f;

	(void)state;
	assert_true(csv_load(&f, "dead-channels.csv"));
	assert_true(pcm_values(&f.c, f.line[2], &r));
	assert_true(r.read == 10 && r.write == 20);
	assert_false(pcm_values(&f.c, f.line[3], &r)); /* -1: the PMU is busy */
	assert_false(pcm_values(&f.c, f.line[4], &r)); /* nan */
	assert_true(pcm_values(&f.c, f.line[5], &r));
	assert_true(r.read == 50 && r.write == 60);
	assert_false(pcm_values(&f.c, f.line[6], &r)); /* killed in the middle of a line */
}

static void test_csv_others(void **state)
{
	struct pcm_row r;
	struct pcm_csv c;
	struct csv f;

	(void)state;
	assert_true(csv_load(&f, "header-only.csv"));
	assert_int_equal(f.lines, 2);
	assert_true(csv_load(&f, "pmm.csv")); /* persistent memory: the totals are Read and Write */
	assert_true(pcm_values(&f.c, f.line[2], &r));
	assert_true(r.read == 4 && r.write == 6);
	assert_false(pcm_header(&c, "", "Date,Time,Read,Write"));
	assert_false(pcm_header(&c, "System,System", ""));
}

/* --- a stand-in for the program --- */

static void stand_in(struct kit *k, const char *script)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/pcm-memory", k->root);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
	snprintf(path, sizeof path, "%s:/usr/bin:/bin", k->root);
	setenv("PATH", path, 1);
}

static void test_pcm_runs(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct membw_totals a, b;
	struct membw_source *s;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "");
	stand_in(&k,
		 "echo noise >&2; head -2 tests/fixtures/collectors/pcm/one-socket.csv; "
		 "[ \"$PCM_NO_RDT\" = 1 ] || exit 1; "
		 "while :; do tail -1 tests/fixtures/collectors/pcm/one-socket.csv; sleep 0.02; "
		 "done");
	assert_int_equal(membw_pcm.open(&s, &env, &e), 0);
	membw_pcm.read(s, &a);
	do {
		usleep(20000);
		membw_pcm.read(s, &b);
	} while (b.valid && b.read - a.read < 4000e6 * 0.2); /* 0.2 s of 4,000 MB/s */
	assert_true(b.valid);
	assert_true(fabs(b.read / b.write - 5) < 1e-6);
	assert_true(fabs(b.socket_read[0] - b.read) < 1);
	membw_pcm.close(s);
	kit_end(&k);
}

static void test_pcm_dies(void **state)
{
	struct collector_env env = {.tb = NULL};
	struct membw_totals t;
	struct membw_source *s;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "");
	stand_in(&k, "cat tests/fixtures/collectors/pcm/one-socket.csv; printf '2026-11-22,12'");
	assert_int_equal(membw_pcm.open(&s, &env, &e), 0);
	do {
		usleep(5000);
		membw_pcm.read(s, &t);
	} while (t.valid); /* ends when the pipe does */
	membw_pcm.close(s);

	stand_in(&k, "echo starting >&2; echo 'Unsupported processor model' >&2; echo 'Use another "
		     "tool' >&2; exit 1");
	assert_int_equal(membw_pcm.open(&s, &env, &e), -ENOENT);
	assert_non_null(strstr(e.s, "Unsupported processor model"));

	stand_in(&k, "cat tests/fixtures/collectors/pcm/header-only.csv");
	assert_int_equal(membw_pcm.open(&s, &env, &e), -ENOENT);
	assert_non_null(strstr(e.s, "it said nothing"));
	kit_end(&k);
}

/* --- the walk --- */

static void test_walk(void **state)
{
	cpu_set_t cpus;
	double s = 0, bytes;

	(void)state;
	sched_getaffinity(0, sizeof cpus, &cpus);
	bytes = membw_walk(&cpus, 1 << 20, 20, &s);
	assert_true(bytes > 0 && s > 0);
	assert_true(fmod(bytes, 1 << 20) == 0);
	CPU_ZERO(&cpus);
	assert_true(membw_walk(&cpus, 1 << 20, 20, &s) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intel_imc),
		cmocka_unit_test(test_amd_umc),
		cmocka_unit_test(test_amd_df),
		cmocka_unit_test(test_not_permitted),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_named_source),
		cmocka_unit_test(test_resctrl),
		cmocka_unit_test(test_resctrl_unavailable),
		cmocka_unit_test(test_csv_one_socket),
		cmocka_unit_test(test_csv_two_sockets),
		cmocka_unit_test(test_csv_dead_channels),
		cmocka_unit_test(test_csv_others),
		cmocka_unit_test(test_pcm_runs),
		cmocka_unit_test(test_pcm_dies),
		cmocka_unit_test(test_walk),
	};

	setenv("PATH", "/usr/bin:/bin", 1); /* the real pcm-memory is in /usr/sbin */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
