/* qpair: an NVMe queue pair in memory, as host software sees it (NVMe 1.4, chapter 4).
 *
 * Two rings. The host writes 64-byte commands into the submission queue (SQ) at its tail and tells
 *the device the new tail by writing the SQ's doorbell. The device writes 16-byte completions into
 *the completion queue (CQ) in any order of commands; a completion is new when its phase bit has the
 *value of the current round, which flips each time the ring wraps, so the host needs no register to
 *see it. The host tells how far it has read by the CQ's doorbell.
 *
 *	qpair_init()	over memory that the device can reach
 *	qpair_put()	one iodesc -> one or more commands (a device takes at most max_io bytes
 *each) qpair_ring()	one doorbell write for all that was put qpair_reap()	completions ->
 *nvme_complete(), one doorbell write for all
 *
 * A command has an identifier (CID), an index into `cmd`; as many exist as commands fit the SQ, so
 * holding a CID is the right to an SQ entry. Data is described by physical region pages (PRP): the
 * first entry may start inside a page, the others are whole pages; beyond two entries the second
 * points to a list, and each CID owns one page for that.
 *
 * Nothing here knows what the device is: vfio gives registers as doorbells, sim plain memory. One
 * thread. No system calls, no allocation after qpair_init.
 */
#ifndef ATLAS_NVME_QPAIR_H
#define ATLAS_NVME_QPAIR_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "stacks/atlas/nvme/backend.h"

#define NVME_PAGE     4096u /* the host's memory page size, CC.MPS = 0 */
#define NVME_PRP_LIST (NVME_PAGE / 8)
/* What one page of PRP list describes however the buffer starts. */
#define NVME_PRP_MAX_IO (NVME_PRP_LIST * NVME_PAGE)

/* Opcodes of the NVM command set (NVMe 1.4 figure 348). */
enum { NVME_CMD_FLUSH = 0, NVME_CMD_WRITE = 1, NVME_CMD_READ = 2 };

/* Generic and media status codes that we name (NVMe 1.4 figures 126 to 130): type << 8 | code. */
enum {
	NVME_SC_INVALID_OPCODE = 0x001,
	NVME_SC_INVALID_FIELD = 0x002,
	NVME_SC_DATA_TRANSFER = 0x004,
	NVME_SC_ABORT_REQUESTED = 0x007,
	NVME_SC_INVALID_NS = 0x00b,
	NVME_SC_LBA_RANGE = 0x080,
	NVME_SC_UNRECOVERED_READ = 0x281,
};

struct nvme_sqe { /* NVMe 1.4 figure 105, little endian */
	uint8_t opcode;
	uint8_t flags; /* 0: PRPs, not fused */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct nvme_sqe) == 64, "NVMe 1.4 4.2");

struct nvme_cqe { /* figure 122 */
	uint32_t dw0, dw1;
	uint16_t sq_head, sq_id;
	uint16_t cid;
	uint16_t status; /* bit 0 phase, 8:1 code, 11:9 type, 14 more, 15 do not retry */
};
static_assert(sizeof(struct nvme_cqe) == 16, "NVMe 1.4 4.6");

static inline uint16_t nvme_cqe_status(uint16_t field)
{
	return (uint16_t)((field >> 1) & 0x7ff);
}

/* Memory both sides reach: our address and the device's of its first byte. Contiguous for both. */
struct dma {
	char *va;
	uint64_t iova;
	size_t bytes;
};

static inline uint64_t dma_iova(const struct dma *m, const void *p)
{
	return m->iova + (uint64_t)((const char *)p - m->va);
}

struct qcmd {
	struct iodesc *d; /* NULL: free */
	uint32_t len;
	uint16_t next_free;
};

struct qpair {
	struct nvme_sqe *sq;
	struct nvme_cqe *cq; /* written by the device */
	uint64_t *prp;	     /* a page a CID */
	uint64_t prp_iova;
	uint32_t *sq_bell, *cq_bell;
	struct dma data; /* the region */
	struct qcmd *cmd;
	uint32_t entries; /* of both rings; entries - 1 commands */
	uint32_t sq_tail, cq_head;
	uint32_t rung; /* the tail that the device knows */
	uint32_t free; /* CIDs free */
	uint16_t free_head;
	uint8_t phase;
	uint64_t bells; /* doorbell writes */
	uint64_t bad;	/* completions that named no command of ours */
};

/* Bytes of DMA memory for a pair of `entries` (a power of two, 2 to 4096): SQ, CQ, PRP lists, each
 * at a page boundary. */
size_t qpair_bytes(uint32_t entries);

/* Over `m` (qpair_bytes, page-aligned in both address spaces), zeroed here. `data`: where buffers
 * lie. 0 or -ENOMEM. */
int qpair_init(struct qpair *q, uint32_t entries, const struct dma *m, const struct dma *data,
	       uint32_t *sq_bell, uint32_t *cq_bell);
void qpair_free(struct qpair *q);
/* Device addresses of the rings, for Create I/O Submission/Completion Queue. */
uint64_t qpair_sq_iova(const struct dma *m);
uint64_t qpair_cq_iova(const struct dma *m, uint32_t entries);

/* Fill prp1 and prp2 (and the list) for [iova, iova + len), len 1..NVME_PRP_MAX_IO, iova a multiple
 * of
 * 4. Returns the entries used in the list (0: no list). NVMe 1.4 4.3. */
unsigned int prp_build(uint64_t iova, uint32_t len, uint64_t *list, uint64_t list_iova,
		       uint64_t *prp1, uint64_t *prp2);

/* Commands for all of `d`; false (and nothing put) if they don't fit now. */
bool qpair_put(struct qpair *q, struct iodesc *d, const struct nvme_ns_info *ns);
void qpair_ring(struct qpair *q);
int qpair_reap(struct qpair *q, struct nvme *n, int max);
/* Is there a completion to reap? One memory read. */
bool qpair_ready(const struct qpair *q);

#endif
