/* vfio_ctrl: bring up an NVMe controller through VFIO.
 *
 * Order (NVM Express 1.4 7.6.1): disable and wait for not ready, admin queues, enable and wait for
 * ready, Identify, number of queues, interrupts. Down in reverse: delete queues, shutdown
 * notification, disable.
 *
 * Limits: host page 4 KiB, one admin command at a time (polled), queue pairs physically contiguous
 * by IOVA, at most 32 of them and 64 namespaces. Source: NVM Express 1.4; linux/vfio.h.
 */
#include "stacks/atlas/nvme/vfio_ctrl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stacks/atlas/nvme/identify.h"
#include "stacks/atlas/nvme/vfio_bind.h"

/* Registers (figure 68). */
enum {
	REG_CAP = 0x00,
	REG_CC = 0x14,
	REG_CSTS = 0x1c,
	REG_AQA = 0x24,
	REG_ASQ = 0x28,
	REG_ACQ = 0x30
};
enum { REG_BELLS = 0x1000 };
enum { CC_EN = 1, CC_SHN_NORMAL = 1 << 14, CC_IOSQES = 6 << 16, CC_IOCQES = 4 << 20 };
enum { CSTS_RDY = 1, CSTS_CFS = 2, CSTS_SHST = 3 << 2, CSTS_SHST_DONE = 2 << 2 };
/* Admin opcodes (figure 139). */
enum {
	ADM_DELETE_SQ = 0,
	ADM_CREATE_SQ = 1,
	ADM_DELETE_CQ = 4,
	ADM_CREATE_CQ = 5,
	ADM_ABORT = 8,
	ADM_SET_FEATURES = 9
};
enum { FEATURE_QUEUES = 7 };

#define ADMIN_ENTRIES 16u
#define ADMIN_NS      (5 * NSEC_PER_SEC)
#define IOVA_BASE     (1ull << 32) /* above the interrupt range that IOMMUs reserve */

static struct vfio_ctrl *controllers;
static pthread_mutex_t controllers_lock = PTHREAD_MUTEX_INITIALIZER;

static uint32_t r32(const struct vfio_ctrl *c, unsigned int reg)
{
	return *(const volatile uint32_t *)(c->bar + reg);
}

static void w32(struct vfio_ctrl *c, unsigned int reg, uint32_t v)
{
	*(volatile uint32_t *)(c->bar + reg) = v;
}

static void w64(struct vfio_ctrl *c, unsigned int reg, uint64_t v)
{
	w32(c, reg, (uint32_t)v);
	w32(c, reg + 4, (uint32_t)(v >> 32));
}

static uint32_t *bell(struct vfio_ctrl *c, int queue, int cq)
{
	return (uint32_t *)(uintptr_t)(c->bar + REG_BELLS +
				       (size_t)(2 * queue + cq) * c->bell_stride);
}

int vfio_map(struct vfio_ctrl *c, struct dma *m)
{
	struct vfio_iommu_type1_dma_map d = {
		.argsz = sizeof d,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)m->va,
		.iova = __atomic_fetch_add(&c->next_iova, (m->bytes + (2 << 20)) & ~0x1fffffull,
					   __ATOMIC_RELAXED),
		.size = m->bytes,
	};

	if (ioctl(c->container, VFIO_IOMMU_MAP_DMA, &d))
		return -errno;
	m->iova = d.iova;
	return 0;
}

void vfio_unmap(struct vfio_ctrl *c, const struct dma *m)
{
	struct vfio_iommu_type1_dma_unmap d = {
		.argsz = sizeof d, .iova = m->iova, .size = m->bytes};

	ioctl(c->container, VFIO_IOMMU_UNMAP_DMA, &d);
}

static int wait_csts(struct vfio_ctrl *c, uint32_t mask, uint32_t want, uint64_t timeout_ns)
{
	uint64_t end = clock_ns() + timeout_ns;

	while ((r32(c, REG_CSTS) & mask) != want) {
		if (r32(c, REG_CSTS) == UINT32_MAX)
			return -ENODEV; /* gone from the bus */
		if (clock_ns() > end)
			return -ETIMEDOUT;
		usleep(100);
	}
	return 0;
}

/* One admin command, polled. 0 (*dw0 set), -EIO with *status, -ETIMEDOUT. */
static int admin(struct vfio_ctrl *c, struct nvme_sqe *s, uint32_t *dw0, uint16_t *status)
{
	uint64_t end = clock_ns() + ADMIN_NS;
	struct nvme_cqe *e;
	uint16_t st;

	pthread_mutex_lock(&c->lock);
	s->cid = ++c->admin_cid;
	c->asq[c->asq_tail] = *s;
	c->asq_tail = (c->asq_tail + 1) % ADMIN_ENTRIES;
	__atomic_store_n(bell(c, 0, 0), c->asq_tail, __ATOMIC_RELEASE);
	do {
		e = &c->acq[c->acq_head];
		while (((st = __atomic_load_n(&e->status, __ATOMIC_ACQUIRE)) & 1) != c->phase) {
			if (clock_ns() > end || c->dead) {
				pthread_mutex_unlock(&c->lock);
				return -ETIMEDOUT;
			}
			usleep(20);
		}
		if (dw0)
			*dw0 = e->dw0;
		if (++c->acq_head == ADMIN_ENTRIES) {
			c->acq_head = 0;
			c->phase ^= 1;
		}
		__atomic_store_n(bell(c, 0, 1), c->acq_head, __ATOMIC_RELEASE);
	} while (e->cid != s->cid); /* a late one that had timed out */
	pthread_mutex_unlock(&c->lock);
	if (status)
		*status = nvme_cqe_status(st);
	return nvme_cqe_status(st) ? -EIO : 0;
}

static int identify(struct vfio_ctrl *c, uint32_t nsid, uint32_t cns)
{
	struct nvme_sqe s = {.opcode = NVME_ADMIN_IDENTIFY, .nsid = nsid, .cdw10 = cns};

	s.prp1 = dma_iova(&c->admin_mem, c->page);
	return admin(c, &s, NULL, NULL);
}

static int learn(struct vfio_ctrl *c)
{
	uint32_t list[CTRL_NS_MAX];
	int err = identify(c, 0, NVME_CNS_CTRL);

	if (err)
		return err;
	identify_model(c->page, c->model, sizeof c->model);
	c->max_io = identify_max_io(c->page, NVME_PRP_MAX_IO - NVME_PAGE);
	err = identify(c, 0, NVME_CNS_NS_LIST);
	if (err)
		return err;
	memcpy(list, c->page, sizeof list);
	for (int i = 0; i < CTRL_NS_MAX && list[i]; i++) {
		struct nvme_ns_info info;

		if (list[i] > CTRL_NS_MAX || identify(c, list[i], NVME_CNS_NS) ||
		    identify_ns(c->page, &info))
			continue;
		info.mem_align = 4;
		info.max_io = c->max_io;
		c->ns[list[i]] = info;
		if (list[i] > c->nns)
			c->nns = list[i];
	}
	return c->nns ? 0 : -ENXIO;
}

static int set_queues(struct vfio_ctrl *c)
{
	struct nvme_sqe s = {.opcode = ADM_SET_FEATURES,
			     .cdw10 = FEATURE_QUEUES,
			     .cdw11 = (CTRL_QUEUES_MAX - 1) | (CTRL_QUEUES_MAX - 1) << 16};
	uint32_t got = 0, sq, cq;
	int err = admin(c, &s, &got, NULL);

	if (err)
		return err;
	sq = (got & 0xffff) + 1; /* 0's based */
	cq = (got >> 16) + 1;
	c->queues = sq < cq ? sq : cq;
	if (c->queues > CTRL_QUEUES_MAX)
		c->queues = CTRL_QUEUES_MAX;
	return 0;
}

/* Vector 0 is the admin queue's (polled here), vector i queue i's. */
static int set_interrupts(struct vfio_ctrl *c)
{
	struct vfio_irq_info info = {.argsz = sizeof info, .index = VFIO_PCI_MSIX_IRQ_INDEX};
	_Alignas(struct vfio_irq_set) char
		room[sizeof(struct vfio_irq_set) + sizeof(int32_t[CTRL_QUEUES_MAX + 1])];
	struct vfio_irq_set *set = (struct vfio_irq_set *)room;

	if (ioctl(c->device, VFIO_DEVICE_GET_IRQ_INFO, &info))
		return -errno;
	c->vectors = (int)info.count < (int)c->queues + 1 ? (int)info.count : (int)c->queues + 1;
	if (c->vectors < 2)
		return -EOPNOTSUPP;
	for (int i = 0; i < c->vectors; i++) {
		c->events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (c->events[i] < 0)
			return -errno;
		memcpy(set->data + sizeof(int32_t) * (size_t)i, &c->events[i], sizeof(int32_t));
	}
	set->argsz = (uint32_t)(sizeof *set + sizeof(int32_t) * (size_t)c->vectors);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSIX_IRQ_INDEX;
	set->start = 0;
	set->count = (uint32_t)c->vectors;
	return ioctl(c->device, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
}

static int enable(struct vfio_ctrl *c)
{
	int err;

	w32(c, REG_CC, 0);
	err = wait_csts(c, CSTS_RDY, 0, c->ready_ns);
	if (err)
		return err;
	w32(c, REG_AQA, (ADMIN_ENTRIES - 1) | (ADMIN_ENTRIES - 1) << 16);
	w64(c, REG_ASQ, dma_iova(&c->admin_mem, c->asq));
	w64(c, REG_ACQ, dma_iova(&c->admin_mem, c->acq));
	w32(c, REG_CC, CC_IOCQES | CC_IOSQES | CC_EN);
	err = wait_csts(c, CSTS_RDY, CSTS_RDY, c->ready_ns);
	return !err && r32(c, REG_CSTS) & CSTS_CFS ? -EIO : err;
}

static int start(struct vfio_ctrl *c, struct errbuf *e)
{
	uint64_t cap = r32(c, REG_CAP) | (uint64_t)r32(c, REG_CAP + 4) << 32;
	int err;

	c->max_entries = (uint32_t)(cap & 0xffff) + 1;
	c->ready_ns = ((cap >> 24 & 0xff) + 1) * 500 * NSEC_PER_MSEC;
	c->bell_stride = 4u << (cap >> 32 & 15);
	if (!(cap >> 37 & 1) || cap >> 48 & 15)
		return errf(e, -EOPNOTSUPP,
			    "%s has no NVM command set or no 4 KiB pages: it can't be driven here",
			    c->bdf);
	c->admin_mem.bytes = 3 * NVME_PAGE;
	c->admin_mem.va = mmap(NULL, c->admin_mem.bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (c->admin_mem.va == MAP_FAILED) {
		c->admin_mem.va = NULL;
		return errf(e, -ENOMEM, "no memory for the admin queue of %s", c->bdf);
	}
	err = vfio_map(c, &c->admin_mem);
	if (err)
		return errf(e, err, "cannot map memory for %s: %s", c->bdf, strerror(-err));
	c->asq = (struct nvme_sqe *)c->admin_mem.va;
	c->acq = (struct nvme_cqe *)(c->admin_mem.va + NVME_PAGE);
	c->page = (uint8_t *)c->admin_mem.va + 2 * NVME_PAGE;
	c->phase = 1;
	err = enable(c);
	if (err)
		return errf(e, err, "%s does not become ready: %s", c->bdf, strerror(-err));
	err = learn(c);
	if (!err)
		err = set_queues(c);
	if (!err)
		err = set_interrupts(c);
	return err ? errf(e, err,
			  "%s does not answer as an NVMe controller with a usable namespace: %s",
			  c->bdf, strerror(-err))
		   : 0;
}

static int open_group(struct vfio_ctrl *c, struct errbuf *e)
{
	struct vfio_group_status st = {.argsz = sizeof st};
	int group = pci_iommu_group(c->bdf, e);
	char path[40];

	if (group < 0)
		return group;
	c->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (c->container < 0)
		return errf(e, -errno,
			    "cannot open /dev/vfio/vfio (%s): modprobe vfio-pci, as root",
			    strerror(errno));
	snprintf(path, sizeof path, "/dev/vfio/%d", group);
	c->group = open(path, O_RDWR | O_CLOEXEC);
	if (c->group < 0)
		return errf(e, -errno, "cannot open %s: %s%s", path, strerror(errno),
			    errno == EBUSY ? " (another process drives this device)" : "");
	if (ioctl(c->group, VFIO_GROUP_GET_STATUS, &st) || !(st.flags & VFIO_GROUP_FLAGS_VIABLE))
		return errf(e, -EPERM,
			    "IOMMU group %d of %s has other devices that their drivers still use: "
			    "unbind those too",
			    group, c->bdf);
	if (ioctl(c->group, VFIO_GROUP_SET_CONTAINER, &c->container) ||
	    ioctl(c->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return errf(e, -errno, "no IOMMU for %s: %s", c->bdf, strerror(errno));
	c->device = ioctl(c->group, VFIO_GROUP_GET_DEVICE_FD, c->bdf);
	if (c->device < 0)
		return errf(e, -errno, "cannot open %s through VFIO: %s", c->bdf, strerror(errno));
	return 0;
}

static int map_registers(struct vfio_ctrl *c, struct errbuf *e)
{
	struct vfio_region_info r = {.argsz = sizeof r, .index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint16_t cmd;
	void *p;

	if (ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, &r) ||
	    pread(c->device, &cmd, 2, (off_t)r.offset + PCI_COMMAND) != 2)
		return errf(e, -EIO, "cannot read the configuration space of %s", c->bdf);
	cmd |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(c->device, &cmd, 2, (off_t)r.offset + PCI_COMMAND) != 2)
		return errf(e, -EIO, "cannot enable %s", c->bdf);
	r.index = VFIO_PCI_BAR0_REGION_INDEX;
	if (ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, &r) || r.size < 2 * REG_BELLS)
		return errf(e, -EIO, "%s has no registers", c->bdf);
	p = mmap(NULL, r.size, PROT_READ | PROT_WRITE, MAP_SHARED, c->device, (off_t)r.offset);
	if (p == MAP_FAILED)
		return errf(e, -errno, "cannot map the registers of %s: %s", c->bdf,
			    strerror(errno));
	c->bar = p;
	c->bar_bytes = r.size;
	return 0;
}

static void close_all(struct vfio_ctrl *c)
{
	struct errbuf e;

	if (c->bar) {
		w32(c, REG_CC, 0);
		munmap((void *)(uintptr_t)c->bar, c->bar_bytes);
	}
	for (int i = 0; i < c->vectors; i++)
		if (c->events[i] >= 0)
			close(c->events[i]);
	if (c->device >= 0)
		close(c->device);
	if (c->group >= 0)
		close(c->group);
	if (c->container >= 0)
		close(c->container);
	if (c->admin_mem.va)
		munmap(c->admin_mem.va, c->admin_mem.bytes);
	if (c->taken)
		pci_give_back(c->bdf, &e);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static int bring_up(struct vfio_ctrl **out, const char *bdf, struct errbuf *e)
{
	struct vfio_ctrl *c = calloc(1, sizeof *c);
	int err;

	if (!c)
		return errf(e, -ENOMEM, "no memory");
	snprintf(c->bdf, sizeof c->bdf, "%s", bdf);
	c->container = c->group = c->device = -1;
	c->next_iova = IOVA_BASE;
	c->refs = 1;
	for (int i = 0; i <= CTRL_QUEUES_MAX; i++)
		c->events[i] = -1;
	pthread_mutex_init(&c->lock, NULL);
	err = pci_iommu_group(bdf, e);
	if (err >= 0)
		err = pci_take(bdf, "vfio-pci", &c->taken, e);
	if (!err)
		err = open_group(c, e);
	if (!err)
		err = map_registers(c, e);
	if (!err)
		err = start(c, e);
	if (err) {
		close_all(c);
		return err;
	}
	*out = c;
	return 0;
}

int vfio_ctrl_get(struct vfio_ctrl **out, const char *bdf, struct errbuf *e)
{
	struct vfio_ctrl *c;
	int err = 0;

	pthread_mutex_lock(&controllers_lock);
	for (c = controllers; c && strcmp(c->bdf, bdf); c = c->next)
		;
	if (c) {
		c->refs++;
	} else {
		err = bring_up(&c, bdf, e);
		if (!err) {
			c->next = controllers;
			controllers = c;
		}
	}
	pthread_mutex_unlock(&controllers_lock);
	*out = c;
	return err;
}

void vfio_ctrl_put(struct vfio_ctrl *c)
{
	pthread_mutex_lock(&controllers_lock);
	if (--c->refs == 0) {
		struct vfio_ctrl **p = &controllers;

		while (*p != c)
			p = &(*p)->next;
		*p = c->next;
		if (!c->dead) { /* let it write back what it holds (7.6.2) */
			w32(c, REG_CC, (r32(c, REG_CC) & ~(3u << 14)) | CC_SHN_NORMAL);
			wait_csts(c, CSTS_SHST, CSTS_SHST_DONE, 5 * NSEC_PER_SEC);
			w32(c, REG_CC, 0);
			wait_csts(c, CSTS_RDY, 0, c->ready_ns);
		}
		close_all(c);
	}
	pthread_mutex_unlock(&controllers_lock);
}

static int create(struct vfio_ctrl *c, int id, uint32_t entries, const struct dma *m)
{
	struct nvme_sqe cq = {.opcode = ADM_CREATE_CQ,
			      .prp1 = qpair_cq_iova(m, entries),
			      .cdw10 = (uint32_t)id | (entries - 1) << 16,
			      .cdw11 = 1}; /* contiguous */
	struct nvme_sqe sq = {.opcode = ADM_CREATE_SQ,
			      .prp1 = qpair_sq_iova(m),
			      .cdw10 = (uint32_t)id | (entries - 1) << 16,
			      .cdw11 = 1 | (uint32_t)id << 16};
	int err;

	if (id < c->vectors)
		cq.cdw11 |= 2 | (uint32_t)id << 16; /* interrupts, vector */
	err = admin(c, &cq, NULL, NULL);
	if (err)
		return err;
	err = admin(c, &sq, NULL, NULL);
	if (err) {
		struct nvme_sqe del = {.opcode = ADM_DELETE_CQ, .cdw10 = (uint32_t)id};

		admin(c, &del, NULL, NULL);
	}
	return err;
}

int vfio_queue_create(struct vfio_ctrl *c, uint32_t entries, const struct dma *m,
		      uint32_t **sq_bell, uint32_t **cq_bell)
{
	int id = 0, err;

	pthread_mutex_lock(&c->lock);
	for (int i = 1; i <= (int)c->queues && !id; i++)
		if (!(c->used >> (i - 1) & 1))
			id = i;
	if (id)
		c->used |= 1u << (id - 1);
	pthread_mutex_unlock(&c->lock);
	if (!id)
		return -EMFILE;
	err = create(c, id, entries, m);
	if (err) {
		__atomic_fetch_and(&c->used, ~(1u << (id - 1)), __ATOMIC_SEQ_CST);
		return err;
	}
	*sq_bell = bell(c, id, 0);
	*cq_bell = bell(c, id, 1);
	return id;
}

int vfio_queue_delete(struct vfio_ctrl *c, int id)
{
	struct nvme_sqe sq = {.opcode = ADM_DELETE_SQ, .cdw10 = (uint32_t)id};
	struct nvme_sqe cq = {.opcode = ADM_DELETE_CQ, .cdw10 = (uint32_t)id};
	int err = c->dead ? -EIO : admin(c, &sq, NULL, NULL);

	if (!err)
		err = admin(c, &cq, NULL, NULL);
	if (!err)
		__atomic_fetch_and(&c->used, ~(1u << (id - 1)), __ATOMIC_SEQ_CST);
	return err;
}

int vfio_abort(struct vfio_ctrl *c, int id, uint16_t cid)
{
	struct nvme_sqe s = {.opcode = ADM_ABORT, .cdw10 = (uint32_t)id | (uint32_t)cid << 16};
	uint32_t dw0 = 1;
	int err = admin(c, &s, &dw0, NULL);

	return err ? err : dw0 & 1 ? -EAGAIN : 0; /* bit 0: not aborted */
}

void vfio_ctrl_kill(struct vfio_ctrl *c)
{
	c->dead = true;
	w32(c, REG_CC, 0);
	wait_csts(c, CSTS_RDY, 0, c->ready_ns);
}
