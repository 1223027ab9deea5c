/* collector cpu: how busy the server's CPUs were, from /proc/stat.
 *
 * Busy is what an own host would have been busy with: wall time - idle - iowait - steal, per CPU,
 * by the clock. Idle time is exact on a kernel that stops its tick when idle, where user, system
 * and softirq are counted by whoever the 10 ms tick finds running: the shares are rougher than the
 * sum.
 *
 * Limits: the kernel prints all of them in 10 ms. iowait may run backwards (proc(5)) and is then
 * taken as 0. A CPU that goes away or comes back within the window leaves no result.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "collectors/procfs.h"
#include "harness/collector.h"

enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, COLUMNS };

struct reading {
	uint64_t t_ns;
	int n; /* CPUs of the set that are there; -1: not read */
	uint64_t sum[COLUMNS];
	cpu_set_t there;
};

enum { SERVER, ALL, SETS };

struct collector {
	const struct collector_env *env;
	int fd;
	double tick_s;
	cpu_set_t cpus[SETS];
	struct reading mark[2][SETS], last;
	uint64_t window_ns[2]; /* where the load's window starts and ends */
	struct procfs_text text;
};

static const struct collector_metric metrics[] = {
	{"cpu_pct", "%", "busy time of the server's CPUs; 100 % is one core"},
	{"cpu_user_pct", "%", "of it user"},
	{"cpu_sys_pct", "%", "of it system, without softirq"},
	{"cpu_softirq_pct", "%", "of it softirq and irq"},
	{"steal_pct", "%", "time the hypervisor took from the server's CPUs"},
	{"cpu_s_per_gb", "s/GB", "busy seconds of the server's CPUs per body gigabyte (1e9 bytes)"},
	{"host_cpu_s_per_gb", "s/GB", "the same, server's and client's CPUs together"},
	{NULL, NULL, NULL},
};

/* Add up the lines "cpuN ..." of the CPUs in `set`. */
static void read_set(const struct procfs_text *t, const cpu_set_t *set, struct reading *r)
{
	*r = (struct reading){.t_ns = r->t_ns};
	CPU_ZERO(&r->there);
	for (const char *p = t->s; p; p = strchr(p, '\n')) {
		uint64_t v[COLUMNS] = {0};
		int cpu, at = 0;

		p += *p == '\n';
		if (strncmp(p, "cpu", 3) != 0)
			break; /* they come first */
		if (sscanf(p, "cpu%d%n", &cpu, &at) != 1 || cpu < 0 || cpu >= CPU_SETSIZE ||
		    !CPU_ISSET(cpu, set) || procfs_numbers(p + at, v, COLUMNS) <= IDLE)
			continue;
		CPU_SET(cpu, &r->there);
		r->n++;
		for (int i = 0; i < COLUMNS; i++)
			r->sum[i] += v[i];
	}
}

static int read_now(struct collector *c, uint64_t t_ns, struct reading r[SETS])
{
	int n = procfs_read(c->fd, &c->text);

	for (int i = 0; i < SETS; i++) {
		r[i].t_ns = t_ns;
		r[i].n = -1;
		if (n >= 0)
			read_set(&c->text, &c->cpus[i], &r[i]);
	}
	return n;
}

/* Seconds spent between two readings of the same set. */
struct spent {
	double wall, busy, user, sys, softirq, steal; /* wall: of one CPU */
};

/* Why there is no difference; NULL and *out if there is one. */
static const char *difference(const struct collector *c, const struct reading *a,
			      const struct reading *b, struct spent *out)
{
	double s[COLUMNS], all;

	if (a->n < 0 || b->n < 0)
		return "/proc/stat could not be read";
	if (a->n == 0 || !CPU_EQUAL(&a->there, &b->there))
		return "a CPU of the set was offline or changed its state during the window";
	if (b->t_ns <= a->t_ns)
		return "the window is empty";
	for (int i = 0; i < COLUMNS; i++) {
		if (i != IOWAIT && b->sum[i] < a->sum[i])
			return "/proc/stat ran backwards";
		s[i] = b->sum[i] < a->sum[i] ? 0 : (double)(b->sum[i] - a->sum[i]) * c->tick_s;
	}
	out->wall = (double)(b->t_ns - a->t_ns) / NSEC_PER_SEC;
	all = out->wall * b->n;
	out->busy = all - s[IDLE] - s[IOWAIT] - s[STEAL];
	out->busy = out->busy < 0 ? 0 : out->busy > all ? all : out->busy;
	out->user = s[USER] + s[NICE];
	out->sys = s[SYSTEM];
	out->softirq = s[IRQ] + s[SOFTIRQ];
	out->steal = s[STEAL];
	return NULL;
}

static int cpu_probe(const struct collector_env *env, struct errbuf *e)
{
	int fd = procfs_open(env->proc_root, "stat", e);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Without a testbed: every CPU that is there. */
static void choose_cpus(struct collector *c)
{
	memset(&c->cpus[ALL], 0xff, sizeof c->cpus[ALL]);
	c->cpus[SERVER] = c->cpus[ALL];
	if (!c->env->tb)
		return;
	c->cpus[SERVER] = c->env->tb->server_cpus;
	CPU_OR(&c->cpus[ALL], &c->cpus[SERVER], &c->env->tb->client_cpus);
}

static int cpu_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	struct collector *c = calloc(1, sizeof *c);
	long hz = sysconf(_SC_CLK_TCK);
	struct reading first[SETS];

	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->env = env;
	c->tick_s = 1.0 / (double)(hz > 0 ? hz : 100);
	for (int i = 0; i < SETS; i++)
		c->mark[0][i].n = c->mark[1][i].n = -1;
	c->last.n = -1;
	choose_cpus(c);
	c->fd = procfs_open(env->proc_root, "stat", e);
	if (c->fd < 0) {
		int err = c->fd;

		free(c);
		return err;
	}
	read_now(c, 0, first);
	if (first[SERVER].n <= 0) {
		close(c->fd);
		free(c);
		return errf(e, -ENOENT, "%s/stat lists none of the server's CPUs", env->proc_root);
	}
	*out = c;
	return 0;
}

static void cpu_mark(struct collector *c, int which, uint64_t t_ns)
{
	c->window_ns[which] = t_ns;
	read_now(c, collector_now(c->env, t_ns), c->mark[which]);
}

static void cpu_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	struct reading now[SETS];
	struct spent d;

	read_now(c, t_ns, now);
	if (!*(c->env->tb ? c->env->tb->cpu_why : "") &&
	    !difference(c, &c->last, &now[SERVER], &d)) {
		s->emit(s, t_ns, "cpu_pct", 100 * d.busy / d.wall);
		s->emit(s, t_ns, "cpu_softirq_pct", 100 * d.softirq / d.wall);
		s->emit(s, t_ns, "steal_pct", 100 * d.steal / d.wall);
	}
	c->last = now[SERVER];
}

/* The readings are a little later than the window that `net_bytes` belong to: scale by its length.
 */
static void per_gb(const struct collector *c, struct collector_sink *s, const char *metric,
		   const struct spent *d, uint64_t net_bytes)
{
	double window = (double)(c->window_ns[1] - c->window_ns[0]) / NSEC_PER_SEC;

	if (net_bytes)
		s->result(s, metric, d->busy / d->wall * window / ((double)net_bytes / 1e9));
	else
		s->missing(s, metric, "no body byte arrived in the window");
}

static void cpu_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	const char *tb_why = c->env->tb ? c->env->tb->cpu_why : "", *why;
	struct spent d;

	why = difference(c, &c->mark[0][ALL], &c->mark[1][ALL], &d);
	if (why)
		s->missing(s, "host_cpu_s_per_gb", why);
	else
		per_gb(c, s, "host_cpu_s_per_gb", &d, net_bytes);
	why = difference(c, &c->mark[0][SERVER], &c->mark[1][SERVER], &d);
	if (!why)
		s->result(s, "steal_pct", 100 * d.steal / d.wall);
	else
		s->missing(s, "steal_pct", why);
	if (*tb_why)
		why = tb_why;
	if (why) {
		for (int i = 0; metrics[i].name; i++)
			if (strncmp(metrics[i].name, "cpu_", 4) == 0)
				s->missing(s, metrics[i].name, why);
		return;
	}
	s->result(s, "cpu_pct", 100 * d.busy / d.wall);
	s->result(s, "cpu_user_pct", 100 * d.user / d.wall);
	s->result(s, "cpu_sys_pct", 100 * d.sys / d.wall);
	s->result(s, "cpu_softirq_pct", 100 * d.softirq / d.wall);
	per_gb(c, s, "cpu_s_per_gb", &d, net_bytes);
}

static void cpu_close(struct collector *c)
{
	close(c->fd);
	free(c);
}

const struct collector_ops collector_cpu = {
	.name = "cpu",
	.metrics = metrics,
	.probe = cpu_probe,
	.open = cpu_open,
	.mark = cpu_mark,
	.sample = cpu_sample,
	.finish = cpu_finish,
	.close = cpu_close,
};
