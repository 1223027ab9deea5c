/* nvme: disk reads (and writes) without the kernel's buffer cache, after Table 1 of the paper.
 *
 *	nvme_open()			bring up a queue pair and its buffer memory
 *	nvme_read(), nvme_write()	queue a command described by a struct iodesc
 *	nvme_sqsync()			submit everything queued since the last call, in one batch
 *	nvme_consume_completions()	reap; each completed command calls its callback
 *
 * Commands complete in any order. One struct nvme (a queue pair) belongs to one thread. Nothing
 * here blocks but nvme_open, nvme_close and nvme_attach; nothing allocates after nvme_open.
 *
 * Buffers lie in one region that nvme_open() makes and registers with the device (pinned, huge
 * pages where possible); how it is cut into buffers is the caller's business.
 *
 * A namespace is what the device names by `nsid`: with `uring` it is an attached file or block
 * device, with real NVMe back ends the controller's own.
 */
#ifndef ATLAS_NVME_NVME_H
#define ATLAS_NVME_NVME_H

#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"

struct nvme;

struct iodesc {
	uint32_t nsid; /* from nvme_attach(), or the controller's (from 1) */
	uint32_t len;  /* bytes; a multiple of block size except where the file ends */
	uint64_t off;  /* bytes from the start of the namespace; a multiple of the block size */
	void *buf;     /* inside nvme_region(); aligned to nvme_align() */
	/* Called from nvme_consume_completions(). res: bytes transferred (fewer than len only at the
	 * end of a file), or -errno; on a device error -EIO and `status` holds the NVMe status. */
	void (*cb)(struct iodesc *d, int res);
	void *cookie;	 /* the caller's */
	uint16_t status; /* NVMe status code type << 8 | status code; 0 = success */
	uint16_t cid;	 /* private */
	uint64_t t_issue; /* private: clock_ns at sqsync, if NVME_STAMP */
};

enum nvme_flags {
	NVME_POLL = 1,	/* completion by polling, no interrupts where the back end can */
	NVME_STAMP = 2, /* keep the latency histogram */
	NVME_WRITE = 4, /* nvme_write allowed */
};

struct nvme_cfg {
	const char *device;   /* "uring:" (files are attached), "uring:/path", "passthru:/dev/ng0n1",
				 "vfio:0000:01:00.0", "diskmap:0", "sim:p3700" */
	size_t region_bytes;  /* buffer memory */
	unsigned int depth;   /* most commands outstanding */
	unsigned int max_ns;  /* most attached namespaces (uring) */
	unsigned int flags;   /* enum nvme_flags */
};

struct nvme_ns_info {
	uint64_t bytes;
	uint32_t block;	   /* granularity of off and len */
	uint32_t mem_align; /* of buf */
	uint32_t max_io;   /* longest single command the device takes; longer ones are split */
};

struct nvme_stats {
	uint64_t reads, writes, bytes_read, bytes_written, errors;
	uint64_t syscalls; /* made after set-up */
	uint64_t submits, reaps;
	uint64_t outstanding, outstanding_max;
};

int nvme_open(struct nvme **out, const struct nvme_cfg *cfg, struct errbuf *e);
void nvme_close(struct nvme *n); /* waits for what is outstanding */

void *nvme_region(const struct nvme *n, size_t *bytes);

/* uring only: make an open descriptor (O_DIRECT, stays the caller's until detach) a namespace.
 * Returns nsid >= 0, or -errno (-ENOSPC: max_ns). */
int nvme_attach(struct nvme *n, int fd);
int nvme_detach(struct nvme *n, uint32_t nsid); /* -EBUSY while commands on it are outstanding */
int nvme_ns(const struct nvme *n, uint32_t nsid, struct nvme_ns_info *out);

/* Queue one command; 0, -EAGAIN (depth reached: reap first), -EINVAL (bounds, alignment). `d` stays
 * the device's until its callback. */
int nvme_read(struct nvme *n, struct iodesc *d);
int nvme_write(struct nvme *n, struct iodesc *d);
int nvme_sqsync(struct nvme *n);			     /* commands submitted, or -errno */
int nvme_consume_completions(struct nvme *n, int max);	     /* callbacks made, or -errno */
unsigned int nvme_outstanding(const struct nvme *n);

/* A descriptor that becomes readable when completions wait, -1 if there is none (poll then). */
int nvme_fd(const struct nvme *n);
void nvme_get_stats(const struct nvme *n, struct nvme_stats *out);

struct hist; /* base/hist.h */
/* Latency from submission to reaping, ns; NULL without NVME_STAMP. Borrowed. */
const struct hist *nvme_latency(const struct nvme *n);

#endif
