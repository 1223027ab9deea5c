/* stages: which part of a turn a worker's cycles go to.
 *
 * The time-stamp counter is read at each border between two stages and the difference goes to the
 * one that ends; nothing is sampled and nothing is lost between. Off (the default) a border costs a
 * load and a predicted branch. On (--stages) it costs stage_counts.border_cycles each, which is
 * measured at start, and is part of the stage that begins; statistics say what share that makes.
 *
 * What is counted is time, not work: an interrupt, a soft interrupt or another thread that takes
 * the CPU is booked to the stage that it interrupted, and a stage that calls the kernel (submit,
 * complete, transmit, idle) has the kernel's time in it.
 *
 * One owner: the worker's thread.
 */
#ifndef ATLAS_STAGES_H
#define ATLAS_STAGES_H

#include <stdbool.h>
#include <stdint.h>
#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#else
#include "base/clock.h"
#endif

/* name, what it is */
#define STAGES(F)                                                                                  \
	F(receive, "frames from the ring, their headers checked")                                  \
	F(tcp, "segments in, timers, segments built")                                              \
	F(request, "TLS records and requests in, handshakes, response heads")                      \
	F(submit, "reads chosen, queued, handed to the kernel")                                    \
	F(complete, "completions fetched")                                                         \
	F(seal, "encryption in place, tag guard")                                                  \
	F(transmit, "frames handed to the interface")                                              \
	F(other, "between the stages: clock, files opened, statistics")                            \
	F(empty, "turns that found nothing to do")                                                 \
	F(idle, "blocked: what the CPU then does is not atlas's")

enum stage {
#define F(name, text) STAGE_##name,
	STAGES(F)
#undef F
		STAGE_COUNT
};

extern const char *const stage_name[STAGE_COUNT];

/* As statistics show them; cycles only grow. */
struct stage_counts {
	uint64_t on;
	uint64_t cycles[STAGE_COUNT];
	uint64_t borders;	/* crossed */
	uint64_t border_cycles; /* what one costs, measured at start */
	uint64_t hz;		/* of the counter */
};

struct stages {
	bool on;
	enum stage at;
	uint64_t since;		      /* counter at the last border */
	uint64_t turn[STAGE_COUNT];   /* of this turn: not known yet whether it was of use */
	uint64_t start_tsc, start_ns; /* for hz */
	struct stage_counts n;
};

static inline uint64_t stages_now(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __rdtsc();
#else
	return clock_ns();
#endif
}

/* From here on time belongs to `to`. Returns what it belonged to, to go back to. */
static inline enum stage stage_enter(struct stages *s, enum stage to)
{
	enum stage was = s->at;
	uint64_t now;

	if (__builtin_expect(!s->on, 1))
		return was;
	now = stages_now();
	s->turn[was] += now - s->since;
	s->since = now;
	s->at = to;
	s->n.borders++;
	return was;
}

/* Start counting; takes about 0.1 ms. Without this call everything here does nothing. */
void stages_start(struct stages *s);
/* A turn is over: its cycles go to their stages, or to `empty` if it moved nothing. */
void stages_turn(struct stages *s, bool useful);
/* Counts so far. */
void stages_get(const struct stages *s, struct stage_counts *out);

#endif
