/* stats: what a worker counts, in shared memory, so that collectors read it without asking.
 *
 * One page-aligned struct wstats per worker in a file of `workers` of them behind a struct shm_head
 * (--stats-shm), and the same as JSON over a UNIX socket (--stats). The worker is the single
 * writer; readers may see a counter early, never torn (64-bit relaxed stores). Counters only grow
 * unless named otherwise.
 */
#ifndef ATLAS_STATS_H
#define ATLAS_STATS_H

#include <stdint.h>

#include "stacks/atlas/net/ether.h"
#include "stacks/atlas/net/pktio.h"
#include "stacks/atlas/nvme/nvme.h"
#include "stacks/atlas/stages.h"
#include "stacks/atlas/tcp/tcp.h"
#include "stacks/atlas/tls/tls.h"

#define STATS_MAGIC 0x316174735f6e6364ull /* "dcn_sta1" */

/* name, meaning */
#define WSTATS_FIELDS(F)                                                                           \
	F(turns_useful, "turns of the loop that moved something")                                  \
	F(turns_empty, "turns that found nothing to do")                                           \
	F(sleeps, "times the worker blocked")                                                      \
	F(rx_bursts, "receive bursts that held a frame")                                           \
	F(reaps, "times completions were fetched and there were some")                             \
	F(completions, "completions of reads and file requests")                                   \
	F(conns, "connections now")                                                                \
	F(requests, "request heads answered")                                                      \
	F(responses, "responses queued")                                                           \
	F(responses_error, "of these with status 400 and above")                                   \
	F(bad_requests, "heads that could not be parsed")                                          \
	F(closed_by_reset, "connections reset by the peer")                                        \
	F(reads, "reads started")                                                                  \
	F(bytes_body, "body bytes transmitted for the first time")                                 \
	F(bytes_read, "bytes read from the device")                                                \
	F(bytes_reread, "payload bytes read again for retransmission")                             \
	F(read_errors, "reads that failed or came short: the connection was reset")                \
	F(guard_resets, "connections reset because a record would have changed")                   \
	F(bytes_sealed, "payload bytes encrypted")                                                 \
	F(bytes_copied, "payload bytes copied in user space (atlas:copy)")                         \
	F(bufs_free_min, "fewest free buffers seen")                                               \
	F(bufs_stolen, "held buffers taken away for others")                                       \
	F(tx_requeued, "frames the interface had no room for")                                     \
	F(tx_no_mac, "segments dropped because the neighbour's MAC was unknown")                   \
	F(rx_to_peer, "control frames passed to other workers")                                    \
	F(nomem, "responses dropped for want of memory")                                           \
	F(grown_bytes, "memory taken from the allocator for extents and tags")                     \
	F(thread_allocated, "bytes this thread has ever allocated (jemalloc; 0 without it)")

#define F(name, text) +1
enum { WSTATS_COUNTERS = 0 WSTATS_FIELDS(F) };
#undef F

struct wstats {
#define F(name, text) uint64_t name;
	WSTATS_FIELDS(F)
#undef F
	/* Copies, every STATS_COPY_NS: of the counters above, in their order, and of the rooms'
	 * own, all at one instant, so that one can be divided by another. */
	uint64_t copy[WSTATS_COUNTERS];
	struct tcp_stats tcp;
	struct nvme_stats nvme;
	struct pktio_stats io;
	struct tls_stats tls;
	struct net_stats net;
	struct stage_counts stages;
	double read_us_mean, read_us_p50, read_us_p99;
	uint64_t t_ns; /* of the copies */
} __attribute__((aligned(4096)));

#define STATS_COPY_NS 100000000ull

struct shm_head {
	uint64_t magic, workers, stride, offset; /* stride between workers, offset of the first */
	uint64_t pid;
	char version[64];
} __attribute__((aligned(4096)));

static inline void stat_add(uint64_t *p, uint64_t n)
{
	__atomic_store_n(p, *p + n, __ATOMIC_RELAXED);
}

static inline void stat_sub(uint64_t *p, uint64_t n)
{
	__atomic_store_n(p, *p - n, __ATOMIC_RELAXED);
}

static inline void stat_set(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

struct options;
struct stats;

/* Memory (and the file, if opt->stats_shm) for opt->workers workers. */
int stats_open(struct stats **out, const struct options *opt, struct errbuf *e);
struct wstats *stats_worker(struct stats *s, unsigned int id);
/* Answer who connects to opt->stats, in a thread of its own, until stats_close(). */
int stats_serve(struct stats *s, struct errbuf *e);
void stats_close(struct stats *s);

#endif
