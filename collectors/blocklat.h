/* blocklat: how long the content's disk takes for a read, for any stack that reads through the
 * kernel's block layer.
 *
 * From block_rq_issue (handed to the driver) to block_rq_complete, matched by sector, in the
 * kernel. If there are more than BLOCKLAT_READS_PER_S reads a second, only those in every 16th or
 * every 256th stretch of 128 KiB are traced, so that the cost is bounded.
 *
 * One owner; nothing blocks but open and close. Needs root (CAP_BPF and CAP_PERFMON). Not seen:
 * user-space drivers (vfio, diskmap).
 */
#ifndef COLLECTORS_BLOCKLAT_H
#define COLLECTORS_BLOCKLAT_H

#include <stdint.h>

#include "base/errbuf.h"
#include "base/hist.h"

#define BLOCKLAT_READS_PER_S 10000
#define BLOCKLAT_RING	     65536 /* reads that fit between two drains; a power of two */

struct blocklat;

/* `disk` as in /sys/block. 0 or -errno with a sentence. */
int blocklat_open(struct blocklat **out, const char *sys_root, const char *disk, struct errbuf *e);
/* Read what has arrived, at time `now_ns`; once per tick. */
void blocklat_drain(struct blocklat *b, uint64_t now_ns);
/* Reads completed from t0 on, and up to t1, are what blocklat_hist() holds. Each is to be called
 * before the drain that brings later reads. */
void blocklat_begin(struct blocklat *b, uint64_t t0_ns);
void blocklat_end(struct blocklat *b, uint64_t t1_ns);
const struct hist *blocklat_hist(const struct blocklat *b); /* nanoseconds */
uint64_t blocklat_lost(const struct blocklat *b);
/* 1, 16 or 256: one of so many stretches is traced. */
unsigned int blocklat_sampling(const struct blocklat *b);
void blocklat_close(struct blocklat *b);

/* What kernel and we share: the program appends, we read and clear. */
struct blocklat_shared {
	uint64_t mask; /* sectors with one of these bits are passed over */
	uint64_t dev;  /* the kernel's own dev_t */
	uint64_t head; /* reads ever appended */
	uint64_t unused;
	struct blocklat_read {
		uint64_t end_ns, took_ns; /* 0: not written yet */
	} ring[BLOCKLAT_RING];
};

/* Without the kernel, for tests: reads come out of `shared`. NULL if out of memory. */
struct blocklat *blocklat_bare(struct blocklat_shared *shared);

#endif
