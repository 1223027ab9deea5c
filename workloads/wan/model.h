/* model: what happens to a packet: lost, late, twice; when the bottleneck has sent it; how far away
 * its flow is. Pure: seeded, no clock, no packet in sight. Units: ns, bytes on the wire with the
 * Ethernet header. One writer.
 */
#ifndef WORKLOADS_WAN_MODEL_H
#define WORKLOADS_WAN_MODEL_H

#include "base/rng.h"
#include "workloads/wan/wan.h"

enum wan_fate_flags {
	WAN_LOST_RANDOM = 1,
	WAN_LOST_BURST = 2,
	WAN_LATE = 4,
	WAN_TWICE = 8,
	WAN_LOST = WAN_LOST_RANDOM | WAN_LOST_BURST,
};

struct wan_fate {
	struct rng rng;
	double loss, late, twice;
	struct wan_burst burst;
	bool bad;     /* in a burst of loss */
	bool trivial; /* nothing ever happens */
};

void wan_fate_init(struct wan_fate *f, const struct wan_cfg *c, enum wan_dir dir);
/* The fate of the next packet: enum wan_fate_flags, 0 = passes. */
unsigned int wan_fate_draw(struct wan_fate *f);

/* A link of a given rate behind a tail-drop queue. Nothing is stored: first in, first out at a
 * fixed rate means that a packet's departure is known when it arrives. */
struct wan_bottleneck {
	uint64_t rate; /* bit/s */
	uint64_t limit_bytes;
	uint64_t busy_until; /* ns: departure of the last packet accepted */
	uint64_t frac;	     /* what of a ns busy_until lacks, in 1/rate ns */
	uint64_t *departs;   /* ring of the departures still to come, if packets are counted */
	uint32_t limit_packets, head, n;
};

#define WAN_DROPPED UINT64_MAX

/* 0 or -ENOMEM. No limit if c has no rate. */
int wan_bottleneck_init(struct wan_bottleneck *b, const struct wan_cfg *c);
void wan_bottleneck_free(struct wan_bottleneck *b);
/* A packet of `len` bytes arrives at `now` (never backwards by more than jitter of clocks: earlier
 * times count as the last one). Its departure, or WAN_DROPPED: the queue is full. */
uint64_t wan_bottleneck_admit(struct wan_bottleneck *b, uint64_t now, uint32_t len);
/* Bytes waiting at `now`. */
uint64_t wan_bottleneck_backlog(const struct wan_bottleneck *b, uint64_t now);
/* Time on the wire of a packet of `len` bytes, ns, rounded down. */
uint64_t wan_bottleneck_time(const struct wan_bottleneck *b, uint32_t len);

/* Delay of a flow, ns: uniform in [rtt_lo, rtt_hi] by a seeded hash of its tuple. */
uint64_t wan_flow_delay(const struct wan_cfg *c, uint64_t flow);
/* Jitter of one packet: uniform in [-jitter, jitter]. */
int64_t wan_jitter(struct rng *r, uint64_t jitter);

#endif
