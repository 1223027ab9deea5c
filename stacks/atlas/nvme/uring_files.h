/* uring_files: open and close files as namespaces of a `uring` (or `extents`) queue pair without
 * ever blocking.
 *
 * The store of a web server opens files while it serves others: a blocking open(2) would stop every
 * connection of the thread. Here the open, the statx and the close are commands of the same ring.
 *
 * A path is resolved beneath a directory (openat2 RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS): neither
 * "..", an absolute path nor a symbolic link leads out of it. Only regular files are opened.
 *
 * The files sit in the ring's own table and use no descriptor of the process once they are open.
 * Thread: the queue pair's. Steps are submitted by nvme_sqsync and nvme_consume_completions,
 * callbacks are called from the latter. Source: io_uring(7), openat2(2).
 */
#ifndef ATLAS_NVME_URING_FILES_H
#define ATLAS_NVME_URING_FILES_H

#include <linux/openat2.h>
#include <sys/stat.h>

#include "stacks/atlas/nvme/nvme.h"

/* Most opens and closes in flight; relation to the ring's size is asserted in uring.c. */
#define NVME_FILE_OPS_MAX 128

struct nvme_file_req {
	/* The caller's. res: nsid >= 1, or -errno: -ENOENT, -EXDEV (leads out of the root), -ELOOP,
	 * -EISDIR, -EACCES (also: neither file nor directory), -EOPNOTSUPP (its file system can't
	 * do direct I/O), -EMFILE ... */
	void (*cb)(struct nvme_file_req *r, int res);
	void *cookie;
	struct statx st; /* valid in the callback when res >= 1: size, mtime, ino, dev ... */

	/* private */
	struct open_how how;
	int fd;
	uint32_t nsid;
	uint32_t step;
};

/* Queue the opening of `path` beneath root_fd (a directory). path and req stay in use until the
 * callback. 0; -EAGAIN: NVME_FILE_OPS_MAX in flight; -ENOSPC: all namespaces taken (close one
 * first); -EOPNOTSUPP: another back end than uring or
 * extents. */
int nvme_open_file(struct nvme *n, int root_fd, const char *path, struct nvme_file_req *req);

/* Queue the closing of a namespace made by nvme_open_file or nvme_attach. Its number is free again
 * once that is done. 0, -EAGAIN, -EBUSY (commands outstanding on it), -ENXIO. */
int nvme_close_file(struct nvme *n, uint32_t nsid);

/* The size was found to have changed, by another statx say: bounds follow it. 0 or -ENXIO. */
int nvme_resize(struct nvme *n, uint32_t nsid, uint64_t bytes);

#endif
