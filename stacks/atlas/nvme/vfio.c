/* vfio: the whole NVMe driver in user space. Rings and doorbells are ours: no system call an I/O.
 *
 * The one idea: qpair.c over memory that the IOMMU lets the device see, and nothing else. With
 * NVME_POLL completions are found in memory; otherwise the queue's interrupt is an eventfd.
 *
 * A command that does not come back within the timeout is aborted; if that does not help either,
 * the controller is stopped, every command fails with -ETIMEDOUT, and so do later ones.
 *
 * Limits: see vfio_ctrl.c. Device name: vfio:BDF[,timeout=TIME].
 * Source: NVM Express 1.4; the paper's storage stack, section 3.1.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/units.h"
#include "stacks/atlas/nvme/vfio_ctrl.h"

#define TIMEOUT_NS  (30 * NSEC_PER_SEC)
#define ENTRIES_MAX 4096u
#define LOOK_EVERY  4096u /* idle polls between looks at the clock */

struct vfio {
	struct vfio_ctrl *c;
	struct qpair q;
	struct dma mem, data;
	int id; /* of the queue, 0 = none */
	bool poll, aborted;
	uint32_t idle;
	uint64_t timeout,
		progress; /* when something completed, or was submitted to an idle queue */
	uint64_t timeouts;
};

static int parse(struct vfio *v, const char *arg, char bdf[16], struct errbuf *e)
{
	const char *comma = strchr(arg, ',');
	size_t len = comma ? (size_t)(comma - arg) : strlen(arg);

	v->timeout = TIMEOUT_NS;
	if (len > 15)
		return errf(e, -EINVAL, "\"%s\" is no PCI address: write vfio:0000:01:00.0", arg);
	memcpy(bdf, arg, len);
	bdf[len] = 0;
	if (comma && (strncmp(comma, ",timeout=", 9) || units_duration(comma + 9, &v->timeout) ||
		      v->timeout < 10 * NSEC_PER_MSEC))
		return errf(e, -EINVAL, "\"%s\": the only option is timeout=TIME, such as 5s",
			    comma + 1);
	return 0;
}

static uint32_t entries_for(const struct vfio_ctrl *c, unsigned int depth)
{
	uint32_t n = 64;

	while (n <= depth * 2 && n < ENTRIES_MAX)
		n *= 2;
	while (n > c->max_entries)
		n /= 2;
	return n;
}

static int set_up(struct nvme *n, struct vfio *v, struct errbuf *e)
{
	uint32_t entries = entries_for(v->c, n->depth), *sq, *cq;
	int err;

	if (n->depth >= entries)
		return errf(e, -EINVAL, "%s takes at most %u commands at a time, not %u", v->c->bdf,
			    entries - 1, n->depth);
	v->mem.bytes = qpair_bytes(entries);
	v->mem.va = mmap(NULL, v->mem.bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (v->mem.va == MAP_FAILED) {
		v->mem.va = NULL;
		return errf(e, -ENOMEM, "no memory for a queue pair");
	}
	v->data.va = n->region;
	v->data.bytes = n->region_bytes;
	err = vfio_map(v->c, &v->mem);
	if (!err)
		err = vfio_map(v->c, &v->data);
	if (err)
		return errf(e, err, "cannot map %zu MiB for the device (%s): raise ulimit -l",
			    n->region_bytes >> 20, strerror(-err));
	err = vfio_queue_create(v->c, entries, &v->mem, &sq, &cq);
	if (err < 0)
		return errf(e, err, "%s gives no further queue pair: %s", v->c->bdf,
			    strerror(-err));
	v->id = err;
	v->poll = n->flags & NVME_POLL || v->id >= v->c->vectors;
	n->fd = v->poll ? -1 : v->c->events[v->id];
	n->max_len = v->c->max_io * (entries / 2 - 1);
	return qpair_init(&v->q, entries, &v->mem, &v->data, sq, cq);
}

static void vfio_close(struct nvme *n)
{
	struct vfio *v = n->priv;

	if (v->id && vfio_queue_delete(v->c, v->id))
		vfio_ctrl_kill(v->c); /* before memory that it may write to is freed */
	qpair_free(&v->q);
	if (v->c && v->mem.iova)
		vfio_unmap(v->c, &v->mem);
	if (v->c && v->data.iova)
		vfio_unmap(v->c, &v->data);
	if (v->mem.va)
		munmap(v->mem.va, v->mem.bytes);
	if (v->c)
		vfio_ctrl_put(v->c);
	free(v);
}

static int vfio_open(struct nvme *n, const char *arg, const struct nvme_cfg *cfg, struct errbuf *e)
{
	struct vfio *v = calloc(1, sizeof *v);
	char bdf[16];
	int err;

	(void)cfg;
	n->priv = v;
	if (!v)
		return errf(e, -ENOMEM, "no memory for a queue pair");
	err = parse(v, arg, bdf, e);
	if (!err)
		err = vfio_ctrl_get(&v->c, bdf, e);
	if (!err)
		err = set_up(n, v, e);
	if (!err)
		err = nvme_ns_table(n, v->c->nns);
	if (err) {
		vfio_close(n);
		return err;
	}
	memcpy(n->model, v->c->model, sizeof n->model);
	for (uint32_t i = 1; i <= v->c->nns; i++) {
		n->ns[i].info = v->c->ns[i];
		n->ns[i].state = v->c->ns[i].bytes ? NS_READY : NS_FREE;
	}
	return 0;
}

static unsigned int vfio_stage(struct nvme *n, struct iodesc **d, unsigned int count)
{
	struct vfio *v = n->priv;
	unsigned int i;

	n->unsent |= v->c->dead; /* so that enter is asked, and says -EIO */
	if (v->c->dead)
		return 0;
	if (v->q.free == v->q.entries - 1)
		v->progress = clock_ns();
	for (i = 0; i < count && qpair_put(&v->q, d[i], &n->ns[d[i]->nsid].info); i++)
		;
	return i;
}

/* The controller is stopped: no command comes back any more. */
static void fail_all(struct nvme *n, struct vfio *v)
{
	for (uint32_t i = 0; i < v->q.entries - 1; i++) {
		struct iodesc *d = v->q.cmd[i].d;

		v->q.cmd[i].d = NULL;
		if (d && --d->cid == 0)
			nvme_complete(n, d, -ETIMEDOUT, NVME_SC_ABORT_REQUESTED);
	}
}

/* Called now and then while commands are out and nothing comes back. */
static void watch(struct nvme *n, struct vfio *v)
{
	uint64_t now = clock_ns();

	if (v->q.free == v->q.entries - 1 || now - v->progress < v->timeout)
		return;
	v->timeouts++;
	v->progress = now;
	if (!v->aborted) {
		v->aborted = true;
		for (uint32_t i = 0; i < v->q.entries - 1; i++)
			if (v->q.cmd[i].d && vfio_abort(v->c, v->id, (uint16_t)i) == -ETIMEDOUT)
				break;
		return;
	}
	vfio_ctrl_kill(v->c);
	fail_all(n, v);
}

/* The interrupt's eventfd is readable exactly while completions wait: clear it first, then look. */
static void rearm(struct nvme *n, struct vfio *v)
{
	uint64_t count;
	ssize_t ret;

	if (!qpair_ready(&v->q)) {
		n->stats.syscalls++;
		ret = read(n->fd, &count, sizeof count);
	}
	if (qpair_ready(&v->q)) {
		count = 1;
		n->stats.syscalls++;
		ret = write(n->fd, &count, sizeof count);
	}
	(void)ret; /* nothing to read, or the counter full: both are as wanted */
}

static int vfio_reap(struct nvme *n, int max)
{
	struct vfio *v = n->priv;
	int got;

	if (!qpair_ready(&v->q)) {
		if (++v->idle % LOOK_EVERY == 0)
			watch(n, v);
		return 0;
	}
	if (n->lat)
		n->now = clock_ns();
	got = qpair_reap(&v->q, n, max);
	v->idle = 0;
	v->aborted = false;
	v->progress = n->lat ? n->now : clock_ns();
	if (!v->poll)
		rearm(n, v);
	return got;
}

/* Are at least `min` completions there? They lie in a row. */
static bool enough(const struct qpair *q, unsigned int min)
{
	uint32_t at = q->cq_head + min - 1;
	uint8_t phase = q->phase;

	if (at >= q->entries) {
		at -= q->entries;
		phase ^= 1;
	}
	return (__atomic_load_n(&q->cq[at].status, __ATOMIC_ACQUIRE) & 1) == phase;
}

static int vfio_enter(struct nvme *n, unsigned int min, uint64_t timeout_ns)
{
	struct vfio *v = n->priv;
	uint64_t end;

	if (v->c->dead)
		return -EIO;
	qpair_ring(&v->q);
	n->unsent = false;
	if (!min || enough(&v->q, min))
		return 0;
	end = clock_ns() + timeout_ns;
	while (!enough(&v->q, min) && n->outstanding) {
		uint64_t now = clock_ns();

		if (now >= end)
			break;
		watch(n, v);
		if (!v->poll) {
			struct pollfd p = {.fd = n->fd, .events = POLLIN};
			uint64_t left = (end - now) / NSEC_PER_MSEC + 1;

			n->stats.syscalls++;
			if (poll(&p, 1, left < 100 ? (int)left : 100) < 0 && errno != EINTR)
				return -errno;
			if (p.revents && !enough(&v->q, min)) {
				uint64_t count;

				n->stats.syscalls++;
				if (read(n->fd, &count, sizeof count) < 0)
					continue;
			}
		}
	}
	return 0;
}

const struct nvme_backend nvme_vfio = {
	.name = "vfio",
	.open = vfio_open,
	.close = vfio_close,
	.stage = vfio_stage,
	.enter = vfio_enter,
	.reap = vfio_reap,
};
