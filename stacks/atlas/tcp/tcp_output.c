/* tcp_output: headers, and every segment that carries no payload.
 *
 * One function builds the header of every segment of a connection (tcp_send). An xmit that answers
 * -ENOBUFS changes nothing: an ACK stays in the flush list, a SYN-ACK or FIN is tried again after
 * RETRY_NS, a RST is lost (the peer will draw another).
 */
#include <errno.h>
#include <string.h>

#include "stacks/atlas/tcp/tcp_priv.h"

static inline void put16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, 2);
}

static inline void put32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

void tcp_hdr_put(struct tcp_out *o, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t wnd)
{
	uint8_t *h = o->hdr;

	put16(h, o->t.lport);
	put16(h + 2, o->t.rport);
	put32(h + 4, seq);
	put32(h + 8, ack);
	h[12] = (uint8_t)(o->hdr_len << 2);
	h[13] = flags;
	put16(h + 14, wnd);
	put32(h + 16, 0); /* checksum: the core's; no urgent pointer */
}

void tcp_hdr_ts(struct tcp_out *o, uint32_t val, uint32_t ecr)
{
	uint8_t *p = o->hdr + o->hdr_len;

	put32(p, 0x0101080a); /* NOP NOP TS 10 */
	put32(p + 4, val);
	put32(p + 8, ecr);
	o->hdr_len += 12;
}

static void put_sacks(struct tcp_conn *c, struct tcp_out *o)
{
	uint32_t b[2 * TCP_SACK_MAX];
	int n = tcp_rx_sacks(c, b, c->flags & CF_TS ? 3 : 4);
	uint8_t *p = o->hdr + o->hdr_len;

	if (!n)
		return;
	put32(p, 0x01010500u | (uint32_t)(2 + 8 * n));
	for (int i = 0; i < 2 * n; i++)
		put32(p + 4 + 4 * i, b[i]);
	o->hdr_len += (uint8_t)(4 + 8 * n);
}

int tcp_send(struct tcp_conn *c, struct tcp_out *o, uint64_t off, uint8_t flags)
{
	struct tcp_stack *s = c->s;
	uint32_t ack = c->irs + 1 + (uint32_t)c->rcv_nxt;
	int err;

	o->conn = c;
	o->t = c->t;
	o->hdr_len = 20;
	if (c->flags & CF_TS)
		tcp_hdr_ts(o, tcp_ts_now(c), c->ts_recent);
	if ((c->rq_head != NONE || c->flags & CF_DSACK) && (!o->len || tcp_max_push(c) > c->mss))
		put_sacks(c, o); /* they shrink the segment: only where it can be cut again */
	o->mss = (uint16_t)(c->mss_base + 20 - o->hdr_len);
	tcp_hdr_put(o, tcp_seq(c, off), ack, flags, (uint16_t)tcp_rx_window(c));
	err = s->ops.xmit(s->ctx, o);
	if (err) {
		s->st.nobufs++;
		return err;
	}
	s->st.segs_out++;
	c->last_ack_sent = ack;
	c->flags &= ~(CF_ACK_NOW | CF_DSACK);
	c->unacked_rx = 0;
	c->due[DL_ACK] = NEVER;
	return 0;
}

void tcp_retry_later(struct tcp_conn *c)
{
	c->flags |= CF_NOBUFS;
	tcp_due(c, DL_PACE, min64(c->due[DL_PACE], c->s->now + RETRY_NS));
}

/* Options of a SYN-ACK answer those of the SYN (RFC 7323 2.2 and 3.2, RFC 2018 2). */
void tcp_send_synack(struct tcp_conn *c)
{
	struct tcp_stack *s = c->s;
	struct tcp_out o = {.conn = c, .t = c->t, .hdr_len = 20, .mss = c->mss};
	uint8_t *p;

	put32(o.hdr + 20, 0x02040000u | s->cfg.mss);
	o.hdr_len = 24;
	if (c->flags & CF_TS)
		tcp_hdr_ts(&o, tcp_ts_now(c), c->ts_recent);
	p = o.hdr + o.hdr_len;
	if (c->flags & CF_SACK) {
		put32(p, 0x01010402);
		p += 4;
	}
	if (c->flags & CF_WSCALE) {
		put32(p, 0x01030300u | c->rcv_wscale);
		p += 4;
	}
	o.hdr_len = (uint8_t)(p - o.hdr);
	tcp_hdr_put(&o, c->iss, c->irs + 1, TCP_SYN | TCP_ACK,
		    (uint16_t)min32(s->cfg.rcv_wnd, 65535));
	c->rcv_adv = min32(s->cfg.rcv_wnd, 65535);
	if (s->ops.xmit(s->ctx, &o)) {
		s->st.nobufs++;
		tcp_retry_later(c);
		return;
	}
	s->st.segs_out++;
	c->last_ack_sent = c->irs + 1;
}

bool tcp_send_ack(struct tcp_conn *c)
{
	struct tcp_out o;

	o.len = 0;
	o.iov = NULL;
	o.niov = 0;
	o.cookie = NULL;
	return tcp_send(c, &o, c->snd_nxt, TCP_ACK) == 0;
}

void tcp_send_probe(struct tcp_conn *c)
{
	struct tcp_out o = {.len = 0};

	tcp_send(c, &o, c->snd_una - 1, TCP_ACK);
}

void tcp_send_rst(struct tcp_conn *c)
{
	struct tcp_out o = {.len = 0};

	if (!tcp_send(c, &o, c->snd_nxt, TCP_RST | TCP_ACK))
		c->s->st.resets_out++;
}

/* RFC 9293 3.10.7.1 */
void tcp_answer_rst(struct tcp_stack *s, const struct tcp_seg *g)
{
	struct tcp_out o = {.t = g->t, .hdr_len = 20};
	uint32_t end = g->seq + g->len + !!(g->flags & TCP_SYN) + !!(g->flags & TCP_FIN);

	if (g->flags & TCP_RST)
		return;
	if (g->flags & TCP_ACK)
		tcp_hdr_put(&o, g->ack, 0, TCP_RST, 0);
	else
		tcp_hdr_put(&o, 0, end, TCP_RST | TCP_ACK, 0);
	if (s->ops.xmit(s->ctx, &o)) {
		s->st.nobufs++;
		return;
	}
	s->st.segs_out++;
	s->st.resets_out++;
}

static bool send_fin(struct tcp_conn *c)
{
	struct tcp_out o = {.len = 0};

	if (!tcp_chunk_append(c, c->snd_nxt, 1, CK_FIN)) {
		tcp_retry_later(c);
		return false;
	}
	if (tcp_send(c, &o, c->snd_nxt, TCP_FIN | TCP_ACK)) {
		tcp_chunk_unappend(c, chunk_at(c, c->tail));
		tcp_retry_later(c);
		return false;
	}
	tcp_first_flight(c);
	tcp_fin_left(c);
	tcp_arm(c);
	return true;
}

bool tcp_send_fin(struct tcp_conn *c)
{
	return c->flags & CF_END && tcp_can_tx(c) && c->snd_nxt == c->avail_end && send_fin(c);
}

/* The FIN was transmitted: the states that follow. */
void tcp_fin_left(struct tcp_conn *c)
{
	c->snd_nxt++;
	c->flags |= CF_FIN_SENT;
	c->last_tx = c->s->now;
	c->state = c->state == TS_CLOSE_WAIT ? TS_LAST_ACK : TS_FIN_WAIT_1;
}

bool tcp_resend_fin(struct tcp_conn *c, struct tcp_chunk *k)
{
	struct tcp_out o = {.len = 0};

	if (tcp_send(c, &o, k->start, TCP_FIN | TCP_ACK)) {
		tcp_retry_later(c);
		return false;
	}
	tcp_chunk_resent(c, k);
	tcp_count_rexmit(c, k->start, 1);
	return true;
}

/* Join the flush list. */
static void later(struct tcp_conn *c, uint32_t why)
{
	struct tcp_stack *s = c->s;

	c->flags |= why;
	if (c->flags & CF_ACKQ)
		return;
	c->flags |= CF_ACKQ;
	c->ackq_next = s->ackq;
	s->ackq = conn_idx(c);
}

void tcp_ack_now(struct tcp_conn *c)
{
	later(c, CF_ACK_NOW);
}

/* What a burst of ACKs has opened leaves together: one large segment in place of many small ones.
 */
void tcp_kick_later(struct tcp_conn *c)
{
	later(c, CF_KICK);
}

void tcp_flush_acks(struct tcp_stack *s, uint64_t now_ns)
{
	uint32_t i = s->ackq;

	s->now = max64(s->now, now_ns);
	s->ackq = NONE;
	while (i != NONE) {
		struct tcp_conn *c = conn_at(s, i);

		i = c->ackq_next;
		c->flags &= ~CF_ACKQ;
		if (c->flags & CF_KICK) {
			c->flags &= ~CF_KICK;
			tcp_kick(c); /* the ACK rides on what leaves */
		}
		if (c->flags & CF_ACK_NOW && c->state != TS_CLOSED && !tcp_send_ack(c))
			tcp_ack_now(c);
	}
}

/* RFC 5961 7: a bounded number of challenge ACKs, per connection, or they would be a side channel
 * between connections (CVE-2016-5696). */
void tcp_challenge(struct tcp_conn *c)
{
	if (c->s->now - c->challenge_ns >= NSEC_PER_SEC) {
		c->challenge_ns = c->s->now;
		c->challenges = 0;
	}
	if (c->challenges >= CHALLENGE_MAX)
		return;
	c->challenges++;
	c->s->st.challenge_acks++;
	tcp_ack_now(c);
}
