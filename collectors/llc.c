/* collector llc: last-level cache misses of the server's CPUs, and any other event by name.
 *
 * One group per CPU, so that its counters run at the same time; all of them are counted always, for
 * whatever runs on the CPU. Which event counts misses is a table of names, the first that this
 * machine opens wins. Software events take the same way, which keeps it in use where there is no
 * PMU.
 *
 * Limits: these are core events: device DMA is never among them, so no bandwidth follows from
 * misses (that is collector membw's). On AMD the counter belongs to an L3 complex: its other CPUs'
 * misses are in it. At most COUNTERS_MAX events.
 *
 * [collect] llc.events = NAME, NAME: libpfm4 names, results event1_per_s, event2_per_s ...
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/perf.h"
#include "collectors/procfs.h"
#include "harness/collector.h"

#define COUNTERS_MAX  16
#define ENABLED_LEAST 0.9 /* of the window: less, and the CPU was not there */
#define CPUS_MAX      1024
#define USER_MAX      4

struct counter {
	const char *metric;
	struct perf_spec spec;
	int n; /* descriptors */
	int *fd;
	struct perf_reading *at[3]; /* at the marks and at the last sample, one a descriptor */
	struct errbuf why;	    /* if n is 0 */
};

struct collector {
	const struct collector_env *env;
	cpu_set_t cpus;
	struct counter counter[COUNTERS_MAX];
	int n;
	uint64_t t_ns[3];
	bool marked[2];
};

static const struct collector_metric metrics[] = {
	{"llc_miss_per_s", "1/s", "last-level cache misses of the server's CPUs"},
	{"llc_ref_per_s", "1/s", "accesses to it"},
	{"cycles_per_s", "1/s", "cycles of the server's CPUs, not halted"},
	{"instr_per_s", "1/s", "instructions of the server's CPUs"},
	{"sw_switches_per_s", "1/s", "context switches on the server's CPUs"},
	{"sw_faults_per_s", "1/s", "page faults on the server's CPUs"},
	{"sw_migrations_per_s", "1/s", "processes that moved to one of the server's CPUs"},
	{"event1_per_s", "1/s", "llc.events, first"},
	{"event2_per_s", "1/s", "second"},
	{"event3_per_s", "1/s", "third"},
	{"event4_per_s", "1/s", "fourth"},
	{"llc_running_share", "", "least share of the time in which a counter counted"},
	{NULL, NULL, NULL},
};

/* Names are tried in this order. */
static const struct {
	const char *metric, *name[4];
} known[] = {
	{"llc_miss_per_s",
	 {"LONGEST_LAT_CACHE:MISS", "LAST_LEVEL_CACHE_MISSES", "LL_CACHE_MISS_RD",
	  "perf::PERF_COUNT_HW_CACHE_LL:READ:MISS"}},
	{"llc_ref_per_s",
	 {"LONGEST_LAT_CACHE:REFERENCE", "LAST_LEVEL_CACHE_REFERENCES", "LL_CACHE_RD",
	  "perf::PERF_COUNT_HW_CACHE_LL:READ:ACCESS"}},
	{"cycles_per_s", {"perf::PERF_COUNT_HW_CPU_CYCLES"}},
	{"instr_per_s", {"perf::PERF_COUNT_HW_INSTRUCTIONS"}},
	{"sw_switches_per_s", {"perf::PERF_COUNT_SW_CONTEXT_SWITCHES"}},
	{"sw_faults_per_s", {"perf::PERF_COUNT_SW_PAGE_FAULTS"}},
	{"sw_migrations_per_s", {"perf::PERF_COUNT_SW_CPU_MIGRATIONS"}},
};

#define SOFTWARE_FROM 4 /* index in known: these form no hardware group */

/* --- opening --- */

static void close_counter(struct counter *c)
{
	while (c->n)
		perf_calls.close(c->fd[--c->n]);
	free(c->fd);
	for (int i = 0; i < 3; i++)
		free(c->at[i]);
	c->fd = NULL;
	memset(c->at, 0, sizeof c->at);
}

static int room_for(struct counter *c, int cpus)
{
	c->fd = calloc((size_t)cpus, sizeof *c->fd);
	for (int i = 0; i < 3; i++)
		c->at[i] = calloc((size_t)cpus, sizeof *c->at[i]);
	return c->fd && c->at[0] && c->at[1] && c->at[2] ? 0 : -ENOMEM;
}

/* One descriptor for each CPU of the set, in the groups of `leader` if it has as many. All or none.
 */
static int open_counter(struct counter *c, const cpu_set_t *cpus, const struct counter *leader)
{
	int err = room_for(c, CPU_COUNT(cpus));

	for (int cpu = 0; cpu < CPUS_MAX && !err; cpu++) {
		int group, fd;

		if (!CPU_ISSET(cpu, cpus))
			continue;
		group = leader && leader->n > c->n ? leader->fd[c->n] : -1;
		fd = perf_open(&c->spec, cpu, group);
		if (fd == -EINVAL && group >= 0) /* does not fit the group: alone */
			fd = perf_open(&c->spec, cpu, -1);
		if (fd < 0)
			err = fd;
		else
			c->fd[c->n++] = fd;
	}
	if (err) {
		close_counter(c);
		perf_explain(&c->spec, err, &c->why);
	}
	return err;
}

/* AMD: the L3's own PMU, counted on one CPU for each complex (cpumask). */
static int open_amd_l3(struct counter *c, const struct collector_env *env, bool miss)
{
	char mask[256];
	cpu_set_t cpus;
	int err = perf_described(env->sys_root, "amd_l3", miss ? "l3_misses" : "l3_lookups",
				 miss ? "event=0x04,umask=0x01" : "event=0x04,umask=0xff", 1,
				 &c->spec, &c->why);

	if (err)
		return err;
	if (procfs_slurp(env->sys_root, "bus/event_source/devices/amd_l3/cpumask", mask,
			 sizeof mask) < 0 ||
	    !procfs_cpus(mask, &cpus))
		return errf(&c->why, -EPROTO, "the cpumask of amd_l3 can't be read");
	return open_counter(c, &cpus, NULL);
}

/* The counter as opened stays even if nothing opened: it carries the reason. */
static struct counter *add(struct collector *c, const char *metric)
{
	struct counter *k = &c->counter[c->n++];

	k->metric = metric;
	return k;
}

static bool is_amd(const struct collector_env *env)
{
	char path[256];

	snprintf(path, sizeof path, "%s/bus/event_source/devices/amd_l3/type", env->sys_root);
	return access(path, R_OK) == 0;
}

static void open_known(struct collector *c, int i, const struct counter *leader)
{
	struct counter *k = add(c, known[i].metric);

	if (i < 2 && is_amd(c->env)) { /* "cache misses" of an AMD core are the L2's */
		open_amd_l3(k, c->env, i == 0);
		return;
	}
	for (int n = 0; n < 4 && known[i].name[n] && !k->n; n++)
		if (!perf_named(known[i].name[n], &k->spec, &k->why))
			open_counter(k, &c->cpus, leader);
}

static void open_user(struct collector *c)
{
	static const char *const metric[USER_MAX] = {"event1_per_s", "event2_per_s", "event3_per_s",
						     "event4_per_s"};
	char list[512] = "", *p = list;

	collector_option(c->env->options ? c->env->options : "", "llc.events", list, sizeof list);
	for (int i = 0; i < USER_MAX; i++) {
		struct counter *k = add(c, metric[i]);
		size_t n;

		p += strspn(p, ", ");
		n = strcspn(p, ", ");
		if (!n) {
			errf(&k->why, 0, "llc.events names no such event");
			continue;
		}
		p[n] = p[n] ? '\0' : p[n];
		if (!perf_named(p, &k->spec, &k->why))
			open_counter(k, &c->cpus, NULL);
		p += n + (p + n < list + sizeof list - 1);
	}
}

static void open_all(struct collector *c)
{
	int count = (int)(sizeof known / sizeof *known);

	for (int i = 0; i < count; i++)
		open_known(c, i, i && i < SOFTWARE_FROM ? &c->counter[0] : NULL);
	open_user(c);
}

static void choose_cpus(struct collector *c)
{
	char text[1024];

	CPU_ZERO(&c->cpus);
	if (c->env->tb)
		c->cpus = c->env->tb->server_cpus;
	else if (procfs_slurp(c->env->sys_root, "devices/system/cpu/online", text, sizeof text) >=
		 0)
		procfs_cpus(text, &c->cpus);
}

static void llc_close(struct collector *c)
{
	while (c->n)
		close_counter(&c->counter[--c->n]);
	free(c);
}

static int llc_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	struct collector *c = calloc(1, sizeof *c);
	int opened = 0;

	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->env = env;
	choose_cpus(c);
	open_all(c);
	for (int i = 0; i < c->n; i++)
		opened += c->counter[i].n > 0;
	if (!opened) {
		errf(e, -ENOENT, "%s", c->counter[0].why.s);
		llc_close(c);
		return -ENOENT;
	}
	*out = c;
	return 0;
}

/* Available as soon as one event is; `e` then tells about misses if they are not counted. */
static int llc_probe(const struct collector_env *env, struct errbuf *e)
{
	struct collector *c;
	int err = llc_open(&c, env, e);

	if (err)
		return err;
	if (!c->counter[0].n)
		errf(e, 0, "software events only: %s", c->counter[0].why.s);
	llc_close(c);
	return 0;
}

/* --- reading --- */

static void read_counter(struct counter *c, int slot)
{
	for (int i = 0; i < c->n; i++)
		if (perf_read(c->fd[i], &c->at[slot][i]))
			c->at[slot][i] = (struct perf_reading){0};
}

/* Sum over CPUs. */
static bool increase(const struct counter *c, int from, int to, double *sum, double *share)
{
	*sum = 0;
	for (int i = 0; i < c->n; i++) {
		double v;

		if (!perf_increase(&c->spec, &c->at[from][i], &c->at[to][i], &v, share))
			return false;
		*sum += v;
	}
	return true;
}

/* An event of a CPU that is unplugged stops for good, whether the CPU comes back or not. */
static bool cpu_went_away(const struct counter *c, double ns)
{
	for (int i = 0; i < c->n; i++)
		if ((double)c->at[1][i].enabled_ns - (double)c->at[0][i].enabled_ns <
		    ENABLED_LEAST * ns)
			return true;
	return false;
}

static void llc_mark(struct collector *c, int which, uint64_t t_ns)
{
	for (int i = 0; i < c->n; i++)
		read_counter(&c->counter[i], which);
	c->t_ns[which] = collector_now(c->env, t_ns);
	c->marked[which] = true;
}

/* Only the misses: reading a counter interrupts its CPU. */
static void llc_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	struct counter *k = &c->counter[0];
	struct perf_reading before[CPUS_MAX];
	uint64_t last = c->t_ns[2];
	double sum = 0, share = 1;

	if (!k->n)
		return;
	memcpy(before, k->at[2], (size_t)k->n * sizeof *before);
	read_counter(k, 2);
	c->t_ns[2] = collector_now(c->env, t_ns);
	if (!last || c->t_ns[2] <= last)
		return;
	for (int i = 0; i < k->n; i++) {
		double v;

		if (!perf_increase(&k->spec, &before[i], &k->at[2][i], &v, &share))
			return;
		sum += v;
	}
	s->emit(s, t_ns, k->metric, sum * 1e9 / (double)(c->t_ns[2] - last));
}

static void llc_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	double ns = (double)(c->t_ns[1] - c->t_ns[0]), least = 1;
	bool any = false;

	(void)net_bytes;
	for (int i = 0; i < c->n; i++) {
		struct counter *k = &c->counter[i];
		double sum;

		if (!k->n) {
			s->missing(s, k->metric, k->why.s);
		} else if (!c->marked[0] || !c->marked[1] || ns <= 0) {
			s->missing(s, k->metric, "the window is empty");
		} else if (cpu_went_away(k, ns)) {
			s->missing(s, k->metric,
				   "a CPU went offline in the window, and its events with it");
		} else if (!increase(k, 0, 1, &sum, &least)) {
			s->missing(
				s, k->metric,
				"not counted: the kernel gave the event no counter all the time");
		} else {
			s->result(s, k->metric, sum * 1e9 / ns);
			any = true;
		}
	}
	if (any)
		s->result(s, "llc_running_share", least);
	else
		s->missing(s, "llc_running_share", "nothing was counted");
}

const struct collector_ops collector_llc = {
	.name = "llc",
	.metrics = metrics,
	.probe = llc_probe,
	.open = llc_open,
	.mark = llc_mark,
	.sample = llc_sample,
	.finish = llc_finish,
	.close = llc_close,
};
