/* diskmap: the back end over the kernel module of that name (diskmap/diskmap.h).
 *
 * The one idea: one system call submits a batch and acknowledges what was read; completions are
 * found in memory. The submission queue is the kernel's, so only CIDs and the completion queue's
 * phase are ours. With `direct` (diskmap_direct.c) it is ours too.
 *
 * Limits: one namespace (1, or diskmap:0,nsid=N); the buffers are the module's, so their size is
 * limited by its parameter buffer_mib.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stacks/atlas/nvme/diskmap_priv.h"

#define NONE 0xffff

/* "0", and after commas nsid=N, direct */
static int parse(const char *arg, int *number, uint32_t *nsid, bool *direct, struct errbuf *e)
{
	int n = 0;

	*nsid = 1;
	if (sscanf(arg, "%d%n", number, &n) != 1 || *number < 0)
		goto bad;
	for (arg += n; *arg; arg += n) {
		n = 0;
		if (sscanf(arg, ",nsid=%u%n", nsid, &n) == 1 && n)
			continue;
		*direct = !strncmp(arg, ",direct", 7);
		n = 7;
		if (!*direct)
			goto bad;
	}
	return 0;
bad:
	return errf(e, -EINVAL,
		    "that is no diskmap device: write diskmap:0, diskmap:0,nsid=2 or "
		    "diskmap:0,direct");
}

static int open_device(struct diskmap *d, int number, struct errbuf *e)
{
	char path[32];

	snprintf(path, sizeof path, "/dev/diskmap%d", number);
	d->fd = open(path, O_RDWR | O_CLOEXEC);
	if (d->fd < 0)
		return errf(e, -errno,
			    "cannot open %s (%s): load diskmap.ko and give it a controller "
			    "(stacks/atlas/nvme/README.md)",
			    path, strerror(errno));
	if (ioctl(d->fd, DISKMAP_INFO, &d->info) || d->info.version != DISKMAP_VERSION)
		return errf(e, -EPROTO, "%s speaks another version of diskmap: rebuild the module",
			    path);
	return 0;
}

static const char *why_no_queue(const struct diskmap *d, int err)
{
	if (err == EBUSY && d->direct)
		return "another program has one, and a mapped submission queue (direct) goes to a "
		       "single owner";
	if (err == EBUSY)
		return "all are taken (the module's parameter queues says how many there are)";
	if (err == EPERM)
		return "a mapped submission queue (direct) needs CAP_SYS_RAWIO";
	if (err == EOPNOTSUPP)
		return "a mapped submission queue (direct) needs a translating IOMMU before the "
		       "device";
	return strerror(err);
}

static int attach(struct nvme *n, struct diskmap *d, uint32_t nsid, struct errbuf *e)
{
	struct diskmap_attach a = {.nsid = nsid,
				   .flags = (n->flags & NVME_WRITE ? DISKMAP_WRITE : 0) |
					    (d->direct ? DISKMAP_DIRECT : 0)};
	struct diskmap_ns ns = {.nsid = nsid};

	if (ioctl(d->fd, DISKMAP_NS, &ns))
		return errf(e, -errno, "the controller has no namespace %u", nsid);
	if (ioctl(d->fd, DISKMAP_ATTACH, &a))
		return errf(e, -errno, "no queue pair: %s", why_no_queue(d, errno));
	if (nvme_ns_table(n, nsid))
		return errf(e, -ENOMEM, "no memory");
	n->ns[nsid].state = NS_READY;
	n->ns[nsid].info = (struct nvme_ns_info){
		.bytes = ns.blocks << ns.lba_shift,
		.block = 1u << ns.lba_shift,
		.mem_align = 4,
		.max_io = d->info.max_io,
	};
	return 0;
}

/* The module's buffers take the place of the region that nvme_open made. */
static int map(struct nvme *n, struct diskmap *d, struct errbuf *e)
{
	size_t have = (size_t)d->info.buffers * d->info.buffer_size;
	size_t need = n->region_bytes + (d->direct ? diskmap_direct_bytes(d) : 0);
	void *p;

	if (need > have) {
		size_t mib = (need + (1 << 20) - 1) >> 20;

		return errf(e, -ENOSPC,
			    "diskmap holds %zu MiB of buffers, %zu are wanted: load it with "
			    "buffer_mib=%zu",
			    have >> 20, mib, mib);
	}
	p = mmap(NULL, n->region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		 (off_t)DISKMAP_MAP_BUFFERS);
	if (p == MAP_FAILED)
		return errf(e, -errno, "cannot map diskmap's buffers: %s", strerror(errno));
	region_unmap(n->region, n->region_bytes);
	n->region = p;
	d->cq_bytes = ((size_t)d->info.depth * sizeof(struct nvme_cqe) + 4095) & ~4095ul;
	p = mmap(NULL, d->cq_bytes, PROT_READ, MAP_SHARED, d->fd, DISKMAP_MAP_CQ);
	if (p == MAP_FAILED)
		return errf(e, -errno, "cannot map diskmap's completion queue: %s",
			    strerror(errno));
	d->cq = p;
	return d->direct ? diskmap_direct_open(d, n->region_bytes, e) : 0;
}

static int make_cids(struct nvme *n, struct diskmap *d, struct errbuf *e)
{
	uint32_t count = d->info.depth - 1;

	if (n->depth > count)
		return errf(e, -EINVAL,
			    "diskmap takes at most %u commands at a time, not %u: load it with "
			    "depth=%u",
			    count, n->depth, n->depth + 1);
	d->cmd = calloc(count, sizeof *d->cmd);
	if (!d->cmd)
		return errf(e, -ENOMEM, "no memory");
	d->free_head = NONE;
	for (uint32_t i = count; i-- > 0;) {
		d->cmd[i].next_free = d->free_head;
		d->free_head = (uint16_t)i;
	}
	d->free = count;
	d->phase = 1;
	return 0;
}

static void diskmap_close(struct nvme *n)
{
	struct diskmap *d = n->priv;

	diskmap_direct_close(d);
	if (d->cq)
		munmap((void *)(uintptr_t)d->cq, d->cq_bytes);
	if (d->fd >= 0)
		close(d->fd);
	free(d->cmd);
	free(d);
}

static int diskmap_open(struct nvme *n, const char *arg, const struct nvme_cfg *cfg,
			struct errbuf *e)
{
	struct diskmap *d = calloc(1, sizeof *d);
	uint32_t nsid = 1;
	int number = 0, err;

	(void)cfg;
	n->priv = d;
	if (!d)
		return errf(e, -ENOMEM, "no memory");
	d->fd = -1;
	err = parse(arg, &number, &nsid, &d->direct, e);
	if (!err)
		err = open_device(d, number, e);
	if (!err)
		err = attach(n, d, nsid, e);
	if (!err)
		err = make_cids(n, d, e);
	if (!err)
		err = map(n, d, e);
	if (err) {
		diskmap_close(n);
		return err;
	}
	snprintf(n->model, sizeof n->model, "%.40s", d->info.model);
	for (size_t len = strlen(n->model); len > 0 && n->model[len - 1] == ' '; len--)
		n->model[len - 1] = 0;
	n->max_len = d->info.max_io * ((d->info.depth - 1) / 2 + 1);
	n->fd = n->flags & NVME_POLL ? -1 : d->fd;
	return 0;
}

static bool unsent(const struct diskmap *d)
{
	return d->nbatch > 0 || d->tail != d->rung;
}

static int flush_batch(struct nvme *n, struct diskmap *d)
{
	struct diskmap_submit s = {.cmds = (uintptr_t)(d->batch + d->first),
				   .count = d->nbatch - d->first,
				   .cq_head = d->head};

	n->stats.syscalls++;
	if (d->direct)
		return diskmap_direct_bell(d);
	if (ioctl(d->fd, DISKMAP_SUBMIT, &s))
		return -errno;
	d->acked = d->head;
	d->first += s.taken;
	if (d->first == d->nbatch)
		d->first = d->nbatch = 0;
	return s.error;
}

static void put_part(struct nvme *n, struct diskmap *d, struct iodesc *io, uint32_t at,
		     uint32_t len)
{
	size_t pos = (size_t)((char *)io->buf - n->region) + at;
	uint32_t block = n->ns[io->nsid].info.block;
	uint16_t cid = d->free_head;
	struct qcmd *c = &d->cmd[cid];
	struct diskmap_cmd cmd = {
		.opcode = io->op == NVME_OP_WRITE ? DISKMAP_OP_WRITE : DISKMAP_OP_READ,
		.cid = cid,
		.nsid = io->nsid,
		.lba = (io->off + at) / block,
		.blocks = len / block,
		.buffer = (uint32_t)(pos / d->info.buffer_size),
		.offset = (uint32_t)(pos % d->info.buffer_size),
		.length = len,
	};

	d->free_head = c->next_free;
	d->free--;
	c->d = io;
	c->len = len;
	io->cid++;
	if (d->direct)
		diskmap_direct_put(d, &cmd);
	else
		d->batch[d->nbatch++] = cmd;
}

static unsigned int diskmap_stage(struct nvme *n, struct iodesc **io, unsigned int count)
{
	struct diskmap *d = n->priv;
	unsigned int i;

	for (i = 0; i < count; i++) {
		const struct nvme_ns_info *ns = &n->ns[io[i]->nsid].info;
		uint64_t left = ns->bytes - io[i]->off;
		uint32_t len = io[i]->len < left ? io[i]->len : (uint32_t)left;
		uint32_t parts = (len + ns->max_io - 1) / ns->max_io;

		if (parts > d->free)
			break;
		if (d->nbatch + parts > DISKMAP_BATCH &&
		    (flush_batch(n, d) || d->nbatch + parts > DISKMAP_BATCH))
			break;
		io[i]->cid = 0;
		for (uint32_t at = 0; at < len; at += ns->max_io)
			put_part(n, d, io[i], at, len - at < ns->max_io ? len - at : ns->max_io);
	}
	return i;
}

static bool ready_at(const struct diskmap *d, uint32_t ahead)
{
	uint32_t at = d->head + ahead;
	uint8_t phase = d->phase;

	if (at >= d->info.depth) {
		at -= d->info.depth;
		phase ^= 1;
	}
	return (__atomic_load_n(&d->cq[at].status, __ATOMIC_ACQUIRE) & 1) == phase;
}

static int diskmap_enter(struct nvme *n, unsigned int min, uint64_t timeout_ns)
{
	struct diskmap *d = n->priv;
	uint64_t end = min ? clock_ns() + timeout_ns : 0;
	int err = 0;

	if (unsent(d) || (min && d->acked != d->head && n->fd >= 0))
		err = flush_batch(n, d);
	n->unsent = unsent(d);
	if (err)
		return err;
	while (min && !ready_at(d, min - 1) && clock_ns() < end) {
		struct pollfd p = {.fd = d->fd, .events = POLLIN};

		if (n->fd < 0)
			continue;
		if (ready_at(d, 0)) { /* poll would not sleep: the kernel counts what is
					 unacknowledged */
			n->stats.syscalls++;
			usleep(20);
			continue;
		}
		n->stats.syscalls++;
		if (poll(&p, 1, (int)((end - clock_ns()) / NSEC_PER_MSEC) + 1) < 0)
			return -errno;
		if (p.revents & (POLLERR | POLLHUP))
			return -ENODEV;
	}
	return 0;
}

static int diskmap_reap(struct nvme *n, int max)
{
	struct diskmap *d = n->priv;
	int got = 0;

	if (!ready_at(d, 0))
		return 0;
	if (n->lat)
		n->now = clock_ns();
	while (got < max && ready_at(d, 0)) {
		struct nvme_cqe c = d->cq[d->head];
		struct qcmd *q = &d->cmd[c.cid % (d->info.depth - 1)];
		struct iodesc *io = q->d;
		uint16_t status = nvme_cqe_status(c.status);

		if (++d->head == d->info.depth) {
			d->head = 0;
			d->phase ^= 1;
		}
		if (!io || c.cid >= d->info.depth - 1)
			continue;
		if (status && !io->status)
			io->status = status;
		io->done += status ? 0 : q->len;
		q->d = NULL;
		q->next_free = d->free_head;
		d->free_head = c.cid;
		d->free++;
		if (--io->cid == 0) {
			nvme_complete(n, io, io->status ? -EIO : (int)io->done, io->status);
			got++;
		}
	}
	/* A sleeper on the descriptor is woken by what the kernel thinks is unread. */
	if (n->fd >= 0 && !(n->flags & NVME_NOFD) && !n->npending)
		flush_batch(n, d);
	return got;
}

const struct nvme_backend nvme_diskmap = {
	.name = "diskmap",
	.open = diskmap_open,
	.close = diskmap_close,
	.stage = diskmap_stage,
	.enter = diskmap_enter,
	.reap = diskmap_reap,
};
