/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* dm: inside the module. Who locks what: ctrl->admin the admin queue; queue->lock one queue and its
 * owner; a queue is only used by the file that attached it. Order: ctrl->attach, queue->lock,
 * ctrl->admin. mmap() comes with the program's mmap_lock and takes queue->lock, so a program's
 * memory is never touched under these: it is copied before or afterwards. (A program can also make
 * such a copy take forever.)
 */
#ifndef DISKMAP_DM_H
#define DISKMAP_DM_H

#include <linux/bitmap.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/wait.h>

#include <linux/mm.h>
#include <linux/version.h>

#include "diskmap.h"

/* vm_flags became private in 6.3. */
static inline void dm_vm_clear_maywrite(struct vm_area_struct *v)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_clear(v, VM_MAYWRITE | VM_MAYEXEC);
#else
	v->vm_flags &= ~(VM_MAYWRITE | VM_MAYEXEC);
#endif
}

#define DM_PAGE	      4096u /* of NVMe and of the host */
#define DM_QUEUES_MAX 16
#define DM_DEPTH_MAX  1024
#define DM_NS_MAX     32
#define DM_PRP_LIST   (DM_PAGE / 8)

static_assert(PAGE_SIZE == DM_PAGE);

struct dm_sqe { /* NVM Express 1.4 figure 105 */
	u8 opcode, flags;
	__le16 cid;
	__le32 nsid;
	__le32 cdw2, cdw3;
	__le64 mptr, prp1, prp2;
	__le32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct dm_sqe) == 64);

struct dm_cqe { /* figure 122 */
	__le32 dw0, dw1;
	__le16 sq_head, sq_id, cid, status;
};
static_assert(sizeof(struct dm_cqe) == 16);

struct dm_ns {
	u64 blocks;
	u32 lba_shift; /* 0: not usable */
};

struct dm_ctrl;

struct dm_queue {
	struct dm_ctrl *ctrl;
	struct mutex lock;
	wait_queue_head_t wait;
	int irq; /* 0: none */
	u16 id;	 /* from 1 */
	bool owned;
	bool live;   /* the device has it */
	bool direct; /* the owner writes sq itself */
	/* the kernel's alone */
	struct dm_sqe *sq; /* the owner's too, if direct */
	struct page *sq_pages;
	dma_addr_t sq_dma;
	unsigned int sq_order;
	__le64 *prp; /* a page a command */
	dma_addr_t prp_dma;
	/* the device writes, the owner reads */
	struct page *cq_pages;
	struct dm_cqe *cq;
	dma_addr_t cq_dma;
	unsigned int cq_order;
	/* the owner's buffers, page by page */
	struct page **pages;
	dma_addr_t *dma;
	u32 tail, head; /* SQ tail; CQ entries acknowledged by the owner */
	u8 phase;	/* of the entry at head */
	u32 flight;	/* commands in flight */
	unsigned long busy[BITS_TO_LONGS(DM_DEPTH_MAX)]; /* by CID */
	/* granted at attach */
	u32 nsid, flags;
	u64 first, blocks;
};

struct dm_ctrl {
	struct kref ref;
	struct pci_dev *pci;
	struct miscdevice misc;
	char name[16];
	int number;
	u8 __iomem *bar;
	u32 bell_stride, ready_ms;
	bool dead;	     /* under admin; only ever becomes true */
	struct mutex attach; /* who may have queues */
	bool direct;	     /* one program has the controller to itself */
	struct mutex admin;
	struct dm_sqe *asq;
	struct dm_cqe *acq;
	u8 *page; /* of admin data */
	dma_addr_t asq_dma, acq_dma, page_dma;
	u32 asq_tail, acq_head;
	u8 aphase;
	u16 acid;
	u32 depth, nqueues, npages, max_io, nns;
	bool iommu;
	char model[40], serial[20];
	struct dm_ns ns[DM_NS_MAX + 1];
	struct dm_queue queue[DM_QUEUES_MAX + 1]; /* from 1 */
};

/* ctrl.c */
int dm_ctrl_start(struct dm_ctrl *c);
void dm_ctrl_stop(struct dm_ctrl *c); /* afterwards the device touches no memory */
/* An admin command; 0, -ETIMEDOUT, -ENODEV, or -EIO with *status. c->page is the data; caller holds
 * c->admin. */
int dm_admin(struct dm_ctrl *c, struct dm_sqe *s, u32 *result, u32 *status);
int dm_ctrl_queue_create(struct dm_ctrl *c, struct dm_queue *q);
int dm_ctrl_queue_delete(struct dm_ctrl *c, struct dm_queue *q);
static inline void __iomem *dm_bell(struct dm_ctrl *c, u32 queue, u32 cq)
{
	return c->bar + 0x1000 + (2 * queue + cq) * c->bell_stride;
}

/* queue.c; all but alloc and free under q->lock */
int dm_queue_alloc(struct dm_ctrl *c, struct dm_queue *q, u16 id);
void dm_queue_free(struct dm_queue *q);
int dm_queue_attach(struct dm_queue *q, const struct diskmap_attach *a);
void dm_queue_detach(struct dm_queue *q);
int dm_queue_bell(struct dm_queue *q, const struct diskmap_bell *b);
/* `copied` commands in the kernel's memory; the program wanted s->count. */
int dm_queue_submit(struct dm_queue *q, struct diskmap_submit *s, const struct diskmap_cmd *cmds,
		    u32 copied);
bool dm_queue_waits(const struct dm_queue *q);

#endif
