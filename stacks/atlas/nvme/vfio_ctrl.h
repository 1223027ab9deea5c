/* vfio_ctrl: an NVMe controller driven from user space: registers, admin queue, queue pairs.
 * Private.
 *
 * One controller a device and process, shared by the queue pairs of all threads (counted); the
 * admin queue has a lock, queue pairs belong to their threads. NVM Express 1.4 chapters 3, 5 and 7.
 */
#ifndef ATLAS_NVME_VFIO_CTRL_H
#define ATLAS_NVME_VFIO_CTRL_H

#include <pthread.h>

#include "stacks/atlas/nvme/qpair.h"

#define CTRL_QUEUES_MAX 32
#define CTRL_NS_MAX	64

struct vfio_ctrl {
	struct vfio_ctrl *next;
	char bdf[16];
	int refs;
	bool taken; /* from another driver: give it back */
	int container, group, device;
	volatile uint8_t *bar;
	size_t bar_bytes;
	uint32_t bell_stride;
	uint32_t max_entries; /* of a queue */
	uint64_t ready_ns;    /* longest time to become ready */
	uint64_t next_iova;
	struct dma admin_mem; /* admin queue pair and an Identify page */
	struct nvme_sqe *asq;
	struct nvme_cqe *acq;
	uint8_t *page;
	uint32_t asq_tail, acq_head;
	uint8_t phase;
	uint16_t admin_cid;
	pthread_mutex_t lock;
	uint32_t queues;		 /* granted */
	uint32_t used;			 /* bit per queue id */
	int events[CTRL_QUEUES_MAX + 1]; /* eventfd per vector */
	int vectors;
	char model[96];
	uint32_t max_io;
	uint32_t nns;
	struct nvme_ns_info ns[CTRL_NS_MAX + 1]; /* bytes 0: not usable */
	bool dead;
};

/* Open (or share) the controller; binds it to vfio-pci. Blocks, up to seconds. */
int vfio_ctrl_get(struct vfio_ctrl **out, const char *bdf, struct errbuf *e);
/* The last one shuts the controller down and gives the device back. */
void vfio_ctrl_put(struct vfio_ctrl *c);

/* Make memory reachable by the device; m->va and bytes given (page multiples), iova returned. */
int vfio_map(struct vfio_ctrl *c, struct dma *m);
void vfio_unmap(struct vfio_ctrl *c, const struct dma *m);

/* A queue pair over `m`: its id (from 1), or -errno. *sq_bell, *cq_bell: its doorbells. */
int vfio_queue_create(struct vfio_ctrl *c, uint32_t entries, const struct dma *m,
		      uint32_t **sq_bell, uint32_t **cq_bell);
int vfio_queue_delete(struct vfio_ctrl *c, int id);
/* Ask the device to give up one command of queue `id`. Returns 0 if it says that it did. */
int vfio_abort(struct vfio_ctrl *c, int id, uint16_t cid);
/* Stop the controller: afterwards nothing in memory is touched by it. It stays unusable. */
void vfio_ctrl_kill(struct vfio_ctrl *c);

#endif
