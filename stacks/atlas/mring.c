/* mring: see mring.h. */
#include "stacks/atlas/mring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct cell {
	_Atomic uint64_t seq; /* == position: free for the writer of it; position + 1: full */
	uint32_t len;
	uint8_t data[MRING_BYTES];
};

struct mring {
	_Atomic uint64_t head;	    /* writers */
	_Alignas(64) uint64_t tail; /* reader */
	struct cell cell[MRING_CELLS];
};

_Static_assert((MRING_CELLS & (MRING_CELLS - 1)) == 0, "positions are masked");

struct mring *mring_new(void)
{
	struct mring *r = aligned_alloc(64, (sizeof *r + 63) / 64 * 64);

	if (!r)
		return NULL;
	memset(r, 0, sizeof *r);
	for (uint64_t i = 0; i < MRING_CELLS; i++)
		atomic_init(&r->cell[i].seq, i);
	return r;
}

void mring_free(struct mring *r)
{
	free(r);
}

bool mring_put(struct mring *r, const void *p, uint32_t len)
{
	uint64_t pos = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (len > MRING_BYTES)
		return false;
	for (;;) {
		struct cell *c = &r->cell[pos & (MRING_CELLS - 1)];
		uint64_t seq = atomic_load_explicit(&c->seq, memory_order_acquire);

		if (seq < pos)
			return false;
		if (seq > pos) {
			pos = atomic_load_explicit(&r->head, memory_order_relaxed);
			continue;
		}
		if (!atomic_compare_exchange_weak_explicit(
			    &r->head, &pos, pos + 1, memory_order_relaxed, memory_order_relaxed))
			continue;
		c->len = len;
		memcpy(c->data, p, len);
		atomic_store_explicit(&c->seq, pos + 1, memory_order_release);
		return true;
	}
}

uint32_t mring_get(struct mring *r, void *p)
{
	struct cell *c = &r->cell[r->tail & (MRING_CELLS - 1)];
	uint32_t len;

	if (atomic_load_explicit(&c->seq, memory_order_acquire) != r->tail + 1)
		return 0;
	len = c->len;
	memcpy(p, c->data, len);
	atomic_store_explicit(&c->seq, r->tail + MRING_CELLS, memory_order_release);
	r->tail++;
	return len;
}
