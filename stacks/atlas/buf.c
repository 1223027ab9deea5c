/* buf: the I/O buffers of a worker, and the references that keep memory alive while a frame that
 * points into it waits for transmission.
 *
 * The one idea: the free list is a stack. The buffer handed out is the one given back last, whose
 * lines are still in the cache, so that the disk's DMA (with DDIO) and the cipher work in the LLC
 * (paper, 3.1). atlas:fifo takes from the other end, to measure what that is worth.
 *
 * Buffers lie BUF_STRIDE apart, a page more than they hold: most are filled in part (62 of 64 KiB
 * by four records, less under a small window), and if all began at multiples of 64 KiB these parts
 * would compete for the same sets of the cache while others stay empty (collectors/README.md has
 * what the model says of it). A page keeps what every device asks of a buffer's start.
 */
#include "stacks/atlas/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int bufs_init(struct worker *w, struct errbuf *e)
{
	size_t bytes;
	uint8_t *mem = nvme_region(w->nvme, &bytes);

	TAILQ_INIT(&w->free);
	TAILQ_INIT(&w->held);
	/* the region may be larger than asked for: not more buffers than the experiment says */
	w->nbufs = (unsigned int)(bytes / BUF_STRIDE);
	if (w->nbufs > w->opt->buffers)
		w->nbufs = w->opt->buffers;
	w->bufs = calloc(w->nbufs, sizeof *w->bufs);
	if (!w->bufs)
		return errf(e, -ENOMEM, "no memory for %u buffer descriptors", w->nbufs);
	for (unsigned int i = 0; i < w->nbufs; i++) {
		struct buf *b = &w->bufs[i];

		b->ref.is_buf = true;
		b->mem = mem + (size_t)i * BUF_STRIDE;
		TAILQ_INSERT_TAIL(&w->free, b, link);
	}
	w->free_bufs = w->nbufs;
	return 0;
}

void bufs_free(struct worker *w)
{
	free(w->bufs);
	w->bufs = NULL;
}

static struct buf *take_free(struct worker *w)
{
	struct buf *b = TAILQ_FIRST(&w->free);

	if (!b)
		return NULL;
	TAILQ_REMOVE(&w->free, b, link);
	w->free_bufs--;
	b->ref.refs = 1;
	return b;
}

struct buf *buf_take(struct worker *w)
{
	struct buf *b = take_free(w);

	while (!b) {
		struct buf *victim = TAILQ_FIRST(&w->held);

		if (!victim)
			return NULL;
		stat_add(&w->st->bufs_stolen, 1);
		pull_steal(victim);
		b = take_free(w);
	}
	if (w->free_bufs < w->st->bufs_free_min)
		stat_set(&w->st->bufs_free_min, w->free_bufs);
	return b;
}

static void buf_give(struct worker *w, struct buf *b)
{
	b->state = BUF_FREE;
	b->conn = NULL;
	if (b->ext) {
		ref_put(w, &b->ext->ref);
		b->ext = NULL;
	}
	if (b->twin) {
		ref_put(w, &b->twin->ref);
		b->twin = NULL;
	}
	if (w->opt->variant->fifo)
		TAILQ_INSERT_TAIL(&w->free, b, link);
	else
		TAILQ_INSERT_HEAD(&w->free, b, link);
	w->free_bufs++;
}

void ref_get(struct txref *r)
{
	r->refs++;
}

void ref_put(struct worker *w, struct txref *r)
{
	if (--r->refs)
		return;
	if (r->is_buf)
		buf_give(w, (struct buf *)((char *)r - offsetof(struct buf, ref)));
	else
		extent_release(w, (struct extent *)((char *)r - offsetof(struct extent, ref)));
}
