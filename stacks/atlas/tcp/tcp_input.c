/* tcp_input: a segment meets a connection: RFC 9293 3.10.7.4, checks in that order.
 *
 * PAWS (RFC 7323 5.3), acceptability, RST and SYN (RFC 5961 3.2, 4.2), then ACK (tcp_ack.c), then
 * text and FIN (tcp_rx.c).
 */
#include "stacks/atlas/tcp/tcp_priv.h"

/* false: drop. */
static bool paws(struct tcp_conn *c, const struct tcp_seg *g, int64_t off)
{
	struct tcp_stack *s = c->s;

	if (!(c->flags & CF_TS) || g->flags & TCP_RST)
		return true;
	if (!g->ts_ok) { /* RFC 7323 3.2 */
		s->st.bad_segs++;
		return false;
	}
	if (!seq_lt(g->tsval, c->ts_recent) || s->now - c->ts_recent_ns > PAWS_IDLE_NS)
		return true;
	/* Overtaken on the way, it carries nothing that could be old data, but maybe a SACK */
	if (!g->len && (g->flags & ~TCP_PSH) == TCP_ACK && off == (int64_t)c->rcv_nxt &&
	    (c->ts_recent - g->tsval) * NSEC_PER_MSEC < tcp_rto(c))
		return true;
	s->st.paws_drops++;
	tcp_challenge(c);
	return false;
}

/* RFC 9293 table 6, but that what begins at rcv_nxt is let in even when the window is closed: its
 * ACK and RST count, its text will find no room. */
static bool acceptable(const struct tcp_conn *c, int64_t off, uint32_t len)
{
	int64_t nxt = (int64_t)c->rcv_nxt, adv = (int64_t)c->rcv_adv;

	if (off == nxt)
		return true;
	if (off > nxt)
		return off < adv;
	return off + len > nxt && adv > nxt;
}

static void unacceptable(struct tcp_conn *c, const struct tcp_seg *g, int64_t off)
{
	int64_t end = off + g->len;

	c->s->st.dup_segs_in++;
	if (g->flags & TCP_RST)
		return;
	if (!g->len && !(g->flags & (TCP_SYN | TCP_FIN))) {
		tcp_challenge(c); /* probes, and what might become an ACK war */
		return;
	}
	if (g->len && end > 0 && off < (int64_t)c->rcv_nxt && c->flags & CF_SACK) { /* RFC 2883 */
		c->dsack_off = (uint64_t)(off < 0 ? 0 : off);
		c->dsack_len = (uint32_t)(min64((uint64_t)end, c->rcv_nxt) - c->dsack_off);
		c->flags |= CF_DSACK;
	}
	tcp_ack_now(c);
}

static void reset(struct tcp_conn *c, int64_t off)
{
	if (off != (int64_t)c->rcv_nxt) {
		tcp_challenge(c);
		return;
	}
	c->s->st.resets_in++;
	tcp_die(c, TCP_R_RESET);
}

/* The ACK of our SYN-ACK. */
static void establish(struct tcp_conn *c, const struct tcp_seg *g)
{
	struct tcp_stack *s = c->s;

	if (tcp_unwrap(c->iss, 0, g->ack) != 0) {
		tcp_answer_rst(s, g);
		return;
	}
	c->state = TS_ESTABLISHED;
	c->snd_wnd_end = (uint64_t)g->wnd << c->snd_wscale;
	c->max_wnd = max32(c->max_wnd, (uint32_t)c->snd_wnd_end);
	c->snd_wl1 = g->seq;
	c->snd_wl2 = g->ack;
	if (c->backoff) /* RFC 5681 3.1: the SYN-ACK was lost; and Karn: no sample */
		c->cwnd = c->mss;
	else
		tcp_rtt_sample(c, s->now - c->rto_start);
	c->backoff = 0;
	c->rto_start = c->last_tx = c->last_progress = s->now;
	c->flags &= ~CF_NOBUFS;
	tcp_touch(c);
	tcp_arm(c);
	s->st.established++;
	s->ops.event(s->ctx, c, TCP_EV_ESTABLISHED, TCP_R_NONE);
}

static void update_ts(struct tcp_conn *c, const struct tcp_seg *g)
{
	if (!(c->flags & CF_TS) || !g->ts_ok)
		return;
	if (seq_lt(g->tsval, c->ts_recent) && c->s->now - c->ts_recent_ns <= PAWS_IDLE_NS)
		return;
	if (!seq_lt(c->last_ack_sent, g->seq)) { /* RFC 7323 4.3: SEG.SEQ <= Last.ACK.sent */
		c->ts_recent = g->tsval;
		c->ts_recent_ns = c->s->now;
	}
}

static void conn_input(struct tcp_conn *c, const struct tcp_seg *g)
{
	struct tcp_stack *s = c->s;
	int64_t off = tcp_unwrap(c->irs, c->rcv_nxt, g->seq);
	uint32_t len = g->len + !!(g->flags & TCP_SYN) + !!(g->flags & TCP_FIN);

	if (c->state == TS_SYN_RCVD && (g->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
	    g->seq == c->irs) { /* the client did not hear our answer */
		tcp_send_synack(c);
		return;
	}
	if (!paws(c, g, off))
		return;
	if (!acceptable(c, off, len)) {
		unacceptable(c, g, off);
		return;
	}
	if (g->flags & TCP_RST) {
		reset(c, off);
		return;
	}
	if (g->flags & TCP_SYN) { /* RFC 5961 4.2 */
		tcp_challenge(c);
		return;
	}
	if (!(g->flags & TCP_ACK)) {
		s->st.bad_segs++;
		return;
	}
	tcp_touch(c);
	if (c->state == TS_SYN_RCVD) {
		establish(c, g);
		if (c->state == TS_SYN_RCVD || c->state == TS_CLOSED)
			return;
	}
	if (!tcp_ack(c, g))
		return;
	update_ts(c, g);
	if (c->state != TS_CLOSED && len)
		tcp_rx(c, g, off);
	if (c->state == TS_CLOSED)
		return;
	tcp_send_fin(c);
	tcp_kick_later(c);
}

void tcp_input(struct tcp_stack *s, const struct tcp_seg *g, uint64_t now_ns)
{
	uint32_t hash = tcp_hash(s, &g->t), floor = 0;
	struct tcp_conn *c = tcp_find(s, &g->t, hash);
	struct tcp_tw *w;

	s->now = max64(s->now, now_ns);
	tcp_reap(s); /* the old connection is told closed before its tuple opens again */
	s->st.segs_in++;
	s->st.bytes_in += g->len;
	if (c) {
		conn_input(c, g);
	} else if ((w = tcp_tw_find(s, &g->t, hash))) {
		if (tcp_tw_input(s, w, g, &floor))
			tcp_listen_input(s, g, hash, floor, true);
	} else {
		tcp_listen_input(s, g, hash, 0, false);
	}
	tcp_reap(s);
}

void tcp_pmtu(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t seq, uint16_t mtu)
{
	struct tcp_conn *c = tcp_find(s, t, tcp_hash(s, t));
	uint32_t ip = ipaddr_is_v4(&t->remote) ? 20 : 40;
	int64_t off;
	uint32_t mss;

	if (!c || c->state == TS_CLOSED || c->state == TS_SYN_RCVD)
		return;
	off = tcp_unwrap(c->iss, c->snd_una, seq); /* RFC 5927 7.2: only what is in flight */
	if (off < (int64_t)c->snd_una || off >= (int64_t)c->snd_nxt)
		return;
	mss = max32(mtu, PMTU_FLOOR) - ip - 20;
	if (mss >= c->mss_base)
		return;
	c->peer_mss = (uint16_t)mss;
	tcp_set_mss(c);
	tcp_pmtu_lost(c);
	tcp_arm(c);
	tcp_kick(c);
}
