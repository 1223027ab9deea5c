/* diskmap_priv: what diskmap_dev.c and diskmap_direct.c share. Private. */
#ifndef ATLAS_NVME_DISKMAP_PRIV_H
#define ATLAS_NVME_DISKMAP_PRIV_H

#include "stacks/atlas/nvme/diskmap/diskmap.h"
#include "stacks/atlas/nvme/qpair.h"

#define DISKMAP_BATCH 256u

struct diskmap {
	int fd;
	struct diskmap_info info;
	const struct nvme_cqe *cq; /* read-only */
	size_t cq_bytes;
	uint32_t head, acked; /* of the completion queue: read by us, and known to the kernel */
	uint8_t phase;
	struct qcmd *cmd; /* by CID */
	uint32_t free;
	uint16_t free_head;
	/* checked mode */
	struct diskmap_cmd batch[DISKMAP_BATCH];
	uint32_t nbatch, first; /* [first, nbatch) are not submitted yet */
	/* direct mode */
	bool direct;
	struct nvme_sqe *sq;
	size_t sq_bytes;
	uint32_t tail, rung; /* of the submission queue: written by us, and told to the device */
	uint64_t *page;	     /* device addresses of the buffers' pages */
	char *lists;	     /* a page of PRP list a CID, behind the region */
	uint32_t lists_page; /* number of its first page */
	size_t lists_bytes;
};

/* direct: the mapped submission queue. Bytes of the module's buffers that its PRP lists take. */
size_t diskmap_direct_bytes(const struct diskmap *d);
/* After the queue pair was attached: map the queue and the lists, which lie `at` bytes into the
 * module's buffers. 0 or -errno with a sentence. */
int diskmap_direct_open(struct diskmap *d, size_t at, struct errbuf *e);
void diskmap_direct_close(struct diskmap *d);
/* One command, checked by its caller (diskmap_dev.c), into the queue. */
void diskmap_direct_put(struct diskmap *d, const struct diskmap_cmd *c);
/* Ring both doorbells. One system call. 0 or -errno. */
int diskmap_direct_bell(struct diskmap *d);

#endif
