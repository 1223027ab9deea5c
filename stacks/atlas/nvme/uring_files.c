/* uring_files: opening is a chain of ring commands, each started by the completion of the one
 *before:
 *
 *	openat2 -> descriptor -> statx -> put into the ring's file table -> callback
 *	                                                                 \-> close the descriptor
 *
 * An ordinary descriptor is opened because statx can name it (AT_EMPTY_PATH): a statx of the path
 * could describe another file. It is closed once the table holds the file.
 *
 * Limits: a path that names a device node is opened before it is refused (O_NONBLOCK | O_NOCTTY).
 * Source: openat2(2), io_uring_enter(2) IORING_OP_OPENAT2, STATX, FILES_UPDATE, CLOSE.
 */
#include "stacks/atlas/nvme/uring_files.h"

#include <errno.h>
#include <fcntl.h>

#include "stacks/atlas/nvme/uring_priv.h"

enum step { STEP_OPEN, STEP_STATX, STEP_TABLE };

static struct io_uring_sqe *next_sqe(struct nvme *n)
{
	struct uring *u = n->priv;

	n->unsent = true;
	return io_uring_get_sqe(&u->ring);
}

static void set_file_step(struct io_uring_sqe *s, struct nvme_file_req *r, enum step step)
{
	r->step = step;
	s->user_data = uring_tagged((uintptr_t)r, TAG_FILE);
}

static int uring_open_file(struct nvme *n, int root_fd, const char *path, struct nvme_file_req *r)
{
	struct io_uring_sqe *s;

	if (n->other >= NVME_FILE_OPS_MAX)
		return -EAGAIN;
	r->nsid = uring_ns_take(n);
	if (!r->nsid)
		return -ENOSPC;
	s = next_sqe(n);
	if (!s) {
		uring_ns_give(n, r->nsid);
		return -EAGAIN;
	}
	r->how = (struct open_how){
		.flags = O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	r->fd = -1;
	io_uring_prep_openat2(s, root_fd, path, &r->how);
	set_file_step(s, r, STEP_OPEN);
	n->other++;
	return 0;
}

/* The request is over; its descriptor, if any, is closed behind it. */
static void finish(struct nvme *n, struct nvme_file_req *r, int res)
{
	if (r->fd >= 0) {
		struct io_uring_sqe *s = next_sqe(n);

		if (s) {
			io_uring_prep_close(s, r->fd);
			s->user_data = uring_tagged(0, TAG_CLOSE_FD);
			n->other++;
		}
		r->fd = -1;
	}
	n->other--;
	if (res < 0)
		uring_ns_give(n, r->nsid);
	else
		n->ns[r->nsid].state = NS_READY;
	if (!n->closing)
		r->cb(r, res);
}

static int after_open(struct nvme *n, struct nvme_file_req *r, int res)
{
	struct io_uring_sqe *s;

	if (res == -EINVAL)
		return -EOPNOTSUPP; /* O_DIRECT is the only flag that depends on the file */
	if (res < 0)
		return res;
	r->fd = res;
	s = next_sqe(n);
	if (!s)
		return -EAGAIN;
	io_uring_prep_statx(s, r->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN,
			    &r->st);
	set_file_step(s, r, STEP_STATX);
	return 0;
}

static int after_statx(struct nvme *n, struct nvme_file_req *r, int res)
{
	struct io_uring_sqe *s;

	if (res < 0)
		return res;
	if (S_ISDIR(r->st.stx_mode))
		return -EISDIR;
	if (!S_ISREG(r->st.stx_mode))
		return -EACCES;
	res = uring_file_info(&r->st, &n->ns[r->nsid].info);
	if (res < 0)
		return res;
	s = next_sqe(n);
	if (!s)
		return -EAGAIN;
	io_uring_prep_files_update(s, &r->fd, 1, (int)r->nsid - 1);
	set_file_step(s, r, STEP_TABLE);
	return 0;
}

void uring_file_step(struct nvme *n, struct nvme_file_req *r, int res)
{
	switch ((enum step)r->step) {
	case STEP_OPEN:
		res = after_open(n, r, res);
		break;
	case STEP_STATX:
		res = after_statx(n, r, res);
		break;
	case STEP_TABLE:
		finish(n, r, res < 0 ? res : (int)r->nsid);
		return;
	}
	if (res < 0)
		finish(n, r, res);
}

static int uring_close_file(struct nvme *n, uint32_t nsid)
{
	struct io_uring_sqe *s;

	if (n->other >= NVME_FILE_OPS_MAX)
		return -EAGAIN;
	s = next_sqe(n);
	if (!s)
		return -EAGAIN;
	io_uring_prep_close_direct(s, nsid - 1);
	s->user_data = uring_tagged((uint64_t)nsid << 3, TAG_CLOSE_NS);
	n->ns[nsid].state = NS_CLOSING;
	n->other++;
	return 0;
}

void uring_ns_closed(struct nvme *n, uint32_t nsid)
{
	n->other--;
	uring_ns_give(n, nsid);
}

const struct nvme_file_ops uring_file_ops = {
	.open_file = uring_open_file,
	.close_file = uring_close_file,
};
