/* tcp_pull: what may be sent now, and asking the source for it.
 *
 * See "Pull" in tcp_priv.h. tcp_usable_end() is the law (window, cwnd, silly windows) and is
 * checked again when bytes arrive; pull_limit() is the policy on top for starting new reads: pacing
 * and the smallest pull worth a disk read.
 */
#include "stacks/atlas/tcp/tcp_priv.h"

static uint32_t cwnd_room(const struct tcp_conn *c)
{
	uint32_t used = tcp_pipe(c) + c->asked;

	return c->cwnd > used ? c->cwnd - used : 0;
}

uint64_t tcp_usable_end(const struct tcp_conn *c)
{
	uint64_t end = min64(c->avail_end, c->snd_wnd_end);
	uint32_t room, n;

	if (!tcp_can_tx(c) || end <= c->snd_nxt)
		return c->snd_nxt;
	room = cwnd_room(c);
	room -= min32(room, c->need); /* retransmissions come first */
	if (c->flags & CF_TLP_NEW)
		room = max32(room, c->mss);
	end = min64(end, c->snd_nxt + room);
	if (end == c->avail_end)
		return end;
	n = (uint32_t)(end - c->snd_nxt);
	assert(c->mss >= MSS_FLOOR - 12);
	if (n >= c->mss)
		return end - n % c->mss;
	/* RFC 9293 3.8.6.2.1: less than a segment only into half a small window, or after a wait */
	if (n && end == c->snd_wnd_end &&
	    (n >= c->max_wnd / 2 || (c->flags & CF_SWS_OVERRIDE && c->head == NONE)))
		return end;
	return c->snd_nxt;
}

/* Where nothing is paced a round trip is what both ends' work takes: two segments a window let one
 * end work while the other does. */
uint32_t tcp_frame_max(const struct tcp_conn *c)
{
	uint32_t max = tcp_max_push(c), half = c->cwnd / 2;

	if (half >= max || !c->s->cfg.pacing || tcp_cc_pacing(c))
		return max;
	return max32(half - half % c->mss, c->mss);
}

uint32_t tcp_full_segment(const struct tcp_conn *c)
{
	return c->cwnd < tcp_max_push(c) && c->head != NONE ? c->mss : 0;
}

bool tcp_window_blocked(const struct tcp_conn *c)
{
	return c->head == NONE && tcp_can_tx(c) && c->avail_end > c->snd_nxt &&
	       tcp_usable_end(c) == c->snd_nxt;
}

/* Nothing under way, neither on the network nor from the disk: no pacer can be late. */
static bool idle(const struct tcp_conn *c)
{
	return c->head == NONE && c->pull_end <= c->snd_nxt;
}

/* Bytes the pacer gives at once: a quantum, and what should have left since it was due. A busy
 * worker looks at its timers late; without this credit the rate would be what the timers manage. */
static uint64_t pace_burst(const struct tcp_conn *c, uint64_t rate)
{
	uint64_t late = idle(c) ? 0 : min64(c->s->now - c->pace_next, PACE_CREDIT_NS);
	uint64_t owed = rate * late / NSEC_PER_SEC;

	return tcp_pace_quantum(c, rate) + owed - owed % c->mss;
}

/* Better to let some more ACKs come than to send `fresh` bytes now? A segment costs the same
 * whatever its size, at both ends and at every hop, so it should be a third of the window, or what
 * the pacer gives at once. Never in recovery, never when that ACK may be far off, and not after a
 * pause. (The rules, without the numbers' reasons, are those of Linux's tcp_tso_should_defer().) */
static bool defer(const struct tcp_conn *c, uint32_t fresh, uint64_t rate)
{
	const struct tcp_chunk *head = chunk_at(c, c->head);
	uint32_t goal = rate ? tcp_pace_quantum(c, rate) : tcp_max_push(c);

	if (c->ca_state != CA_OPEN || !head || fresh >= min32(goal, c->cwnd / 3))
		return false;
	if (c->s->now - c->last_tx > DEFER_NS || c->flags & CF_TLP_NEW)
		return false;
	return tcp_age(c, head->sent_ns) >= (uint64_t)c->srtt_us * NSEC_PER_USEC / 2;
}

/* Smallest pull worth starting, but never more than a burst, nor than a quarter of what may be in
 * flight: the other three quarters keep the ACKs coming that open the rest, delayed ones too. */
uint32_t tcp_min_pull(const struct tcp_conn *c)
{
	return min32(min32(c->min_pull, tcp_cc_burst(c)), min32(c->cwnd, c->max_wnd) / 4);
}

/* How far reads may go now. Sets the pacing deadline if that is what holds them. */
static uint64_t pull_limit(struct tcp_conn *c)
{
	uint64_t end, rate, now = c->s->now;
	uint32_t fresh;

	if (c->head == NONE)
		tcp_cc_restart(c);
	end = tcp_usable_end(c);
	c->pull_end = max64(c->pull_end, c->snd_nxt);
	if (end <= c->pull_end)
		return end;
	fresh = (uint32_t)(end - c->pull_end);
	if (fresh < tcp_min_pull(c) && end < c->avail_end && c->snd_nxt > c->snd_una &&
	    !(c->flags & CF_TLP_NEW))
		return c->pull_end;
	rate = tcp_cc_pacing(c);
	if (end < min64(c->avail_end, c->snd_wnd_end) &&
	    defer(c, (uint32_t)(end - c->snd_nxt), rate))
		return c->pull_end;
	if (!rate)
		return end;
	if (now < c->pace_next) {
		tcp_due(c, DL_PACE, min64(c->due[DL_PACE], c->pace_next));
		return c->pull_end;
	}
	return c->pull_end + min64(fresh, pace_burst(c, rate));
}

static bool rexmit_ready(const struct tcp_conn *c)
{
	if (c->flags & CF_TLP_WANT)
		return true;
	return c->need && (c->flags & CF_FORCE || cwnd_room(c) >= min32(c->mss, c->need));
}

static bool needed(const struct tcp_chunk *k)
{
	return (k->flags & (CK_LOST | CK_RETX | CK_ASKED | CK_SACKED)) == CK_LOST;
}

/* The FIN needs no source. True if it was all that had to be sent again. */
static bool resend_fin_only(struct tcp_conn *c)
{
	struct tcp_chunk *k = chunk_at(c, c->tail);
	bool probe = c->flags & CF_TLP_WANT;

	if (!k || !(k->flags & CK_FIN) || !(probe || (needed(k) && c->need == 1)))
		return false;
	c->flags &= ~(CF_TLP_WANT | CF_FORCE);
	if (tcp_resend_fin(c, k) && probe)
		tcp_tlp_sent(c);
	tcp_arm(c);
	return true;
}

void tcp_kick(struct tcp_conn *c)
{
	if (c->state == TS_CLOSED || c->state == TS_SYN_RCVD || c->flags & CF_NOBUFS)
		return;
	if (c->flags & CF_FIN_SENT && rexmit_ready(c) && resend_fin_only(c))
		return;
	if (rexmit_ready(c) || pull_limit(c) > c->snd_nxt)
		c->s->ops.want(c->s->ctx, c);
}

/* Bytes of a retransmission that may leave: whole segments within cwnd, at least one. */
static uint32_t rexmit_room(const struct tcp_conn *c)
{
	uint32_t room = min32(cwnd_room(c), tcp_max_push(c));

	return max32(room - room % c->mss, c->mss);
}

/* Hand out the first lost bytes nobody works on. */
static bool next_lost(struct tcp_conn *c, struct tcp_want *w)
{
	uint32_t room = rexmit_room(c);
	struct tcp_chunk *k = chunk_at(c, c->head);

	while (k && !needed(k))
		k = chunk_at(c, k->next);
	if (!k)
		return false;
	if (k->flags & CK_FIN) {
		tcp_resend_fin(c, k);
		tcp_arm(c);
		return false;
	}
	*w = (struct tcp_want){.off = k->start, .len = 0, .rexmit = true};
	for (; k && needed(k) && !(k->flags & CK_FIN) && w->len < room; k = chunk_at(c, k->next)) {
		if (k->len > room - w->len) {
			if (w->len && k->len <= c->mss)
				break; /* not worth a cut */
			tcp_chunk_split(c, k, k->start + room - w->len);
			if (k->len > room - w->len && w->len)
				break; /* no chunk to cut it with */
		}
		tcp_chunk_flag(c, k, CK_ASKED, 0);
		w->len += k->len;
	}
	c->flags &= ~CF_FORCE;
	return true;
}

/* A tail loss probe: the last segment again (RFC 8985 7.3). */
static bool next_probe(struct tcp_conn *c, struct tcp_want *w)
{
	struct tcp_chunk *k = chunk_at(c, c->tail), *n;

	c->flags &= ~CF_TLP_WANT;
	if (!k)
		return false;
	if (k->flags & (CK_FIN | CK_SACKED | CK_LOST | CK_ASKED | CK_RETX))
		return false;
	if (k->len > c->mss) {
		n = tcp_chunk_split(c, k, chunk_end(k) - c->mss);
		k = n ? n : k;
	}
	tcp_chunk_flag(c, k, CK_ASKED, 0);
	c->flags |= CF_TLP_ASKED;
	*w = (struct tcp_want){.off = k->start, .len = k->len, .rexmit = true};
	return true;
}

/* [pull_end, end) was handed out: when may the next quantum follow? */
static void pace(struct tcp_conn *c, uint64_t end, uint64_t rate)
{
	uint64_t from = c->s->now - (idle(c) ? 0 : min64(c->s->now, PACE_CREDIT_NS));

	c->pace_next = max64(c->pace_next, from) + (end - c->pull_end) * NSEC_PER_SEC / rate;
	if (tcp_usable_end(c) > end)
		tcp_due(c, DL_PACE, min64(c->due[DL_PACE], c->pace_next));
}

bool tcp_next(struct tcp_conn *c, struct tcp_want *w)
{
	uint64_t end, rate;

	c->unspent = 0;
	if (c->state == TS_CLOSED || c->state == TS_SYN_RCVD)
		return false;
	if (c->flags & CF_TLP_WANT && next_probe(c, w))
		return true;
	if (c->need) {
		if (!rexmit_ready(c))
			return false;
		if (next_lost(c, w))
			return true;
	}
	end = pull_limit(c);
	if (end <= c->snd_nxt)
		return false;
	if (end > c->pull_end) {
		rate = tcp_cc_pacing(c);
		if (rate)
			pace(c, end, rate);
		c->pull_end = end;
	}
	*w = (struct tcp_want){.off = c->snd_nxt, .len = (uint32_t)(end - c->snd_nxt)};
	return true;
}

void tcp_unwant(struct tcp_conn *c, const struct tcp_want *w)
{
	uint64_t end = w->off + w->len;
	struct tcp_chunk *k, *part;

	if (c->state == TS_CLOSED || !w->rexmit)
		return;
	for (k = chunk_at(c, c->head); k && k->start < end; k = chunk_at(c, k->next)) {
		if (chunk_end(k) <= w->off || !(k->flags & CK_ASKED))
			continue;
		/* without a chunk for the cut all of it is offered again; a push of it still counts
		 */
		part = tcp_chunk_carve(c, k, max64(k->start, w->off), min64(chunk_end(k), end));
		k = part ? part : k;
		if (!(k->flags & CK_LOST))
			c->flags = (c->flags & ~CF_TLP_ASKED) | CF_TLP_WANT;
		tcp_chunk_flag(c, k, 0, CK_ASKED);
	}
	tcp_retry_later(c);
}

void tcp_avail(struct tcp_conn *c, uint64_t end)
{
	if (end <= c->avail_end || c->flags & CF_END)
		return;
	c->avail_end = end;
	if (!tcp_can_tx(c))
		return;
	if (c->head == NONE)
		tcp_arm(c);
	tcp_kick(c);
}

void tcp_end(struct tcp_conn *c)
{
	if (c->state == TS_CLOSED || c->flags & CF_END)
		return;
	c->flags |= CF_END;
	tcp_send_fin(c);
}

void tcp_abort(struct tcp_conn *c)
{
	if (c->state == TS_CLOSED)
		return;
	if (c->mss_base) /* the handshake got as far as having options */
		tcp_send_rst(c);
	tcp_die(c, TCP_R_ABORT);
}

void tcp_set_min_pull(struct tcp_conn *c, uint32_t bytes)
{
	c->min_pull = bytes;
}
