/* nvme: disk reads (and writes) without the kernel's buffer cache, after Table 1 of the paper.
 *
 *	nvme_open()			bring up a queue pair and its buffer memory
 *	nvme_read(), nvme_write()	queue a command described by a struct iodesc
 *	nvme_sqsync()			submit everything queued since the last call, in one batch
 *	nvme_consume_completions()	reap; each completed command calls its callback
 *
 * Commands complete in any order. One struct nvme (a queue pair) belongs to one thread: the one
 *that submits first (nvme_open may run in another). Nothing here blocks but nvme_open, nvme_close,
 * nvme_attach, nvme_detach and nvme_wait; nothing allocates after nvme_open.
 *
 * Buffers lie in one region that nvme_open() makes and registers with the device (pinned, huge
 * pages where possible); how it is cut into buffers is the caller's business.
 *
 * A namespace is what the device names by `nsid`: with `uring` it is an attached file or block
 * device, with real NVMe back ends the controller's own.
 */
#ifndef ATLAS_NVME_NVME_H
#define ATLAS_NVME_NVME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"

struct nvme;

struct iodesc {
	uint32_t nsid; /* from nvme_attach(), or the controller's (from 1) */
	uint32_t len;  /* bytes; a multiple of block size except where the file ends */
	uint64_t off;  /* bytes from the start of the namespace; a multiple of the block size */
	void *buf;     /* inside nvme_region(); aligned to nvme_align() */
	/* Called from nvme_consume_completions(). res: bytes transferred (fewer than len only at
	 * the end of a file), or -errno; on a device error -EIO and `status` holds the NVMe status.
	 */
	void (*cb)(struct iodesc *d, int res);
	void *cookie;	 /* the caller's */
	uint16_t status; /* NVMe status code type << 8 | status code; 0 = success, or not told */
	/* private: */
	uint16_t cid;	  /* command identifier, or tries so far */
	uint16_t op;	  /* enum nvme_op */
	uint32_t done;	  /* bytes of a split or short command so far */
	uint64_t t_issue; /* clock_ns at sqsync, if NVME_STAMP */
};

enum nvme_flags {
	NVME_POLL = 1,	/* completion by polling, no interrupts where the back end can; where it
			 * can't, nvme_note() says why */
	NVME_STAMP = 2, /* keep the latency histogram */
	NVME_WRITE = 4, /* nvme_write allowed */
	NVME_NOFD = 8,	/* nvme_fd() is not needed (nvme_wait blocks instead): may be cheaper */
};

struct nvme_cfg {
	const char *device;  /* "uring:" (files are attached), "uring:/path", "passthru:/dev/ng0n1",
				"vfio:0000:01:00.0", "diskmap:0", "sim:p3700" */
	size_t region_bytes; /* buffer memory */
	unsigned int depth;  /* most commands outstanding */
	unsigned int max_ns; /* most attached namespaces (uring) */
	unsigned int flags;  /* enum nvme_flags */
};

struct nvme_ns_info {
	uint64_t bytes;
	uint32_t block;	    /* granularity of off and len */
	uint32_t mem_align; /* of buf */
	uint32_t max_io;    /* longest single command the device takes; longer ones are split */
};

struct nvme_stats {
	uint64_t reads, writes, bytes_read, bytes_written, errors;
	uint64_t syscalls; /* made after nvme_open */
	uint64_t submits, reaps;
	uint64_t outstanding, outstanding_max;
};

int nvme_open(struct nvme **out, const struct nvme_cfg *cfg, struct errbuf *e);
/* Waits for what is outstanding; its callbacks are not called any more. NULL is fine. */
void nvme_close(struct nvme *n);

void *nvme_region(const struct nvme *n, size_t *bytes);

/* uring only: make an open descriptor a namespace. The file stays open inside the ring, so the
 * caller may close its descriptor. Returns nsid >= 1, or -errno (-ENOSPC: max_ns; -EINVAL: not
 * opened with O_DIRECT, or neither regular file nor block device; -EOPNOTSUPP: its file system
 * can't do direct I/O). Opening without blocking is in nvme/uring_files.h. */
int nvme_attach(struct nvme *n, int fd);
int nvme_detach(struct nvme *n, uint32_t nsid); /* -EBUSY while commands on it are outstanding */
int nvme_ns(const struct nvme *n, uint32_t nsid, struct nvme_ns_info *out);

/* Queue one command; 0, -EAGAIN (depth reached: reap first), -EINVAL (bounds, alignment), -ENXIO
 * (no such namespace), -EPERM (write without NVME_WRITE). `d` stays the device's until its
 * callback. A length that is no multiple of the block size is allowed where it ends at the end of
 * the namespace (a file's tail): the device may then write up to the next multiple, so the buffer
 * must reach so far. */
int nvme_read(struct nvme *n, struct iodesc *d);
int nvme_write(struct nvme *n, struct iodesc *d);

/* Commands submitted, or -errno; what could not be submitted stays queued. One system call at most,
 * none if nothing is queued. */
int nvme_sqsync(struct nvme *n);

/* Callbacks made (at most `max`), or -errno. Callbacks may queue and sqsync, not consume. No system
 * call when completions already wait in the ring, at most one to fetch them. */
int nvme_consume_completions(struct nvme *n, int max);

/* nvme_sqsync, then block until `min` completions wait to be consumed or timeout_ns passed, in one
 * system call. For programs with nothing else to wait for. 0, or -errno. */
int nvme_wait(struct nvme *n, unsigned int min, uint64_t timeout_ns);

/* What the device calls itself, and whether it exists only as a model (sim): results must say so.
 */
const char *nvme_model(const struct nvme *n);
bool nvme_simulated(const struct nvme *n);
/* What was asked for and could not be had, and why; "" if there is nothing. */
const char *nvme_note(const struct nvme *n);

/* The clock that latency is measured by, ns: CLOCK_MONOTONIC, or simulated time (sim). */
uint64_t nvme_clock(const struct nvme *n);

/* Queued and submitted commands whose callbacks have not been called, and file requests. */
unsigned int nvme_outstanding(const struct nvme *n);

/* A descriptor that becomes readable when completions wait, -1 if there is none (poll then). */
int nvme_fd(const struct nvme *n);
void nvme_get_stats(const struct nvme *n, struct nvme_stats *out);

struct hist; /* base/hist.h */
/* Latency from submission to reaping, ns; NULL without NVME_STAMP. Borrowed. */
const struct hist *nvme_latency(const struct nvme *n);
void nvme_latency_reset(struct nvme *n); /* forget the warm-up */

#endif
