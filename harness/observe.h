/* observe: the collectors of one run and the thread that samples them.
 *
 * observe_open() before the stack starts, observe_mark() when the load says that its window starts
 * and ends, observe_finish() afterwards. A lock keeps marks (main thread) and samples (its thread)
 * apart. Late ticks are counted, not hidden.
 */
#ifndef HARNESS_OBSERVE_H
#define HARNESS_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/collector.h"
#include "harness/metrics.h"

struct observe;

struct sample {
	uint64_t t_ns;
	char metric[32];
	double value;
};

/* As env->interval_ns: nothing is sampled, marks only. */
#define OBSERVE_NEVER UINT64_MAX

/* `names` as in [collect] collectors. A collector that this machine can't run is not an error: its
 * metrics are missing in `m`, with the reason; *missing counts them. `env` stays the caller's and
 * may change (pids) until close. */
int observe_open(struct observe **out, const char *names, const struct collector_env *env,
		 struct metrics *m, int *missing, struct errbuf *e);
/* The window starts (0) or ends (1) now. Collectors get the time at which each is asked, so that
 * what they make of it is a rate over exactly what they saw. */
void observe_mark(struct observe *o, int which);
/* Stops sampling and puts the window's results into `m`, collect_cpu_pct too: the sampler's CPU and
 * that of the first marks. net_bytes: body bytes in the window. */
void observe_finish(struct observe *o, uint64_t net_bytes, struct metrics *m);
/* Samples taken, oldest first; valid until close. */
const struct sample *observe_samples(const struct observe *o, int *n);
int observe_late(const struct observe *o); /* ticks more than half an interval late */
/* Stops sampling and closes the collectors; the samples stay. Idempotent. */
void observe_stop(struct observe *o);
/* How long a collector may take to answer; for tests. */
extern int observe_patience_ms;
/* A collector was abandoned: what its environment points to must stay. */
bool observe_hung(const struct observe *o);
void observe_close(struct observe *o);

#endif
