/* extents: files by name on a device without its file system: extents:CATALOG,DEVICE.
 *
 * The one idea: a back end on top of another. Each file of the catalogue (catalog.h) is a
 * namespace; a read of file bytes becomes reads of the device's blocks through the back end below,
 * on the same buffers. So whoever reads files through uring reads them through vfio, diskmap or
 * passthru, the same bytes, without knowing.
 *
 * Before it opens, the superblock and the sampled blocks of every file are read through the device
 * and compared with the catalogue: a file system that was mounted, or files that were changed,
 * since then are refused, so that never another file's blocks are served.
 *
 * Limits: read-only; commands of at most 256 file-system blocks; the file system must stay
 * unmounted (or quiet) while it is served.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "stacks/atlas/nvme/backend.h"
#include "stacks/atlas/nvme/catalog.h"
#include "stacks/atlas/nvme/leases.h"
#include "stacks/atlas/nvme/uring_files.h"

#define PIECES 256u /* of a command at most */

struct piece {
	struct iodesc io; /* for the device below */
	struct iodesc *of;
	STAILQ_ENTRY(piece) link;
};
STAILQ_HEAD(pieces, piece);

struct extents {
	struct catalog cat;
	struct leases *leases; /* NULL: the file system is not mounted */
	struct nvme *below;
	struct nvme *above;
	uint32_t nsid; /* below */
	char sb[CATALOG_SB_BYTES];
	struct piece *piece;
	uint32_t free_count;
	struct pieces free, waiting; /* waiting: for room below */
	struct pieces refused;	     /* their callbacks are due */
	struct nvme_file_req *opened[NVME_FILE_OPS_MAX];
	uint32_t nopened;
	int completed; /* in this reap */
};

static void piece_done(struct iodesc *io, int res)
{
	struct piece *p = (struct piece *)((char *)io - offsetof(struct piece, io));
	struct extents *x = io->cookie;
	struct iodesc *d = p->of;
	uint64_t left = x->above->ns[d->nsid].info.bytes - d->off;

	if (res != (int)io->len && !d->status)
		d->status = io->status ? io->status : 0xffff; /* no status: an errno, or short */
	STAILQ_INSERT_HEAD(&x->free, p, link);
	x->free_count++;
	if (--d->cid)
		return;
	if (x->leases)
		leases_end(x->leases, d->nsid - 1);
	if (d->status == 0xffff)
		nvme_complete(x->above, d, -EIO, 0);
	else if (d->status)
		nvme_complete(x->above, d, -EIO, d->status);
	else /* at a file's end the device gave whole blocks */
		nvme_complete(x->above, d, (int)(d->len < left ? d->len : left), 0);
	x->completed++;
}

/* Hand on what waits, as far as the device below has room. */
static void push_down(struct extents *x)
{
	struct piece *p;

	while ((p = STAILQ_FIRST(&x->waiting))) {
		int err = nvme_read(x->below, &p->io);

		if (err == -EAGAIN)
			return;
		STAILQ_REMOVE_HEAD(&x->waiting, link);
		if (err)
			piece_done(&p->io, err);
	}
}

/* The extent that holds byte `off`. */
static uint32_t find_extent(const struct catalog_file *f, uint64_t off)
{
	uint32_t lo = 0, hi = f->extents;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (f->extent[mid].off <= off)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* The file is being changed: its blocks are not ours any more. The callback is called when asked
 * for. */
static void refuse(struct extents *x, struct iodesc *d)
{
	struct piece *p = STAILQ_FIRST(&x->free);

	STAILQ_REMOVE_HEAD(&x->free, link);
	x->free_count--;
	p->of = d;
	STAILQ_INSERT_TAIL(&x->refused, p, link);
}

/* Cut one command; false if there are not enough pieces free. */
static bool cut(struct extents *x, struct iodesc *d)
{
	const struct catalog_file *f = &x->cat.file[d->nsid - 1];
	const struct nvme_ns_info *ns = &x->above->ns[d->nsid].info;
	uint64_t left = (f->size - d->off + ns->block - 1) / ns->block * ns->block;
	uint32_t len = nvme_round_up(d->len, ns->block), at = 0, i;

	if (len > left)
		len = (uint32_t)left;
	if (x->free_count < PIECES + 2)
		return false;
	if (x->leases && !leases_begin(x->leases, d->nsid - 1)) {
		refuse(x, d);
		return true;
	}
	d->cid = 0;
	for (i = find_extent(f, d->off); at < len; i++) {
		const struct catalog_extent *e = &f->extent[i];
		uint64_t in = d->off + at - e->off, n = e->len - in;
		struct piece *p = STAILQ_FIRST(&x->free);

		if (n > len - at)
			n = len - at;
		STAILQ_REMOVE_HEAD(&x->free, link);
		x->free_count--;
		p->of = d;
		p->io = (struct iodesc){.nsid = x->nsid,
					.off = e->phys + in,
					.len = (uint32_t)n,
					.buf = (char *)d->buf + at,
					.cb = piece_done,
					.cookie = x};
		STAILQ_INSERT_TAIL(&x->waiting, p, link);
		d->cid++;
		at += (uint32_t)n;
	}
	return true;
}

static unsigned int extents_stage(struct nvme *n, struct iodesc **d, unsigned int count)
{
	struct extents *x = n->priv;
	unsigned int i;

	for (i = 0; i < count && cut(x, d[i]); i++)
		;
	push_down(x);
	return i;
}

static int extents_enter(struct nvme *n, unsigned int min, uint64_t timeout_ns)
{
	struct extents *x = n->priv;
	int err;

	push_down(x);
	err = min && !x->nopened && !STAILQ_FIRST(&x->refused) ? nvme_wait(x->below, 1, timeout_ns)
							       : nvme_sqsync(x->below);
	n->stats.syscalls = x->below->stats.syscalls;
	n->unsent = false;
	return err < 0 ? err : 0;
}

static int tell_opened(struct nvme *n, struct extents *x)
{
	int told = 0;

	/* A callback may open further files, also in the same place of the array. */
	while (x->nopened) {
		struct nvme_file_req *r = x->opened[--x->nopened];

		n->other--;
		told++;
		if (!n->closing)
			r->cb(r, r->nsid ? (int)r->nsid : -ENOENT);
	}
	return told;
}

static int tell_refused(struct nvme *n, struct extents *x)
{
	struct piece *p;
	int told = 0;

	for (; (p = STAILQ_FIRST(&x->refused)); told++) {
		STAILQ_REMOVE_HEAD(&x->refused, link);
		STAILQ_INSERT_HEAD(&x->free, p, link);
		x->free_count++;
		nvme_complete(n, p->of, -ESTALE, 0);
	}
	return told;
}

static int extents_reap(struct nvme *n, int max)
{
	struct extents *x = n->priv;
	int told = tell_opened(n, x) + tell_refused(n, x), err;

	if (n->lat)
		n->now = clock_ns();
	x->completed = 0;
	err = nvme_consume_completions(x->below, max);
	if (STAILQ_FIRST(&x->waiting)) {
		push_down(x);
		nvme_sqsync(x->below);
	}
	n->stats.syscalls = x->below->stats.syscalls;
	return err < 0 && !told ? err : told + x->completed;
}

/* ---- files ---- */

static int extents_open_file(struct nvme *n, int root_fd, const char *path, struct nvme_file_req *r)
{
	struct extents *x = n->priv;
	const struct catalog_file *f = catalog_find(&x->cat, path);

	(void)root_fd;
	if (x->nopened == NVME_FILE_OPS_MAX)
		return -EAGAIN;
	memset(&r->st, 0, sizeof r->st);
	r->nsid = 0;
	if (f) {
		r->nsid = (uint32_t)(f - x->cat.file) + 1;
		r->st.stx_mode = S_IFREG | 0444;
		r->st.stx_size = f->size;
		r->st.stx_ino = f->ino;
		r->st.stx_mtime.tv_sec = (int64_t)(f->mtime_ns / NSEC_PER_SEC);
		r->st.stx_mtime.tv_nsec = (uint32_t)(f->mtime_ns % NSEC_PER_SEC);
	}
	x->opened[x->nopened++] = r;
	n->other++;
	n->unsent = true;
	return 0;
}

/* They stay where they are. */
static int extents_close_file(struct nvme *n, uint32_t nsid)
{
	(void)n;
	(void)nsid;
	return 0;
}

static const struct nvme_file_ops file_ops = {
	.open_file = extents_open_file,
	.close_file = extents_close_file,
};

/* ---- opening ---- */

struct waiting_for {
	int res;
	bool done;
};

static void on_check(struct iodesc *d, int res)
{
	struct waiting_for *w = d->cookie;

	w->res = res;
	w->done = true;
}

/* Blocking read through the device below into the region's start. */
static int read_below(struct extents *x, uint64_t off, uint32_t len)
{
	struct waiting_for w = {.done = false};
	struct iodesc d = {.nsid = x->nsid,
			   .off = off,
			   .len = len,
			   .buf = nvme_region(x->below, NULL),
			   .cb = on_check,
			   .cookie = &w};
	int err = nvme_read(x->below, &d);

	for (int i = 0; !err && !w.done && i < 100; i++) {
		err = nvme_wait(x->below, 1, NSEC_PER_SEC);
		if (err == -EINTR || err == -EAGAIN || !err)
			err = nvme_consume_completions(x->below, 1);
		err = err < 0 ? err : 0;
	}
	if (!err && !w.done)
		err = -ETIMEDOUT; /* never here: nvme_close waits for it before d goes */
	return err ? err : w.res == (int)len ? 0 : -EIO;
}

static int check_superblock(struct extents *x, uint32_t block, struct errbuf *e)
{
	uint64_t at = catalog_sb_at(&x->cat), start = at / block * block;
	uint32_t len = nvme_round_up((uint32_t)(at - start) + CATALOG_SB_BYTES, block);
	int err = read_below(x, start, len);

	if (err)
		return errf(e, err, "cannot read the superblock through the device: %s",
			    strerror(-err));
	memcpy(x->sb, (char *)nvme_region(x->below, NULL) + (at - start), sizeof x->sb);
	return catalog_sb_check(&x->cat, x->sb, e);
}

/* XFS counts no mounts. (While it is mounted an inode may be newer in the log: there leases say.)
 */
static int check_inode(struct extents *x, const struct catalog_file *f, uint32_t block,
		       struct errbuf *e)
{
	uint64_t at = catalog_inode_at(&x->cat, x->sb, f->ino), start = at / block * block;
	uint32_t len = nvme_round_up((uint32_t)(at - start) + CATALOG_INODE_BYTES, block);
	int err = at ? read_below(x, start, len) : -EINVAL;

	if (err)
		return errf(e, err, "cannot read the inode of %s through the device: %s", f->path,
			    strerror(-err));
	return catalog_inode_check(f, (char *)nvme_region(x->below, NULL) + (at - start), e);
}

static int check_file(struct extents *x, const struct catalog_file *f, uint32_t block,
		      struct errbuf *e)
{
	for (int i = 0; i < CATALOG_SAMPLES && f->size; i++) {
		uint64_t off = catalog_sample_at(f, i), left = f->size - off;
		uint32_t want = left < CATALOG_SAMPLE ? (uint32_t)left : CATALOG_SAMPLE, got = 0;
		char sample[CATALOG_SAMPLE + 4096];

		while (got < want) { /* blocks smaller than a sample may lie apart */
			const struct catalog_extent *xt = &f->extent[find_extent(f, off + got)];
			uint64_t in = off + got - xt->off, n = xt->len - in;
			uint32_t take = n < want - got ? (uint32_t)n : want - got;
			int err = read_below(x, xt->phys + in, nvme_round_up(take, block));

			if (err)
				return errf(e, err, "cannot read %s through the device: %s",
					    f->path, strerror(-err));
			memcpy(sample + got, nvme_region(x->below, NULL), take);
			got += take;
		}
		if (catalog_hash(sample, want) != f->hash[i])
			return errf(e, -ESTALE,
				    "%s has changed since the catalogue was taken: take it anew",
				    f->path);
	}
	return 0;
}

static int check_all(struct extents *x, struct errbuf *e)
{
	struct nvme_ns_info ns;
	int err;

	x->nsid = x->cat.nsid ? x->cat.nsid : 1;
	if (nvme_ns(x->below, x->nsid, &ns)) /* a file or block device has number 1 */
		x->nsid = 1;
	err = nvme_ns(x->below, x->nsid, &ns);
	if (err)
		return errf(e, err, "the device has no namespace %u", x->nsid);
	if (x->cat.block % ns.block)
		return errf(e, -EINVAL,
			    "the device's blocks (%u) are longer than the file system's (%u)",
			    ns.block, x->cat.block);
	err = check_superblock(x, ns.block, e);
	for (uint32_t i = 0; i < x->cat.files && !err; i++) {
		const struct catalog_file *f = &x->cat.file[i];

		for (uint32_t k = 0; k < f->extents; k++)
			if (f->extent[k].phys + f->extent[k].len > ns.bytes ||
			    f->extent[k].phys % ns.block)
				return errf(e, -ESTALE,
					    "%s lies outside of the device: another catalogue?",
					    f->path);
		if (!x->leases && !strcmp(x->cat.fs, "xfs"))
			err = check_inode(x, f, ns.block, e);
		if (!err)
			err = check_file(x, f, ns.block, e);
	}
	return err;
}

static int make_files(struct nvme *n, struct extents *x, struct errbuf *e)
{
	uint32_t count = n->depth * 4 + PIECES + 2;
	struct nvme_ns_info ns;

	nvme_ns(x->below, x->nsid, &ns);
	x->piece = calloc(count, sizeof *x->piece);
	if (!x->piece || nvme_ns_table(n, x->cat.files))
		return errf(e, -ENOMEM, "no memory for %u files", x->cat.files);
	for (uint32_t i = 0; i < count; i++)
		STAILQ_INSERT_TAIL(&x->free, &x->piece[i], link);
	x->free_count = count;
	for (uint32_t i = 1; i <= x->cat.files; i++) {
		n->ns[i].info = ns;
		n->ns[i].info.bytes = x->cat.file[i - 1].size;
		n->ns[i].state = NS_READY;
	}
	n->max_len = PIECES * x->cat.block;
	return 0;
}

static void extents_close(struct nvme *n)
{
	struct extents *x = n->priv;

	nvme_close(x->below);
	leases_drop(x->leases);
	n->region = NULL; /* was the one below */
	n->region_bytes = 0;
	catalog_free(&x->cat);
	free(x->piece);
	free(x);
}

static int open_below(struct extents *x, const char *arg, const struct nvme_cfg *cfg,
		      struct errbuf *e)
{
	const char *comma = strchr(arg, ',');
	struct nvme_cfg below = *cfg;
	char path[PATH_MAX], *root;
	int err;

	if (!comma || comma == arg || (size_t)(comma - arg) >= sizeof path)
		return errf(e, -EINVAL,
			    "\"%s\": write extents:CATALOG,DEVICE, such as "
			    "extents:/run/catalog.json,vfio:0000:01:00.0",
			    arg);
	if (cfg->flags & NVME_WRITE)
		return errf(e, -EINVAL, "files by their extents are read-only");
	memcpy(path, arg, (size_t)(comma - arg));
	path[comma - arg] = 0;
	root = strchr(path, '@');
	if (root)
		*root++ = 0;
	err = catalog_load(&x->cat, path, e);
	if (!err && root)
		err = leases_take(&x->leases, &x->cat, root, e);
	if (err)
		return err;
	below.device = comma + 1;
	below.flags &= ~(unsigned int)NVME_STAMP;
	below.max_ns = 1; /* the device; files are ours */
	return nvme_open(&x->below, &below, e);
}

static int extents_open(struct nvme *n, const char *arg, const struct nvme_cfg *cfg,
			struct errbuf *e)
{
	struct extents *x = calloc(1, sizeof *x);
	int err;

	n->priv = x;
	if (!x)
		return errf(e, -ENOMEM, "no memory");
	x->above = n;
	STAILQ_INIT(&x->free);
	STAILQ_INIT(&x->waiting);
	STAILQ_INIT(&x->refused);
	err = open_below(x, arg, cfg, e);
	if (!err)
		err = check_all(x, e);
	if (!err)
		err = make_files(n, x, e);
	if (err) {
		nvme_close(x->below);
		leases_drop(x->leases);
		catalog_free(&x->cat);
		free(x->piece);
		free(x);
		return err;
	}
	region_unmap(n->region, n->region_bytes);
	n->region = nvme_region(x->below, &n->region_bytes);
	n->fd = nvme_fd(x->below);
	n->files = &file_ops;
	snprintf(n->model, sizeof n->model, "%s", nvme_model(x->below));
	n->simulated = nvme_simulated(x->below);
	n->note = x->below->note;
	return 0;
}

const struct nvme_backend nvme_extents = {
	.name = "extents",
	.open = extents_open,
	.close = extents_close,
	.stage = extents_stage,
	.enter = extents_enter,
	.reap = extents_reap,
};
