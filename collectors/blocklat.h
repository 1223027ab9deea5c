/* blocklat: how long the content's disk takes for a read, for any stack that reads through the
 * kernel's block layer.
 *
 * From block_rq_issue (handed to the driver) to block_rq_complete, matched by sector; device and
 * direction are filtered in the kernel. If reads are more than BLOCKLAT_EVENTS_PER_S / 2 a second,
 * only those in every 16th or every 256th stretch of 128 KiB are traced, so that the cost is
 * bounded.
 *
 * One owner; nothing blocks but open and close. Not seen: user-space drivers (vfio, diskmap).
 */
#ifndef COLLECTORS_BLOCKLAT_H
#define COLLECTORS_BLOCKLAT_H

#include <stdint.h>

#include "base/errbuf.h"
#include "base/hist.h"

#define BLOCKLAT_EVENTS_PER_S 20000

struct blocklat;

/* `disk` as in /sys/block. 0 or -errno with a sentence. */
int blocklat_open(struct blocklat **out, const char *sys_root, const char *disk, struct errbuf *e);
/* Read what has arrived, at time `now_ns`; once per tick. */
void blocklat_drain(struct blocklat *b, uint64_t now_ns);
/* Reads completed from t0 on, and up to t1, are what blocklat_hist() holds. Each is to be called
 * before the drain that brings later events. */
void blocklat_begin(struct blocklat *b, uint64_t t0_ns);
void blocklat_end(struct blocklat *b, uint64_t t1_ns);
const struct hist *blocklat_hist(const struct blocklat *b); /* nanoseconds */
uint64_t blocklat_lost(const struct blocklat *b);
/* 1, 16 or 256: one of so many is traced. */
unsigned int blocklat_sampling(const struct blocklat *b);
void blocklat_close(struct blocklat *b);

/* The matching alone, for tests: events in any order within a drain. */
struct blocklat *blocklat_bare(void);
void blocklat_event(struct blocklat *b, uint64_t t_ns, uint64_t sector, int complete);
/* Match everything that happened before `cut_ns`. */
void blocklat_match(struct blocklat *b, uint64_t cut_ns);

#endif
