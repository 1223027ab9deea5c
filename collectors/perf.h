/* perf: counting events by perf_event_open(2), on whole CPUs.
 *
 * An event is a type and configuration words, from a libpfm4 name (perf_named) or from a PMU's own
 * description in sysfs (perf_described). Values are scaled by time enabled / time running when the
 * kernel had to share counters, and the share is kept.
 *
 * Any thread that owns the counter; nothing blocks. Whole-CPU events need CAP_PERFMON (root) or
 * kernel.perf_event_paranoid <= 0.
 */
#ifndef COLLECTORS_PERF_H
#define COLLECTORS_PERF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"

struct perf_spec {
	char name[96];
	uint32_t type;
	uint64_t config, config1, config2;
	double unit;	  /* what one count is worth, e.g. 64 bytes; 1 for plain counts */
	uint64_t exclude; /* bit 0 user, bit 1 kernel, bit 2 hypervisor; uncore events take none */
};

/* "LONGEST_LAT_CACHE:MISS", "perf::PERF_COUNT_SW_PAGE_FAULTS": 0, or -errno with a sentence. That
 * the name is known says nothing about the machine: only perf_open tells. */
int perf_named(const char *name, struct perf_spec *s, struct errbuf *e);
/* Event `event` of the PMU at sys_root/bus/event_source/devices/PMU, from its files type, format/,
 * events/EVENT, .scale and .unit. `terms` ("event=0x0a,rdwrmask=1") is used instead of events/EVENT
 * if not NULL. `unit` is the worth of a count where the PMU gives no scale. 0 or -errno. */
int perf_described(const char *sys_root, const char *pmu, const char *event, const char *terms,
		   double unit, struct perf_spec *s, struct errbuf *e);

struct perf_reading {
	uint64_t value, enabled_ns, running_ns;
};

/* Count `s` on `cpu`, in the group led by `group_fd` (-1: lead one). The descriptor or -errno. */
int perf_open(const struct perf_spec *s, int cpu, int group_fd);
int perf_read(int fd, struct perf_reading *r);
/* What an -errno of perf_open means and what would help; returns err. */
int perf_explain(const struct perf_spec *s, int err, struct errbuf *e);

/* The scaled increase, in units of `s`; false if it was never counted in between. *share becomes
 * the lower of itself and running / enabled. */
bool perf_increase(const struct perf_spec *s, const struct perf_reading *a,
		   const struct perf_reading *b, double *out, double *share);

/* The system calls, so that tests can stand in for a machine. */
struct perf_event_attr;
struct perf_calls {
	int (*open)(struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd,
		    unsigned long flags); /* -1 and errno */
	ssize_t (*read)(int fd, void *buf, size_t n);
	int (*close)(int fd);
};
extern struct perf_calls perf_calls;

#endif
