/* uring: the back end over io_uring, for any file or block device that can do direct I/O.
 *
 * The one idea: one system call a burst. The region is registered (pinned once), files sit in the
 * ring's table, and the call that submits also fetches what has completed.
 *
 * How a completion reaches us is chosen at set-up. COOP_TASKRUN: no interruption, any system call
 * of the thread posts it; poll on the ring's descriptor wakes. DEFER_TASKRUN (with NVME_NOFD): only
 * our own calls post it, in batches; measured on Linux 6.18, a thread that polls the descriptor is
 * then not woken, so there is none. In both the kernel sets a flag in the ring when something waits
 * to be fetched (TASKRUN_FLAG), so that asking costs no call while there is nothing. Older kernels:
 * plain.
 *
 * IOPOLL (with NVME_POLL, and a device that has poll queues): no interrupts at all, each call looks
 * into the device's completion queue. Such a ring can do nothing but reads and writes, so it needs
 * its path at opening ("uring:/path"). Where it can't be had, nvme_note() says why and completions
 * come as usual.
 *
 * The ring is made disabled and enabled by the first thread that submits, because SINGLE_ISSUER
 * binds it to that one.
 *
 * Limits: the kernel maps device errors to errno, so `status` of an iodesc stays 0 here.
 * Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2), statx(2) STATX_DIOALIGN.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stacks/atlas/nvme/uring_files.h"
#include "stacks/atlas/nvme/uring_priv.h"

/* The kernel registers at most 1 GiB as one buffer. */
#define CHUNK	   (1ul << 30)
#define CHUNKS_MAX 64
#define TRIES_MAX  16
#define MAX_IO	   0x7ffff000u /* MAX_RW_COUNT of the kernel */
#define NS_LIMIT   (1u << 20)  /* of cfg.max_ns */
#define NS_DEFAULT 16
/* Each command and each file request has at most one entry in the ring, a request that is over may
 * leave a close behind: so the ring is never full. */
#define FILE_SQES (2 * NVME_FILE_OPS_MAX)

static_assert(FILE_SQES + 4096 <= 32768, "the kernel's largest ring");

uint32_t uring_ns_take(struct nvme *n)
{
	struct uring *u = n->priv;
	uint32_t nsid = u->free_ns;

	if (nsid) {
		u->free_ns = n->ns[nsid].next_free;
		n->ns[nsid].state = NS_OPENING;
	}
	return nsid;
}

void uring_ns_give(struct nvme *n, uint32_t nsid)
{
	struct uring *u = n->priv;

	n->ns[nsid].state = NS_FREE;
	n->ns[nsid].next_free = u->free_ns;
	u->free_ns = nsid;
}

static int make_polled_ring(struct nvme *n, struct uring *u, unsigned int entries)
{
	unsigned int flags = IORING_SETUP_IOPOLL | IORING_SETUP_R_DISABLED;
	int err = io_uring_queue_init(entries, &u->ring, flags | IORING_SETUP_SINGLE_ISSUER);

	if (err == -EINVAL) /* before Linux 6.0 */
		err = io_uring_queue_init(entries, &u->ring, flags);
	u->iopoll = !err;
	if (err)
		errf(&n->note, err, "no polling: the kernel makes no polled ring: %s",
		     strerror(-err));
	return err;
}

static int make_ring(struct uring *u, unsigned int entries, bool pollable)
{
	enum {
		COMMON = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG |
			 IORING_SETUP_SUBMIT_ALL
	};
	static const unsigned int flags[] = {
		COMMON | IORING_SETUP_DEFER_TASKRUN,		       /* Linux 6.1 */
		COMMON | IORING_SETUP_COOP_TASKRUN,		       /* 6.0 */
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, /* 5.19 */
		0,
	};
	int err = -EINVAL;

	for (size_t i = pollable; i < sizeof flags / sizeof *flags && err == -EINVAL; i++)
		err = io_uring_queue_init(entries, &u->ring, flags[i] | IORING_SETUP_R_DISABLED);
	return err;
}

static int register_region(struct nvme *n)
{
	struct uring *u = n->priv;
	struct iovec v[CHUNKS_MAX];
	unsigned int count = 0;

	for (size_t at = 0; at < n->region_bytes; at += CHUNK) {
		size_t len = n->region_bytes - at;

		if (count == CHUNKS_MAX)
			return -E2BIG;
		v[count].iov_base = n->region + at;
		v[count++].iov_len = len < CHUNK ? len : CHUNK;
	}
	return io_uring_register_buffers(&u->ring, v, count);
}

static int set_up(struct nvme *n, const char *path, uint32_t max_ns, struct errbuf *e)
{
	struct uring *u = n->priv;
	int err = 0;

	u->max_io = MAX_IO;
	if (!(n->flags & NVME_POLL) || uring_poll_limit(path, &u->max_io, &n->note) ||
	    make_polled_ring(n, u, n->depth))
		err = make_ring(u, n->depth + FILE_SQES, !(n->flags & NVME_NOFD));
	if (err)
		return errf(e, err,
			    "cannot make an io_uring (%s): this needs Linux 5.15 or later with "
			    "kernel.io_uring_disabled=0 and, in a container, a seccomp profile "
			    "that allows it",
			    strerror(-err));
	u->table = true;
	err = register_region(n);
	if (err)
		return errf(e, err,
			    "cannot pin %zu MiB of I/O buffers (%s): raise the limit of locked "
			    "memory (ulimit -l) or take less",
			    n->region_bytes >> 20, strerror(-err));
	err = io_uring_register_files_sparse(&u->ring, max_ns);
	if (err)
		return errf(e, err,
			    "cannot make a table of %u files (%s): raise the limit of open "
			    "files (ulimit -n) or lower the number of files kept open",
			    max_ns, strerror(-err));
	return 0;
}

/* "uring:/path": open it, one sentence for each way in which that fails. */
static int open_path(struct nvme *n, const char *path, struct errbuf *e)
{
	int mode = (n->flags & NVME_WRITE ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC | O_NONBLOCK;
	struct stat st;
	int fd, err;

	/* O_EXCL on a block device: not while it is mounted. */
	if (n->flags & NVME_WRITE && !stat(path, &st) && S_ISBLK(st.st_mode))
		mode |= O_EXCL;
	fd = open(path, mode);
	if (fd < 0 && errno == EINVAL)
		return errf(
			e, -EOPNOTSUPP,
			"%s: its file system refuses direct I/O (O_DIRECT); use a file on ext4, "
			"XFS or a recent tmpfs, or a block device",
			path);
	if (fd < 0 && errno == EBUSY)
		return errf(e, -EBUSY,
			    "%s is mounted or otherwise in use: writing to it is refused", path);
	if (fd < 0)
		return errf(e, -errno, "cannot open %s: %s", path, strerror(errno));
	err = nvme_attach(n, fd);
	close(fd);
	if (err == -EOPNOTSUPP)
		return errf(e, err, "%s: its file system can't do direct I/O", path);
	if (err < 0)
		return errf(e, err, "%s can't be read directly: %s", path,
			    err == -EINVAL ? "it is neither a regular file nor a block device"
					   : strerror(-err));
	return 0;
}

static void uring_close(struct nvme *n)
{
	struct uring *u = n->priv;

	if (u->table)
		io_uring_queue_exit(&u->ring);
	free(u);
}

static int uring_open(struct nvme *n, const char *arg, const struct nvme_cfg *cfg, struct errbuf *e)
{
	uint32_t max_ns = cfg->max_ns ? cfg->max_ns : NS_DEFAULT;
	struct uring *u = calloc(1, sizeof *u);
	int err;

	n->priv = u;
	if (!u)
		return errf(e, -ENOMEM, "no memory for a queue pair");
	if (max_ns > NS_LIMIT) {
		err = errf(e, -EINVAL, "a table of %u files is too large: at most %u", max_ns,
			   NS_LIMIT);
		goto undo;
	}
	if (nvme_ns_table(n, max_ns)) {
		err = errf(e, -ENOMEM, "no memory for a table of %u files", max_ns);
		goto undo;
	}
	for (uint32_t i = max_ns; i > 0; i--)
		uring_ns_give(n, i);
	err = set_up(n, arg, max_ns, e);
	if (!err && *arg)
		err = open_path(n, arg, e);
	if (err)
		goto undo;
	if (u->iopoll)
		snprintf(n->model, sizeof n->model, "uring, polled");
	else
		n->files = &uring_file_ops;
	if (!(n->flags & NVME_NOFD) && !u->iopoll)
		n->fd = u->ring.ring_fd;
	return 0;
undo:
	if (u->table)
		io_uring_queue_exit(&u->ring);
	free(u);
	return err;
}

/* Kernels or file systems that don't tell get what every disk can do. */
#define DIO_GUESS 4096u

int uring_file_info(const struct statx *st, struct nvme_ns_info *out)
{
	out->bytes = st->stx_size;
	out->block = DIO_GUESS;
	out->mem_align = DIO_GUESS;
	out->max_io = MAX_IO;
	if (!S_ISREG(st->stx_mode) && !S_ISBLK(st->stx_mode))
		return -EINVAL;
	if (st->stx_mask & STATX_DIOALIGN) {
		if (!st->stx_dio_offset_align || !st->stx_dio_mem_align)
			return -EOPNOTSUPP;
		out->block = st->stx_dio_offset_align;
		out->mem_align = st->stx_dio_mem_align;
	}
	return nvme_pow2(out->block) && nvme_pow2(out->mem_align) ? 0 : -EOPNOTSUPP;
}

/* A block device's statx has no size, and no alignment before Linux 6.11 or so. */
static int block_info(int fd, struct nvme_ns_info *out)
{
	int sector = 0;

	if (ioctl(fd, BLKGETSIZE64, &out->bytes) || ioctl(fd, BLKSSZGET, &sector))
		return -errno;
	if (sector > 0)
		out->block = out->mem_align = (uint32_t)sector;
	return 0;
}

static int uring_attach(struct nvme *n, int fd)
{
	struct uring *u = n->priv;
	struct nvme_ns_info info;
	struct statx st;
	uint32_t nsid;
	int flags = fcntl(fd, F_GETFL), err;

	if (flags < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &st))
		return -errno;
	if (!(flags & O_DIRECT))
		return -EINVAL;
	err = uring_file_info(&st, &info);
	if (!err && S_ISBLK(st.stx_mode))
		err = block_info(fd, &info);
	if (err)
		return err;
	nsid = uring_ns_take(n);
	if (!nsid)
		return -ENOSPC;
	err = io_uring_register_files_update(&u->ring, nsid - 1, &fd, 1);
	if (err < 0) {
		uring_ns_give(n, nsid);
		return err;
	}
	n->ns[nsid].info = info;
	n->ns[nsid].state = NS_READY;
	return (int)nsid;
}

static int uring_detach(struct nvme *n, uint32_t nsid)
{
	struct uring *u = n->priv;
	int none = -1;
	int err = io_uring_register_files_update(&u->ring, nsid - 1, &none, 1);

	if (err < 0)
		return err;
	uring_ns_give(n, nsid);
	return 0;
}

/* One command into the ring. Registered memory except where it crosses two registrations. */
static bool put(struct nvme *n, struct iodesc *d)
{
	struct uring *u = n->priv;
	struct io_uring_sqe *s = io_uring_get_sqe(&u->ring);
	char *buf = (char *)d->buf + d->done;
	uint64_t off = d->off + d->done;
	uint32_t len = nvme_round_up(d->len - d->done, n->ns[d->nsid].info.block);
	size_t at = (size_t)(buf - n->region);
	int file = (int)d->nsid - 1;

	if (!s)
		return false;
	if (len > u->max_io) /* the rest goes when this has come back */
		len = u->max_io;
	if (at / CHUNK != (at + len - 1) / CHUNK) {
		if (d->op == NVME_OP_READ)
			io_uring_prep_read(s, file, buf, len, off);
		else
			io_uring_prep_write(s, file, buf, len, off);
	} else if (d->op == NVME_OP_READ) {
		io_uring_prep_read_fixed(s, file, buf, len, off, (int)(at / CHUNK));
	} else {
		io_uring_prep_write_fixed(s, file, buf, len, off, (int)(at / CHUNK));
	}
	s->flags |= IOSQE_FIXED_FILE;
	s->user_data = uring_tagged((uintptr_t)d, TAG_IO);
	return true;
}

static unsigned int uring_stage(struct nvme *n, struct iodesc **d, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!put(n, d[i]))
			break;
	return i;
}

static int enable(struct uring *u)
{
	/* liburing 2.3 declares io_uring_enable_rings but does not export it. */
	int err = io_uring_register((unsigned int)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
				    NULL, 0);

	if (err < 0)
		return err;
	io_uring_register_ring_fd(&u->ring); /* cheaper calls; an old kernel's refusal is fine */
	u->enabled = true;
	return 0;
}

static int uring_enter(struct nvme *n, unsigned int min, uint64_t timeout_ns)
{
	struct uring *u = n->priv;
	int ret = u->enabled ? 0 : enable(u);

	if (ret < 0)
		return ret;
	if (!io_uring_sq_ready(&u->ring) && io_uring_cq_ready(&u->ring) >= min) {
		n->unsent = false;
		return 0;
	}
	n->stats.syscalls++;
	if (min) {
		struct __kernel_timespec ts = {.tv_sec = (long long)(timeout_ns / NSEC_PER_SEC),
					       .tv_nsec = (long long)(timeout_ns % NSEC_PER_SEC)};
		struct io_uring_cqe *cqe;

		ret = io_uring_submit_and_wait_timeout(&u->ring, &cqe, min, &ts, NULL);
	} else {
		ret = io_uring_submit_and_get_events(&u->ring);
	}
	n->unsent = io_uring_sq_ready(&u->ring) > 0;
	return ret < 0 && ret != -ETIME ? ret : 0;
}

/* True if the command is over: *res is what its callback gets. Otherwise it goes on: direct reads
 * may be short (a signal, a full request queue) where no file ends. */
static bool io_over(struct nvme *n, struct iodesc *d, int *res)
{
	const struct nvme_ns_info *i = &n->ns[d->nsid].info;

	if (*res == -EAGAIN || *res == -EINTR) {
		if (++d->cid > TRIES_MAX)
			return true;
	} else if (*res < 0) {
		return true;
	} else {
		d->done += (uint32_t)*res;
		if (d->done >= d->len || *res == 0 || !nvme_aligned(d->done, i->block) ||
		    d->off + d->done >= i->bytes) {
			*res = (int)(d->done < d->len ? d->done : d->len);
			return true;
		}
	}
	if (!put(n, d)) {
		*res = -EAGAIN;
		return true;
	}
	n->unsent = true;
	return false;
}

/* One completion; true if a callback was due. */
static bool dispatch(struct nvme *n, uint64_t user_data, int res)
{
	uint64_t v = user_data & ~(uint64_t)TAG_MASK;

	switch ((enum uring_tag)(user_data & TAG_MASK)) {
	case TAG_IO: {
		struct iodesc *d = (struct iodesc *)(uintptr_t)v;

		if (!io_over(n, d, &res))
			return false;
		nvme_complete(n, d, res, 0);
		return true;
	}
	case TAG_FILE:
		uring_file_step(n, (struct nvme_file_req *)(uintptr_t)v, res);
		return true;
	case TAG_CLOSE_NS:
		uring_ns_closed(n, (uint32_t)(v >> 3));
		return false;
	case TAG_CLOSE_FD:
		n->other--;
		return false;
	default:
		return false;
	}
}

static bool must_fetch(const struct nvme *n, const struct uring *u)
{
	unsigned int flags = IO_URING_READ_ONCE(*u->ring.sq.kflags);

	if (u->iopoll) /* nobody tells: ask the device */
		return n->outstanding > n->npending;
	return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static int uring_reap(struct nvme *n, int max)
{
	struct uring *u = n->priv;
	unsigned int ready = io_uring_cq_ready(&u->ring);
	struct io_uring_cq *cq = &u->ring.cq;
	int got = 0;

	if (!ready && u->enabled && (n->unsent || must_fetch(n, u))) {
		int ret;

		n->stats.syscalls++;
		ret = io_uring_submit_and_get_events(&u->ring);
		n->unsent = io_uring_sq_ready(&u->ring) > 0;
		if (ret < 0)
			return ret;
		ready = io_uring_cq_ready(&u->ring);
	}
	if (ready && n->lat)
		n->now = clock_ns();
	while (ready-- && got < max) {
		const struct io_uring_cqe *cqe = &cq->cqes[*cq->khead & cq->ring_mask];
		uint64_t user_data = cqe->user_data;
		int res = cqe->res;

		io_uring_cq_advance(&u->ring, 1); /* callbacks may submit */
		got += dispatch(n, user_data, res);
	}
	if (n->unsent) {
		int err = uring_enter(n, 0, 0);

		if (err < 0 && !got && err != -EBUSY && err != -EAGAIN && err != -EINTR)
			return err;
	}
	return got;
}

const struct nvme_backend nvme_uring = {
	.name = "uring",
	.open = uring_open,
	.close = uring_close,
	.stage = uring_stage,
	.enter = uring_enter,
	.reap = uring_reap,
	.attach = uring_attach,
	.detach = uring_detach,
};
