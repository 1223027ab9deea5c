/* collector disk: what the content's disk did, from /proc/diskstats, and how long its reads took,
 * from the block layer's tracepoints (blocklat.h).
 *
 * An NVMe drive is asked for its health before and after.
 *
 * Limits: it is the whole disk, whoever used it. A user-space driver (vfio, diskmap) is seen by
 * neither. Without tracing the counters still work, and the latency says why it is missing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "collectors/blocklat.h"
#include "collectors/procfs.h"
#include "collectors/smart.h"
#include "harness/collector.h"

enum { READS, SECTORS_READ, WRITES, SECTORS_WRITTEN, BUSY_MS, COUNTERS };

struct reading {
	uint64_t t_ns;
	bool have;
	uint64_t v[COUNTERS];
};

struct collector {
	const struct collector_env *env;
	int fd;
	char disk[64];
	struct reading mark[2], last;
	struct blocklat *lat; /* NULL: why says the reason */
	struct errbuf why;
	uint64_t lost0;
	int smart_fd;
	struct smart smart; /* before */
	struct errbuf smart_why;
	struct procfs_text text;
};

static const struct collector_metric metrics[] = {
	{"disk_read_gbps", "Gb/s", "read from the content's disk"},
	{"disk_write_gbps", "Gb/s", "written to it"},
	{"disk_reads_per_s", "1/s", "reads it completed"},
	{"disk_util_pct", "%", "time in which at least one request was in flight"},
	{"disk_lat_us_mean", "us", "a read, from the driver to its completion, mean"},
	{"disk_lat_us_p50", "us", "the same, median"},
	{"disk_lat_us_p99", "us", "the same, 99th percentile"},
	{"disk_lat_n", "", "reads these were made of"},
	{"disk_lat_one_of", "", "one of so many reads was traced"},
	{"disk_lat_lost", "", "trace events that were lost"},
	{"nvme_temp_c", "C", "temperature of the NVMe drive after the run"},
	{"nvme_throttle_n", "", "times it slowed down for heat during the run: then it is invalid"},
	{"nvme_throttle_s", "s", "time it was slowed down for heat"},
	{"nvme_critical", "", "its critical warning bits; 0 is well"},
	{NULL, NULL, NULL},
};

/* The line of one disk: major minor name, then the columns of Documentation/admin-guide/iostats. */
static const char *find_disk(const struct procfs_text *t, const char *disk)
{
	size_t n = strlen(disk);

	for (const char *p = t->s; p && *p; p = strchr(p, '\n')) {
		uint64_t v[2];

		p += *p == '\n';
		if (procfs_numbers(p, v, 2) != 2)
			continue;
		for (int i = 0; i < 2; i++) {
			p += strspn(p, " ");
			p += strcspn(p, " \n");
		}
		p += strspn(p, " ");
		if (strncmp(p, disk, n) == 0 && p[n] == ' ')
			return p + n;
	}
	return NULL;
}

static void read_now(struct collector *c, uint64_t t_ns, struct reading *r)
{
	uint64_t f[11];
	const char *p;

	*r = (struct reading){.t_ns = t_ns};
	if (procfs_read(c->fd, &c->text) < 0)
		return;
	p = find_disk(&c->text, c->disk);
	if (!p || procfs_numbers(p, f, 11) < 11)
		return;
	r->have = true;
	r->v[READS] = f[0];
	r->v[SECTORS_READ] = f[2];
	r->v[WRITES] = f[4];
	r->v[SECTORS_WRITTEN] = f[6];
	r->v[BUSY_MS] = f[9];
}

static bool differ(const struct reading *a, const struct reading *b, uint64_t d[COUNTERS])
{
	for (int i = 0; i < COUNTERS; i++)
		if (!procfs_delta(a->v[i], b->v[i], &d[i]))
			return false;
	return b->t_ns > a->t_ns;
}

/* --- the hooks --- */

static int disk_name(const struct collector_env *env, char *out, int cap, struct errbuf *e)
{
	if (env->tb && env->tb->disk[0])
		snprintf(out, (size_t)cap, "%s", env->tb->disk);
	else if (!collector_option(env->options ? env->options : "", "disk.name", out, cap))
		return errf(e, -ENODEV,
			    "the content is not on a disk that is known; put it on one, or name it "
			    "with disk.name = ... in [collect]");
	return 0;
}

static int disk_probe(const struct collector_env *env, struct errbuf *e)
{
	int fd = procfs_open(env->proc_root, "diskstats", e);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void open_smart(struct collector *c)
{
	c->smart_fd = smart_open(c->env->sys_root, c->disk, &c->smart_why);
	if (c->smart_fd >= 0 && smart_read(c->smart_fd, &c->smart, &c->smart_why)) {
		close(c->smart_fd);
		c->smart_fd = -1;
	}
}

static int disk_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	struct collector *c = calloc(1, sizeof *c);
	struct reading first;
	int err;

	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->env = env;
	c->fd = -1;
	err = disk_name(env, c->disk, sizeof c->disk, e);
	if (!err) {
		c->fd = procfs_open(env->proc_root, "diskstats", e);
		err = c->fd < 0 ? c->fd : 0;
	}
	if (!err) {
		read_now(c, 0, &first);
		if (!first.have)
			err = errf(e, -ENODEV, "%s/diskstats has no disk %s", env->proc_root,
				   c->disk);
	}
	if (err) {
		if (c->fd >= 0)
			close(c->fd);
		free(c);
		return err;
	}
	if (strcmp(env->proc_root, "/proc") != 0)
		errf(&c->why, 0, "a recorded tree has no tracepoints");
	else
		blocklat_open(&c->lat, env->sys_root, c->disk, &c->why);
	open_smart(c);
	*out = c;
	return 0;
}

static void disk_mark(struct collector *c, int which, uint64_t t_ns)
{
	read_now(c, collector_now(c->env, t_ns), &c->mark[which]);
	if (!c->lat)
		return;
	if (which == 0)
		blocklat_begin(c->lat, t_ns);
	else
		blocklat_end(c->lat, t_ns);
	blocklat_drain(c->lat, clock_ns());
	if (which == 0)
		c->lost0 = blocklat_lost(c->lat);
}

static void disk_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	struct reading now;
	uint64_t d[COUNTERS];

	read_now(c, collector_now(c->env, t_ns), &now);
	if (c->last.have && now.have && differ(&c->last, &now, d)) {
		double ns = (double)(now.t_ns - c->last.t_ns);

		s->emit(s, t_ns, "disk_read_gbps", (double)d[SECTORS_READ] * 512 * 8 / ns);
		s->emit(s, t_ns, "disk_reads_per_s", (double)d[READS] * 1e9 / ns);
	}
	c->last = now;
	if (c->lat)
		blocklat_drain(c->lat, now.t_ns);
}

static void finish_counters(const struct reading *m, struct collector_sink *s)
{
	static const char *const names[] = {"disk_read_gbps", "disk_write_gbps", "disk_reads_per_s",
					    "disk_util_pct"};
	uint64_t d[COUNTERS];
	double ns = (double)(m[1].t_ns - m[0].t_ns);

	if (!m[0].have || !m[1].have || !differ(&m[0], &m[1], d)) {
		for (int i = 0; i < 4; i++)
			s->missing(s, names[i],
				   "the disk's counters went away or ran backwards in the window");
		return;
	}
	s->result(s, names[0], (double)d[SECTORS_READ] * 512 * 8 / ns);
	s->result(s, names[1], (double)d[SECTORS_WRITTEN] * 512 * 8 / ns);
	s->result(s, names[2], (double)d[READS] * 1e9 / ns);
	s->result(s, names[3], 100 * (double)d[BUSY_MS] * 1e6 / ns);
}

static void finish_latency(const struct collector *c, struct collector_sink *s)
{
	const struct hist *h = c->lat ? blocklat_hist(c->lat) : NULL;
	const char *why = c->why.s;

	if (h && !h->n)
		why = "no read of the disk was seen in the window";
	if (!h || !h->n) {
		for (int i = 0; metrics[i].name; i++)
			if (strncmp(metrics[i].name, "disk_lat_", 9) == 0)
				s->missing(s, metrics[i].name, why);
		return;
	}
	s->result(s, "disk_lat_us_mean", hist_mean(h) / 1e3);
	s->result(s, "disk_lat_us_p50", hist_quantile(h, 0.5) / 1e3);
	s->result(s, "disk_lat_us_p99", hist_quantile(h, 0.99) / 1e3);
	s->result(s, "disk_lat_n", (double)h->n);
	s->result(s, "disk_lat_one_of", blocklat_sampling(c->lat));
	s->result(s, "disk_lat_lost", (double)(blocklat_lost(c->lat) - c->lost0));
}

static void finish_smart(struct collector *c, struct collector_sink *s)
{
	struct smart now;

	if (c->smart_fd < 0 || smart_read(c->smart_fd, &now, &c->smart_why)) {
		for (int i = 0; metrics[i].name; i++)
			if (strncmp(metrics[i].name, "nvme_", 5) == 0)
				s->missing(s, metrics[i].name, c->smart_why.s);
		return;
	}
	s->result(s, "nvme_temp_c", now.temp_c);
	s->result(s, "nvme_throttle_n", (double)(now.throttle_n - c->smart.throttle_n));
	s->result(s, "nvme_throttle_s", (double)(now.throttle_s - c->smart.throttle_s));
	s->result(s, "nvme_critical", now.critical_warning);
}

static void disk_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	(void)net_bytes;
	finish_counters(c->mark, s);
	if (c->lat)
		blocklat_drain(c->lat, UINT64_MAX); /* nothing younger is waited for */
	finish_latency(c, s);
	finish_smart(c, s);
}

static void disk_close(struct collector *c)
{
	if (c->lat)
		blocklat_close(c->lat);
	if (c->smart_fd >= 0)
		close(c->smart_fd);
	close(c->fd);
	free(c);
}

const struct collector_ops collector_disk = {
	.name = "disk",
	.metrics = metrics,
	.probe = disk_probe,
	.open = disk_open,
	.mark = disk_mark,
	.sample = disk_sample,
	.finish = disk_finish,
	.close = disk_close,
};
