/* tcp_chunk: transmitted ranges of a stream, and the byte counts of the scoreboard.
 *
 * A chunk stands in two lists of its connection: by offset (head..tail), gapless from snd_una
 * to snd_nxt, and by time of last transmission (thead..ttail), which holds those that are not
 * SACKED. count() is the only place that changes sacked, lost, retrans, asked and need, so they
 * can't drift from the flags.
 *
 * Limit: the pool belongs to the stack and may run dry. Splits may use the last RESERVE chunks,
 * new data may not; if even a split fails the caller leaves the chunk whole, which costs precision,
 * not correctness.
 */
#include "stacks/atlas/tcp/tcp_priv.h"

static inline uint32_t ck_idx(const struct tcp_conn *c, const struct tcp_chunk *k)
{
	return (uint32_t)(k - c->s->chunks);
}

/* Add (sign 1) or remove (sign -1) the chunk's bytes from the counts its flags select. */
static void count(struct tcp_conn *c, const struct tcp_chunk *k, int sign)
{
	uint32_t n = sign > 0 ? k->len : -k->len;

	if (k->flags & CK_SACKED) {
		c->sacked += n;
		return;
	}
	if (k->flags & CK_LOST)
		c->lost += n;
	if (k->flags & CK_RETX)
		c->retrans += n;
	if (k->flags & CK_ASKED)
		c->asked += n;
	if ((k->flags & (CK_LOST | CK_RETX | CK_ASKED)) == CK_LOST)
		c->need += n;
}

static struct tcp_chunk *take(struct tcp_stack *s)
{
	struct tcp_chunk *k;

	if (s->free_chunk == NONE)
		return NULL;
	k = &s->chunks[s->free_chunk];
	s->free_chunk = k->next;
	s->nfree_chunk--;
	return k;
}

static void give(struct tcp_stack *s, struct tcp_chunk *k)
{
	k->next = s->free_chunk;
	s->free_chunk = (uint32_t)(k - s->chunks);
	s->nfree_chunk++;
}

bool tcp_chunk_room(const struct tcp_stack *s)
{
	return s->nfree_chunk > s->nchunks / 16;
}

static bool in_flight(uint32_t flags)
{
	return !(flags & CK_SACKED) && (flags & (CK_LOST | CK_RETX)) != CK_LOST;
}

/* Behind everything that was not sent later; fresh transmissions go to the end at once. */
static void time_insert(struct tcp_conn *c, struct tcp_chunk *k)
{
	struct tcp_chunk *after = chunk_at(c, c->ttail);
	uint32_t i = ck_idx(c, k);

	while (after && after->sent_ns > k->sent_ns)
		after = chunk_at(c, after->tprev);
	k->tprev = after ? ck_idx(c, after) : NONE;
	k->tnext = after ? after->tnext : c->thead;
	if (after)
		after->tnext = i;
	else
		c->thead = i;
	if (k->tnext == NONE)
		c->ttail = i;
	else
		c->s->chunks[k->tnext].tprev = i;
}

static void time_remove(struct tcp_conn *c, struct tcp_chunk *k)
{
	if (k->tprev == NONE)
		c->thead = k->tnext;
	else
		c->s->chunks[k->tprev].tnext = k->tnext;
	if (k->tnext == NONE)
		c->ttail = k->tprev;
	else
		c->s->chunks[k->tnext].tprev = k->tprev;
}

/* The time of a transmission. A turn of the worker pushes many times at one `now`: the order in
 * which RACK compares them must still be the order on the wire, so a stamp is later than the last
 * one. */
static uint64_t stamp(const struct tcp_conn *c)
{
	const struct tcp_chunk *last = chunk_at(c, c->ttail);
	uint64_t t = max64(c->s->now, c->rack_xmit + 1);

	return last ? max64(t, last->sent_ns + 1) : t;
}

struct tcp_chunk *tcp_chunk_append(struct tcp_conn *c, uint64_t start, uint32_t len, uint32_t flags)
{
	struct tcp_chunk *k = take(c->s);

	if (!k)
		return NULL;
	*k = (struct tcp_chunk){.start = start,
				.len = len,
				.flags = flags,
				.sent_ns = stamp(c),
				.next = NONE,
				.prev = c->tail};
	if (c->tail == NONE)
		c->head = ck_idx(c, k);
	else
		c->s->chunks[c->tail].next = ck_idx(c, k);
	c->tail = ck_idx(c, k);
	time_insert(c, k);
	return k;
}

static void unlink_chunk(struct tcp_conn *c, struct tcp_chunk *k)
{
	if (k->prev == NONE)
		c->head = k->next;
	else
		c->s->chunks[k->prev].next = k->next;
	if (k->next == NONE)
		c->tail = k->prev;
	else
		c->s->chunks[k->next].prev = k->prev;
	if (in_flight(k->flags))
		time_remove(c, k);
	if (k->flags)
		count(c, k, -1);
	give(c->s, k);
}

void tcp_chunk_unappend(struct tcp_conn *c, struct tcp_chunk *k)
{
	unlink_chunk(c, k);
}

void tcp_chunk_pop(struct tcp_conn *c)
{
	unlink_chunk(c, &c->s->chunks[c->head]);
}

void tcp_chunk_free_all(struct tcp_conn *c)
{
	while (c->head != NONE)
		tcp_chunk_pop(c);
}

void tcp_chunk_flag(struct tcp_conn *c, struct tcp_chunk *k, uint32_t set, uint32_t clear)
{
	uint32_t was = k->flags;

	count(c, k, -1);
	k->flags = (was & ~clear) | set;
	if (set & CK_SACKED)
		k->flags &= ~(CK_LOST | CK_RETX | CK_ASKED);
	count(c, k, 1);
	if (in_flight(was) && !in_flight(k->flags))
		time_remove(c, k);
	else if (!in_flight(was) && in_flight(k->flags))
		time_insert(c, k);
}

struct tcp_chunk *tcp_chunk_split(struct tcp_conn *c, struct tcp_chunk *k, uint64_t at)
{
	struct tcp_chunk *n = take(c->s);

	if (!n)
		return NULL;
	*n = *k;
	n->start = at;
	n->len = (uint32_t)(chunk_end(k) - at);
	n->prev = ck_idx(c, k);
	k->len -= n->len; /* the sums over both stay what they were */
	k->next = ck_idx(c, n);
	if (n->next == NONE)
		c->tail = k->next;
	else
		c->s->chunks[n->next].prev = k->next;
	if (!in_flight(k->flags))
		return n;
	n->tprev = ck_idx(c, k);
	k->tnext = k->next;
	if (n->tnext == NONE)
		c->ttail = k->next;
	else
		c->s->chunks[n->tnext].tprev = k->next;
	return n;
}

struct tcp_chunk *tcp_chunk_carve(struct tcp_conn *c, struct tcp_chunk *k, uint64_t a, uint64_t b)
{
	if (k->start < a)
		k = tcp_chunk_split(c, k, a);
	if (k && chunk_end(k) > b && !tcp_chunk_split(c, k, b))
		return NULL;
	return k;
}

void tcp_chunk_trim(struct tcp_conn *c, struct tcp_chunk *k, uint64_t to)
{
	uint32_t n = (uint32_t)(to - k->start);

	if (k->flags)
		count(c, k, -1);
	k->start = to;
	k->len -= n;
	if (k->flags)
		count(c, k, 1);
}

void tcp_chunk_merge_next(struct tcp_conn *c, struct tcp_chunk *k)
{
	struct tcp_chunk *n = chunk_at(c, k->next);

	assert(k->flags & n->flags & CK_SACKED);
	k->len += n->len;
	k->flags |= n->flags;
	k->next = n->next;
	if (n->next == NONE)
		c->tail = n->prev;
	else
		c->s->chunks[n->next].prev = n->prev;
	give(c->s, n);
}

void tcp_chunk_resent(struct tcp_conn *c, struct tcp_chunk *k)
{
	uint64_t t = stamp(c);

	if (in_flight(k->flags))
		time_remove(c, k);
	count(c, k, -1);
	k->flags = (k->flags & ~CK_ASKED) | CK_RETX | CK_EVER;
	count(c, k, 1);
	k->sent_ns = t;
	time_insert(c, k);
}
