/* collector membw: memory reads and writes, from the best source that this machine has (membw.h).
 *
 * At the start of each run a known walk over memory is measured with the same counters: measured
 * against read is the calibration (100 % is right; other traffic adds to it), and what the walk
 * reached is the machine's own limit.
 *
 * Limits: it is the whole machine's traffic, whoever caused it. resctrl tells what CPUs caused,
 * which is reported under its own name and never as memory traffic.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/membw.h"
#include "collectors/procfs.h"

#define WALK_MS 200

struct collector {
	const struct collector_env *env;
	const struct membw_source_ops *ops;
	struct membw_source *source;
	struct membw_totals mark[2], last;
	uint64_t t_ns[2], last_ns;
	double calibration_pct, ceiling_gbps; /* 0: not measured */
};

static const struct collector_metric metrics[] = {
	{"mem_read_gbps", "Gb/s", "memory read, whole machine"},
	{"mem_write_gbps", "Gb/s", "memory written"},
	{"mem_total_gbps", "Gb/s", "both"},
	{"mem_read_per_net_byte", "", "memory bytes read per body byte"},
	{"mem_s0_read_gbps", "Gb/s", "memory read, first socket"},
	{"mem_s0_write_gbps", "Gb/s", "memory written, first socket"},
	{"mem_s1_read_gbps", "Gb/s", "second socket"},
	{"mem_s1_write_gbps", "Gb/s", "second socket"},
	{"mem_s2_read_gbps", "Gb/s", "third socket"},
	{"mem_s2_write_gbps", "Gb/s", "third socket"},
	{"mem_s3_read_gbps", "Gb/s", "fourth socket"},
	{"mem_s3_write_gbps", "Gb/s", "fourth socket"},
	{"mbm_total_gbps", "Gb/s", "resctrl: traffic that CPUs caused, no device DMA"},
	{"mem_source", "",
	 "1 Intel IMC, 2 AMD UMC, 3 AMD DF, 4 libpfm4, 5 pcm-memory, 6 resctrl (CPU-attributed)"},
	{"mem_running_share", "", "least share of the time in which a counter counted"},
	{"mem_calibration_pct", "%", "a known walk: measured / read; a warning beyond 90 to 110"},
	{"mem_ceiling_gbps", "Gb/s", "what a walk by the server's CPUs reads"},
	{"mem_ceiling_share_pct", "%", "reads of the run against that"},
	{NULL, NULL, NULL},
};

static const struct membw_source_ops *const sources[] = {
	&membw_imc, &membw_umc, &membw_df, &membw_pfm, &membw_pcm, &membw_resctrl,
};

/* As membw.source names them, in the order of their ids. */
static const char *const names[] = {"", "imc", "umc", "df", "pfm", "pcm", "resctrl"};

/* --- opening --- */

static int forced_source(struct collector *c, const char *name, struct errbuf *e)
{
	struct errbuf why = {""};

	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
		int err;

		if (strcmp(names[sources[i]->id], name) != 0)
			continue;
		c->ops = sources[i];
		err = c->ops->open(&c->source, c->env, &why);
		return err ? errf(e, err, "membw.source = %s: %s", name, why.s) : 0;
	}
	return errf(e, -EINVAL, "membw.source = %s: choose imc, umc, df, pfm, pcm or resctrl",
		    name);
}

/* The reason for none is that of the last source that is there but can't be read; a counter that is
 * not permitted says more than one that does not exist. */
static int find_source(struct collector *c, struct errbuf *e)
{
	struct errbuf best = {""}, pcm = {""};
	int found = -ENOENT;
	char name[16];

	if (collector_option(c->env->options ? c->env->options : "", "membw.source", name,
			     sizeof name) &&
	    *name)
		return forced_source(c, name, e);
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
		struct errbuf why = {""};
		int err = sources[i]->open(&c->source, c->env, &why);

		if (!err) {
			c->ops = sources[i];
			return 0;
		}
		if (sources[i]->id == MEMBW_PCM)
			pcm = why;
		if (found == -ENOENT && err != -ENOENT) {
			best = why;
			found = err;
		}
	}
	if (found != -ENOENT)
		return errf(e, found, "no memory counters: %s", best.s);
	return errf(
		e, found,
		"no memory counters: no memory controller in sysfs (a virtual machine? measure on "
		"the host), %s, no resctrl (CPUs with MBM: mount -t resctrl none "
		"/sys/fs/resctrl)",
		pcm.s);
}

static uint64_t llc_bytes(const struct collector_env *env)
{
	char text[32] = "";
	uint64_t kib = 0;

	if (procfs_slurp(env->sys_root, "devices/system/cpu/cpu0/cache/index3/size", text,
			 sizeof text) > 0)
		kib = strtoull(text, NULL, 10);
	return kib ? kib * 1024 : 32u << 20;
}

static void calibrate(struct collector *c)
{
	struct membw_totals before, after;
	double bytes, s = 0, seen;
	cpu_set_t cpus;

	if (strcmp(c->env->sys_root, "/sys") != 0 || !c->ops->dram)
		return;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (c->env->tb)
		cpus = c->env->tb->server_cpus;
	/* One short walk first: its buffers are gone when the second begins, its pages are warm. */
	membw_walk(&cpus, llc_bytes(c->env), 1, &s);
	c->ops->read(c->source, &before);
	bytes = membw_walk(&cpus, llc_bytes(c->env), WALK_MS + 5 * c->ops->lag_ms, &s);
	usleep(c->ops->lag_ms * 1000);
	c->ops->read(c->source, &after);
	if (bytes <= 0 || s <= 0 || !before.valid || !after.valid)
		return;
	seen = c->ops->apart ? after.read - before.read : after.total - before.total;
	c->calibration_pct = 100 * seen / bytes;
	c->ceiling_gbps = bytes * 8 / 1e9 / s;
}

static void membw_close(struct collector *c)
{
	c->ops->close(c->source);
	free(c);
}

static int open_source(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	struct collector *c = calloc(1, sizeof *c);
	int err;

	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->env = env;
	err = find_source(c, e);
	if (err) {
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

static int membw_probe(const struct collector_env *env, struct errbuf *e)
{
	struct collector *c = NULL;
	int err = open_source(&c, env, e);

	if (c)
		membw_close(c);
	return err;
}

static int membw_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	int err = open_source(out, env, e);

	if (!err)
		calibrate(*out);
	return err;
}

/* --- reading --- */

static void membw_mark(struct collector *c, int which, uint64_t t_ns)
{
	c->ops->read(c->source, &c->mark[which]);
	c->t_ns[which] = collector_now(c->env, t_ns);
}

static double gbps(double before, double after, double ns)
{
	return (after - before) * 8 / ns;
}

static void membw_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	struct membw_totals now;
	uint64_t now_ns = collector_now(c->env, t_ns);
	double ns = (double)(now_ns - c->last_ns);

	c->ops->read(c->source, &now);
	if (c->last_ns && now_ns > c->last_ns && now.valid && c->last.valid) {
		if (!c->ops->dram) {
			s->emit(s, t_ns, "mbm_total_gbps", gbps(c->last.total, now.total, ns));
		} else if (c->ops->apart) {
			s->emit(s, t_ns, "mem_read_gbps", gbps(c->last.read, now.read, ns));
			s->emit(s, t_ns, "mem_write_gbps", gbps(c->last.write, now.write, ns));
		} else {
			s->emit(s, t_ns, "mem_total_gbps", gbps(c->last.total, now.total, ns));
		}
	}
	c->last = now;
	c->last_ns = now_ns;
}

/* Every metric that got no value gets this reason: the driver keeps the value if there is one. */
static void rest_missing(const char *why, const bool *given, struct collector_sink *s)
{
	for (int i = 0; metrics[i].name; i++)
		if (!given[i])
			s->missing(s, metrics[i].name, why);
}

struct results {
	struct collector_sink *s;
	bool given[sizeof metrics / sizeof *metrics];
};

static void give(struct results *r, const char *metric, double value)
{
	for (int i = 0; metrics[i].name; i++)
		if (!strcmp(metrics[i].name, metric))
			r->given[i] = true;
	r->s->result(r->s, metric, value);
}

static void give_sockets(const struct collector *c, double ns, struct results *r)
{
	const struct membw_totals *m = c->mark;

	for (int i = 0; i < m[1].sockets && i < MEMBW_SOCKETS; i++) {
		char name[32];

		snprintf(name, sizeof name, "mem_s%d_read_gbps", i);
		give(r, name, gbps(m[0].socket_read[i], m[1].socket_read[i], ns));
		snprintf(name, sizeof name, "mem_s%d_write_gbps", i);
		give(r, name, gbps(m[0].socket_write[i], m[1].socket_write[i], ns));
	}
}

static void give_dram(const struct collector *c, uint64_t net_bytes, double ns, struct results *r)
{
	const struct membw_totals *m = c->mark;
	double read = gbps(m[0].read, m[1].read, ns);

	give(r, "mem_total_gbps", gbps(m[0].total, m[1].total, ns));
	give(r, "mem_running_share", m[1].share);
	if (c->calibration_pct > 0) {
		give(r, "mem_calibration_pct", c->calibration_pct);
		give(r, "mem_ceiling_gbps", c->ceiling_gbps);
	}
	if (!c->ops->apart)
		return;
	give(r, "mem_read_gbps", read);
	give(r, "mem_write_gbps", gbps(m[0].write, m[1].write, ns));
	give_sockets(c, ns, r);
	if (net_bytes)
		give(r, "mem_read_per_net_byte", (m[1].read - m[0].read) / (double)net_bytes);
	if (c->ceiling_gbps > 0)
		give(r, "mem_ceiling_share_pct", 100 * read / c->ceiling_gbps);
}

static void membw_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	double ns = (double)(c->t_ns[1] - c->t_ns[0]);
	struct results r = {.s = s};
	const char *why = "this source does not tell";

	give(&r, "mem_source", c->ops->id);
	if (!c->mark[0].valid || !c->mark[1].valid || ns <= 0)
		why = "the memory counters could not be read, or did not count all the time";
	else if (c->ops->dram)
		give_dram(c, net_bytes, ns, &r);
	else
		give(&r, "mbm_total_gbps", gbps(c->mark[0].total, c->mark[1].total, ns));
	if (!c->ops->dram)
		why = "resctrl counts what CPUs cause, without device DMA: no memory traffic";
	rest_missing(why, r.given, s);
}

const struct collector_ops collector_membw = {
	.name = "membw",
	.metrics = metrics,
	.probe = membw_probe,
	.open = membw_open,
	.mark = membw_mark,
	.sample = membw_sample,
	.finish = membw_finish,
	.close = membw_close,
};
