/* backend: what nvme.c asks of a back end. Private to this room.
 *
 * nvme.c owns checks, counting, time stamps and the buffer region; a back end moves commands. Per
 * burst there is one indirect call in each direction.
 */
#ifndef ATLAS_NVME_BACKEND_H
#define ATLAS_NVME_BACKEND_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/hist.h"
#include "stacks/atlas/nvme/nvme.h"

enum nvme_op { NVME_OP_READ, NVME_OP_WRITE };

enum ns_state { NS_FREE, NS_OPENING, NS_READY, NS_CLOSING };

struct nvme_ns {
	struct nvme_ns_info info;
	uint32_t outstanding; /* commands queued or submitted */
	uint32_t next_free;   /* list of free ones, uring only */
	enum ns_state state;
};

struct nvme_file_req;

/* Of back ends whose namespaces are files: what nvme/uring_files.h promises. */
struct nvme_file_ops {
	int (*open_file)(struct nvme *n, int root_fd, const char *path, struct nvme_file_req *r);
	int (*close_file)(struct nvme *n, uint32_t nsid);
};

struct nvme_backend {
	const char *name; /* what stands before the colon */
	/* Bring it up: n->depth, n->flags and n->region are set; fills n->priv, n->fd, n->ns. */
	int (*open)(struct nvme *n, const char *arg, const struct nvme_cfg *cfg, struct errbuf *e);
	/* Nothing outstanding any more. Undo open. */
	void (*close)(struct nvme *n);
	/* Put commands into the submission ring; the device need not see them yet. How many fitted.
	 */
	unsigned int (*stage)(struct nvme *n, struct iodesc **d, unsigned int count);
	/* Make the device see what is staged, then block until `min` completions wait (0: don't) or
	 * timeout_ns passed. 0 or -errno; clears n->unsent when everything went. */
	int (*enter)(struct nvme *n, unsigned int min, uint64_t timeout_ns);
	/* Call nvme_complete() for what is done, at most `max`. How many, or -errno. */
	int (*reap)(struct nvme *n, int max);
	/* Optional. */
	int (*attach)(struct nvme *n, int fd);
	int (*detach)(struct nvme *n, uint32_t nsid);
};

struct nvme {
	const struct nvme_backend *be;
	const struct nvme_file_ops *files; /* NULL: namespaces are no files */
	void *priv;			   /* the back end's */
	char *region;
	size_t region_bytes;
	unsigned int depth, flags;
	uint32_t max_len; /* longest command after splitting, 0 = no limit */
	int fd;		  /* for poll, or -1 */
	char model[96];
	struct errbuf note;
	bool simulated;
	bool closing;
	bool unsent;		  /* staged, not entered */
	unsigned int outstanding; /* commands; npending of them not submitted yet */
	unsigned int other;	  /* file requests in flight */
	unsigned int npending;
	struct iodesc **pending; /* depth of them */
	struct nvme_ns *ns;	 /* [0, ns_max]; [0] is not used */
	uint32_t ns_max;
	uint64_t now;		    /* nvme_clock of this burst, if NVME_STAMP */
	const uint64_t *virtual_ns; /* simulated time, NULL: clock_ns */
	struct nvme_stats stats;
	struct hist *lat;
};

/* Set up the namespace table: numbers 1..max, all free. 0 or -ENOMEM. */
int nvme_ns_table(struct nvme *n, uint32_t max);

static inline struct nvme_ns *nvme_ns_get(const struct nvme *n, uint32_t nsid)
{
	if (nsid < 1 || nsid > n->ns_max || n->ns[nsid].state != NS_READY)
		return NULL;
	return &n->ns[nsid];
}

/* Blocks and alignments are powers of two, so that no command costs a division. */
static inline bool nvme_pow2(uint32_t v)
{
	return v && !(v & (v - 1));
}

static inline bool nvme_aligned(uint64_t v, uint32_t to)
{
	return !(v & (to - 1));
}

static inline uint32_t nvme_round_up(uint32_t v, uint32_t to)
{
	return (v + to - 1) & ~(to - 1);
}

/* A command is over: count it, call its callback. */
static inline void nvme_complete(struct nvme *n, struct iodesc *d, int res, uint16_t status)
{
	n->outstanding--;
	n->ns[d->nsid].outstanding--;
	if (res < 0)
		n->stats.errors++;
	else if (d->op == NVME_OP_READ)
		n->stats.bytes_read += (uint32_t)res;
	else
		n->stats.bytes_written += (uint32_t)res;
	if (n->lat && res >= 0)
		hist_add(n->lat, n->now - d->t_issue);
	d->status = status;
	if (!n->closing)
		d->cb(d, res);
}

/* region.c: memory for DMA, huge pages where possible, touched. *bytes is rounded up. */
int region_map(void **out, size_t *bytes, struct errbuf *e);
void region_unmap(void *p, size_t bytes);

/* The registry: one line each. */
extern const struct nvme_backend nvme_uring, nvme_sim, nvme_passthru, nvme_vfio, nvme_diskmap,
	nvme_extents;

#endif
