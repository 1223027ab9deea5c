/* collector: measures something beside a run.
 *
 * A collector is a const table with one line in harness/registry.c. probe() says whether this
 * machine can do it, or exactly why not and what would fix it. open() before the stack starts,
 * sample() at every interval from the sampler thread (must return within a tick; never blocks),
 * close() afterwards. All times are of base/clock.h.
 *
 * A value is emitted by metric name (DESIGN.md section 7, unit in the name). Two kinds:
 *   time series    emit() from sample(): rows of samples.csv
 *   window result  result() from finish(): the metric of runs.csv over [t0, t1] of the measured
 *                  window; a value that could not be measured is result_missing() with a reason
 */
#ifndef HARNESS_COLLECTOR_H
#define HARNESS_COLLECTOR_H

#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"
#include "harness/testbed.h"

struct collector_sink {
	void (*emit)(struct collector_sink *s, uint64_t t_ns, const char *metric, double value);
	void (*result)(struct collector_sink *s, const char *metric, double value);
	void (*missing)(struct collector_sink *s, const char *metric, const char *why);
};

struct collector_env {
	const struct testbed *tb;	  /* NULL in tests */
	pid_t stack_pid, load_pid;	  /* roots of the process trees; 0 = not running yet */
	const char *proc_root, *sys_root; /* "/proc", "/sys"; tests inject recorded trees */
	const char *cgroup_dir;		  /* the stock server's memory cgroup, NULL if none */
	const char *options; /* "key=value;key=value" from the experiment's [collect], may be "" */
	uint64_t interval_ns;
	/* A setting of the system that the collector, or a program it starts, is about to change:
	 * its present text goes into the run's journal, from which `dcn restore` puts it back
	 * after a kill. The collector itself puts it back in close(). May be NULL. */
	void (*remember)(const char *path, const char *text);
	/* A program that the collector started: `dcn restore` ends it. To be called before the
	 * program can change anything. May be NULL. */
	void (*started)(pid_t pid);
};

struct collector; /* private to each */

struct collector_metric {
	const char *name, *unit, *text; /* "cpu_pct", "%", "busy time of the server's CPUs ..." */
};

struct collector_ops {
	const char *name;
	const struct collector_metric *metrics; /* ends with a NULL name */
	/* 0: available; -errno with "why; fix" otherwise. */
	int (*probe)(const struct collector_env *env, struct errbuf *e);
	int (*open)(struct collector **out, const struct collector_env *env, struct errbuf *e);
	/* The measured window starts / ends now: take the exact readings its results are made of.
	 */
	void (*mark)(struct collector *c, int which, uint64_t t_ns); /* 0 = start, 1 = end */
	void (*sample)(struct collector *c, uint64_t t_ns, struct collector_sink *s);
	/* After mark(1): results over the window. net_bytes is the load's body bytes in it. */
	void (*finish)(struct collector *c, uint64_t net_bytes, struct collector_sink *s);
	void (*close)(struct collector *c);
};

extern const struct collector_ops collector_cpu, collector_net, collector_disk, collector_process,
	collector_llc, collector_membw, collector_profile, collector_null;

#endif
