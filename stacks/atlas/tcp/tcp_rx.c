/* tcp_rx: received payload: in order to the consumer, out of order into blocks.
 *
 * Bytes that can't be delivered (a hole before them, or the consumer refused) are copied into
 * blocks of a pool of the stack, at most RXBLK_PER_CONN for a connection. What finds no block is
 * dropped unacknowledged, and the peer sends it again; what was acknowledged is never dropped, with
 * one exception: out-of-order bytes may be given up for in-order ones (RFC 2018 8 allows reneging),
 * which this code doesn't do.
 *
 * The advertised edge never moves back (RFC 9293 3.8.6), and forward only in steps worth a segment
 * (3.8.6.2.2).
 */
#include <string.h>

#include "stacks/atlas/tcp/tcp_priv.h"

static struct tcp_rxblk *blk_at(const struct tcp_conn *c, uint32_t i)
{
	return i == NONE ? NULL : &c->s->rxblks[i];
}

static struct tcp_rxblk *blk_take(struct tcp_conn *c)
{
	struct tcp_stack *s = c->s;
	struct tcp_rxblk *b;

	if (s->free_rxblk == NONE || c->rq_n >= RXBLK_PER_CONN)
		return NULL;
	b = &s->rxblks[s->free_rxblk];
	s->free_rxblk = b->next;
	s->nfree_rxblk--;
	c->rq_n++;
	return b;
}

static void blk_pop(struct tcp_conn *c)
{
	struct tcp_stack *s = c->s;
	struct tcp_rxblk *b = blk_at(c, c->rq_head);
	uint32_t i = c->rq_head;

	c->rq_head = b->next;
	b->next = s->free_rxblk;
	s->free_rxblk = i;
	s->nfree_rxblk++;
	c->rq_n--;
}

void tcp_rx_free(struct tcp_conn *c)
{
	while (c->rq_head != NONE)
		blk_pop(c);
}

/* Store [start, start + len), which overlaps no block, behind block `prev` (NULL: first).
 * Returns the last block used, *stored the bytes. */
static struct tcp_rxblk *fill_gap(struct tcp_conn *c, struct tcp_rxblk *prev, uint64_t start,
				  const uint8_t *p, uint32_t len, uint32_t *stored)
{
	*stored = 0;
	while (len) {
		uint32_t n;

		if (!prev || prev->start + prev->len != start || prev->len == sizeof prev->data) {
			struct tcp_rxblk *b = blk_take(c);

			if (!b)
				break;
			b->start = start;
			b->len = 0;
			b->next = prev ? prev->next : c->rq_head;
			*(prev ? &prev->next : &c->rq_head) = (uint32_t)(b - c->s->rxblks);
			prev = b;
		}
		n = min32(len, (uint32_t)sizeof prev->data - prev->len);
		memcpy(prev->data + prev->len, p, n);
		prev->len += n;
		start += n, p += n, len -= n;
		*stored += n;
	}
	return prev;
}

static void store(struct tcp_conn *c, uint64_t start, const uint8_t *p, uint32_t len)
{
	struct tcp_rxblk *prev = NULL, *b = blk_at(c, c->rq_head);
	uint64_t end = start + len;
	uint32_t got;

	while (start < end) {
		uint64_t stop = end;

		while (b && b->start <= start) {
			uint64_t be = b->start + b->len;

			prev = b;
			b = blk_at(c, b->next);
			if (be > start) { /* have it already */
				p += min64(be, end) - start;
				start = min64(be, end);
			}
		}
		if (b)
			stop = min64(end, b->start);
		if (start >= stop)
			continue;
		prev = fill_gap(c, prev, start, p, (uint32_t)(stop - start), &got);
		p += got;
		start += got;
		if (start < stop)
			return; /* out of blocks */
		b = prev ? blk_at(c, prev->next) : NULL;
	}
}

static bool consumer_ready(const struct tcp_conn *c)
{
	return !(c->flags & (CF_RX_STALL | CF_IN_RX)) && c->state != TS_CLOSED;
}

/* Offer [p, p + len) at rcv_taken; returns bytes taken. */
static uint32_t offer(struct tcp_conn *c, const uint8_t *p, uint32_t len)
{
	uint32_t n;

	c->flags |= CF_IN_RX;
	n = min32(c->s->ops.rx(c->s->ctx, c, p, len), len);
	c->flags &= ~CF_IN_RX;
	c->rcv_taken += n;
	if (n < len)
		c->flags |= CF_RX_STALL;
	return n;
}

/* Deliver what stands in blocks from rcv_taken on. */
static void deliver_blocks(struct tcp_conn *c)
{
	while (consumer_ready(c) && c->rq_head != NONE) {
		struct tcp_rxblk *b = blk_at(c, c->rq_head);
		uint32_t skip, n;

		if (b->start > c->rcv_taken)
			return;
		skip = (uint32_t)(c->rcv_taken - b->start);
		n = b->len - skip;
		if (n && offer(c, b->data + skip, n) < n)
			return;
		if (c->state == TS_CLOSED)
			return;
		blk_pop(c);
	}
}

/* rcv_nxt moves over every block that continues it. */
static void advance(struct tcp_conn *c)
{
	for (struct tcp_rxblk *b = blk_at(c, c->rq_head); b && b->start <= c->rcv_nxt;
	     b = blk_at(c, b->next))
		c->rcv_nxt = max64(c->rcv_nxt, b->start + b->len);
}

static void tell_fin(struct tcp_conn *c)
{
	if (!(c->flags & CF_FIN_RCVD) || c->flags & CF_FIN_TOLD || c->rcv_taken < c->fin_off ||
	    c->state == TS_CLOSED || c->flags & CF_IN_RX)
		return;
	c->flags |= CF_FIN_TOLD;
	c->s->ops.event(c->s->ctx, c, TCP_EV_RX_FIN, TCP_R_NONE);
}

/* The FIN is in order now: RFC 9293 3.10.7.4, eighth. */
static void take_fin(struct tcp_conn *c)
{
	c->rcv_nxt = c->fin_off + 1;
	c->flags |= CF_FIN_RCVD;
	tcp_ack_now(c);
	switch (c->state) {
	case TS_ESTABLISHED:
		c->state = TS_CLOSE_WAIT;
		break;
	case TS_FIN_WAIT_1:
		c->state = TS_CLOSING;
		break;
	case TS_FIN_WAIT_2:
		tell_fin(c);
		if (c->state == TS_CLOSED)
			return;
		tcp_send_ack(c); /* if it can't leave, the repeated FIN will draw another */
		tcp_tw_add(c);
		tcp_die(c, TCP_R_DONE);
		return;
	default:
		break;
	}
	tell_fin(c);
}

static void ack_policy(struct tcp_conn *c, uint32_t len, bool in_order)
{
	c->unacked_rx += len;
	if (!in_order || c->unacked_rx >= 2 * c->rcv_mss || c->flags & CF_DSACK)
		tcp_ack_now(c);
	else if (c->due[DL_ACK] == NEVER)
		tcp_due(c, DL_ACK, c->s->now + DELACK_NS);
}

/* What of a segment is news. */
struct text {
	const uint8_t *p;
	uint32_t len;
	uint64_t start;
	bool fin;
};

/* Trim to what is missing and fits the window. false: a broken peer, drop. */
static bool trim(struct tcp_conn *c, int64_t off, struct text *t)
{
	uint32_t have;

	if (off < (int64_t)c->rcv_nxt) {
		have = (uint32_t)min64((uint64_t)((int64_t)c->rcv_nxt - off), t->len);
		t->p += have;
		t->len -= have;
		c->s->st.dup_segs_in++;
		if (have && c->flags & CF_SACK) {
			c->dsack_len = have;
			c->dsack_off = (uint64_t)off;
			c->flags |= CF_DSACK;
		}
		if (!t->len && !t->fin)
			tcp_ack_now(c);
		off += have;
	}
	t->start = (uint64_t)off;
	if (t->start + t->len > c->rcv_adv) {
		t->len = (uint32_t)(c->rcv_adv > t->start ? c->rcv_adv - t->start : 0);
		t->fin = false;
		tcp_ack_now(c);
	}
	if (c->fin_off != NEVER && t->start + t->len > c->fin_off)
		return false; /* data behind the FIN */
	if (t->fin)
		c->fin_off = t->start + t->len;
	return true;
}

/* In order and nothing waits before it: straight to the consumer, without a copy. */
static void deliver_direct(struct tcp_conn *c, struct text *t)
{
	uint32_t n;

	if (t->start != c->rcv_nxt || !t->len || c->rq_head != NONE || !consumer_ready(c))
		return;
	n = offer(c, t->p, t->len);
	c->rcv_nxt += n;
	c->unacked_rx += n;
	t->p += n;
	t->len -= n;
	t->start += n;
}

void tcp_rx(struct tcp_conn *c, const struct tcp_seg *g, int64_t off)
{
	struct text t = {.p = g->data, .len = g->len, .fin = g->flags & TCP_FIN};
	bool in_order, holes = c->rq_head != NONE;

	if (c->state != TS_ESTABLISHED && c->state != TS_FIN_WAIT_1 && c->state != TS_FIN_WAIT_2) {
		if (off + (int64_t)t.len + t.fin <= (int64_t)c->rcv_nxt)
			tcp_ack_now(c); /* a repeated FIN */
		return;
	}
	c->last_progress = c->s->now;
	c->rcv_mss = max32(g->gso_size ? g->gso_size : min32(t.len, c->mss_base), c->rcv_mss);
	if (!trim(c, off, &t))
		return;
	in_order = t.start == c->rcv_nxt;
	deliver_direct(c, &t);
	if (t.len && c->state != TS_CLOSED) {
		store(c, t.start, t.p, t.len);
		if (!in_order) {
			c->s->st.ooo_segs_in++;
			c->last_ooo = t.start;
		}
		advance(c);
		deliver_blocks(c);
	}
	if (c->state == TS_CLOSED)
		return;
	ack_policy(c, t.len, in_order && !holes); /* RFC 5681 4.2: at once when a gap is filled */
	if (c->rcv_nxt == c->fin_off)
		take_fin(c);
}

void tcp_rx_resume(struct tcp_conn *c)
{
	uint64_t adv = c->rcv_adv;

	if (c->state == TS_CLOSED || !(c->flags & CF_RX_STALL) || c->flags & CF_IN_RX)
		return;
	c->flags &= ~CF_RX_STALL;
	deliver_blocks(c);
	tell_fin(c);
	if (c->state == TS_CLOSED)
		return;
	tcp_rx_window(c);
	if (c->rcv_adv != adv)
		tcp_ack_now(c);
}

uint32_t tcp_rx_window(struct tcp_conn *c)
{
	uint32_t full = c->s->cfg.rcv_wnd, sc = c->rcv_wscale, wire;
	uint64_t held = c->rcv_nxt - c->rcv_taken;
	uint64_t edge = c->rcv_nxt + (held >= full ? 0 : full - held);

	if (edge < c->rcv_adv || edge - c->rcv_adv < min32(full / 2, c->rcv_mss))
		edge = max64(c->rcv_adv, c->rcv_nxt);
	wire = (uint32_t)min64((edge - c->rcv_nxt + (1u << sc) - 1) >> sc, 65535);
	c->rcv_adv = max64(c->rcv_adv, c->rcv_nxt + ((uint64_t)wire << sc));
	return wire;
}

static void add_sack(const struct tcp_conn *c, uint32_t *out, int i, uint64_t a, uint64_t b)
{
	out[2 * i] = c->irs + 1 + (uint32_t)a;
	out[2 * i + 1] = c->irs + 1 + (uint32_t)b;
}

/* RFC 2018 4: the run with the latest segment first; RFC 2883: a duplicate before all others. */
int tcp_rx_sacks(const struct tcp_conn *c, uint32_t out[2 * TCP_SACK_MAX], int max)
{
	struct tcp_rxblk *b;
	int n = 0, latest = -1;

	if (!(c->flags & CF_SACK))
		return 0;
	if (c->flags & CF_DSACK)
		add_sack(c, out, n++, c->dsack_off, c->dsack_off + c->dsack_len);
	for (int pass = 0; pass < 2; pass++) {
		int run = 0;

		for (b = blk_at(c, c->rq_head); b && n < max; run++) {
			uint64_t a = b->start, e = a + b->len;

			for (b = blk_at(c, b->next); b && b->start == e; b = blk_at(c, b->next))
				e += b->len;
			if (a <= c->rcv_nxt)
				continue; /* waits for the consumer, is acknowledged */
			if (pass == 0 && (c->last_ooo < a || c->last_ooo >= e))
				continue;
			if (pass == 1 && run == latest)
				continue;
			if (pass == 0)
				latest = run;
			add_sack(c, out, n++, a, e);
		}
	}
	return n;
}
