/* extent: the pieces of a connection's TCP stream (theory: core.h).
 *
 * Extents and tag tables come from free lists that grow while load ramps up and are never returned
 * to the allocator before the worker ends: the steady state calls no malloc.
 */
#include "stacks/atlas/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stacks/atlas/store.h"

/* A freed extent's list link takes the place of `file`, which it no longer needs. */
static struct extent *cache_pop(struct extent **head)
{
	struct extent *x = *head;

	if (x)
		*head = (struct extent *)x->file;
	return x;
}

static struct extent *extent_new(struct worker *w, bool stored, bool large)
{
	struct extent **head = !stored ? &w->ext_free_file
			       : large ? &w->ext_free_large
				       : &w->ext_free_small;
	size_t data = !stored ? 0 : large ? STORED_LARGE : STORED_SMALL;
	struct extent *x = cache_pop(head);

	if (!x) {
		x = malloc(sizeof *x + data);
		if (!x)
			return NULL;
		stat_add(&w->st->grown_bytes, sizeof *x + data);
	}
	memset(x, 0, sizeof *x);
	x->ref.refs = 1;
	x->stored = stored;
	x->large = large;
	return x;
}

static struct tags *tags_take(struct worker *w, uint64_t nrec)
{
	uint32_t cap = nrec <= TAGS_SMALL ? TAGS_SMALL : TAGS_LARGE;
	struct tags **head = cap == TAGS_SMALL ? &w->tags_free_small : &w->tags_free_large;
	struct tags *t = *head;
	size_t bits = (cap + 63) / 64 * sizeof(uint64_t);

	if (t) {
		*head = t->next;
	} else {
		t = malloc(sizeof *t + bits + (size_t)cap * 16);
		if (!t)
			return NULL;
		t->cap = cap;
		t->valid = (uint64_t *)(t + 1);
		t->tag = (uint8_t(*)[16])((char *)t->valid + bits);
		stat_add(&w->st->grown_bytes, sizeof *t + bits + (size_t)cap * 16);
	}
	memset(t->valid, 0, bits);
	return t;
}

static void tags_give(struct worker *w, struct tags *t)
{
	struct tags **head = t->cap == TAGS_SMALL ? &w->tags_free_small : &w->tags_free_large;

	t->next = *head;
	*head = t;
}

void extent_release(struct worker *w, struct extent *x)
{
	struct extent **head = !x->stored ? &w->ext_free_file
			       : x->large ? &w->ext_free_large
					  : &w->ext_free_small;

	if (x->tags)
		tags_give(w, x->tags);
	if (x->epoch)
		tls_epoch_put(x->epoch);
	if (x->file)
		store_put(w->store, x->file);
	x->tags = NULL;
	x->epoch = NULL;
	x->file = (struct file *)*head;
	*head = x;
}

static void free_list(struct extent *x)
{
	while (x) {
		struct extent *next = (struct extent *)x->file;

		free(x);
		x = next;
	}
}

static void free_tags(struct tags *t)
{
	while (t) {
		struct tags *next = t->next;

		free(t);
		t = next;
	}
}

void extents_free(struct worker *w)
{
	free_list(w->ext_free_file);
	free_list(w->ext_free_small);
	free_list(w->ext_free_large);
	free_tags(w->tags_free_small);
	free_tags(w->tags_free_large);
}

static void extent_append(struct conn *c, struct extent *x)
{
	x->off = c->stream_end;
	c->stream_end += x->len;
	TAILQ_INSERT_TAIL(&c->out, x, link);
}

/* Copies `len` bytes (at most STORED_LARGE) to the end of the stream. */
struct extent *extent_store(struct conn *c, const uint8_t *p, uint32_t len)
{
	struct extent *x = extent_new(c->w, true, len > STORED_SMALL);

	if (!x)
		return NULL;
	memcpy(x->data, p, len);
	x->len = len;
	extent_append(c, x);
	return x;
}

uint64_t extent_wire(const struct extent *x, uint64_t body)
{
	if (!x->epoch)
		return body;
	return body + (body + x->rec - 1) / x->rec * TLS_OVERHEAD;
}

/* A response body. Over TLS it ends early, at the last record that the present key may protect
 * (RFC 8446 5.5); the caller changes the key and appends the rest: see body_len. Takes its own
 * reference to `f`. */
struct extent *extent_file(struct conn *c, struct file *f, uint64_t off, uint64_t len)
{
	struct extent *x = extent_new(c->w, false, false);
	uint64_t nrec;

	if (!x)
		return NULL;
	x->rec = c->w->opt->record_size;
	x->body_off = off;
	x->body_len = len;
	if (c->tls) {
		if (x->rec > tls_record_max(c->tls)) /* RFC 6066 4: the client asked for less */
			x->rec = (uint32_t)tls_record_max(c->tls);
		nrec = (len + x->rec - 1) / x->rec;
		if (nrec > tls_records_left(c->tls) / 2) {
			nrec = tls_records_left(c->tls) / 2;
			if (!nrec)
				goto fail;
			x->body_len = nrec * x->rec;
		}
		x->tags = tags_take(c->w, nrec);
		if (!x->tags)
			goto fail;
		x->epoch = tls_reserve(c->tls, nrec, &x->first_seq);
		if (!x->epoch)
			goto fail;
	}
	x->file = f;
	store_get(f);
	x->len = extent_wire(x, x->body_len);
	extent_append(c, x);
	return x;
fail:
	extent_release(c->w, x);
	return NULL;
}

/* Shorten the last extent of the stream to its first nrec records; returns the payload cut off. */
int extent_cut(struct conn *c, struct extent *x, uint64_t nrec)
{
	uint64_t keep = nrec * x->rec, had = (x->body_len + x->rec - 1) / x->rec;

	if (TAILQ_NEXT(x, link) || !x->epoch || nrec >= had)
		return -EINVAL;
	tls_unreserve(c->tls, had - nrec);
	x->body_len = keep;
	x->len = extent_wire(x, keep);
	c->stream_end = x->off + x->len;
	return 0;
}

struct extent *extent_at(struct conn *c, uint64_t off)
{
	struct extent *x;

	if (c->cursor && off >= c->cursor->off && off < c->cursor->off + c->cursor->len)
		return c->cursor;
	TAILQ_FOREACH(x, &c->out, link)
	if (off < x->off + x->len)
		return off >= x->off ? x : NULL;
	return NULL;
}

static void tags_forget(struct extent *x, uint64_t below)
{
	for (; x->acked_rec < below; x->acked_rec++) {
		uint32_t slot = (uint32_t)x->acked_rec & (x->tags->cap - 1);

		x->tags->valid[slot / 64] &= ~(1ull << (slot % 64));
	}
}

void extents_acked(struct conn *c, uint64_t off)
{
	struct extent *x;

	while ((x = TAILQ_FIRST(&c->out)) && x->off + x->len <= off) {
		TAILQ_REMOVE(&c->out, x, link);
		if (c->cursor == x)
			c->cursor = NULL;
		if (x->last_of_response && c->queued)
			c->queued--;
		ref_put(c->w, &x->ref);
	}
	if (x && x->tags && off > x->off)
		tags_forget(x, (off - x->off) / (x->rec + TLS_OVERHEAD));
}

void extents_drop(struct conn *c)
{
	struct extent *x;

	c->cursor = NULL;
	while ((x = TAILQ_FIRST(&c->out))) {
		TAILQ_REMOVE(&c->out, x, link);
		ref_put(c->w, &x->ref);
	}
}

int extent_guard(struct extent *x, uint64_t rec, const uint8_t tag[16])
{
	uint32_t slot = (uint32_t)rec & (x->tags->cap - 1);
	uint64_t bit = 1ull << (slot % 64);

	if (rec < x->acked_rec)
		return 0; /* acknowledged meanwhile: nothing of it will be sent */
	if (x->tags->valid[slot / 64] & bit)
		return memcmp(x->tags->tag[slot], tag, 16) == 0 ? 0 : -EBADMSG;
	x->tags->valid[slot / 64] |= bit;
	memcpy(x->tags->tag[slot], tag, 16);
	return 0;
}
