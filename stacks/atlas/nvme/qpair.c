/* qpair: the rings of an NVMe queue pair. See qpair.h for how they work.
 *
 * The one idea: the device is told once a burst. Completions are not trusted: a CID that is out of
 * range or not in flight is counted and dropped.
 *
 * Limits: CC.MPS = 4 KiB, one page of PRP list a command (2 MiB of data), no metadata, no SGL.
 * Source: NVM Express 1.4, 4.1 (rings), 4.3 (PRP), 4.6 (completions), 7.2 (command flow).
 */
#include "stacks/atlas/nvme/qpair.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NONE 0xffff

static size_t pages(size_t bytes)
{
	return (bytes + NVME_PAGE - 1) & ~(size_t)(NVME_PAGE - 1);
}

static size_t sq_bytes(uint32_t entries)
{
	return pages((size_t)entries * sizeof(struct nvme_sqe));
}

static size_t cq_bytes(uint32_t entries)
{
	return pages((size_t)entries * sizeof(struct nvme_cqe));
}

size_t qpair_bytes(uint32_t entries)
{
	return sq_bytes(entries) + cq_bytes(entries) + (size_t)(entries - 1) * NVME_PAGE;
}

uint64_t qpair_sq_iova(const struct dma *m)
{
	return m->iova;
}

uint64_t qpair_cq_iova(const struct dma *m, uint32_t entries)
{
	return m->iova + sq_bytes(entries);
}

int qpair_init(struct qpair *q, uint32_t entries, const struct dma *m, const struct dma *data,
	       uint32_t *sq_bell, uint32_t *cq_bell)
{
	size_t lists = sq_bytes(entries) + cq_bytes(entries);

	memset(q, 0, sizeof *q);
	q->cmd = calloc(entries - 1, sizeof *q->cmd);
	if (!q->cmd)
		return -ENOMEM;
	memset(m->va, 0, qpair_bytes(entries));
	q->sq = (struct nvme_sqe *)m->va;
	q->cq = (struct nvme_cqe *)(m->va + sq_bytes(entries));
	q->prp = (uint64_t *)(m->va + lists);
	q->prp_iova = m->iova + lists;
	q->sq_bell = sq_bell;
	q->cq_bell = cq_bell;
	q->data = *data;
	q->entries = entries;
	q->phase = 1;
	q->free_head = NONE;
	for (uint32_t i = entries - 1; i-- > 0;) {
		q->cmd[i].next_free = q->free_head;
		q->free_head = (uint16_t)i;
	}
	q->free = entries - 1;
	return 0;
}

void qpair_free(struct qpair *q)
{
	free(q->cmd);
	q->cmd = NULL;
}

unsigned int prp_build(uint64_t iova, uint32_t len, uint64_t *list, uint64_t list_iova,
		       uint64_t *prp1, uint64_t *prp2)
{
	uint32_t first = NVME_PAGE - (uint32_t)(iova % NVME_PAGE);
	unsigned int used = 0;

	*prp1 = iova;
	*prp2 = 0;
	if (len <= first)
		return 0;
	iova += first;
	len -= first;
	if (len <= NVME_PAGE) {
		*prp2 = iova;
		return 0;
	}
	for (;; iova += NVME_PAGE, len -= NVME_PAGE) {
		list[used++] = iova;
		if (len <= NVME_PAGE)
			break;
	}
	*prp2 = list_iova;
	return used;
}

static void put_one(struct qpair *q, struct iodesc *d, uint32_t at, uint32_t len, uint32_t block)
{
	struct nvme_sqe *s = &q->sq[q->sq_tail];
	uint64_t iova = dma_iova(&q->data, (char *)d->buf + at);
	uint64_t lba = (d->off + at) / block;
	uint16_t cid = q->free_head;
	struct qcmd *c = &q->cmd[cid];

	q->free_head = c->next_free;
	q->free--;
	c->d = d;
	c->len = len;
	*s = (struct nvme_sqe){
		.opcode = d->op == NVME_OP_WRITE ? NVME_CMD_WRITE : NVME_CMD_READ,
		.cid = cid,
		.nsid = d->nsid,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = len / block - 1,
	};
	prp_build(iova, len, q->prp + (size_t)cid * NVME_PRP_LIST,
		  q->prp_iova + (uint64_t)cid * NVME_PAGE, &s->prp1, &s->prp2);
	if (++q->sq_tail == q->entries)
		q->sq_tail = 0;
	d->cid++;
}

bool qpair_put(struct qpair *q, struct iodesc *d, const struct nvme_ns_info *ns)
{
	uint32_t len = d->len;

	/* A read may reach over the end of the namespace; a device refuses that. */
	if (len > ns->bytes - d->off)
		len = (uint32_t)(ns->bytes - d->off);
	if ((len + ns->max_io - 1) / ns->max_io > q->free)
		return false;
	d->cid = 0; /* commands in flight */
	for (uint32_t at = 0; at < len; at += ns->max_io)
		put_one(q, d, at, len - at < ns->max_io ? len - at : ns->max_io, ns->block);
	return true;
}

void qpair_ring(struct qpair *q)
{
	if (q->rung == q->sq_tail)
		return;
	/* Commands before the doorbell (x86: a compiler barrier; the register is uncached). */
	__atomic_store_n(q->sq_bell, q->sq_tail, __ATOMIC_RELEASE);
	q->rung = q->sq_tail;
	q->bells++;
}

bool qpair_ready(const struct qpair *q)
{
	uint16_t s = __atomic_load_n(&q->cq[q->cq_head].status, __ATOMIC_ACQUIRE);

	return (s & 1) == q->phase;
}

/* The part `cid` of an iodesc is over; true if that was its last. */
static bool part_over(struct qpair *q, uint16_t cid, uint16_t status, struct iodesc **out)
{
	struct qcmd *c = &q->cmd[cid];
	struct iodesc *d = c->d;

	if (status && !d->status)
		d->status = status;
	if (!status)
		d->done += c->len;
	c->d = NULL;
	c->next_free = q->free_head;
	q->free_head = cid;
	q->free++;
	*out = d;
	return --d->cid == 0;
}

int qpair_reap(struct qpair *q, struct nvme *n, int max)
{
	uint32_t start = q->cq_head;
	int got = 0;

	/* At most one round: a device that writes faster than we read does not keep us here. */
	for (uint32_t seen = 0; got < max && seen < q->entries && qpair_ready(q); seen++) {
		struct nvme_cqe c = q->cq[q->cq_head];
		struct iodesc *d;

		if (++q->cq_head == q->entries) {
			q->cq_head = 0;
			q->phase ^= 1;
		}
		if (c.cid >= q->entries - 1 || !q->cmd[c.cid].d) {
			q->bad++;
			continue;
		}
		if (part_over(q, c.cid, nvme_cqe_status(c.status), &d)) {
			nvme_complete(n, d, d->status ? -EIO : (int)d->done, d->status);
			got++;
		}
	}
	if (q->cq_head != start) {
		__atomic_store_n(q->cq_bell, q->cq_head, __ATOMIC_RELEASE);
		q->bells++;
	}
	return got;
}
