/* tcp_recovery: what a detected loss does to the connection: fast recovery with PRR (RFC 6937,
 * 9937), RTO (RFC 6298), NewReno for peers without SACK (RFC 6582), and taking all of it back when
 * the loss was none (Eifel RFC 3522 and 4015 by timestamps, RFC 3708 by D-SACK).
 */
#include "stacks/atlas/tcp/tcp_priv.h"

static void arm_undo(struct tcp_conn *c)
{
	const struct tcp_chunk *k = chunk_at(c, c->head);

	c->prior_cwnd = c->cwnd;
	c->prior_ssthresh = c->ssthresh;
	c->prior_w_max = c->cubic.w_max;
	c->undo_bytes = c->retrans;
	c->flags |= CF_UNDO;
	/* An ACK may be for what was sent again before: then that one's stamp counts. */
	if (!c->retrans && !(k && k->flags & CK_EVER))
		c->flags &= ~CF_REXMITTED;
}

/* Room in the window that ACKs of this burst have made and nothing was sent into yet. A stack that
 * sends with every ACK would have used it before the loss was seen; PRR counts it as delivered. */
static uint32_t unspent(const struct tcp_conn *c)
{
	uint32_t flight = tcp_pipe(c) + c->lost;

	return c->cwnd > flight ? min32(c->unspent, c->cwnd - flight) : 0;
}

void tcp_enter_recovery(struct tcp_conn *c)
{
	arm_undo(c);
	c->s->st.fast_recoveries++;
	c->ssthresh = tcp_cc_ssthresh(c);
	c->high_seq = c->snd_nxt;
	c->prr_out = 0;
	c->prr_delivered = unspent(c);
	c->recover_fs = (uint32_t)(c->snd_nxt - c->snd_una) + c->prr_delivered;
	c->ca_state = CA_RECOVERY;
	c->tlp_end = NEVER;
	c->flags = (c->flags | CF_FORCE) & ~(CF_PMTU | CF_TLP_WANT | CF_TLP_NEW);
}

void tcp_cwnd_reduced(struct tcp_conn *c)
{
	c->ssthresh = tcp_cc_ssthresh(c);
	c->cwnd = min32(c->cwnd, c->ssthresh);
}

void tcp_count_rexmit(struct tcp_conn *c, uint64_t off, uint32_t len)
{
	struct tcp_stats *st = &c->s->st;

	if (!(c->flags & CF_REXMITTED)) {
		c->flags |= CF_REXMITTED;
		c->rexmit_stamp = tcp_ts_now(c);
	}
	c->rexmit_lo = c->undo_bytes ? min64(c->rexmit_lo, off) : off;
	c->rexmit_hi = c->undo_bytes ? max64(c->rexmit_hi, off + len) : off + len;
	c->undo_bytes += len;
	c->prr_out += len;
	st->bytes_rexmit += len;
	st->segs_rexmit++;
}

static void leave(struct tcp_conn *c)
{
	if (c->ca_state == CA_RECOVERY && !(c->flags & CF_PMTU))
		c->cwnd = c->ssthresh;
	if (c->ca_state == CA_RECOVERY && c->reo_persist && !--c->reo_persist)
		c->reo_mult = 1;
	c->ca_state = CA_OPEN;
	c->flags &= ~(CF_UNDO | CF_PMTU | CF_FORCE);
	c->dupacks = 0;
}

/* The reaction was wrong: as if nothing had happened (RFC 4015 3.2, with PRR's cwnd). */
static void undo(struct tcp_conn *c)
{
	c->s->st.spurious++;
	c->cwnd = max32(c->cwnd, c->prior_cwnd);
	c->ssthresh = max32(c->ssthresh, c->prior_ssthresh);
	c->cubic.w_max = c->prior_w_max;
	c->cubic.epoch = NEVER;
	for (struct tcp_chunk *k = chunk_at(c, c->head); k; k = chunk_at(c, k->next))
		if (k->flags & CK_LOST)
			tcp_chunk_flag(c, k, 0, CK_LOST | CK_ASKED);
	c->ca_state = CA_OPEN;
	c->flags &= ~(CF_UNDO | CF_PMTU | CF_FORCE);
	c->dupacks = 0;
	c->backoff = 0;
}

/* RFC 3708: a duplicate of what was retransmitted. Networks duplicate other things too. */
static void duplicate(struct tcp_conn *c, const struct tcp_acked *a)
{
	if (a->dsack_start >= (int64_t)c->rexmit_lo && a->dsack_end <= (int64_t)c->rexmit_hi)
		c->undo_bytes -= min32(c->undo_bytes, (uint32_t)(a->dsack_end - a->dsack_start));
}

static bool spurious(const struct tcp_conn *c, const struct tcp_seg *g, const struct tcp_acked *a)
{
	if (!(c->flags & CF_UNDO) || c->flags & CF_PMTU)
		return false;
	if (!(c->flags & CF_REXMITTED)) /* acknowledged before anything was sent again */
		return a->una_moved && c->flags & CF_SACK;
	if (a->dsack && !c->undo_bytes)
		return true; /* every retransmission was a duplicate */
	return a->una_moved && c->flags & CF_TS && g->ts_ok && seq_lt(g->tsecr, c->rexmit_stamp);
}

/* Without SACK each duplicate ACK says that one segment, unknown which, has left the network. */
static void reno(struct tcp_conn *c, struct tcp_acked *a)
{
	struct tcp_chunk *k = chunk_at(c, c->head);
	uint32_t max = (uint32_t)(c->snd_nxt - c->snd_una) - c->lost;

	if (a->una_moved) {
		c->sacked -= min32(c->sacked, a->cum > c->mss ? a->cum - c->mss : 0);
		c->sacked = min32(c->sacked, max);
	} else if (a->dup) {
		if (c->dupacks < 255)
			c->dupacks++;
		a->delivered = c->mss;
		c->sacked = min32(c->sacked + c->mss, max);
	}
	if (!k || k->flags & (CK_LOST | CK_RETX))
		return;
	if (c->ca_state == CA_OPEN ? c->dupacks >= DUP_THRESH && c->snd_una >= c->high_seq
				   : a->una_moved && c->ca_state == CA_RECOVERY) {
		if (k->len > c->mss)
			tcp_chunk_split(c, k, k->start + c->mss);
		c->sacked =
			min32(c->sacked, (uint32_t)(c->snd_nxt - c->snd_una) - c->lost - k->len);
		tcp_chunk_flag(c, k, CK_LOST, CK_ASKED);
		a->new_loss = true;
		if (c->ca_state == CA_RECOVERY)
			c->flags |= CF_FORCE; /* RFC 6582 3.2 step 3: a partial ACK */
	}
}

/* RFC 6937 with the safe-ACK heuristic of RFC 9937 */
static void prr(struct tcp_conn *c, const struct tcp_acked *a)
{
	uint32_t pipe = tcp_pipe(c), limit, snd;
	uint64_t segs;
	int64_t n;

	c->prr_delivered += a->delivered;
	if (c->flags & CF_PMTU)
		return;
	if (pipe > c->ssthresh) {
		/* in whole segments, rounded up as the RFC rounds its bytes */
		segs = ((uint64_t)c->prr_delivered * c->ssthresh / max32(c->recover_fs, 1) +
			c->mss - 1) /
		       c->mss;
		n = (int64_t)(segs * c->mss) - c->prr_out;
		snd = n > 0 ? (uint32_t)n : 0;
	} else {
		n = (int64_t)c->prr_delivered - c->prr_out;
		limit = max32(n > 0 ? (uint32_t)n : 0, a->delivered);
		if (a->una_moved && !a->new_loss)
			limit += c->mss;
		/* whole segments here too: part of one can't leave, and nothing else may come */
		snd = min32(c->ssthresh - pipe, (limit + c->mss - 1) / c->mss * c->mss);
	}
	if (!c->prr_out)
		snd = max32(snd, c->mss);
	c->cwnd = max32(pipe + snd, c->mss);
}

void tcp_recovery_ack(struct tcp_conn *c, const struct tcp_seg *g, struct tcp_acked *a)
{
	bool recovering = c->ca_state == CA_RECOVERY;

	if (a->dsack) {
		duplicate(c, a);
		tcp_rack_dsack(c);
	}
	if (spurious(c, g, a))
		undo(c);
	if (c->ca_state != CA_OPEN && c->snd_una >= c->high_seq && a->una_moved)
		leave(c);
	if (a->una_moved)
		c->dupacks = 0;
	if (!(c->flags & CF_SACK))
		reno(c, a);
	else if (c->head != NONE && (a->delivered || c->ca_state != CA_OPEN || c->reo_at != NEVER))
		a->new_loss = tcp_rack_detect(c);
	if (c->lost && c->ca_state == CA_OPEN)
		tcp_enter_recovery(c);
	if (c->ca_state == CA_RECOVERY)
		prr(c, a);
	else if (a->cum && !recovering)
		tcp_cc_acked(c, a);
	c->unspent = c->avail_end > c->snd_nxt ? c->unspent + a->delivered : 0;
}

/* The peer took back what it had SACKed (RFC 2018 8): the first byte can't be SACKED. */
static void forget_sacks(struct tcp_conn *c)
{
	for (struct tcp_chunk *k = chunk_at(c, c->head); k; k = chunk_at(c, k->next))
		if (k->flags & CK_SACKED)
			tcp_chunk_flag(c, k, 0, CK_SACKED);
	c->sacked = 0;
}

void tcp_rto_fire(struct tcp_conn *c)
{
	struct tcp_stack *s = c->s;
	struct tcp_chunk *k = chunk_at(c, c->head);
	/* a peer that answers, but with a closed window, is alive */
	bool closed = c->snd_wnd_end <= c->snd_una;

	if (s->now - (closed ? c->last_rx : c->last_ack) > GIVE_UP_NS &&
	    (closed ? c->probes > 1 : c->backoff > 2)) {
		s->st.timeouts++;
		tcp_send_rst(c);
		tcp_die(c, TCP_R_TIMEOUT);
		return;
	}
	s->st.rto_fired++;
	c->probes += c->probes < 255;
	if (k->flags & CK_SACKED || !(c->flags & CF_SACK))
		forget_sacks(c);
	if (c->ca_state == CA_OPEN || c->snd_una >= c->high_seq) {
		arm_undo(c);
		if (!c->backoff) /* RFC 5681 3.1: once for a segment */
			c->ssthresh = tcp_cc_ssthresh(c);
	}
	tcp_rack_mark_rto(c);
	c->high_seq = c->snd_nxt;
	c->cwnd = c->mss;
	c->ca_state = CA_LOSS;
	c->tlp_end = NEVER;
	c->dupacks = 0;
	c->flags = (c->flags | CF_FORCE) & ~(CF_PMTU | CF_TLP_WANT | CF_TLP_NEW | CF_TLP_ASKED);
	c->backoff += c->backoff < 16;
	c->rto_start = s->now;
	tcp_cc_lost_all(c);
	tcp_arm(c);
	tcp_kick(c);
}

/* RFC 8899/1191: what is larger than the new MTU is lost, but not by congestion. */
void tcp_pmtu_lost(struct tcp_conn *c)
{
	for (struct tcp_chunk *k = chunk_at(c, c->head); k; k = chunk_at(c, k->next))
		if (!(k->flags & CK_SACKED) && k->len > c->mss)
			tcp_chunk_flag(c, k, CK_LOST, CK_RETX | CK_ASKED);
	if (!c->lost || c->ca_state != CA_OPEN)
		return;
	c->high_seq = c->snd_nxt;
	c->ca_state = CA_RECOVERY;
	c->prr_delivered = c->prr_out = 0;
	c->flags |= CF_PMTU | CF_FORCE;
}
