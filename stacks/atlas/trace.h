/* trace: a ring of buffer touches, for the cache model (base/touch.h; collectors/whatif).
 *
 * The rings are per thread and off by default: a hook then costs the load of a thread-local pointer
 * and a branch that is always predicted. When on, a hook stores 24 bytes and reads the clock once
 * (README.md states what that costs). The ring keeps the newest TRACE_ENTRIES touches; the steady
 * state neither allocates nor calls the kernel.
 *
 * One owner: the thread that opened the ring calls everything here.
 */
#ifndef ATLAS_TRACE_H
#define ATLAS_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "base/touch.h"

#define TRACE_ENTRIES (1u << 20) /* 24 MiB a worker, some 3 GB of encrypted traffic */

struct trace_ring;
struct pkt_tx;

extern _Thread_local struct trace_ring *trace_on; /* NULL: off */

void trace_record(enum touch_kind kind, const void *p, uint32_t len);
void trace_record_frames(const struct pkt_tx *v, int n);

static inline void trace_touch(enum touch_kind kind, const void *p, uint32_t len)
{
	if (__builtin_expect(trace_on != NULL, 0))
		trace_record(kind, p, len);
}

/* What the interface will read of n frames it has taken: all pieces but its own. */
static inline void trace_frames(const struct pkt_tx *v, int n)
{
	if (__builtin_expect(trace_on != NULL, 0))
		trace_record_frames(v, n);
}

/* Make this thread's ring. 0 or -ENOMEM. */
int trace_open(struct errbuf *e);
/* Write the ring to `path`, followed by ".ID" for all but worker 0, and free it. Blocks. Does
 * nothing without a ring. */
int trace_close(const char *path, unsigned int id, struct errbuf *e);

#endif
