/* hold: the store of waiting frames.
 *
 * Headers and description lie in a fixed array, so an ACK needs no more than that; bodies lie in
 * chunks. Both are handed out last in, first out: what was used last is still in the cache. Order
 * of departure is a binary heap: with jitter and reordering arrivals do not leave in order.
 *
 * Limits: WAN_HELD_FRAMES, WAN_HELD_ITEMS, WAN_HELD_CHUNKS.
 */
#include "workloads/wan/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct held {
	struct wan_frame f;
	uint32_t refs;
	uint32_t chunk[WAN_BODY_IOV];
};

struct wan_hold {
	struct held *held;
	uint8_t *chunks;
	struct wan_item *heap;
	uint32_t *free_held, *free_chunk;
	uint32_t nfree_held, nfree_chunk, nheap;
	uint64_t order;
};

static void *reserve(size_t n, size_t size)
{
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, size_t n, size_t size)
{
	if (p)
		munmap(p, n * size);
}

struct wan_hold *wan_hold_new(void)
{
	struct wan_hold *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->held = reserve(WAN_HELD_FRAMES, sizeof *h->held);
	h->chunks = reserve(WAN_HELD_CHUNKS, WAN_CHUNK);
	h->heap = reserve(WAN_HELD_ITEMS, sizeof *h->heap);
	h->free_held = reserve(WAN_HELD_FRAMES, sizeof *h->free_held);
	h->free_chunk = reserve(WAN_HELD_CHUNKS, sizeof *h->free_chunk);
	if (!h->held || !h->chunks || !h->heap || !h->free_held || !h->free_chunk) {
		wan_hold_free(h);
		return NULL;
	}
	for (uint32_t i = WAN_HELD_FRAMES; i-- > 0;)
		h->free_held[h->nfree_held++] = i;
	for (uint32_t i = WAN_HELD_CHUNKS; i-- > 0;)
		h->free_chunk[h->nfree_chunk++] = i;
	return h;
}

void wan_hold_free(struct wan_hold *h)
{
	release(h->held, WAN_HELD_FRAMES, sizeof *h->held);
	release(h->chunks, WAN_HELD_CHUNKS, WAN_CHUNK);
	release(h->heap, WAN_HELD_ITEMS, sizeof *h->heap);
	release(h->free_held, WAN_HELD_FRAMES, sizeof *h->free_held);
	release(h->free_chunk, WAN_HELD_CHUNKS, sizeof *h->free_chunk);
	free(h);
}

/* --- frames ---------------------------------------------------------------------------------- */

/* The body of `from` into chunks of its own; there are enough. */
static void copy_body(struct wan_hold *h, struct held *to, const struct wan_frame *from)
{
	uint32_t room = 0;
	uint8_t *at = NULL;

	to->f.nbody = 0;
	for (int i = 0; i < from->nbody; i++) {
		const uint8_t *p = from->body[i].iov_base;
		size_t left = from->body[i].iov_len;

		while (left) {
			size_t n;

			if (!room) {
				uint32_t c = h->free_chunk[--h->nfree_chunk];

				to->chunk[to->f.nbody] = c;
				at = h->chunks + (size_t)c * WAN_CHUNK;
				room = WAN_CHUNK;
				to->f.body[to->f.nbody++] = (struct iovec){at, 0};
			}
			n = left < room ? left : room;
			memcpy(at, p, n);
			to->f.body[to->f.nbody - 1].iov_len += n;
			at += n;
			p += n;
			room -= (uint32_t)n;
			left -= n;
		}
	}
}

uint32_t wan_hold_put(struct wan_hold *h, const struct wan_frame *f)
{
	uint32_t need = (f->body_len + WAN_CHUNK - 1) / WAN_CHUNK, i;
	struct held *to;

	if (!h->nfree_held || h->nfree_chunk < need)
		return WAN_NO_FRAME;
	i = h->free_held[--h->nfree_held];
	to = &h->held[i];
	to->f = *f;
	to->refs = 1;
	copy_body(h, to, f);
	return i;
}

const struct wan_frame *wan_hold_get(const struct wan_hold *h, uint32_t frame)
{
	return &h->held[frame].f;
}

void wan_hold_ref(struct wan_hold *h, uint32_t frame)
{
	h->held[frame].refs++;
}

void wan_hold_unref(struct wan_hold *h, uint32_t frame)
{
	struct held *x = &h->held[frame];

	if (--x->refs)
		return;
	for (int i = 0; i < x->f.nbody; i++)
		h->free_chunk[h->nfree_chunk++] = x->chunk[i];
	h->free_held[h->nfree_held++] = frame;
}

uint32_t wan_hold_frames(const struct wan_hold *h)
{
	return WAN_HELD_FRAMES - h->nfree_held;
}

/* --- the heap -------------------------------------------------------------------------------- */

static bool before(const struct wan_item *a, const struct wan_item *b)
{
	return a->due < b->due || (a->due == b->due && a->order < b->order);
}

int wan_hold_queue(struct wan_hold *h, const struct wan_item *item)
{
	struct wan_item x = *item;
	uint32_t i = h->nheap;

	if (i == WAN_HELD_ITEMS)
		return -ENOBUFS;
	x.order = h->order++;
	for (h->nheap++; i && before(&x, &h->heap[(i - 1) / 2]); i = (i - 1) / 2)
		h->heap[i] = h->heap[(i - 1) / 2];
	h->heap[i] = x;
	return 0;
}

bool wan_hold_due(struct wan_hold *h, uint64_t by, struct wan_item *out)
{
	struct wan_item last;
	uint32_t i = 0;

	if (!h->nheap || h->heap[0].due > by)
		return false;
	*out = h->heap[0];
	last = h->heap[--h->nheap];
	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c >= h->nheap)
			break;
		if (c + 1 < h->nheap && before(&h->heap[c + 1], &h->heap[c]))
			c++;
		if (!before(&h->heap[c], &last))
			break;
		h->heap[i] = h->heap[c];
		i = c;
	}
	h->heap[i] = last;
	return true;
}

uint64_t wan_hold_next(const struct wan_hold *h)
{
	return h->nheap ? h->heap[0].due : UINT64_MAX;
}
