/* whatif_trace: traces of base/touch.h into the cache of llcsim.h.
 *
 * One idea: the trace is replayed as it is, touch by touch; only what the trace can't tell is left
 * out. That is the memory in which response heads, record headers and packet headers are made:
 * their bytes count as sent, but who wrote them is not in the trace, so their lines are not
 * touched. Memory that a disk or a seal wrote is told from other memory by page.
 *
 * A trace says nothing about connections' state, and holds the newest million touches only: give it
 * a load that has settled. Addresses are virtual; buffers lie in one mapping.
 */
#include "collectors/whatif_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/touch.h"

#define PAGE 4096ull

/* A set of numbers > 0: open addressing, at most half full. */
struct numbers {
	uint64_t *v;
	uint64_t cap, n;
};

struct file {
	const char *path;
	struct touch *v;
	uint64_t n, at;
};

struct replay {
	struct file f[WHATIF_TRACES_MAX];
	int files;
	struct numbers pages; /* that a disk or a seal wrote */
	struct numbers bufs;  /* addresses of reads in the counted part */
	uint64_t reading, last_ns;
	double reading_sum;
	struct llcsim *llc;
	struct whatif_result r;
};

static uint64_t *slot(const struct numbers *s, uint64_t x)
{
	uint64_t i = rng_mix(x) & (s->cap - 1);

	while (s->v[i] && s->v[i] != x)
		i = (i + 1) & (s->cap - 1);
	return &s->v[i];
}

static bool has(const struct numbers *s, uint64_t x)
{
	return s->cap && *slot(s, x) == x;
}

static int add(struct numbers *s, uint64_t x)
{
	if (2 * (s->n + 1) > s->cap) {
		struct numbers bigger = {.cap = s->cap ? 2 * s->cap : 1024, .n = s->n};

		bigger.v = calloc(bigger.cap, sizeof *bigger.v);
		if (!bigger.v)
			return -ENOMEM;
		for (uint64_t i = 0; i < s->cap; i++)
			if (s->v[i])
				*slot(&bigger, s->v[i]) = s->v[i];
		free(s->v);
		*s = bigger;
	}
	if (has(s, x))
		return 0;
	*slot(s, x) = x;
	s->n++;
	return 0;
}

static int load(struct file *f, struct errbuf *e)
{
	struct touch_header h;
	FILE *in = fopen(f->path, "r");
	int err = 0;

	if (!in)
		return errf(e, -errno, "%s: %s", f->path, strerror(errno));
	if (fread(&h, sizeof h, 1, in) != 1 || h.magic != TOUCH_MAGIC || h.count > 1ull << 32)
		err = errf(e, -EINVAL, "%s: not a trace of atlas --trace", f->path);
	if (!err) {
		f->n = h.count;
		f->v = calloc(h.count + 1, sizeof *f->v);
		if (!f->v)
			err = errf(e, -ENOMEM, "%s: out of memory", f->path);
		else if (fread(f->v, sizeof *f->v, h.count + 1, in) != h.count)
			err = errf(e, -EINVAL, "%s: cut short, or followed by something else",
				   f->path);
	}
	for (uint64_t i = 0; i < f->n && !err; i++)
		if (f->v[i].kind >= TOUCH_KINDS || (i && f->v[i].t_ns < f->v[i - 1].t_ns) ||
		    f->v[i].addr > UINT64_MAX - f->v[i].len)
			err = errf(e, -EINVAL, "%s: touch %llu makes no sense", f->path,
				   (unsigned long long)i);
	fclose(in);
	return err;
}

/* The earliest touch not yet taken; NULL at the end. */
static const struct touch *next(struct replay *p)
{
	struct file *best = NULL;

	for (int i = 0; i < p->files; i++) {
		struct file *f = &p->f[i];

		if (f->at < f->n && (!best || f->v[f->at].t_ns < best->v[best->at].t_ns))
			best = f;
	}
	return best ? &best->v[best->at++] : NULL;
}

static int written(struct replay *p, enum llc_kind kind, const struct touch *t)
{
	int err = 0;

	for (uint64_t a = t->addr / PAGE; t->len && a <= (t->addr + t->len - 1) / PAGE && !err; a++)
		err = add(&p->pages, a);
	llcsim_touch(p->llc, kind, WHATIF_BUFFERS, t->addr, t->len);
	return err;
}

static int one(struct replay *p, const struct touch *t, bool at_issue)
{
	int err = 0;

	p->reading_sum += (double)(t->t_ns - p->last_ns) * (double)p->reading;
	p->last_ns = t->t_ns;
	switch ((enum touch_kind)t->kind) {
	case TOUCH_ISSUE:
		p->reading++;
		if (at_issue)
			err = written(p, LLC_DMA_IN, t);
		break;
	case TOUCH_DMA_IN:
		p->reading -= p->reading > 0;
		p->r.disk_bytes += t->len;
		err = add(&p->bufs, t->addr + 1);
		if (!err && !at_issue)
			err = written(p, LLC_DMA_IN, t);
		break;
	case TOUCH_CPU_READ:
		llcsim_touch(p->llc, LLC_READ, WHATIF_BUFFERS, t->addr, t->len);
		break;
	case TOUCH_CPU_WRITE:
		err = written(p, LLC_WRITE, t);
		break;
	case TOUCH_DMA_OUT:
		p->r.net_bytes += t->len;
		if (has(&p->pages, t->addr / PAGE))
			llcsim_touch(p->llc, LLC_DMA_OUT, WHATIF_BUFFERS, t->addr, t->len);
		break;
	case TOUCH_KINDS:
		break;
	}
	return err;
}

static int replay(struct replay *p, const struct whatif_replay *t)
{
	const struct touch *x;
	uint64_t total = 0, warm, start;
	int err = 0;

	for (int i = 0; i < p->files; i++)
		total += p->f[i].n;
	warm = (uint64_t)((double)total * t->warm_pct / 100);
	x = next(p);
	start = p->last_ns = x ? x->t_ns : 0;
	for (uint64_t i = 0; x && !err; x = next(p), i++) {
		if (i == warm) {
			p->r = (struct whatif_result){.warm_bytes = p->r.net_bytes};
			if (p->bufs.cap)
				memset(p->bufs.v, 0, p->bufs.cap * sizeof *p->bufs.v);
			p->bufs.n = 0;
			p->reading_sum = 0;
			start = p->last_ns;
			llcsim_reset(p->llc);
		}
		err = one(p, x, t->dma_at_issue);
	}
	p->r.span_ns = p->last_ns - start;
	p->r.buffers_used = p->bufs.n;
	if (p->r.span_ns)
		p->r.reading_mean = p->reading_sum / (double)p->r.span_ns;
	return err;
}

int whatif_replay(const struct whatif_cfg *c, const struct whatif_replay *t,
		  struct whatif_result *r, struct errbuf *e)
{
	struct replay *p;
	int err = 0;

	if (t->paths < 1 || t->paths > WHATIF_TRACES_MAX)
		return errf(e, -EINVAL, "give 1 to %d traces", WHATIF_TRACES_MAX);
	p = calloc(1, sizeof *p);
	if (!p)
		return errf(e, -ENOMEM, "out of memory");
	for (; p->files < t->paths && !err; p->files++) {
		p->f[p->files].path = t->path[p->files];
		err = load(&p->f[p->files], e);
	}
	if (!err)
		err = whatif_cache(&p->llc, c, e);
	if (!err && replay(p, t))
		err = errf(e, -ENOMEM, "out of memory");
	if (!err && !p->r.net_bytes)
		err = errf(e, -ENODATA, "the counted part of the trace sent nothing");
	if (!err) {
		whatif_counts(p->llc, &p->r);
		*r = p->r;
	}
	for (int i = 0; i < p->files; i++)
		free(p->f[i].v);
	free(p->pages.v);
	free(p->bufs.v);
	llcsim_free(p->llc);
	free(p);
	return err;
}
