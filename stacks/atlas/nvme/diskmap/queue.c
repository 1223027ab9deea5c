// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/* queue: one queue pair: its memory, and the checks that make it safe to give away.
 *
 * The promise: whatever the owner does, the device reads and writes only the owner's buffers, and
 * only blocks of the range it was granted. So a command is copied once into kernel memory, checked
 * there, and addresses come from our own table; the owner's memory is never looked at again.
 *
 * A CID is in flight from submission until the owner has acknowledged its completion, which we
 * check in the completion queue ourselves: so its PRP page is not reused while the device may read
 * it, and the queue can't overflow. Source: NVM Express 1.4, 4.1 to 4.6.
 */
#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include "dm.h"

static size_t prp_bytes(const struct dm_ctrl *c)
{
	return (size_t)(c->depth - 1) * DM_PAGE;
}

/* A page the device writes to and a program maps: its own reference for each mapping. */
static int map_page(struct dm_ctrl *c, struct page *p, dma_addr_t *dma)
{
	struct device *dev = &c->pci->dev;

	*dma = dma_map_page(dev, p, 0, DM_PAGE, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, *dma))
		return -ENOMEM;
	/* Bounce buffers would defeat reading without a call. An IOMMU never bounces whole pages.
	 */
	if (!c->iommu && dma_need_sync(dev, *dma)) {
		dma_unmap_page(dev, *dma, DM_PAGE, DMA_BIDIRECTIONAL);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int alloc_buffers(struct dm_ctrl *c, struct dm_queue *q)
{
	q->pages = kvcalloc(c->npages, sizeof(*q->pages), GFP_KERNEL);
	q->dma = kvcalloc(c->npages, sizeof(*q->dma), GFP_KERNEL);
	if (!q->pages || !q->dma)
		return -ENOMEM;
	for (u32 i = 0; i < c->npages; i++) {
		int err;

		q->pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!q->pages[i])
			return -ENOMEM;
		err = map_page(c, q->pages[i], &q->dma[i]);
		if (err) {
			__free_page(q->pages[i]);
			q->pages[i] = NULL;
			return err;
		}
	}
	return 0;
}

/* Pages in a row that a program may map: each has its own reference count. */
static int alloc_ring(struct dm_ctrl *c, size_t bytes, struct page **pages, unsigned int *order,
		      dma_addr_t *dma)
{
	struct device *dev = &c->pci->dev;
	struct page *p;

	*order = get_order(bytes);
	p = alloc_pages(GFP_KERNEL | __GFP_ZERO, *order);
	if (!p)
		return -ENOMEM;
	split_page(p, *order);
	*dma = dma_map_page(dev, p, 0, PAGE_SIZE << *order, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, *dma)) {
		for (u32 i = 0; i < 1u << *order; i++)
			__free_page(p + i);
		return -ENOMEM;
	}
	*pages = p;
	return !c->iommu && dma_need_sync(dev, *dma) ? -EOPNOTSUPP : 0;
}

static void free_ring(struct dm_ctrl *c, struct page **pages, unsigned int order, dma_addr_t dma)
{
	if (!*pages)
		return;
	dma_unmap_page(&c->pci->dev, dma, PAGE_SIZE << order, DMA_BIDIRECTIONAL);
	for (u32 i = 0; i < 1u << order; i++)
		__free_page(*pages + i);
	*pages = NULL;
}

int dm_queue_alloc(struct dm_ctrl *c, struct dm_queue *q, u16 id)
{
	struct device *dev = &c->pci->dev;
	int err;

	q->ctrl = c;
	q->id = id;
	q->prp = dma_alloc_coherent(dev, prp_bytes(c), &q->prp_dma, GFP_KERNEL);
	if (!q->prp)
		return -ENOMEM;
	err = alloc_ring(c, c->depth * sizeof(*q->sq), &q->sq_pages, &q->sq_order, &q->sq_dma);
	if (err)
		return err;
	q->sq = page_address(q->sq_pages);
	err = alloc_ring(c, c->depth * sizeof(*q->cq), &q->cq_pages, &q->cq_order, &q->cq_dma);
	if (err)
		return err;
	q->cq = page_address(q->cq_pages);
	return alloc_buffers(c, q);
}

/* The device is stopped. Pages that programs still map stay theirs until unmapped. */
void dm_queue_free(struct dm_queue *q)
{
	struct dm_ctrl *c = q->ctrl;
	struct device *dev = &c->pci->dev;

	for (u32 i = 0; q->pages && i < c->npages && q->pages[i]; i++) {
		dma_unmap_page(dev, q->dma[i], DM_PAGE, DMA_BIDIRECTIONAL);
		__free_page(q->pages[i]);
	}
	kvfree(q->pages);
	kvfree(q->dma);
	q->pages = NULL;
	free_ring(c, &q->cq_pages, q->cq_order, q->cq_dma);
	free_ring(c, &q->sq_pages, q->sq_order, q->sq_dma);
	q->cq = NULL;
	q->sq = NULL;
	if (q->prp)
		dma_free_coherent(dev, prp_bytes(c), q->prp, q->prp_dma);
	q->prp = NULL;
}

static int grant(struct dm_queue *q, const struct diskmap_attach *a)
{
	const struct dm_ns *ns;

	if (a->reserved || a->flags & ~(DISKMAP_WRITE | DISKMAP_DIRECT) || !a->nsid ||
	    a->nsid > q->ctrl->nns)
		return -EINVAL;
	ns = &q->ctrl->ns[array_index_nospec(a->nsid, DM_NS_MAX + 1)];
	if (!ns->lba_shift)
		return -ENXIO;
	if (a->first >= ns->blocks || a->blocks > ns->blocks - a->first)
		return -ERANGE;
	q->nsid = a->nsid;
	q->flags = a->flags;
	q->first = a->first;
	q->blocks = a->blocks ? a->blocks : ns->blocks - a->first;
	return 0;
}

int dm_queue_attach(struct dm_queue *q, const struct diskmap_attach *a)
{
	struct dm_ctrl *c = q->ctrl;
	int err = grant(q, a);

	if (err)
		return err;
	/* Nothing of the last owner is left. */
	for (u32 i = 0; i < c->npages; i++)
		clear_highpage(q->pages[i]);
	memset(q->cq, 0, PAGE_SIZE << q->cq_order);
	memset(q->sq, 0, PAGE_SIZE << q->sq_order);
	q->tail = q->head = q->flight = 0;
	q->phase = 1;
	q->direct = a->flags & DISKMAP_DIRECT;
	bitmap_zero(q->busy, DM_DEPTH_MAX);
	err = dm_ctrl_queue_create(c, q);
	q->live = !err;
	q->owned = !err;
	return err;
}

void dm_queue_detach(struct dm_queue *q)
{
	if (q->live)
		dm_ctrl_queue_delete(q->ctrl,
				     q); /* or the controller is stopped: no DMA either way */
	q->live = false;
	q->owned = false;
	q->direct = false;
}

static bool is_new(const struct dm_queue *q, u32 at, u8 phase)
{
	return (le16_to_cpu(READ_ONCE(q->cq[at].status)) & 1) == phase;
}

bool dm_queue_waits(const struct dm_queue *q)
{
	return q->live && is_new(q, q->head, q->phase);
}

/* The owner has read up to `to`. It can't have read what the device has not written. */
static int acknowledge(struct dm_queue *q, u32 to)
{
	struct dm_ctrl *c = q->ctrl;
	u32 head = q->head;
	u8 phase = q->phase;

	if (to >= c->depth)
		return -EINVAL;
	while (head != to) {
		u16 cid;

		if (!is_new(q, head, phase))
			return -EINVAL;
		dma_rmb();
		cid = le16_to_cpu(READ_ONCE(q->cq[head].cid));
		if (cid < c->depth - 1 && __test_and_clear_bit(cid, q->busy))
			q->flight--;
		if (++head == c->depth) {
			head = 0;
			phase ^= 1;
		}
		/* step by step, so that an error later leaves a true state */
		q->head = head;
		q->phase = phase;
	}
	writel(q->head, dm_bell(c, q->id, 1));
	return 0;
}

static int check(const struct dm_queue *q, const struct diskmap_cmd *d)
{
	const struct dm_ctrl *c = q->ctrl;
	u32 shift = c->ns[array_index_nospec(q->nsid, DM_NS_MAX + 1)].lba_shift;
	u64 region = (u64)c->npages * DM_PAGE, at;

	if (d->cid >= c->depth - 1 || d->reserved || d->nsid != q->nsid)
		return -EINVAL;
	if (test_bit(d->cid, q->busy))
		return -EBUSY;
	switch (d->opcode) {
	case DISKMAP_OP_FLUSH:
		return 0;
	case DISKMAP_OP_WRITE:
		if (!(q->flags & DISKMAP_WRITE))
			return -EPERM;
		break;
	case DISKMAP_OP_READ:
		break;
	default:
		return -EPERM;
	}
	if (!d->blocks || d->blocks > c->max_io >> shift || d->length != d->blocks << shift)
		return -EINVAL;
	if (d->lba < q->first || d->lba - q->first >= q->blocks ||
	    d->blocks > q->blocks - (d->lba - q->first))
		return -ERANGE;
	at = (u64)d->buffer * DISKMAP_BUFFER_SIZE + d->offset; /* 32 bits each: no wrap */
	if (d->offset >= DISKMAP_BUFFER_SIZE || d->offset & 3 || at >= region ||
	    d->length > region - at)
		return -EFAULT;
	return 0;
}

/* PRPs from our table of pages (4.3). */
static void build_prps(struct dm_queue *q, const struct diskmap_cmd *d, struct dm_sqe *s)
{
	u64 at = (u64)d->buffer * DISKMAP_BUFFER_SIZE + d->offset;
	u32 page = array_index_nospec(at / DM_PAGE, q->ctrl->npages);
	u32 in = at % DM_PAGE, last = (at + d->length - 1) / DM_PAGE, n = 0;
	__le64 *list = q->prp + (size_t)d->cid * DM_PRP_LIST;

	s->prp1 = cpu_to_le64(q->dma[page] + in);
	if (last == page)
		return;
	if (last == page + 1) {
		s->prp2 = cpu_to_le64(q->dma[last]);
		return;
	}
	for (u32 i = page + 1; i <= last; i++)
		list[n++] = cpu_to_le64(q->dma[i]);
	s->prp2 = cpu_to_le64(q->prp_dma + (u64)d->cid * DM_PAGE);
}

static void put(struct dm_queue *q, const struct diskmap_cmd *d)
{
	struct dm_sqe s = {
		.opcode = d->opcode, .cid = cpu_to_le16(d->cid), .nsid = cpu_to_le32(d->nsid)};

	if (d->opcode != DISKMAP_OP_FLUSH) {
		s.cdw10 = cpu_to_le32(lower_32_bits(d->lba));
		s.cdw11 = cpu_to_le32(upper_32_bits(d->lba));
		s.cdw12 = cpu_to_le32(d->blocks - 1);
		build_prps(q, d, &s);
	}
	q->sq[q->tail] = s;
	if (++q->tail == q->ctrl->depth)
		q->tail = 0;
	__set_bit(d->cid, q->busy);
	q->flight++;
}

int dm_queue_submit(struct dm_queue *q, struct diskmap_submit *s, const struct diskmap_cmd *cmds,
		    u32 copied)
{
	struct dm_ctrl *c = q->ctrl;
	int err;

	s->taken = 0;
	s->error = 0;
	if (!q->live || c->dead)
		return -ENODEV;
	if (q->direct)
		return -EINVAL;
	err = acknowledge(q, s->cq_head);
	if (err)
		return err;
	for (; s->taken < s->count && !s->error; s->taken++) {
		if (q->flight >= c->depth - 1)
			s->error = -EAGAIN;
		else if (s->taken >= copied)
			s->error = -EFAULT;
		else
			s->error = check(q, &cmds[s->taken]);
		if (s->error)
			break;
		put(q, &cmds[s->taken]);
	}
	if (s->taken) {
		dma_wmb();
		writel(q->tail, dm_bell(c, q->id, 0));
	}
	return 0;
}

/* Direct mode: the owner has written the queue itself. Its head is not checked, and so not kept:
 * poll() looks at the entry it names. */
int dm_queue_bell(struct dm_queue *q, const struct diskmap_bell *b)
{
	struct dm_ctrl *c = q->ctrl;

	if (!q->direct)
		return -EINVAL;
	if (!q->live || c->dead)
		return -ENODEV;
	if (b->sq_tail >= c->depth || b->cq_head >= c->depth)
		return -EINVAL;
	if (b->cq_head < q->head)
		q->phase ^= 1;
	if (b->cq_head != q->head) {
		q->head = b->cq_head;
		writel(q->head, dm_bell(c, q->id, 1));
	}
	if (b->sq_tail != q->tail) {
		q->tail = b->sq_tail;
		dma_wmb();
		writel(q->tail, dm_bell(c, q->id, 0));
	}
	return 0;
}
