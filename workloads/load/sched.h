/* sched: planned send times of an open loop. The times don't depend on what the server does; that
 * is the point (a closed loop hides latency: coordinated omission). */
#ifndef LOAD_SCHED_H
#define LOAD_SCHED_H

#include <stdint.h>

#include "base/rng.h"
#include "workloads/load/opts.h"

struct sched {
	struct rng rng;
	double mean_gap_ns, next_ns; /* since start: double keeps fractions of a gap */
	enum load_arrival arrival;
	uint64_t start;
};

void sched_init(struct sched *s, double rate, enum load_arrival a, uint64_t seed,
		uint64_t start_ns);
/* The next planned time, CLOCK_MONOTONIC ns. */
uint64_t sched_peek(const struct sched *s);
void sched_pop(struct sched *s);

#endif
