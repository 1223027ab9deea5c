/* tcp_ack: everything an acceptable ACK does, RFC 9293 3.10.7.4 fifth.
 *
 * Window, scoreboard, round trip, loss recovery, then state changes that wait for our FIN, then the
 * consumer. On a clean path this is: free the chunks below the ACK, one RTT sample, cwnd, one
 * deadline.
 */
#include "stacks/atlas/tcp/tcp_priv.h"

/* RFC 9293 3.10.7.4: SND.WL1, SND.WL2. True if the edge moved. */
static bool update_window(struct tcp_conn *c, const struct tcp_seg *g, uint64_t ack)
{
	uint32_t wnd = (uint32_t)g->wnd << c->snd_wscale;
	uint64_t edge = ack + wnd;
	bool moved;

	if (!seq_lt(c->snd_wl1, g->seq) && !(c->snd_wl1 == g->seq && !seq_lt(g->ack, c->snd_wl2)))
		return false;
	c->snd_wl1 = g->seq;
	c->snd_wl2 = g->ack;
	c->max_wnd = max32(c->max_wnd, wnd);
	moved = edge != c->snd_wnd_end;
	c->snd_wnd_end = edge;
	return moved;
}

/* A chunk (or its front) was delivered in order. */
static void delivered(struct tcp_conn *c, const struct tcp_chunk *k, uint64_t end,
		      const struct tcp_seg *g, struct tcp_acked *a)
{
	if (k->flags & CK_SACKED)
		return;
	a->delivered += (uint32_t)(end - k->start);
	if (k->flags & CK_EVER) {
		a->resent = true;
	} else {
		a->rtt_ns = tcp_age(c, k->sent_ns);
		if (end < a->prior_fack)
			c->flags |= CF_REORDER;
	}
	tcp_rack_update(c, k, end, g);
}

static void clean(struct tcp_conn *c, const struct tcp_seg *g, uint64_t ack, struct tcp_acked *a)
{
	struct tcp_chunk *k;

	while ((k = chunk_at(c, c->head)) && chunk_end(k) <= ack) {
		delivered(c, k, chunk_end(k), g, a);
		tcp_chunk_pop(c);
	}
	if (k && k->start < ack) {
		delivered(c, k, ack, g, a);
		tcp_chunk_trim(c, k, ack);
	}
	a->cum = (uint32_t)(ack - c->snd_una);
	a->una_moved = true;
	c->snd_una = ack;
	c->fack = max64(c->fack, ack);
	c->backoff = 0;
	c->rto_start = c->last_ack = c->last_progress = c->s->now;
	if (!(c->flags & CF_SACK))
		c->sacked = min32(c->sacked, (uint32_t)(c->snd_nxt - ack) - c->lost);
}

/* RTT from the clock when possible, else from the echoed timestamp, which also survives
 * retransmission (RFC 7323 4). When the ACK covers something sent twice (Karn), what it covers
 * beside that may have waited at the receiver for it. */
static void sample_rtt(struct tcp_conn *c, const struct tcp_seg *g, const struct tcp_acked *a)
{
	uint32_t ms;

	if (a->rtt_ns && !a->resent) {
		tcp_rtt_sample(c, a->rtt_ns);
		return;
	}
	if (!a->una_moved || !(c->flags & CF_TS) || !g->tsecr)
		return;
	ms = tcp_ts_now(c) - g->tsecr;
	if (ms < 300000)
		tcp_rtt_sample(c, (ms + 1) * NSEC_PER_MSEC);
}

/* Our FIN is acknowledged. */
static void fin_acked(struct tcp_conn *c)
{
	switch (c->state) {
	case TS_FIN_WAIT_1:
		c->state = TS_FIN_WAIT_2;
		tcp_touch(c);
		break;
	case TS_CLOSING:
		tcp_tw_add(c);
		tcp_die(c, TCP_R_DONE);
		break;
	case TS_LAST_ACK:
		tcp_die(c, TCP_R_DONE);
		break;
	default:
		break;
	}
}

bool tcp_ack(struct tcp_conn *c, const struct tcp_seg *g)
{
	int64_t ack = tcp_unwrap(c->iss, c->snd_una, g->ack);
	struct tcp_acked a = {.prior_fack = c->fack};
	bool moved;

	if (ack > (int64_t)c->snd_nxt || ack < (int64_t)c->snd_una - (int64_t)c->max_wnd) {
		tcp_challenge(c); /* RFC 5961 5.2 */
		return false;
	}
	if (ack < (int64_t)c->snd_una) /* old: no news */
		return true;
	moved = update_window(c, g, (uint64_t)ack);
	if (g->nsack && c->flags & CF_SACK)
		tcp_sack(c, g, (uint64_t)ack, &a);
	if ((uint64_t)ack > c->snd_una)
		clean(c, g, (uint64_t)ack, &a);
	else
		a.same = !moved && !g->len && !(g->flags & TCP_FIN);
	a.dup = a.same && c->head != NONE; /* RFC 5681 2 */
	sample_rtt(c, g, &a);
	tcp_tlp_ack(c, g, (uint64_t)ack, &a);
	tcp_recovery_ack(c, g, &a);
	tcp_arm(c);
	if (a.una_moved) {
		if (c->flags & CF_FIN_SENT && c->snd_una == c->snd_nxt)
			fin_acked(c);
		c->s->ops.acked(c->s->ctx, c, min64(c->snd_una, c->avail_end));
	}
	return c->state != TS_CLOSED;
}
