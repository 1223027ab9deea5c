/* passthru: NVMe commands through io_uring on a character device (/dev/ng0n1), no file system, no
 * block layer; the kernel's driver keeps the controller.
 *
 * The one idea: the command is in the ring entry (128 bytes) and the NVMe status in the completion
 * (32 bytes), so a device error reaches `status`. Buffers are registered as in uring.c.
 *
 * Limits: one namespace (the device's), numbered as the controller does. The kernel checks little:
 * a write to a mounted device would go through, so NVME_WRITE claims the block device first.
 * Source: linux/nvme_ioctl.h (struct nvme_uring_cmd), io_uring(7); NVM Express 1.4 5.15 (Identify).
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stacks/atlas/nvme/identify.h"
#include "stacks/atlas/nvme/qpair.h"

/* The PCI driver takes 127 segments of at least a page each. */
#define MAX_IO (256u << 10)

/* iodesc.op: went out with a registered buffer. */
enum { OP_MASK = 0xff, OP_FIXED = 0x100 };

struct passthru {
	struct io_uring ring;
	bool ring_up, enabled;
	bool fixed;    /* registered buffers work; see part_over */
	int fd, claim; /* the device; its block device, held exclusively, or -1 */
	uint32_t nsid;
};

static int identify(int fd, uint32_t nsid, uint32_t cns, void *page)
{
	struct nvme_passthru_cmd c = {
		.opcode = NVME_ADMIN_IDENTIFY,
		.nsid = nsid,
		.addr = (uintptr_t)page,
		.data_len = 4096,
		.cdw10 = cns,
	};
	int ret = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &c);

	return ret < 0 ? -errno : ret ? -EIO : 0;
}

static int learn(struct nvme *n, struct passthru *p, const char *path, struct errbuf *e)
{
	static _Thread_local uint8_t page[4096];
	struct nvme_ns_info info;
	int err, nsid = ioctl(p->fd, NVME_IOCTL_ID);

	if (nsid <= 0)
		return errf(e, -ENOTTY, "%s is no NVMe namespace: write passthru:/dev/ng0n1", path);
	err = identify(p->fd, 0, NVME_CNS_CTRL, page);
	if (err)
		return errf(e, err, "%s does not answer Identify: %s (needs CAP_SYS_ADMIN)", path,
			    strerror(-err));
	identify_model(page, n->model, sizeof n->model);
	info.max_io = identify_max_io(page, MAX_IO);
	err = identify(p->fd, (uint32_t)nsid, NVME_CNS_NS, page);
	if (!err)
		err = identify_ns(page, &info);
	if (err)
		return errf(e, err, "namespace %d of %s can't be used: %s", nsid, path,
			    err == -EOPNOTSUPP ? "its blocks carry metadata" : strerror(-err));
	if (nvme_ns_table(n, (uint32_t)nsid))
		return errf(e, -ENOMEM, "no memory for a table of %d namespaces", nsid);
	p->nsid = (uint32_t)nsid;
	info.mem_align = 4;
	n->ns[nsid].info = info;
	n->ns[nsid].state = NS_READY;
	return 0;
}

/* /dev/ng0n1 -> /dev/nvme0n1: nobody may have it mounted while we write. */
static int claim(struct passthru *p, const char *path, struct errbuf *e)
{
	const char *name = strrchr(path, '/');
	char blk[64];

	name = name ? name + 1 : path;
	snprintf(blk, sizeof blk, "/dev/nvme%.40s", strncmp(name, "ng", 2) ? name : name + 2);
	p->claim = open(blk, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (p->claim < 0)
		return errf(e, -errno, "writing to %s is refused: %s is %s", path, blk,
			    errno == EBUSY ? "mounted or otherwise in use" : strerror(errno));
	return 0;
}

static int make_ring(struct nvme *n, struct passthru *p, struct errbuf *e)
{
	struct iovec v = {n->region, n->region_bytes};
	unsigned int flags =
		IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_R_DISABLED |
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG |
		(n->flags & NVME_NOFD ? IORING_SETUP_DEFER_TASKRUN : IORING_SETUP_COOP_TASKRUN);
	int err = io_uring_queue_init(n->depth * 2, &p->ring, flags);

	if (err)
		return errf(e, err,
			    "cannot make an io_uring for NVMe passthrough (%s): Linux 6.1 or "
			    "later is needed",
			    strerror(-err));
	p->ring_up = true;
	if (n->region_bytes > 1ul << 30)
		return errf(e, -EINVAL, "passthru takes at most 1 GiB of buffers");
	err = io_uring_register_buffers(&p->ring, &v, 1);
	if (!err)
		err = io_uring_register_files(&p->ring, &p->fd, 1);
	if (err)
		return errf(e, err, "cannot pin %zu MiB of I/O buffers (%s): raise ulimit -l",
			    n->region_bytes >> 20, strerror(-err));
	if (!(n->flags & NVME_NOFD))
		n->fd = p->ring.ring_fd;
	return 0;
}

static void passthru_close(struct nvme *n)
{
	struct passthru *p = n->priv;

	if (p->ring_up)
		io_uring_queue_exit(&p->ring);
	if (p->claim >= 0)
		close(p->claim);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static int passthru_open(struct nvme *n, const char *arg, const struct nvme_cfg *cfg,
			 struct errbuf *e)
{
	struct passthru *p = calloc(1, sizeof *p);
	int err = 0;

	(void)cfg;
	n->priv = p;
	if (!p)
		return errf(e, -ENOMEM, "no memory for a queue pair");
	p->claim = -1;
	p->fixed = true;
	p->fd = open(arg, O_RDWR | O_CLOEXEC);
	if (p->fd < 0)
		err = errf(e, -errno, "cannot open %s: %s", arg, strerror(errno));
	if (!err)
		err = learn(n, p, arg, e);
	if (!err && n->flags & NVME_WRITE)
		err = claim(p, arg, e);
	if (!err)
		err = make_ring(n, p, e);
	if (err)
		passthru_close(n);
	return err;
}

static struct io_uring_sqe *sqe_get(struct nvme *n, struct passthru *p)
{
	struct io_uring_sqe *s = io_uring_get_sqe(&p->ring);

	if (!s && p->enabled) { /* a long command has more parts than the ring is long */
		n->stats.syscalls++;
		io_uring_submit(&p->ring);
		s = io_uring_get_sqe(&p->ring);
	}
	return s;
}

static bool put_part(struct nvme *n, struct iodesc *d, uint32_t at, uint32_t len)
{
	struct passthru *p = n->priv;
	struct io_uring_sqe *s = sqe_get(n, p);
	uint32_t block = n->ns[d->nsid].info.block;
	uint64_t lba = (d->off + at) / block;
	struct nvme_uring_cmd *c;

	if (!s)
		return false;
	memset(s, 0, 128);
	s->opcode = IORING_OP_URING_CMD;
	s->flags = IOSQE_FIXED_FILE;
	s->fd = 0;
	s->cmd_op = NVME_URING_CMD_IO;
	if (p->fixed) {
		s->uring_cmd_flags = IORING_URING_CMD_FIXED;
		s->buf_index = 0;
		d->op |= OP_FIXED;
	}
	s->user_data = (uintptr_t)d;
	c = (struct nvme_uring_cmd *)s->cmd;
	c->opcode = (d->op & OP_MASK) == NVME_OP_WRITE ? NVME_CMD_WRITE : NVME_CMD_READ;
	c->nsid = d->nsid;
	c->addr = (uintptr_t)d->buf + at;
	c->data_len = len;
	c->cdw10 = (uint32_t)lba;
	c->cdw11 = (uint32_t)(lba >> 32);
	c->cdw12 = len / block - 1;
	d->cid++;
	return true;
}

static int enable(struct passthru *p)
{
	int err = io_uring_register((unsigned int)p->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
				    NULL, 0);

	p->enabled = !err;
	return err;
}

/* All parts of a command, or what fitted; the rest fails it. */
static void put_all(struct nvme *n, struct iodesc *d)
{
	const struct nvme_ns_info *i = &n->ns[d->nsid].info;
	uint64_t left = i->bytes - d->off;
	uint32_t len = d->len < left ? d->len : (uint32_t)left;

	d->cid = 0;
	for (uint32_t at = 0; at < len; at += i->max_io)
		if (!put_part(n, d, at, len - at < i->max_io ? len - at : i->max_io))
			d->status = NVME_SC_ABORT_REQUESTED;
	d->done = len;
}

static unsigned int passthru_stage(struct nvme *n, struct iodesc **d, unsigned int count)
{
	struct passthru *p = n->priv;
	unsigned int i;

	if (!p->enabled && enable(p))
		return 0;
	for (i = 0; i < count; i++) {
		put_all(n, d[i]);
		if (!d[i]->cid) /* not one part: try again later */
			break;
	}
	return i;
}

static int passthru_enter(struct nvme *n, unsigned int min, uint64_t timeout_ns)
{
	struct passthru *p = n->priv;
	int ret;

	if (!p->enabled)
		return enable(p);
	if (!io_uring_sq_ready(&p->ring) && io_uring_cq_ready(&p->ring) >= min) {
		n->unsent = false;
		return 0;
	}
	n->stats.syscalls++;
	if (min) {
		struct __kernel_timespec ts = {.tv_sec = (long long)(timeout_ns / NSEC_PER_SEC),
					       .tv_nsec = (long long)(timeout_ns % NSEC_PER_SEC)};
		struct io_uring_cqe *cqe;

		ret = io_uring_submit_and_wait_timeout(&p->ring, &cqe, min, &ts, NULL);
	} else {
		ret = io_uring_submit_and_get_events(&p->ring);
	}
	n->unsent = io_uring_sq_ready(&p->ring) > 0;
	return ret < 0 && ret != -ETIME ? ret : 0;
}

/* res of a passed-through command: 0, an NVMe status, or -errno.
 *
 * Kernels before 6.3 or so refuse (-EINVAL) a registered buffer that is not used from its first to
 * its last byte. Then the command goes out again with its plain address, and so do later ones. */
static bool part_over(struct nvme *n, struct iodesc *d, int res)
{
	struct passthru *p = n->priv;

	if (res < 0 && !d->status)
		d->status = NVME_SC_ABORT_REQUESTED;
	else if (res && !d->status)
		d->status = (uint16_t)(res & 0x7ff);
	if (--d->cid)
		return false;
	if (res == -EINVAL && d->op & OP_FIXED) {
		p->fixed = false;
		d->status = 0;
		d->op &= OP_MASK;
		put_all(n, d);
		n->unsent = true;
		if (d->cid)
			return false;
	}
	d->op &= OP_MASK;
	nvme_complete(n, d, !d->status ? (int)d->done : res < 0 ? res : -EIO, d->status);
	return true;
}

static int passthru_reap(struct nvme *n, int max)
{
	struct passthru *p = n->priv;
	unsigned int ready = io_uring_cq_ready(&p->ring);
	struct io_uring_cqe *cqe;
	int got = 0;

	if (!ready && p->enabled &&
	    (n->unsent || IO_URING_READ_ONCE(*p->ring.sq.kflags) &
				  (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))) {
		n->stats.syscalls++;
		io_uring_submit_and_get_events(&p->ring);
		n->unsent = io_uring_sq_ready(&p->ring) > 0;
		ready = io_uring_cq_ready(&p->ring);
	}
	if (n->lat)
		n->now = clock_ns();
	while (ready-- && got < max && !io_uring_peek_cqe(&p->ring, &cqe)) {
		struct iodesc *d = (struct iodesc *)(uintptr_t)cqe->user_data;
		int res = cqe->res;

		io_uring_cqe_seen(&p->ring, cqe);
		got += part_over(n, d, res);
	}
	if (n->unsent)
		passthru_enter(n, 0, 0);
	return got;
}

const struct nvme_backend nvme_passthru = {
	.name = "passthru",
	.open = passthru_open,
	.close = passthru_close,
	.stage = passthru_stage,
	.enter = passthru_enter,
	.reap = passthru_reap,
};
