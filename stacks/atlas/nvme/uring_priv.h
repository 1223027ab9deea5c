/* uring_priv: what uring.c and uring_files.c share. Private. */
#ifndef ATLAS_NVME_URING_PRIV_H
#define ATLAS_NVME_URING_PRIV_H

#include <liburing.h>

#include "stacks/atlas/nvme/backend.h"

struct nvme_file_req; /* uring_files.h */

struct uring {
	struct io_uring ring;
	bool enabled;	  /* by the thread that uses it */
	bool table;	  /* ring and file table exist (for teardown) */
	uint32_t max_io;  /* bytes of one request */
	bool iopoll;	  /* completions are looked for, by us, in the device's queue */
	uint32_t free_ns; /* head of the list of free namespaces, 0 = none */
};

/* What a completion belongs to: the low bits of user_data beside an 8-byte aligned pointer. */
enum uring_tag {
	TAG_IO,	      /* struct iodesc */
	TAG_FILE,     /* struct nvme_file_req */
	TAG_CLOSE_NS, /* namespace number << 3 */
	TAG_CLOSE_FD, /* nothing */
	TAG_MASK = 7,
};

static inline uint64_t uring_tagged(uint64_t v, enum uring_tag t)
{
	return v | t;
}

/* Fill info from the open file. -EINVAL (wrong kind, no O_DIRECT), -EOPNOTSUPP. */
int uring_file_info(const struct statx *st, struct nvme_ns_info *out);

/* Is the device below `path` polled, and how long may a request be then? 0, or -errno with the
 * reason. uring_poll.c */
int uring_poll_limit(const char *path, uint32_t *max_io, struct errbuf *e);

uint32_t uring_ns_take(struct nvme *n); /* a free number, now NS_OPENING; 0 = none */
void uring_ns_give(struct nvme *n, uint32_t nsid);

extern const struct nvme_file_ops uring_file_ops; /* uring_files.c */

/* uring_files.c: a file request's step, or a close, is over. */
void uring_file_step(struct nvme *n, struct nvme_file_req *r, int res);
void uring_ns_closed(struct nvme *n, uint32_t nsid);

#endif
