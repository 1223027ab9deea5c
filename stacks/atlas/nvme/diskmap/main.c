// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/* diskmap: queue pairs of an NVMe controller for programs, after the paper's kernel module of that
 * name, but safe without trust in the program.
 *
 * This file: the PCI driver and the character device. A controller is given to the module by
 * driver_override; each gets /dev/diskmapN. See diskmap.h for what a program does, queue.c for the
 * checks.
 *
 * Lifetime: a file holds the controller (kref). remove() stops the device and frees DMA memory at
 * once; files that are still open then get -ENODEV.
 *
 * Limits: x86 (devices snoop caches), 4 KiB pages, no metadata, one namespace a queue. Where DMA
 * needs bounce buffers it refuses.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/dma-mapping.h>
#include <linux/iommu.h>

#include "dm.h"

static unsigned int queues = 4;
module_param(queues, uint, 0644);
MODULE_PARM_DESC(queues, "queue pairs of a controller, 1 to 16; for controllers bound from now on");
static unsigned int depth = 256;
module_param(depth, uint, 0644);
MODULE_PARM_DESC(depth, "entries of a queue, 2 to 1024");
static unsigned int buffer_mib = 16;
module_param(buffer_mib, uint, 0644);
MODULE_PARM_DESC(buffer_mib, "MiB of buffers of a queue, 1 to 4096");

static DEFINE_IDA(numbers);

/* What an open file is. */
struct dm_file {
	struct dm_ctrl *c;
	struct dm_queue *q; /* set once, by attach */
	struct mutex lock;  /* of q's becoming set */
	struct mutex copying;
	struct diskmap_cmd *cmds; /* of one submission; under copying, set before q */
};

static void ctrl_release(struct kref *ref)
{
	struct dm_ctrl *c = container_of(ref, struct dm_ctrl, ref);

	ida_free(&numbers, c->number);
	kfree(c);
}

static int dm_open(struct inode *inode, struct file *f)
{
	struct dm_ctrl *c = container_of(f->private_data, struct dm_ctrl, misc);
	struct dm_file *df = kzalloc(sizeof(*df), GFP_KERNEL);

	if (!df)
		return -ENOMEM;
	mutex_init(&df->lock);
	mutex_init(&df->copying);
	kref_get(&c->ref); /* misc_open holds off misc_deregister */
	df->c = c;
	f->private_data = df;
	return nonseekable_open(inode, f);
}

/* Last reference to the file: no mapping is left either. */
static int dm_release(struct inode *inode, struct file *f)
{
	struct dm_file *df = f->private_data;

	if (df->q) {
		mutex_lock(&df->c->attach);
		mutex_lock(&df->q->lock);
		if (df->q->direct)
			df->c->direct = false;
		dm_queue_detach(df->q);
		mutex_unlock(&df->q->lock);
		mutex_unlock(&df->c->attach);
	}
	kref_put(&df->c->ref, ctrl_release);
	kvfree(df->cmds);
	kfree(df);
	return 0;
}

static long do_info(struct dm_ctrl *c, void __user *u)
{
	struct diskmap_info i = {
		.version = DISKMAP_VERSION,
		.queues = c->nqueues,
		.depth = c->depth,
		.buffer_size = DISKMAP_BUFFER_SIZE,
		.buffers = c->npages / (DISKMAP_BUFFER_SIZE / DM_PAGE),
		.max_io = c->max_io,
		.iommu = c->iommu,
		.namespaces = c->nns,
	};

	memcpy(i.model, c->model, sizeof(i.model));
	memcpy(i.serial, c->serial, sizeof(i.serial));
	return copy_to_user(u, &i, sizeof(i)) ? -EFAULT : 0;
}

static long do_ns(struct dm_ctrl *c, void __user *u)
{
	struct diskmap_ns n;
	u32 i;

	if (copy_from_user(&n, u, sizeof(n)))
		return -EFAULT;
	if (!n.nsid || n.nsid > DM_NS_MAX)
		return -ENXIO;
	i = array_index_nospec(n.nsid, DM_NS_MAX + 1);
	if (!c->ns[i].lba_shift)
		return -ENXIO;
	n.lba_shift = c->ns[i].lba_shift;
	n.blocks = c->ns[i].blocks;
	return copy_to_user(u, &n, sizeof(n)) ? -EFAULT : 0;
}

/* Direct mode trusts its owner with the whole controller, so nobody else may be there. */
static int may_direct(struct dm_ctrl *c)
{
	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (!c->iommu)
		return -EOPNOTSUPP;
	for (u32 i = 1; i <= c->nqueues; i++)
		if (READ_ONCE(c->queue[i].owned))
			return -EBUSY;
	return 0;
}

static int attach_any(struct dm_file *df, struct diskmap_attach *a)
{
	struct dm_ctrl *c = df->c;

	if (!df->cmds)
		df->cmds = kvcalloc(c->depth - 1, sizeof(*df->cmds), GFP_KERNEL);
	if (!df->cmds)
		return -ENOMEM;

	for (u32 i = 1; i <= c->nqueues; i++) {
		struct dm_queue *q = &c->queue[i];
		int err;

		mutex_lock(&q->lock);
		err = c->dead ? -ENODEV : q->owned ? -EBUSY : dm_queue_attach(q, a);
		mutex_unlock(&q->lock);
		if (err == -EBUSY)
			continue;
		if (!err) {
			a->queue = q->id;
			smp_store_release(&df->q, q); /* poll and mmap read it without a lock */
		}
		return err;
	}
	return -EBUSY;
}

static long do_attach(struct dm_file *df, void __user *u)
{
	struct diskmap_attach a;
	int err;

	if (copy_from_user(&a, u, sizeof(a)))
		return -EFAULT;
	mutex_lock(&df->lock);
	mutex_lock(&df->c->attach);
	err = df->q ? -EEXIST : df->c->direct ? -EBUSY : 0;
	if (!err && a.flags & DISKMAP_DIRECT)
		err = may_direct(df->c);
	if (!err)
		err = attach_any(df, &a);
	if (!err && a.flags & DISKMAP_DIRECT)
		df->c->direct = true;
	mutex_unlock(&df->c->attach);
	mutex_unlock(&df->lock);
	if (!err && copy_to_user(u, &a, sizeof(a)))
		return -EFAULT; /* stays attached; close ends it */
	return err;
}

static long do_submit(struct dm_file *df, void __user *u)
{
	struct dm_queue *q = smp_load_acquire(&df->q);
	struct diskmap_submit s;
	u32 copied;
	int err;

	if (!q)
		return -ENOTCONN;
	if (copy_from_user(&s, u, sizeof(s)))
		return -EFAULT;
	mutex_lock(&df->copying);
	/* More than the queue holds is not taken anyway. */
	copied = min(s.count, df->c->depth - 1);
	copied -= DIV_ROUND_UP(
		copy_from_user(df->cmds, u64_to_user_ptr(s.cmds), copied * sizeof(*df->cmds)),
		sizeof(*df->cmds));
	mutex_lock(&q->lock);
	err = dm_queue_submit(q, &s, df->cmds, copied);
	mutex_unlock(&q->lock);
	mutex_unlock(&df->copying);
	if (copy_to_user(u, &s, sizeof(s)))
		return -EFAULT;
	return err;
}

static long do_bell(struct dm_file *df, void __user *u)
{
	struct dm_queue *q = smp_load_acquire(&df->q);
	struct diskmap_bell b;
	int err;

	if (!q)
		return -ENOTCONN;
	if (copy_from_user(&b, u, sizeof(b)))
		return -EFAULT;
	mutex_lock(&q->lock);
	err = dm_queue_bell(q, &b);
	mutex_unlock(&q->lock);
	return err;
}

static long do_pages(struct dm_file *df, void __user *u)
{
	struct dm_queue *q = smp_load_acquire(&df->q);
	struct diskmap_pages p;
	u64 *addr;
	int err = 0;

	if (!q)
		return -ENOTCONN;
	if (copy_from_user(&p, u, sizeof(p)))
		return -EFAULT;
	if (p.first > df->c->npages || p.count > df->c->npages - p.first)
		return -ERANGE;
	addr = kvcalloc(max(p.count, 1u), sizeof(*addr), GFP_KERNEL);
	if (!addr)
		return -ENOMEM;
	mutex_lock(&q->lock);
	if (!q->direct || !q->live)
		err = -EINVAL;
	for (u32 i = 0; i < p.count && !err; i++)
		addr[i] = q->dma[p.first + i];
	mutex_unlock(&q->lock);
	if (!err && copy_to_user(u64_to_user_ptr(p.addresses), addr, p.count * sizeof(*addr)))
		err = -EFAULT;
	kvfree(addr);
	return err;
}

/* Commands that only tell: the rest could reach other queues or destroy data. */
static bool admin_allowed(u8 opcode)
{
	return opcode == 0x06 || opcode == 0x02 || opcode == 0x0a;
}

static long do_admin(struct dm_ctrl *c, void __user *u)
{
	struct diskmap_admin a;
	struct dm_sqe s = {0};
	void *data;
	int err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (copy_from_user(&a, u, sizeof(a)))
		return -EFAULT;
	if (!admin_allowed(a.opcode))
		return -EPERM;
	/* A log page longer than ours would be written past it. */
	if (a.opcode == 0x02 && ((a.cdw10 >> 16) + 1 > DM_PAGE / 4 || a.cdw11 & 0xffff))
		return -EINVAL;
	s.opcode = a.opcode;
	s.nsid = cpu_to_le32(a.nsid);
	s.cdw10 = cpu_to_le32(a.cdw10);
	s.cdw11 = cpu_to_le32(a.cdw11);
	s.cdw12 = cpu_to_le32(a.cdw12);
	s.cdw13 = cpu_to_le32(a.cdw13);
	s.cdw14 = cpu_to_le32(a.cdw14);
	s.cdw15 = cpu_to_le32(a.cdw15);
	s.prp1 = cpu_to_le64(c->page_dma);
	data = kmalloc(DM_PAGE, GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	mutex_lock(&c->admin);
	err = c->dead ? -ENODEV : 0;
	if (!err) {
		memset(c->page, 0, DM_PAGE);
		err = dm_admin(c, &s, &a.result, &a.status);
		if (err == -EIO)
			err = 0; /* the device's own answer, in status */
		memcpy(data, c->page, DM_PAGE);
	}
	mutex_unlock(&c->admin);
	if (!err && a.data && copy_to_user(u64_to_user_ptr(a.data), data, DM_PAGE))
		err = -EFAULT;
	if (!err && copy_to_user(u, &a, sizeof(a)))
		err = -EFAULT;
	kfree(data);
	return err;
}

static long dm_ioctl(struct file *f, unsigned int cmd, unsigned long arg)
{
	struct dm_file *df = f->private_data;
	void __user *u = (void __user *)arg;

	switch (cmd) {
	case DISKMAP_SUBMIT:
		return do_submit(df, u);
	case DISKMAP_BELL:
		return do_bell(df, u);
	case DISKMAP_PAGES:
		return do_pages(df, u);
	case DISKMAP_INFO:
		return do_info(df->c, u);
	case DISKMAP_NS:
		return do_ns(df->c, u);
	case DISKMAP_ATTACH:
		return do_attach(df, u);
	case DISKMAP_ADMIN:
		return do_admin(df->c, u);
	default:
		return -ENOTTY;
	}
}

static int map_cq(struct dm_queue *q, struct vm_area_struct *v)
{
	struct page *p[1 << 4];
	u32 n = 1u << q->cq_order;

	if (v->vm_flags & (VM_WRITE | VM_EXEC) || vma_pages(v) > n || n > ARRAY_SIZE(p))
		return -EPERM;
	dm_vm_clear_maywrite(v);
	for (u32 i = 0; i < n; i++)
		p[i] = q->cq_pages + i;
	v->vm_pgoff = 0;
	return vm_map_pages(v, p, n);
}

static int map_sq(struct dm_queue *q, struct vm_area_struct *v)
{
	struct page *p[1 << 4];
	u32 n = 1u << q->sq_order;

	if (!q->direct || vma_pages(v) > n || n > ARRAY_SIZE(p))
		return -EPERM;
	for (u32 i = 0; i < n; i++)
		p[i] = q->sq_pages + i;
	v->vm_pgoff = 0;
	return vm_map_pages(v, p, n);
}

static int dm_mmap(struct file *f, struct vm_area_struct *v)
{
	struct dm_file *df = f->private_data;
	struct dm_queue *q = smp_load_acquire(&df->q);
	u64 off = (u64)v->vm_pgoff << PAGE_SHIFT;
	int err = -EINVAL;

	if (!q)
		return -ENOTCONN;
	if (!(v->vm_flags & VM_SHARED))
		return -EINVAL;
	mutex_lock(&q->lock);
	if (!q->live) {
		err = -ENODEV;
	} else if (off == DISKMAP_MAP_CQ) {
		err = map_cq(q, v);
	} else if (off == DISKMAP_MAP_SQ) {
		err = map_sq(q, v);
	} else if (off >= DISKMAP_MAP_BUFFERS) {
		v->vm_pgoff -= DISKMAP_MAP_BUFFERS >> PAGE_SHIFT;
		err = vm_map_pages(v, q->pages, df->c->npages); /* checks offset and length */
	}
	mutex_unlock(&q->lock);
	return err;
}

static __poll_t dm_poll(struct file *f, poll_table *t)
{
	struct dm_file *df = f->private_data;
	struct dm_queue *q = smp_load_acquire(&df->q);
	__poll_t ev = 0;

	if (!q)
		return EPOLLERR;
	poll_wait(f, &q->wait, t);
	mutex_lock(&q->lock);
	if (!q->live)
		ev = EPOLLERR | EPOLLHUP;
	else if (dm_queue_waits(q))
		ev = EPOLLIN | EPOLLRDNORM;
	mutex_unlock(&q->lock);
	return ev;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = dm_open,
	.release = dm_release,
	.unlocked_ioctl = dm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = dm_mmap,
	.poll = dm_poll,
	.llseek = no_llseek,
};

static irqreturn_t on_irq(int irq, void *arg)
{
	struct dm_queue *q = arg;

	wake_up_interruptible(&q->wait);
	return IRQ_HANDLED;
}

/* Vector 0 is the admin queue's, which is polled; without a vector a queue can only be polled. */
static void ask_irqs(struct dm_ctrl *c)
{
	int n = pci_alloc_irq_vectors(c->pci, 1, c->nqueues + 1, PCI_IRQ_MSIX | PCI_IRQ_MSI);

	for (int i = 1; i < n && i <= (int)c->nqueues; i++) {
		int irq = pci_irq_vector(c->pci, i);

		if (!request_irq(irq, on_irq, 0, c->name, &c->queue[i]))
			c->queue[i].irq = irq;
	}
}

static void free_all(struct dm_ctrl *c)
{
	for (u32 i = 1; i <= DM_QUEUES_MAX; i++) {
		struct dm_queue *q = &c->queue[i];

		if (q->irq)
			free_irq(q->irq, q);
		q->irq = 0;
		mutex_lock(&q->lock);
		q->live = false;
		if (q->ctrl)
			dm_queue_free(q);
		mutex_unlock(&q->lock);
		wake_up_interruptible(&q->wait);
	}
	pci_free_irq_vectors(c->pci);
}

static struct dm_ctrl *new_ctrl(struct pci_dev *pci)
{
	struct dm_ctrl *c = kzalloc(sizeof(*c), GFP_KERNEL);

	if (!c)
		return NULL;
	kref_init(&c->ref);
	mutex_init(&c->admin);
	mutex_init(&c->attach);
	c->pci = pci;
	c->nqueues = clamp(queues, 1u, (unsigned int)DM_QUEUES_MAX);
	c->depth = clamp(depth, 2u, (unsigned int)DM_DEPTH_MAX);
	c->npages = clamp(buffer_mib, 1u, 4096u) << (20 - PAGE_SHIFT);
	for (u32 i = 1; i <= DM_QUEUES_MAX; i++) {
		mutex_init(&c->queue[i].lock);
		init_waitqueue_head(&c->queue[i].wait);
	}
	c->number = ida_alloc(&numbers, GFP_KERNEL);
	if (c->number < 0) {
		kfree(c);
		return NULL;
	}
	snprintf(c->name, sizeof(c->name), "diskmap%d", c->number);
	return c;
}

static int set_up_device(struct dm_ctrl *c)
{
	struct iommu_domain *dom = iommu_get_domain_for_dev(&c->pci->dev);
	int err = pcim_enable_device(c->pci);

	if (!err)
		err = dma_set_mask_and_coherent(&c->pci->dev, DMA_BIT_MASK(64));
	if (!err)
		err = pcim_iomap_regions(c->pci, BIT(0), "diskmap");
	if (err)
		return err;
	c->bar = pcim_iomap_table(c->pci)[0];
	c->iommu = dom && dom->type != IOMMU_DOMAIN_IDENTITY;
	pci_set_master(c->pci);
	return dm_ctrl_start(c);
}

static int probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct dm_ctrl *c = new_ctrl(pci);
	int err;

	if (!c)
		return -ENOMEM;
	err = set_up_device(c);
	if (err)
		goto stop;
	ask_irqs(c);
	for (u32 i = 1; i <= c->nqueues && !err; i++)
		err = dm_queue_alloc(c, &c->queue[i], i);
	if (err)
		goto stop;
	c->misc = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR, .name = c->name, .fops = &fops, .mode = 0600};
	err = misc_register(&c->misc);
	if (err)
		goto stop;
	pci_set_drvdata(pci, c);
	pci_info(pci, "%s: %u queues of %u entries and %u MiB, %s\n", c->name, c->nqueues, c->depth,
		 c->npages >> (20 - PAGE_SHIFT), c->iommu ? "IOMMU" : "no IOMMU");
	return 0;
stop:
	if (c->bar)
		dm_ctrl_stop(c);
	free_all(c);
	kref_put(&c->ref, ctrl_release);
	return err;
}

static void remove(struct pci_dev *pci)
{
	struct dm_ctrl *c = pci_get_drvdata(pci);

	misc_deregister(&c->misc);
	mutex_lock(&c->admin);
	dm_ctrl_stop(c);
	mutex_unlock(&c->admin);
	free_all(c);
	kref_put(&c->ref, ctrl_release);
}

static const struct pci_device_id ids[] = {
	{PCI_DEVICE_DRIVER_OVERRIDE(PCI_ANY_ID, PCI_ANY_ID, PCI_ID_F_VFIO_DRIVER_OVERRIDE)}, {0}};

static struct pci_driver diskmap_driver = {
	.name = "diskmap", .id_table = ids, .probe = probe, .remove = remove};
module_pci_driver(diskmap_driver);

MODULE_DESCRIPTION("NVMe queue pairs for programs, checked by the kernel");
MODULE_LICENSE("Dual BSD/GPL");
