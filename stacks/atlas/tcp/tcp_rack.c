/* tcp_rack: loss detection by time (RACK) and the tail loss probe (TLP), RFC 8985.
 *
 * A chunk is lost when something sent later has arrived and a round trip plus a reordering window
 * has passed since it was sent. The list by time holds only what may still arrive, oldest first,
 * so detection stops at the first chunk that is young enough.
 *
 * Chunks are GSO-sized: all segments of a push have one time stamp, and within it the higher offset
 * counts as later, which is the order they have on the wire.
 *
 * Departure: TLP.max_ack_delay starts at the 40 ms of a Linux receiver, not at 200, which
 * is most of what a lost last segment costs on a short path. A peer that holds ACKs back for longer
 * draws a needless probe, says so (D-SACK), and the connection doubles it, to 200 at most.
 */
#include "stacks/atlas/tcp/tcp_priv.h"

static bool sent_after(uint64_t t1, uint64_t end1, uint64_t t2, uint64_t end2)
{
	return t1 > t2 || (t1 == t2 && end1 > end2);
}

/* RFC 8985 6.2 step 2, for a chunk that was just delivered up to `end`. */
void tcp_rack_update(struct tcp_conn *c, const struct tcp_chunk *k, uint64_t end,
		     const struct tcp_seg *g)
{
	uint64_t rtt = tcp_age(c, k->sent_ns);

	if (k->flags & CK_EVER) {
		uint32_t ts = (uint32_t)(k->sent_ns / NSEC_PER_MSEC) + c->ts_off;

		if (c->flags & CF_TS && g->ts_ok && seq_lt(g->tsecr, ts))
			return; /* an earlier transmission arrived */
		if (rtt / NSEC_PER_USEC < c->min_rtt_us)
			return;
	}
	c->rack_rtt_us = (uint32_t)(rtt / NSEC_PER_USEC);
	if (sent_after(k->sent_ns, end, c->rack_xmit, c->rack_end)) {
		c->rack_xmit = k->sent_ns;
		c->rack_end = end;
	}
}

/* 6.2 step 4: D-SACKs widen the window, sixteen recoveries without one bring it back. */
void tcp_rack_dsack(struct tcp_conn *c)
{
	if (c->snd_una < c->dsack_round)
		return;
	c->dsack_round = c->snd_nxt;
	if (c->reo_mult < 255)
		c->reo_mult++;
	c->reo_persist = 16;
}

static uint32_t reo_wnd_us(const struct tcp_conn *c)
{
	if (!(c->flags & CF_REORDER) &&
	    (c->ca_state != CA_OPEN || c->sacked >= DUP_THRESH * (uint32_t)c->mss))
		return 0;
	if (c->min_rtt_us == UINT32_MAX)
		return 0;
	return min32(c->reo_mult * (c->min_rtt_us / 4), c->srtt_us);
}

/* 6.2 step 5 */
bool tcp_rack_detect(struct tcp_conn *c)
{
	uint64_t now = c->s->now, wait = (uint64_t)(c->rack_rtt_us + reo_wnd_us(c)) * NSEC_PER_USEC;
	struct tcp_chunk *k = chunk_at(c, c->thead), *next;
	bool any = false;

	c->reo_at = NEVER;
	for (; k; k = next) {
		next = chunk_at(c, k->tnext);
		if (!sent_after(c->rack_xmit, c->rack_end, k->sent_ns, chunk_end(k)))
			break;
		if (k->sent_ns + wait <= now) {
			tcp_chunk_flag(c, k, CK_LOST, CK_RETX | CK_ASKED);
			any = true;
		} else { /* the list is in order: the last one decides when all are settled */
			c->reo_at = k->sent_ns + wait;
		}
	}
	return any;
}

/* 6.3: what the timeout declares lost */
void tcp_rack_mark_rto(struct tcp_conn *c)
{
	uint64_t wait = (uint64_t)(c->rack_rtt_us + reo_wnd_us(c)) * NSEC_PER_USEC;

	for (struct tcp_chunk *k = chunk_at(c, c->head); k; k = chunk_at(c, k->next)) {
		if (k->flags & CK_SACKED)
			continue;
		if (k->start == c->snd_una || !(c->flags & CF_SACK) ||
		    k->sent_ns + wait <= c->s->now)
			tcp_chunk_flag(c, k, CK_LOST, CK_RETX | CK_ASKED);
	}
	c->reo_at = NEVER;
}

bool tcp_tlp_eligible(const struct tcp_conn *c)
{
	return c->flags & CF_SACK && c->ca_state == CA_OPEN && c->tlp_end == NEVER && !c->sacked &&
	       !c->lost && !c->backoff && !(c->flags & (CF_TLP_WANT | CF_TLP_NEW | CF_TLP_ASKED));
}

static bool lone(const struct tcp_conn *c)
{
	return c->snd_nxt - c->snd_una <= c->mss;
}

/* 7.2 */
uint64_t tcp_tlp_pto(const struct tcp_conn *c)
{
	uint64_t pto = RTO_INITIAL;

	if (c->srtt_us) {
		pto = 2 * (uint64_t)c->srtt_us * NSEC_PER_USEC + TLP_SLACK_NS;
		if (lone(c))
			pto += c->delack_ms * NSEC_PER_MSEC;
	}
	return max64(c->last_tx, c->rto_start) + pto;
}

/* 7.3: new data if there is some nobody was asked for, else the last segment again. */
void tcp_tlp_fire(struct tcp_conn *c)
{
	uint64_t room = min64(c->avail_end, c->snd_wnd_end);

	c->s->st.tlp_fired++;
	c->flags &= ~CF_TLP_LONE;
	if (lone(c))
		c->flags |= CF_TLP_LONE;
	if (tcp_can_tx(c) && c->pull_end <= c->snd_nxt && room > c->snd_nxt &&
	    (room - c->snd_nxt >= c->mss || room == c->avail_end))
		c->flags |= CF_TLP_NEW;
	else
		c->flags |= CF_TLP_WANT;
	c->rto_start = c->s->now;
	tcp_arm(c);
	tcp_kick(c);
}

/* The probe has left. */
void tcp_tlp_sent(struct tcp_conn *c)
{
	c->tlp_end = c->snd_nxt;
	if (c->flags & CF_TLP_NEW)
		c->flags &= ~CF_TLP_REXMIT;
	else
		c->flags |= CF_TLP_REXMIT;
	c->flags &= ~(CF_TLP_NEW | CF_TLP_WANT | CF_TLP_ASKED);
}

/* Something was acknowledged: a probe that is not out yet is not needed any more. */
static void tlp_cancel(struct tcp_conn *c)
{
	struct tcp_chunk *k = chunk_at(c, c->tail);

	if (k && c->flags & CF_TLP_ASKED && k->flags & CK_ASKED && !(k->flags & CK_LOST))
		tcp_chunk_flag(c, k, 0, CK_ASKED);
	c->flags &= ~(CF_TLP_NEW | CF_TLP_WANT | CF_TLP_ASKED);
}

/* The probe was one too many: for a single segment, the peer holds ACKs back for longer. */
static void tlp_needless(struct tcp_conn *c)
{
	c->tlp_end = NEVER;
	if (c->flags & CF_TLP_LONE)
		c->delack_ms = (uint8_t)min32(2u * c->delack_ms, DELACK_MAX_MS);
}

/* 7.4.2 */
void tcp_tlp_ack(struct tcp_conn *c, const struct tcp_seg *g, uint64_t ack,
		 const struct tcp_acked *a)
{
	if (a->una_moved && c->flags & (CF_TLP_NEW | CF_TLP_WANT | CF_TLP_ASKED))
		tlp_cancel(c);
	if (c->tlp_end == NEVER || ack < c->tlp_end)
		return;
	if (!(c->flags & CF_TLP_REXMIT)) {
		c->tlp_end = NEVER;
	} else if (a->dsack && a->dsack_end == (int64_t)c->tlp_end) {
		tlp_needless(c); /* both copies arrived: nothing was lost */
	} else if (ack > c->tlp_end) {
		c->tlp_end = NEVER;
		if (c->ca_state == CA_OPEN)
			tcp_cwnd_reduced(c); /* the probe repaired a loss */
	} else if (a->same && !g->nsack) {   /* not a window that has opened */
		tlp_needless(c);
	}
}
