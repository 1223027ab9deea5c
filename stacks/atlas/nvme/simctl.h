/* simctl: a software NVMe controller for one I/O queue pair, over plain memory. Private to this
 *room.
 *
 * It sees what a controller sees: the rings, the doorbells, and memory by device addresses, checked
 * against the windows that were mapped, as an IOMMU would. What it knows of time:
 *
 *	a command becomes ready a latency after it was fetched, whatever else is in flight;
 *	ready commands pass one channel, in that order, which moves X bytes a second.
 *
 * The latency sample is L0 (1 - j + j E), E exponential with mean 1, less the command's own time in
 *the channel: so the mean unloaded latency is L0 (or the transfer alone, if longer), commands
 *overtake each other, and with a window of w commands of s bytes the throughput is min(w s / L0,
 *X), close to the knee a little less if j > 0. By Little's law the latency then is max(L0, w s /
 *X).
 *
 * Not modelled: caches and garbage collection in the drive, conflicts between dies, host CPU time.
 */
#ifndef ATLAS_NVME_SIMCTL_H
#define ATLAS_NVME_SIMCTL_H

#include "base/rng.h"
#include "stacks/atlas/nvme/qpair.h"
#include "stacks/atlas/nvme/sim_model.h"

#define SIM_WINDOWS 2

struct sim_job {
	struct nvme_sqe sqe;
	uint64_t at; /* ready, then finished */
	uint64_t seq;
};

struct simctl {
	struct sim_model m;
	struct dma window[SIM_WINDOWS]; /* memory it may touch */
	const struct nvme_sqe *sq;
	struct nvme_cqe *cq;
	const uint32_t *sq_bell, *cq_bell;
	uint32_t entries, sq_head, cq_tail;
	uint8_t phase;
	struct sim_job *heap;	 /* fetched, not ready: earliest first */
	struct sim_job *channel; /* a ring: in the channel, or through and waiting for CQ space */
	uint32_t heap_len, chan_head, chan_len;
	double chan_free; /* when the channel is, ns */
	struct rng rng;
	uint64_t seq;
	char *overlay;	   /* what was written */
	uint64_t *written; /* bit per block */
	size_t written_bytes;
	uint64_t faults; /* accesses outside the windows */
};

int simctl_init(struct simctl *c, const struct sim_model *m, const struct qpair *q,
		const struct dma *queue_mem, const struct dma *data);
void simctl_free(struct simctl *c);
/* Fetch new commands, post what is finished by `now`. */
void simctl_step(struct simctl *c, uint64_t now);
/* Time of the next change if nothing is submitted; UINT64_MAX: none. */
uint64_t simctl_next(const struct simctl *c);
/* Completions posted and not yet taken. */
uint32_t simctl_posted(const struct simctl *c);

/* The byte at `off` of a block that was never written. */
static inline uint8_t sim_byte(uint64_t off)
{
	return (uint8_t)(rng_mix(off / 8) >> (off % 8 * 8));
}

#endif
