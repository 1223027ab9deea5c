// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/* ctrl: the controller and its admin queue, which programs never see.
 *
 * Admin commands are rare, so they are polled, one at a time. A controller that does not answer is
 * stopped: CC.EN = 0 ends all its DMA, and everything later fails.
 * Source: NVM Express 1.4, 3.1 (registers), 5 (admin commands), 7.6 (initialisation).
 */
#include <linux/delay.h>
#include <linux/io-64-nonatomic-lo-hi.h>

#include "dm.h"

enum {
	REG_CAP = 0x00,
	REG_CC = 0x14,
	REG_CSTS = 0x1c,
	REG_AQA = 0x24,
	REG_ASQ = 0x28,
	REG_ACQ = 0x30
};
enum {
	ADM_DELETE_SQ = 0,
	ADM_CREATE_SQ = 1,
	ADM_DELETE_CQ = 4,
	ADM_CREATE_CQ = 5,
	ADM_IDENTIFY = 6,
	ADM_SET_FEATURES = 9
};

#define ADMIN_DEPTH 16u
#define ADMIN_MS    5000

static int wait_ready(struct dm_ctrl *c, u32 want)
{
	unsigned long end = jiffies + msecs_to_jiffies(c->ready_ms);

	for (;;) {
		u32 csts = readl(c->bar + REG_CSTS);

		if (csts == ~0u)
			return -ENODEV;
		if ((csts & 1) == want)
			return want && csts & 2 ? -EIO : 0;
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		usleep_range(100, 200);
	}
}

void dm_ctrl_stop(struct dm_ctrl *c)
{
	c->dead = true;
	writel(0, c->bar + REG_CC);
	wait_ready(c, 0);
	pci_clear_master(c->pci); /* even if it did not answer */
}

int dm_admin(struct dm_ctrl *c, struct dm_sqe *s, u32 *result, u32 *status)
{
	unsigned long end = jiffies + msecs_to_jiffies(ADMIN_MS);
	struct dm_cqe *e;
	u16 st;

	if (c->dead)
		return -ENODEV;
	s->cid = cpu_to_le16(++c->acid);
	c->asq[c->asq_tail] = *s;
	c->asq_tail = (c->asq_tail + 1) % ADMIN_DEPTH;
	dma_wmb();
	writel(c->asq_tail, dm_bell(c, 0, 0));
	do {
		e = &c->acq[c->acq_head];
		while (((st = le16_to_cpu(READ_ONCE(e->status))) & 1) != c->aphase) {
			if (time_after(jiffies, end)) {
				dev_err(&c->pci->dev,
					"admin command %02x has no answer, stopping\n", s->opcode);
				dm_ctrl_stop(c);
				return -ETIMEDOUT;
			}
			usleep_range(10, 30);
		}
		dma_rmb();
		if (result)
			*result = le32_to_cpu(e->dw0);
		if (++c->acq_head == ADMIN_DEPTH) {
			c->acq_head = 0;
			c->aphase ^= 1;
		}
		writel(c->acq_head, dm_bell(c, 0, 1));
	} while (e->cid != s->cid);
	st = (st >> 1) & 0x7ff;
	if (status)
		*status = st;
	return st ? -EIO : 0;
}

static int identify(struct dm_ctrl *c, u32 nsid, u32 cns)
{
	struct dm_sqe s = {.opcode = ADM_IDENTIFY,
			   .nsid = cpu_to_le32(nsid),
			   .prp1 = cpu_to_le64(c->page_dma),
			   .cdw10 = cpu_to_le32(cns)};

	memset(c->page, 0, DM_PAGE);
	return dm_admin(c, &s, NULL, NULL);
}

static void learn_ns(struct dm_ctrl *c, u32 nsid)
{
	const u8 *format;

	if (nsid > DM_NS_MAX || identify(c, nsid, 0))
		return;
	format = c->page + 128 + 4 * (c->page[26] & 15);
	/* metadata would make the device transfer more than we check */
	if (format[0] || format[1] || format[2] < 9 || format[2] > 12)
		return;
	c->ns[nsid].blocks = le64_to_cpup((__le64 *)c->page);
	c->ns[nsid].lba_shift = c->ns[nsid].blocks ? format[2] : 0;
	c->nns = max(c->nns, nsid);
}

static int learn(struct dm_ctrl *c)
{
	__le32 list[DM_NS_MAX];
	u8 mdts;
	int err = identify(c, 0, 1);

	if (err)
		return err;
	memcpy(c->serial, c->page + 4, 20);
	memcpy(c->model, c->page + 24, 40);
	mdts = c->page[77];
	/* one page of PRP list, and a buffer that starts inside a page */
	c->max_io = (DM_PRP_LIST - 1) * DM_PAGE;
	if (mdts && mdts < 16)
		c->max_io = min(c->max_io, DM_PAGE << mdts);
	err = identify(c, 0, 2);
	if (err)
		return err;
	memcpy(list, c->page, sizeof(list));
	for (int i = 0; i < DM_NS_MAX && list[i]; i++)
		learn_ns(c, le32_to_cpu(list[i]));
	return c->nns ? 0 : -ENXIO;
}

static int ask_queues(struct dm_ctrl *c)
{
	u32 n = c->nqueues - 1, got = 0;
	struct dm_sqe s = {.opcode = ADM_SET_FEATURES,
			   .cdw10 = cpu_to_le32(7),
			   .cdw11 = cpu_to_le32(n | n << 16)};
	int err = dm_admin(c, &s, &got, NULL);

	if (!err)
		c->nqueues = min3(c->nqueues, (got & 0xffff) + 1, (got >> 16) + 1);
	return err;
}

int dm_ctrl_start(struct dm_ctrl *c)
{
	struct device *dev = &c->pci->dev;
	u64 cap = lo_hi_readq(c->bar + REG_CAP);
	int err;

	c->ready_ms = (((cap >> 24) & 0xff) + 1) * 500;
	c->bell_stride = 4u << ((cap >> 32) & 15);
	c->depth = min_t(u32, c->depth, (cap & 0xffff) + 1);
	if (!(cap >> 37 & 1) || cap >> 48 & 15)
		return -EOPNOTSUPP;
	c->asq = dmam_alloc_coherent(dev, DM_PAGE, &c->asq_dma, GFP_KERNEL);
	c->acq = dmam_alloc_coherent(dev, DM_PAGE, &c->acq_dma, GFP_KERNEL);
	c->page = dmam_alloc_coherent(dev, DM_PAGE, &c->page_dma, GFP_KERNEL);
	if (!c->asq || !c->acq || !c->page)
		return -ENOMEM;
	writel(0, c->bar + REG_CC);
	err = wait_ready(c, 0);
	if (err)
		return err;
	c->aphase = 1;
	writel((ADMIN_DEPTH - 1) | (ADMIN_DEPTH - 1) << 16, c->bar + REG_AQA);
	lo_hi_writeq(c->asq_dma, c->bar + REG_ASQ);
	lo_hi_writeq(c->acq_dma, c->bar + REG_ACQ);
	writel(6 << 16 | 4 << 20 | 1, c->bar + REG_CC);
	mutex_lock(&c->admin);
	err = wait_ready(c, 1);
	if (!err)
		err = learn(c);
	if (!err)
		err = ask_queues(c);
	mutex_unlock(&c->admin);
	return err;
}

int dm_ctrl_queue_create(struct dm_ctrl *c, struct dm_queue *q)
{
	u32 size = q->id | (c->depth - 1) << 16;
	struct dm_sqe cq = {.opcode = ADM_CREATE_CQ,
			    .prp1 = cpu_to_le64(q->cq_dma),
			    .cdw10 = cpu_to_le32(size),
			    .cdw11 = cpu_to_le32(1 | (q->irq ? 2 | q->id << 16 : 0))};
	struct dm_sqe sq = {.opcode = ADM_CREATE_SQ,
			    .prp1 = cpu_to_le64(q->sq_dma),
			    .cdw10 = cpu_to_le32(size),
			    .cdw11 = cpu_to_le32(1 | q->id << 16)};
	struct dm_sqe del = {.opcode = ADM_DELETE_CQ, .cdw10 = cpu_to_le32(q->id)};
	int err;

	mutex_lock(&c->admin);
	err = dm_admin(c, &cq, NULL, NULL);
	if (!err) {
		err = dm_admin(c, &sq, NULL, NULL);
		if (err)
			dm_admin(c, &del, NULL, NULL);
	}
	mutex_unlock(&c->admin);
	return err;
}

/* Deleting the submission queue ends its commands (5.6); a device that fails to do so is stopped.
 */
int dm_ctrl_queue_delete(struct dm_ctrl *c, struct dm_queue *q)
{
	struct dm_sqe sq = {.opcode = ADM_DELETE_SQ, .cdw10 = cpu_to_le32(q->id)};
	struct dm_sqe cq = {.opcode = ADM_DELETE_CQ, .cdw10 = cpu_to_le32(q->id)};
	int err;

	mutex_lock(&c->admin);
	err = dm_admin(c, &sq, NULL, NULL);
	if (!err)
		err = dm_admin(c, &cq, NULL, NULL);
	if (err && !c->dead) {
		dev_err(&c->pci->dev, "queue %u can't be deleted (%d), stopping\n", q->id, err);
		dm_ctrl_stop(c);
	}
	mutex_unlock(&c->admin);
	return err;
}
