/* trace: kernel tracepoints through perf_event_open, read in bursts without ever blocking.
 *
 * One ring buffer per CPU; the events of a set go into it in time order. trace_drain() hands over
 * what has arrived. Times are of base/clock.h (CLOCK_MONOTONIC). Needs CAP_PERFMON (root) or
 * kernel.perf_event_paranoid = -1, and tracefs, which is mounted for nobody but us if nobody has.
 */
#ifndef COLLECTORS_TRACE_H
#define COLLECTORS_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

/* A tracepoint's number and where its fields lie in a record. */
struct trace_point {
	int id;
	char format[4096];
};

struct trace_field {
	int offset, size;
};

/* The directory that holds "events/": a descriptor for trace_point_get, or -errno. */
int trace_dir(const char *sys_root, struct errbuf *e);
/* "block", "block_rq_issue". 0 or -errno. */
int trace_point_get(int dir, const char *system, const char *name, struct trace_point *p,
		    struct errbuf *e);
/* From the text of a format file. */
bool trace_point_field(const struct trace_point *p, const char *name, struct trace_field *f);

struct trace; /* rings of all CPUs */

/* Which of the groups of events records; a trace may have several, so that a changed filter is a
 * switch and not a new event (the kernel takes no second filter, and closing waits). */
struct trace_event {
	int id;
	int group;
	const char *filter; /* kernel's filter language, may be NULL */
};

int trace_open(struct trace **out, const struct trace_event *events, int n, struct errbuf *e);
/* Exactly the events of this group record from now on; -1: none. */
void trace_enable(struct trace *t, int group);
/* Call `each` for the raw record of every event that has arrived, CPU by CPU. */
void trace_drain(struct trace *t,
		 void (*each)(void *arg, uint64_t t_ns, const uint8_t *raw, uint32_t len),
		 void *arg);
/* Events that did not fit the rings so far. */
uint64_t trace_lost(const struct trace *t);
void trace_close(struct trace *t);

/* The reader of one ring, apart for tests: `data` is `size` (a power of two) bytes, records lie in
 * [tail, head). Returns the new tail. */
uint64_t trace_ring_read(const uint8_t *data, uint64_t size, uint64_t head, uint64_t tail,
			 void (*each)(void *arg, uint64_t t_ns, const uint8_t *raw, uint32_t len),
			 void *arg, uint64_t *lost);

#endif
