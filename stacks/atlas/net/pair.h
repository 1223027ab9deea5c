/* pair: two pktio ends joined in memory, for tests: loss, duplication, reordering, corruption and
 * delay from a seed, in virtual time. The same seed and calls give the same frames.
 *
 * One thread. Both ends and the pair die with pair_free(); ops->open of an end is not used.
 */
#ifndef ATLAS_NET_PAIR_H
#define ATLAS_NET_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "stacks/atlas/net/pktio.h"

struct pair_cfg {
	uint64_t seed;
	/* Probabilities, 0 to 1, of each frame on the wire. */
	double loss, duplicate, reorder, corrupt;
	double nobufs;		      /* that tx_burst has no room for a frame just now */
	uint64_t delay_ns, jitter_ns; /* one way: delay + uniform [0, jitter]; jitter keeps order */
	uint64_t reorder_ns;	      /* extra delay of a reordered frame */
	bool segment;		      /* cut GSO frames up: each segment has its own fate */
	bool checksum;		      /* fill checksums in; else frames come as PKT_RX_CSUM_NONE */
	bool async;		      /* a frame is done when delivered or lost, not at tx_burst */
	uint16_t mtu;		      /* 0: 1500 */
	uint32_t frames;	      /* most frames under way in both directions; 0: 1024 */
	/* Scripted loss: true loses the frame. May be NULL. `from` is the sending end. */
	bool (*drop)(void *ctx, int from, const uint8_t *frame, uint32_t len);
	void *ctx;
};

struct pair_stats {
	uint64_t sent, delivered, lost, duplicated, reordered, corrupted, no_room;
};

struct pair;

/* 0 or -ENOMEM, -EINVAL with a sentence. */
int pair_new(struct pair **out, const struct pair_cfg *cfg, struct errbuf *e);
void pair_free(struct pair *p);
struct pktio *pair_end(struct pair *p, int end); /* 0 or 1; borrowed */

/* Time only moves here: frames due by `now_ns` can then be received. */
void pair_set_time(struct pair *p, uint64_t now_ns);
/* When the next frame arrives at either end; UINT64_MAX if none is under way. */
uint64_t pair_next(const struct pair *p);
void pair_get_stats(const struct pair *p, struct pair_stats *s);

#endif
