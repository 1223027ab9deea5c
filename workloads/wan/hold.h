/* hold: packets that wait for their time: a bounded store of frames and a heap of what of them is
 * due when. All memory is set aside at the start; it is touched only as far as it is needed.
 *
 * One thread. A held frame may wait as several runs of its segments (some late, some twice): it is
 * freed with the last.
 */
#ifndef WORKLOADS_WAN_HOLD_H
#define WORKLOADS_WAN_HOLD_H

#include "workloads/wan/frame.h"

#define WAN_HELD_FRAMES 65536
#define WAN_HELD_ITEMS	131072
#define WAN_HELD_CHUNKS 32768 /* of WAN_CHUNK bytes: bodies; 256 MiB of address space */

#define WAN_NO_FRAME	UINT32_MAX

struct wan_item {
	uint64_t due;	/* ns, of its first segment */
	uint64_t order; /* breaks ties: first come, first served */
	uint32_t frame;
	uint16_t first, n; /* segments */
	uint32_t gap;	   /* ns from one segment's time to the next's; 0: all at once */
	uint32_t retries;  /* that found no way out yet */
};

struct wan_hold;

struct wan_hold *wan_hold_new(void); /* NULL without memory */
void wan_hold_free(struct wan_hold *h);

/* Copy a frame in. Its handle with one reference, or WAN_NO_FRAME: full. */
uint32_t wan_hold_put(struct wan_hold *h, const struct wan_frame *f);
const struct wan_frame *wan_hold_get(const struct wan_hold *h, uint32_t frame);
void wan_hold_ref(struct wan_hold *h, uint32_t frame);
void wan_hold_unref(struct wan_hold *h, uint32_t frame);

/* Queue an item (due, frame, first, n, gap, retries filled in); takes over one reference. 0 or
 * -ENOBUFS (nothing taken). */
int wan_hold_queue(struct wan_hold *h, const struct wan_item *item);
/* The next item due at `by` or before, removed; its reference is the caller's. false: none. */
bool wan_hold_due(struct wan_hold *h, uint64_t by, struct wan_item *out);
/* When the next is due; UINT64_MAX if none. */
uint64_t wan_hold_next(const struct wan_hold *h);
uint32_t wan_hold_frames(const struct wan_hold *h); /* held now */

#endif
