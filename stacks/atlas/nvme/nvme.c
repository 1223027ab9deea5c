/* nvme: the Table 1 API. Checks and counts commands, and hands them to a back end in bursts.
 *
 * nvme_read and nvme_write only append to an array; nvme_sqsync passes the whole array on. So the
 * back end is called once a burst, and a command that is refused (bounds, alignment, depth) never
 * got near the device.
 *
 * Limits: one thread a queue pair. Paper: section 3.1, table 1 (the storage stack's interface).
 */
#include "stacks/atlas/nvme/nvme.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stacks/atlas/nvme/backend.h"
#include "stacks/atlas/nvme/uring_files.h"

#define DEPTH_MAX 4096

static const struct nvme_backend *const backends[] = {
	&nvme_uring, &nvme_passthru, &nvme_vfio, &nvme_diskmap, &nvme_sim, &nvme_extents,
};

static const struct nvme_backend *find_backend(const char *device, const char **arg)
{
	const char *colon = strchr(device, ':');

	for (size_t i = 0; colon && i < sizeof backends / sizeof *backends; i++) {
		const char *name = backends[i]->name;

		if (strlen(name) == (size_t)(colon - device) &&
		    !strncmp(name, device, strlen(name))) {
			*arg = colon + 1;
			return backends[i];
		}
	}
	return NULL;
}

static int check_cfg(const struct nvme_cfg *cfg, const char **arg, const struct nvme_backend **be,
		     struct errbuf *e)
{
	*be = cfg->device ? find_backend(cfg->device, arg) : NULL;
	if (!*be)
		return errf(
			e, -EINVAL,
			"unknown storage device \"%s\": write uring:/path, passthru:/dev/ng0n1, "
			"vfio:0000:01:00.0, diskmap:0, sim:p3700 or extents:CATALOG,DEVICE",
			cfg->device ? cfg->device : "");
	if (cfg->depth < 1 || cfg->depth > DEPTH_MAX)
		return errf(e, -EINVAL, "a queue depth of %u is not possible: 1 to %d are",
			    cfg->depth, DEPTH_MAX);
	return 0;
}

int nvme_open(struct nvme **out, const struct nvme_cfg *cfg, struct errbuf *e)
{
	const struct nvme_backend *be;
	const char *arg = "";
	void *region;
	struct nvme *n;
	int err;

	err = check_cfg(cfg, &arg, &be, e);
	if (err)
		return err;
	n = calloc(1, sizeof *n);
	if (!n)
		return errf(e, -ENOMEM, "no memory for a queue pair");
	n->be = be;
	snprintf(n->model, sizeof n->model, "%s", be->name);
	n->depth = cfg->depth;
	n->flags = cfg->flags;
	n->fd = -1;
	n->pending = calloc(cfg->depth, sizeof(struct iodesc *));
	if (cfg->flags & NVME_STAMP)
		n->lat = malloc(sizeof *n->lat);
	if (!n->pending || (cfg->flags & NVME_STAMP && !n->lat)) {
		err = errf(e, -ENOMEM, "no memory for a queue pair");
		goto free;
	}
	if (n->lat)
		hist_init(n->lat);
	n->region_bytes = cfg->region_bytes;
	err = region_map(&region, &n->region_bytes, e);
	if (err)
		goto free;
	n->region = region;
	err = be->open(n, arg, cfg, e);
	if (err)
		goto unmap;
	*out = n;
	return 0;
unmap:
	region_unmap(n->region, n->region_bytes);
free:
	free(n->ns);
	free(n->lat);
	free(n->pending);
	free(n);
	return err;
}

void nvme_close(struct nvme *n)
{
	if (!n)
		return;
	n->closing = true;
	n->outstanding -= n->npending; /* never submitted */
	n->npending = 0;
	while (n->outstanding || n->other) {
		int err = n->be->enter(n, 1, NSEC_PER_SEC);

		if (err < 0 && err != -EINTR && err != -EAGAIN && err != -EBUSY)
			break; /* the ring is dead: freeing it cancels the rest */
		n->be->reap(n, (int)n->depth);
	}
	n->be->close(n);
	if (n->region)
		region_unmap(n->region, n->region_bytes);
	free(n->ns);
	free(n->lat);
	free(n->pending);
	free(n);
}

void *nvme_region(const struct nvme *n, size_t *bytes)
{
	if (bytes)
		*bytes = n->region_bytes;
	return n->region;
}

int nvme_ns_table(struct nvme *n, uint32_t max)
{
	n->ns = calloc((size_t)max + 1, sizeof *n->ns);
	n->ns_max = n->ns ? max : 0;
	return n->ns ? 0 : -ENOMEM;
}

int nvme_attach(struct nvme *n, int fd)
{
	return n->be->attach ? n->be->attach(n, fd) : -EOPNOTSUPP;
}

int nvme_open_file(struct nvme *n, int root_fd, const char *path, struct nvme_file_req *r)
{
	return n->files ? n->files->open_file(n, root_fd, path, r) : -EOPNOTSUPP;
}

int nvme_close_file(struct nvme *n, uint32_t nsid)
{
	struct nvme_ns *ns = nvme_ns_get(n, nsid);

	if (!n->files || !ns)
		return -ENXIO;
	return ns->outstanding ? -EBUSY : n->files->close_file(n, nsid);
}

int nvme_resize(struct nvme *n, uint32_t nsid, uint64_t bytes)
{
	struct nvme_ns *ns = nvme_ns_get(n, nsid);

	if (!ns)
		return -ENXIO;
	ns->info.bytes = bytes;
	return 0;
}

int nvme_detach(struct nvme *n, uint32_t nsid)
{
	struct nvme_ns *ns = nvme_ns_get(n, nsid);

	if (!n->be->detach)
		return -EOPNOTSUPP;
	if (!ns)
		return -ENXIO;
	return ns->outstanding ? -EBUSY : n->be->detach(n, nsid);
}

int nvme_ns(const struct nvme *n, uint32_t nsid, struct nvme_ns_info *out)
{
	const struct nvme_ns *ns = nvme_ns_get(n, nsid);

	if (!ns)
		return -ENXIO;
	*out = ns->info;
	return 0;
}

/* The buffer must hold what the device transfers: whole blocks, also for a file's tail. */
static bool buf_fits(const struct nvme *n, const struct iodesc *d, const struct nvme_ns_info *i)
{
	uintptr_t start = (uintptr_t)n->region, buf = (uintptr_t)d->buf;

	return buf >= start && nvme_aligned(buf, i->mem_align) && buf - start <= n->region_bytes &&
	       nvme_round_up(d->len, i->block) <= n->region_bytes - (buf - start);
}

static int check_cmd(const struct nvme *n, const struct iodesc *d, enum nvme_op op)
{
	const struct nvme_ns *ns = nvme_ns_get(n, d->nsid);
	const struct nvme_ns_info *i;

	if (!ns)
		return -ENXIO;
	if (op == NVME_OP_WRITE && !(n->flags & NVME_WRITE))
		return -EPERM;
	i = &ns->info;
	if (!d->len || d->len > INT32_MAX || (n->max_len && d->len > n->max_len) ||
	    !nvme_aligned(d->off, i->block) || d->off >= i->bytes)
		return -EINVAL;
	if (!nvme_aligned(d->len, i->block) && (op == NVME_OP_WRITE || d->len != i->bytes - d->off))
		return -EINVAL;
	if (op == NVME_OP_WRITE && d->len > i->bytes - d->off)
		return -EINVAL;
	return buf_fits(n, d, i) ? 0 : -EINVAL;
}

static int queue(struct nvme *n, struct iodesc *d, enum nvme_op op)
{
	int err;

	if (n->outstanding >= n->depth)
		return -EAGAIN;
	err = check_cmd(n, d, op);
	if (err)
		return err;
	d->op = (uint16_t)op;
	d->done = 0;
	d->status = 0;
	d->cid = 0;
	n->pending[n->npending++] = d;
	n->ns[d->nsid].outstanding++;
	if (++n->outstanding > n->stats.outstanding_max)
		n->stats.outstanding_max = n->outstanding;
	if (op == NVME_OP_READ)
		n->stats.reads++;
	else
		n->stats.writes++;
	return 0;
}

int nvme_read(struct nvme *n, struct iodesc *d)
{
	return queue(n, d, NVME_OP_READ);
}

int nvme_write(struct nvme *n, struct iodesc *d)
{
	return queue(n, d, NVME_OP_WRITE);
}

/* Hand the pending commands to the back end's ring. Returns how many. */
static unsigned int stage(struct nvme *n)
{
	unsigned int took;

	if (!n->npending)
		return 0;
	if (n->lat) {
		uint64_t now = nvme_clock(n);

		for (unsigned int i = 0; i < n->npending; i++)
			n->pending[i]->t_issue = now;
	}
	took = n->be->stage(n, n->pending, n->npending);
	if (!took)
		return 0;
	n->unsent = true;
	n->npending -= took;
	if (n->npending)
		memmove(n->pending, n->pending + took, n->npending * sizeof *n->pending);
	return took;
}

int nvme_sqsync(struct nvme *n)
{
	unsigned int took = stage(n);
	int err;

	if (!n->unsent)
		return 0;
	n->stats.submits++;
	err = n->be->enter(n, 0, 0);
	return err < 0 ? err : (int)took;
}

int nvme_wait(struct nvme *n, unsigned int min, uint64_t timeout_ns)
{
	unsigned int busy;

	if (stage(n))
		n->stats.submits++;
	busy = n->outstanding - n->npending + n->other;
	if (!busy)
		return 0;
	return n->be->enter(n, min < busy ? min : busy, timeout_ns);
}

int nvme_consume_completions(struct nvme *n, int max)
{
	int got;

	if (max <= 0 || !(n->outstanding - n->npending + n->other))
		return 0;
	got = n->be->reap(n, max);
	if (got > 0)
		n->stats.reaps++;
	return got;
}

uint64_t nvme_clock(const struct nvme *n)
{
	return n->virtual_ns ? *n->virtual_ns : clock_ns();
}

const char *nvme_model(const struct nvme *n)
{
	return n->model;
}

bool nvme_simulated(const struct nvme *n)
{
	return n->simulated;
}

unsigned int nvme_outstanding(const struct nvme *n)
{
	return n->outstanding + n->other;
}

const char *nvme_note(const struct nvme *n)
{
	return n->note.s;
}

int nvme_fd(const struct nvme *n)
{
	return n->fd;
}

void nvme_get_stats(const struct nvme *n, struct nvme_stats *out)
{
	*out = n->stats;
	out->outstanding = n->outstanding;
}

const struct hist *nvme_latency(const struct nvme *n)
{
	return n->lat;
}

void nvme_latency_reset(struct nvme *n)
{
	if (n->lat)
		hist_init(n->lat);
}
