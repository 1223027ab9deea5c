/* path: one direction of the WAN box: loss -> bottleneck -> delay -> out.
 *
 * Times in ns of one clock, which the caller owns (virtual in tests). One thread; no allocation
 * after wan_path_init(); never blocks.
 */
#ifndef WORKLOADS_WAN_PATH_H
#define WORKLOADS_WAN_PATH_H

#include "base/hist.h"
#include "workloads/wan/frame.h"
#include "workloads/wan/hold.h"
#include "workloads/wan/model.h"
#include "workloads/wan/wan.h"

/* Where packets leave. A frame given to emit is borrowed until the next flush. */
struct wan_out {
	/* Segments [first, first + n) of f. 0, or -EAGAIN: the way is not known yet. */
	int (*emit)(void *ctx, const struct wan_frame *f, uint32_t first, uint32_t n, uint64_t now);
	void (*flush)(void *ctx);
	void *ctx;
};

/* Packets are counted as on a real wire: a GSO frame is as many as it stands for. */
struct wan_counts {
	uint64_t frames_in, packets_in, bytes_in, packets_out, bytes_out, bad;
	uint64_t lost_random, lost_burst, queue_drops, reordered, duplicated;
	uint64_t no_memory, unreachable, ttl_expired;
	uint64_t queue_bytes_max;
	uint32_t held_max;
};

struct wan_path {
	struct wan_cfg cfg;
	enum wan_dir dir;
	struct wan_fate fate;
	struct wan_bottleneck link;
	struct wan_hold *hold;
	struct rng jitter;
	uint64_t *order; /* by flow: due time of its last packet, so that jitter keeps order */
	uint64_t slack;	 /* what is due within it leaves at once */
	struct wan_out out;
	struct wan_counts st;
	struct hist late_us; /* when held packets left, against when they were due */
};

int wan_path_init(struct wan_path *p, const struct wan_cfg *cfg, enum wan_dir dir,
		  const struct wan_out *out, struct errbuf *e);
void wan_path_free(struct wan_path *p);

/* A frame that came at `arrival`; it is borrowed until the next flush, which the caller does. */
void wan_path_input(struct wan_path *p, const struct wan_frame *f, uint64_t arrival, uint64_t now);
/* Send what is due, flushed. Returns how many runs. */
int wan_path_run(struct wan_path *p, uint64_t now);
/* When wan_path_run() has something to do next; UINT64_MAX if nothing waits. */
uint64_t wan_path_next(const struct wan_path *p);
/* Smallest delay a packet can have here: so long may the caller look away. */
uint64_t wan_path_min_delay(const struct wan_path *p);

#endif
