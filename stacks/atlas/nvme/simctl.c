/* simctl: the controller's side of a queue pair. See simctl.h for the model.
 *
 * The one idea: two queues of jobs, a heap by the time they become ready and a FIFO for the
 * channel; time is an argument, so that virtual and real time are the same code.
 *
 * Limits: Read, Write and Flush; one namespace; PRPs, no SGLs.
 */
#include "stacks/atlas/nvme/simctl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int simctl_init(struct simctl *c, const struct sim_model *m, const struct qpair *q,
		const struct dma *queue_mem, const struct dma *data)
{
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	memset(c, 0, sizeof *c);
	c->m = *m;
	c->window[0] = *queue_mem;
	c->window[1] = *data;
	c->sq = q->sq;
	c->cq = q->cq;
	c->sq_bell = q->sq_bell;
	c->cq_bell = q->cq_bell;
	c->entries = q->entries;
	c->phase = 1;
	rng_seed(&c->rng, m->seed);
	c->heap = calloc(q->entries, sizeof *c->heap);
	c->channel = calloc(q->entries, sizeof *c->channel);
	c->written_bytes = (m->capacity / m->block / 64 + 1) * 8;
	/* Address space only, until something is written. */
	c->written = mmap(NULL, c->written_bytes, prot, flags, -1, 0);
	c->overlay = mmap(NULL, m->capacity, prot, flags, -1, 0);
	if (c->heap && c->channel && c->written != MAP_FAILED && c->overlay != MAP_FAILED)
		return 0;
	simctl_free(c);
	return -ENOMEM;
}

void simctl_free(struct simctl *c)
{
	if (c->overlay && c->overlay != MAP_FAILED)
		munmap(c->overlay, c->m.capacity);
	if (c->written && c->written != MAP_FAILED)
		munmap(c->written, c->written_bytes);
	free(c->heap);
	free(c->channel);
}

uint32_t simctl_posted(const struct simctl *c)
{
	return (c->cq_tail - *c->cq_bell + c->entries) % c->entries;
}

static bool is_write(const struct nvme_sqe *s)
{
	return s->opcode == NVME_CMD_WRITE;
}

static uint64_t cmd_bytes(const struct simctl *c, const struct nvme_sqe *s)
{
	return s->opcode == NVME_CMD_FLUSH ? 0 : ((s->cdw12 & 0xffff) + 1ull) * c->m.block;
}

static double channel_ns(const struct simctl *c, const struct nvme_sqe *s)
{
	return (double)cmd_bytes(c, s) * 1e9 / c->m.bandwidth[is_write(s)];
}

static bool earlier(const struct sim_job *a, const struct sim_job *b)
{
	return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void heap_push(struct simctl *c, const struct sim_job *j)
{
	uint32_t i = c->heap_len++;

	for (; i > 0 && earlier(j, &c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		c->heap[i] = c->heap[(i - 1) / 2];
	c->heap[i] = *j;
}

static struct sim_job heap_pop(struct simctl *c)
{
	struct sim_job top = c->heap[0], last = c->heap[--c->heap_len];
	uint32_t i = 0, kid;

	while ((kid = 2 * i + 1) < c->heap_len) {
		if (kid + 1 < c->heap_len && earlier(&c->heap[kid + 1], &c->heap[kid]))
			kid++;
		if (!earlier(&c->heap[kid], &last))
			break;
		c->heap[i] = c->heap[kid];
		i = kid;
	}
	c->heap[i] = last;
	return top;
}

/* Our address of [iova, iova + len), NULL if it is not mapped for this device. */
static char *reach(struct simctl *c, uint64_t iova, size_t len)
{
	for (int i = 0; i < SIM_WINDOWS; i++) {
		const struct dma *w = &c->window[i];

		if (iova >= w->iova && iova - w->iova <= w->bytes &&
		    len <= w->bytes - (iova - w->iova))
			return w->va + (iova - w->iova);
	}
	c->faults++;
	return NULL;
}

static void read_disk(const struct simctl *c, uint64_t off, char *to, size_t len)
{
	for (size_t i = 0; i < len; i += c->m.block) {
		uint64_t blk = (off + i) / c->m.block;

		if (c->written[blk / 64] >> (blk % 64) & 1) {
			memcpy(to + i, c->overlay + off + i, c->m.block);
			continue;
		}
		for (size_t w = 0; w < c->m.block; w += 8) {
			uint64_t v = rng_mix((off + i + w) / 8);

			memcpy(to + i + w, &v, 8);
		}
	}
}

static void write_disk(struct simctl *c, uint64_t off, const char *from, size_t len)
{
	memcpy(c->overlay + off, from, len);
	for (size_t i = 0; i < len; i += c->m.block)
		c->written[(off + i) / c->m.block / 64] |= 1ull << ((off + i) / c->m.block % 64);
}

/* Data goes through a bounce buffer because a PRP page may end inside a block. */
static uint16_t transfer(struct simctl *c, const struct nvme_sqe *s)
{
	char bounce[NVME_PAGE + 4096];
	uint64_t off = ((uint64_t)s->cdw11 << 32 | s->cdw10) * c->m.block, left = cmd_bytes(c, s);
	uint64_t iova = s->prp1, list = s->prp2;
	size_t held = 0; /* bytes in the bounce buffer */

	for (bool first = true; left; first = false) {
		size_t take = NVME_PAGE - iova % NVME_PAGE;
		char *mem;

		if (take > left)
			take = left;
		mem = reach(c, iova, take);
		if (!mem || (!first && iova % NVME_PAGE))
			return mem ? NVME_SC_INVALID_FIELD : NVME_SC_DATA_TRANSFER;
		if (is_write(s)) {
			size_t whole;

			memcpy(bounce + held, mem, take);
			held += take;
			whole = held / c->m.block * c->m.block;
			write_disk(c, off, bounce, whole);
			off += whole;
			held -= whole;
			memmove(bounce, bounce + whole, held);
		} else {
			uint64_t start = off / c->m.block * c->m.block;
			size_t skip = off - start;
			size_t span = (skip + take + c->m.block - 1) / c->m.block * c->m.block;

			read_disk(c, start, bounce, span < sizeof bounce ? span : sizeof bounce);
			memcpy(mem, bounce + skip, take);
			off += take;
		}
		left -= take;
		if (!left)
			break;
		if (first && left <= NVME_PAGE) {
			iova = s->prp2; /* the second and last page */
			continue;
		}
		mem = reach(c, list, 8);
		if (!mem)
			return NVME_SC_DATA_TRANSFER;
		memcpy(&iova, mem, 8);
		list += 8;
	}
	return 0;
}

static uint16_t execute(struct simctl *c, const struct nvme_sqe *s)
{
	uint64_t lba = (uint64_t)s->cdw11 << 32 | s->cdw10, blocks = cmd_bytes(c, s) / c->m.block;
	uint64_t all = c->m.capacity / c->m.block;

	if (s->opcode > NVME_CMD_READ)
		return NVME_SC_INVALID_OPCODE;
	if (s->nsid != 1)
		return NVME_SC_INVALID_NS;
	if (s->opcode == NVME_CMD_FLUSH)
		return 0;
	if (lba >= all || blocks > all - lba)
		return NVME_SC_LBA_RANGE;
	if (s->flags || cmd_bytes(c, s) > c->m.max_transfer || s->prp1 % 4)
		return NVME_SC_INVALID_FIELD;
	if (s->opcode == NVME_CMD_READ && c->m.error_lba >= lba && c->m.error_lba - lba < blocks)
		return NVME_SC_UNRECOVERED_READ;
	if (c->m.error_rate > 0 && rng_unit(&c->rng) < c->m.error_rate)
		return NVME_SC_UNRECOVERED_READ;
	return transfer(c, s);
}

static void fetch(struct simctl *c, uint64_t now)
{
	uint32_t tail = __atomic_load_n(c->sq_bell, __ATOMIC_ACQUIRE);

	while (c->sq_head != tail && tail < c->entries && c->heap_len + c->chan_len < c->entries) {
		struct sim_job j = {.sqe = c->sq[c->sq_head], .seq = c->seq++};
		double mean = c->m.latency_ns[is_write(&j.sqe)], l;

		l = mean * (1 - c->m.jitter) - mean * c->m.jitter * log(1 - rng_unit(&c->rng));
		l -= channel_ns(c, &j.sqe);
		j.at = now + (uint64_t)(l > 0 ? l : 0);
		heap_push(c, &j);
		if (++c->sq_head == c->entries)
			c->sq_head = 0;
	}
}

static void enter_channel(struct simctl *c)
{
	struct sim_job j = heap_pop(c);

	if (c->chan_free < (double)j.at)
		c->chan_free = (double)j.at;
	c->chan_free += channel_ns(c, &j.sqe);
	j.at = (uint64_t)c->chan_free;
	c->channel[(c->chan_head + c->chan_len++) % c->entries] = j;
}

static void post(struct simctl *c)
{
	struct sim_job *j = &c->channel[c->chan_head];
	struct nvme_cqe *e = &c->cq[c->cq_tail];
	uint16_t status = execute(c, &j->sqe);

	e->dw0 = 0;
	e->sq_head = (uint16_t)c->sq_head;
	e->sq_id = 1;
	e->cid = j->sqe.cid;
	__atomic_store_n(&e->status, (uint16_t)(status << 1 | c->phase), __ATOMIC_RELEASE);
	c->chan_head = (c->chan_head + 1) % c->entries;
	c->chan_len--;
	if (++c->cq_tail == c->entries) {
		c->cq_tail = 0;
		c->phase ^= 1;
	}
}

void simctl_step(struct simctl *c, uint64_t now)
{
	fetch(c, now);
	while (c->heap_len && c->heap[0].at <= now)
		enter_channel(c);
	while (c->chan_len && c->channel[c->chan_head].at <= now &&
	       simctl_posted(c) < c->entries - 1)
		post(c);
}

uint64_t simctl_next(const struct simctl *c)
{
	uint64_t t = c->heap_len ? c->heap[0].at : UINT64_MAX;

	if (c->chan_len && c->channel[c->chan_head].at < t)
		t = c->channel[c->chan_head].at;
	return t;
}
