/* perf: see perf.h; perf_event_open(2), Documentation/ABI/testing/sysfs-bus-event_source-devices-*.
 */
#include "collectors/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/procfs.h"

static int real_open(struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd,
		     unsigned long flags)
{
	return (int)syscall(SYS_perf_event_open, attr, pid, cpu, group_fd, flags);
}

struct perf_calls perf_calls = {real_open, read, close};

int perf_open(const struct perf_spec *s, int cpu, int group_fd)
{
	struct perf_event_attr attr = {
		.size = sizeof attr,
		.type = s->type,
		.config = s->config,
		.config1 = s->config1,
		.config2 = s->config2,
		.exclude_user = s->exclude & 1,
		.exclude_kernel = s->exclude >> 1 & 1,
		.exclude_hv = s->exclude >> 2 & 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};
	int fd = perf_calls.open(&attr, -1, cpu, group_fd, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int perf_read(int fd, struct perf_reading *r)
{
	ssize_t n = perf_calls.read(fd, r, sizeof *r);

	return n == (ssize_t)sizeof *r ? 0 : n < 0 ? -errno : -EIO;
}

bool perf_increase(const struct perf_spec *s, const struct perf_reading *a,
		   const struct perf_reading *b, double *out, double *share)
{
	double enabled = (double)(b->enabled_ns - a->enabled_ns);
	double running = (double)(b->running_ns - a->running_ns);

	if (b->value < a->value || b->enabled_ns < a->enabled_ns || running <= 0 || enabled <= 0)
		return false;
	*out = (double)(b->value - a->value) * enabled / running * s->unit;
	if (running / enabled < *share)
		*share = running / enabled;
	return true;
}

int perf_explain(const struct perf_spec *s, int err, struct errbuf *e)
{
	char level[16] = "?";

	switch (err) {
	case -ENOENT:
	case -EOPNOTSUPP:
		return errf(e, err,
			    "%s: this machine has no such counter (a virtual machine without a "
			    "PMU?); measure on the host or on bare metal",
			    s->name);
	case -EACCES:
	case -EPERM:
		procfs_slurp("/proc/sys/kernel", "perf_event_paranoid", level, sizeof level);
		return errf(e, err,
			    "%s: not permitted (kernel.perf_event_paranoid is %s); run as root or "
			    "`sysctl kernel.perf_event_paranoid=0`",
			    s->name, level);
	case -EBUSY:
		return errf(e, err,
			    "%s: the counters are taken; stop other profilers (perf, pcm) or the "
			    "NMI watchdog (`sysctl kernel.nmi_watchdog=0`)",
			    s->name);
	case -ENODEV:
		return errf(e, err, "%s: the CPU is offline or has no such counter", s->name);
	case -EINVAL:
		return errf(e, err, "%s: this kernel does not take the event's configuration",
			    s->name);
	case -EMFILE:
		return errf(e, err, "%s: too many open files; raise `ulimit -n`", s->name);
	default:
		return errf(e, err, "%s: %s", s->name, strerror(-err));
	}
}

/* --- a PMU's own description --- */

static uint64_t *config_word(struct perf_spec *s, const char *name, size_t n)
{
	if (n == 6 && !strncmp(name, "config", 6))
		return &s->config;
	if (n == 7 && !strncmp(name, "config1", 7))
		return &s->config1;
	if (n == 7 && !strncmp(name, "config2", 7))
		return &s->config2;
	return NULL;
}

/* Spread the bits of `v` over a format such as "config:0-7,32-35". */
static bool put_bits(struct perf_spec *s, const char *format, uint64_t v)
{
	const char *p = strchr(format, ':');
	uint64_t *word = p ? config_word(s, format, (size_t)(p - format)) : NULL;

	if (!word)
		return false;
	do {
		char *end;
		unsigned long lo = strtoul(p + 1, &end, 10), hi = lo;

		if (end == p + 1)
			return false;
		if (*end == '-')
			hi = strtoul(end + 1, &end, 10);
		for (; lo <= hi && lo < 64; lo++, v >>= 1)
			*word |= (v & 1) << lo;
		p = end;
	} while (*p == ',');
	return v == 0;
}

static int put_terms(const char *dir, const char *terms, struct perf_spec *s, struct errbuf *e)
{
	while (*terms) {
		char term[64], path[160], format[128];
		size_t n = strcspn(terms, ",\n"), name = strcspn(terms, "=,\n");
		uint64_t v = 1;

		snprintf(term, sizeof term, "%.*s", (int)(name < n ? name : n), terms);
		if (name < n)
			v = strtoull(terms + name + 1, NULL, 0);
		snprintf(path, sizeof path, "format/%s", term);
		if (procfs_slurp(dir, path, format, sizeof format) < 0 || !put_bits(s, format, v))
			return errf(e, -EPROTO, "%s describes '%s' in an unknown way", dir, term);
		terms += n;
		terms += *terms == ',' || *terms == '\n';
	}
	return 0;
}

/* The worth of a count: .scale in the unit of .unit. */
static double described_unit(const char *dir, const char *event, double otherwise)
{
	char path[96], text[64];
	double scale;

	snprintf(path, sizeof path, "events/%s.scale", event);
	if (procfs_slurp(dir, path, text, sizeof text) <= 0)
		return otherwise;
	scale = strtod(text, NULL);
	snprintf(path, sizeof path, "events/%s.unit", event);
	if (scale <= 0 || procfs_slurp(dir, path, text, sizeof text) <= 0)
		return otherwise;
	if (!strcmp(text, "MiB"))
		return scale * 1048576;
	if (!strcmp(text, "KiB"))
		return scale * 1024;
	return !strcmp(text, "Bytes") || !strcmp(text, "bytes") ? scale : otherwise;
}

int perf_described(const char *sys_root, const char *pmu, const char *event, const char *terms,
		   double unit, struct perf_spec *s, struct errbuf *e)
{
	char dir[256], path[96], text[256];
	uint64_t type;

	memset(s, 0, sizeof *s);
	snprintf(dir, sizeof dir, "%s/bus/event_source/devices/%s", sys_root, pmu);
	snprintf(s->name, sizeof s->name, "%.40s/%.40s", pmu, event);
	if (procfs_u64(dir, "type", &type))
		return errf(e, -ENODEV, "%s/type can't be read: no such PMU", dir);
	s->type = (uint32_t)type;
	s->unit = terms ? unit : described_unit(dir, event, unit);
	if (!terms) {
		snprintf(path, sizeof path, "events/%s", event);
		if (procfs_slurp(dir, path, text, sizeof text) < 0)
			return errf(e, -ENOENT, "%s/%s can't be read: no such event", dir, path);
		terms = text;
	}
	return put_terms(dir, terms, s, e);
}
