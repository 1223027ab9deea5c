/* tcp_timer: the hierarchical timer wheel, and what happens when a deadline has come.
 *
 * Four levels of 256 slots, a tick of 65.5 us: 3 days ahead. A connection is filed once, at the
 * earliest of its deadlines, or earlier (see tcp_priv.h). Empty stretches are skipped by bitmaps,
 * so a turn costs what fires, not what is filed. (Varghese, Lauck, SOSP 1987.)
 */
#include "stacks/atlas/tcp/tcp_priv.h"

void tcp_wheel_init(struct tcp_wheel *w)
{
	w->tick = 0;
	for (int i = 0; i <= WHEEL_DUE; i++)
		w->head[i] = NONE;
}

static void slot_push(struct tcp_conn *c, uint32_t slot)
{
	struct tcp_wheel *w = &c->s->wheel;
	uint32_t i = conn_idx(c);

	c->w_slot = (uint16_t)slot;
	c->w_prev = NONE;
	c->w_next = w->head[slot];
	if (c->w_next != NONE)
		conn_at(c->s, c->w_next)->w_prev = i;
	w->head[slot] = i;
	if (slot < WHEEL_DUE)
		w->map[slot >> 8][(slot & 255) >> 6] |= 1ull << (slot & 63);
}

void tcp_wheel_remove(struct tcp_conn *c)
{
	struct tcp_wheel *w = &c->s->wheel;
	uint32_t slot = c->w_slot;

	if (slot == WHEEL_NOWHERE)
		return;
	if (c->w_prev == NONE)
		w->head[slot] = c->w_next;
	else
		conn_at(c->s, c->w_prev)->w_next = c->w_next;
	if (c->w_next != NONE)
		conn_at(c->s, c->w_next)->w_prev = c->w_prev;
	if (slot < WHEEL_DUE && w->head[slot] == NONE)
		w->map[slot >> 8][(slot & 255) >> 6] &= ~(1ull << (slot & 63));
	c->w_slot = WHEEL_NOWHERE;
	c->w_at = NEVER;
}

static void wheel_file(struct tcp_conn *c, uint64_t tick)
{
	uint64_t now = c->s->wheel.tick, d = tick > now ? tick - now : 1;
	uint32_t level = 0;

	d = min64(d, (1ull << (8 * WHEEL_LEVELS)) - 1);
	c->w_at = tick = now + d;
	while (d >= 256) {
		d >>= 8;
		level++;
	}
	slot_push(c, level << 8 | ((tick >> (8 * level)) & 255));
}

void tcp_due(struct tcp_conn *c, enum tcp_deadline d, uint64_t at)
{
	uint64_t tick;

	c->due[d] = at;
	if (at == NEVER)
		return;
	tick = (at + (1u << WHEEL_SHIFT) - 1) >> WHEEL_SHIFT;
	if (tick >= c->w_at || c->w_slot == WHEEL_DUE)
		return;
	tcp_wheel_remove(c);
	wheel_file(c, tick);
}

/* Distance in slots, 1..256, from position `pos` of a level to its next filled slot; 0: none. */
static uint32_t next_filled(const uint64_t map[4], uint32_t pos)
{
	uint32_t from = (pos + 1) & 255;

	for (uint32_t i = 0; i <= 4; i++) {
		uint32_t word = ((from >> 6) + i) & 3;
		uint64_t m = map[word];

		if (i == 0)
			m &= ~0ull << (from & 63);
		else if (i == 4)
			m &= ~(~0ull << (from & 63));
		if (m)
			return (((word << 6) + (uint32_t)__builtin_ctzll(m) - from) & 255) + 1;
	}
	return 0;
}

/* The first tick behind wheel.tick at which a slot fires or must be spread over lower levels. */
static uint64_t wheel_next(const struct tcp_wheel *w)
{
	uint64_t best = NEVER;

	for (uint32_t l = 0; l < WHEEL_LEVELS; l++) {
		uint64_t base = w->tick >> (8 * l);
		uint32_t d = next_filled(w->map[l], (uint32_t)base & 255);

		if (d)
			best = min64(best, (base + d) << (8 * l));
	}
	return best;
}

static void spread(struct tcp_stack *s, uint32_t slot)
{
	struct tcp_conn *c;

	while (s->wheel.head[slot] != NONE) {
		uint64_t at;

		c = conn_at(s, s->wheel.head[slot]);
		at = c->w_at;
		tcp_wheel_remove(c);
		if (at <= s->wheel.tick)
			slot_push(c, WHEEL_DUE);
		else
			wheel_file(c, at);
	}
}

void tcp_arm(struct tcp_conn *c)
{
	uint64_t at = NEVER;
	uint8_t was = c->tmode;

	c->tmode = TM_NONE;
	if (c->state == TS_CLOSED)
		return;
	if (c->state == TS_SYN_RCVD || c->head != NONE) {
		c->tmode = TM_RTO;
		at = c->rto_start + tcp_rto_backed(c);
		if (c->reo_at != NEVER) {
			if (c->reo_at < at) {
				c->tmode = TM_REO;
				at = c->reo_at;
			}
		} else if (c->head != NONE && tcp_tlp_eligible(c)) {
			c->tmode =
				TM_TLP; /* RFC 8985 7.2: in place of an RTO that would come first */
			at = min64(at, tcp_tlp_pto(c));
		}
	} else if (tcp_window_blocked(c)) {
		c->tmode = TM_PERSIST;
		if (was != TM_PERSIST) {
			c->rto_start = c->s->now;
			c->backoff = 0;
		}
		at = c->rto_start +
		     (c->snd_wnd_end > c->snd_nxt ? SWS_OVERRIDE_NS : tcp_rto_backed(c));
	} else {
		c->backoff = 0;
	}
	tcp_due(c, DL_REXMIT, at);
}

static uint64_t idle_at(const struct tcp_conn *c)
{
	uint64_t at = NEVER, idle = c->s->cfg.idle_ns, ka = c->s->cfg.keepalive_ns;

	if (c->state == TS_FIN_WAIT_2)
		at = c->last_rx + FIN_WAIT_2_NS;
	if (idle)
		at = min64(at, c->last_progress + idle);
	if (ka && c->state != TS_SYN_RCVD)
		at = min64(at, c->last_rx + ka);
	return at;
}

void tcp_touch(struct tcp_conn *c)
{
	c->last_rx = c->s->now;
	c->probes = 0;
	tcp_due(c, DL_IDLE, idle_at(c));
}

/* The window is closed and nothing is in flight: ask whether that still holds. RFC 9293 3.8.6.1
 * wants a byte of data in the probe; an old byte number without payload draws the same ACK and
 * needs nothing from the source (as Linux and BSD keep-alives do). */
static void persist_fire(struct tcp_conn *c)
{
	struct tcp_stack *s = c->s;

	if (c->snd_wnd_end > c->snd_nxt) { /* a sliver of window: send into it after all */
		c->flags |= CF_SWS_OVERRIDE;
		c->rto_start = s->now;
		tcp_arm(c);
		tcp_kick(c);
		return;
	}
	if (c->probes > 1 && s->now - c->last_rx > GIVE_UP_NS) {
		s->st.timeouts++;
		tcp_send_rst(c);
		tcp_die(c, TCP_R_TIMEOUT);
		return;
	}
	s->st.zero_window_probes++;
	c->probes++;
	tcp_send_probe(c);
	if (c->backoff < 16)
		c->backoff++;
	c->rto_start = s->now;
	tcp_arm(c);
}

static void synack_fire(struct tcp_conn *c)
{
	if (c->backoff >= SYNACK_TRIES) {
		c->s->st.timeouts++;
		tcp_die(c, TCP_R_TIMEOUT);
		return;
	}
	c->backoff++;
	c->rto_start = c->s->now;
	tcp_send_synack(c);
	tcp_arm(c);
}

static void rexmit_fire(struct tcp_conn *c)
{
	switch ((enum tcp_tmode)c->tmode) {
	case TM_RTO:
		if (c->state == TS_SYN_RCVD)
			synack_fire(c);
		else
			tcp_rto_fire(c);
		return;
	case TM_TLP:
		tcp_tlp_fire(c);
		return;
	case TM_REO:
		c->reo_at = NEVER;
		if (tcp_rack_detect(c) && c->ca_state == CA_OPEN)
			tcp_enter_recovery(c);
		tcp_arm(c);
		tcp_kick(c);
		return;
	case TM_PERSIST:
		persist_fire(c);
		return;
	case TM_NONE:
		return;
	}
}

static void idle_fire(struct tcp_conn *c)
{
	struct tcp_stack *s = c->s;
	uint64_t ka = s->cfg.keepalive_ns;

	if (c->state == TS_FIN_WAIT_2 && s->now - c->last_rx >= FIN_WAIT_2_NS) {
		tcp_send_rst(c);
		tcp_die(c, TCP_R_IDLE);
		return;
	}
	if (s->cfg.idle_ns && s->now - c->last_progress >= s->cfg.idle_ns) {
		tcp_send_rst(c);
		tcp_die(c, TCP_R_IDLE);
		return;
	}
	if (ka && s->now - c->last_rx >= ka && c->head == NONE && c->tmode == TM_NONE) {
		if (c->probes >= KEEPALIVE_TRIES) {
			s->st.timeouts++;
			tcp_send_rst(c);
			tcp_die(c, TCP_R_TIMEOUT);
			return;
		}
		c->probes++;
		tcp_send_probe(c);
		tcp_due(c, DL_IDLE, s->now + max64(ka / KEEPALIVE_TRIES, NSEC_PER_SEC));
		return;
	}
	tcp_due(c, DL_IDLE, max64(idle_at(c), s->now + NSEC_PER_SEC)); /* something moved since */
}

static void fire(struct tcp_conn *c)
{
	uint64_t now = c->s->now;
	bool retry;

	if (c->due[DL_REXMIT] <= now) {
		c->due[DL_REXMIT] = NEVER;
		rexmit_fire(c);
	}
	if (c->due[DL_ACK] <= now) {
		c->due[DL_ACK] = NEVER;
		tcp_ack_now(c);
	}
	if (c->due[DL_PACE] <= now) {
		c->due[DL_PACE] = NEVER;
		retry = c->flags & CF_NOBUFS;
		c->flags &= ~CF_NOBUFS;
		tcp_kick(c);
		if (retry && c->state == TS_SYN_RCVD)
			tcp_send_synack(c);
		if (retry)
			tcp_send_fin(c);
	}
	if (c->due[DL_IDLE] <= now) {
		c->due[DL_IDLE] = NEVER;
		idle_fire(c);
	}
}

static void run_due(struct tcp_stack *s)
{
	while (s->wheel.head[WHEEL_DUE] != NONE) {
		struct tcp_conn *c = conn_at(s, s->wheel.head[WHEEL_DUE]);
		uint64_t at = NEVER;

		tcp_wheel_remove(c);
		fire(c);
		if (c->state == TS_CLOSED)
			continue;
		for (int i = 0; i < DL_N; i++)
			at = min64(at, c->due[i]);
		if (at != NEVER) {
			tcp_wheel_remove(c);
			wheel_file(c, (at + (1u << WHEEL_SHIFT) - 1) >> WHEEL_SHIFT);
		}
	}
}

void tcp_timers(struct tcp_stack *s, uint64_t now_ns)
{
	uint64_t tick = now_ns >> WHEEL_SHIFT, t;

	s->now = max64(s->now, now_ns);
	while ((t = wheel_next(&s->wheel)) <= tick) {
		s->wheel.tick = t;
		for (uint32_t l = WHEEL_LEVELS - 1; l > 0; l--)
			if (!(t & ((1ull << (8 * l)) - 1)))
				spread(s, l << 8 | ((t >> (8 * l)) & 255));
		spread(s, t & 255);
		run_due(s);
	}
	s->wheel.tick = max64(s->wheel.tick, tick);
	tcp_tw_expire(s);
	tcp_flush_acks(s, s->now);
	tcp_reap(s);
}

uint64_t tcp_next_timer(const struct tcp_stack *s)
{
	uint64_t t = wheel_next(&s->wheel);

	t = t == NEVER ? NEVER : t << WHEEL_SHIFT;
	if (s->tw_old != NONE)
		t = min64(t, s->tw[s->tw_old].expire);
	if (s->dead != NONE)
		return s->now;
	if (s->ackq != NONE)
		t = min64(t, s->now + RETRY_NS);
	return t;
}
