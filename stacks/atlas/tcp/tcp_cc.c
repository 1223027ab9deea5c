/* tcp_cc: congestion control that does not depend on the algorithm: slow start with HyStart++
 * (RFC 9406), NewReno (RFC 5681), cwnd validation (RFC 7661), restart after idle, pacing.
 *
 * Validation. A round is the time until the present snd_nxt is acknowledged. cwnd grows only while
 * the most bytes in flight in this or the last round is at least half of it; so while the disk or
 * the application is the limit it stays put. In flight means transmitted: what the source was asked
 * for and has not delivered counts against the window, but proves nothing about the network.
 *
 * Departures: the L limit of RFC 9406 4.2 is left out (one ACK of a GSO receiver covers 100 KB; the
 * pacer spreads the burst). Pacing at 2 x and 1.2 x cwnd/srtt as Linux
 * gives its fq discipline; 4 x and 2 x while there are few connections, which can't burst together:
 * an idle connection's next response is at most a window, and paced its end comes up to a round
 * trip later than from a sender that does not pace (512 KiB at 80 ms: 102 ms, 93, unpaced 83).
 */
#include "stacks/atlas/tcp/tcp_priv.h"

#define HY_MIN_US	4000
#define HY_MAX_US	16000
#define HY_SAMPLES	8
#define HY_CSS_DIVISOR	4
#define HY_CSS_ROUNDS	5
#define PACE_FEW	8 /* connections */
#define BURST_US	250
#define PACE_MIN_RTT_US 500 /* below, ACK clocking is smooth enough and timers are too coarse */

void tcp_cc_init(struct tcp_conn *c)
{
	c->cwnd = tcp_initial_window(c);
	c->ssthresh = CWND_MAX;
	c->cubic.epoch = NEVER;
	c->hy.last_min_us = c->hy.cur_min_us = UINT32_MAX;
}

bool tcp_cc_validated(const struct tcp_conn *c)
{
	return c->cwnd / 2 <= max32(c->peak, c->peak_prev);
}

/* What a congestion event falls from: RFC 7661 4.4.1 in the non-validated phase. */
static uint32_t base(const struct tcp_conn *c)
{
	uint32_t used = max32(max32(c->peak, c->peak_prev), (uint32_t)(c->snd_nxt - c->snd_una));

	return tcp_cc_validated(c) ? c->cwnd : min32(c->cwnd, used);
}

uint32_t tcp_cc_ssthresh(struct tcp_conn *c)
{
	uint32_t b = base(c);

	c->flags = (c->flags & ~CF_CSS) | CF_HYSTART_OFF;
	if (c->s->cfg.cc == TCP_CC_CUBIC)
		return tcp_cubic_ssthresh(c, b);
	return max32(b / 2, 2u * c->mss);
}

void tcp_cc_lost_all(struct tcp_conn *c)
{
	c->cubic.epoch = NEVER;
	c->flags &= ~CF_CSS;
}

void tcp_cc_sent(struct tcp_conn *c)
{
	c->peak = max32(c->peak, (uint32_t)(c->snd_nxt - c->snd_una));
}

static void hystart_round(struct tcp_conn *c)
{
	if (c->flags & CF_CSS && ++c->hy.rounds >= HY_CSS_ROUNDS) {
		c->ssthresh = c->cwnd;
		c->flags = (c->flags & ~CF_CSS) | CF_HYSTART_OFF;
	}
	c->hy.last_min_us = c->hy.cur_min_us;
	c->hy.cur_min_us = UINT32_MAX;
	c->hy.samples = 0;
}

static void hystart_sample(struct tcp_conn *c, uint32_t us)
{
	uint32_t thresh;

	c->hy.cur_min_us = min32(c->hy.cur_min_us, us);
	if (c->hy.samples < 255)
		c->hy.samples++;
	if (c->hy.samples < HY_SAMPLES || c->hy.last_min_us == UINT32_MAX)
		return;
	if (c->flags & CF_CSS) {
		if (c->hy.cur_min_us < c->hy.baseline_us) /* it was a blip: slow start goes on */
			c->flags &= ~CF_CSS;
		return;
	}
	thresh = min32(max32(c->hy.last_min_us / 8, HY_MIN_US), HY_MAX_US);
	if (c->hy.cur_min_us >= c->hy.last_min_us + thresh) {
		c->hy.baseline_us = c->hy.cur_min_us;
		c->hy.rounds = 0;
		c->flags |= CF_CSS;
	}
}

static void new_round(struct tcp_conn *c)
{
	uint32_t flight = (uint32_t)(c->snd_nxt - c->snd_una);

	c->round_end = c->snd_nxt;
	c->peak_prev = c->peak;
	c->peak = flight;
	if (!(c->flags & CF_HYSTART_OFF))
		hystart_round(c);
}

static void not_validated(struct tcp_conn *c)
{
	uint64_t now = c->s->now;

	if (c->nvp_start == NEVER) {
		c->nvp_start = now;
	} else if (now - c->nvp_start > NVP_NS) { /* RFC 7661 4.4.3 */
		c->ssthresh = max32(c->ssthresh, c->cwnd / 4 * 3);
		c->cwnd = max32(c->cwnd / 2, tcp_initial_window(c));
		c->nvp_start = now;
	}
}

void tcp_cc_acked(struct tcp_conn *c, const struct tcp_acked *a)
{
	uint32_t n = a->cum;

	if (a->rtt_ns && !a->resent && !(c->flags & CF_HYSTART_OFF) && c->cwnd < c->ssthresh)
		hystart_sample(c, (uint32_t)(a->rtt_ns / NSEC_PER_USEC));
	if (c->snd_una > c->round_end || c->round_end == 0)
		new_round(c);
	if (!tcp_cc_validated(c)) {
		not_validated(c);
		return;
	}
	if (c->nvp_start != NEVER) {
		if (c->cubic.epoch != NEVER) /* RFC 9438 5.8: the pause is no part of the epoch */
			c->cubic.epoch += c->s->now - c->nvp_start;
		c->nvp_start = NEVER;
	}
	if (c->cwnd < c->ssthresh) {
		uint32_t grow = c->flags & CF_CSS ? n / HY_CSS_DIVISOR : n;

		grow = min32(grow, c->ssthresh - c->cwnd);
		c->cwnd = min32(c->cwnd + grow, CWND_MAX);
		return;
	}
	if (c->s->cfg.cc == TCP_CC_CUBIC)
		tcp_cubic_acked(c, n);
	else
		c->cwnd += max32((uint32_t)((uint64_t)c->mss * n / c->cwnd), 1);
	c->cwnd = min32(c->cwnd, CWND_MAX);
}

/* Nothing is in flight. After more than an RTO the ACK clock is gone (RFC 5681 4.1): with pacing
 * the window may stay, spread over a round trip (RFC 7661 4.4); without, it halves for each RTO. */
void tcp_cc_restart(struct tcp_conn *c)
{
	uint64_t idle = c->s->now - c->last_tx, rto = tcp_rto(c);
	uint32_t floor = tcp_initial_window(c);

	if (idle <= rto || c->cwnd <= floor)
		return;
	if (c->cubic.epoch != NEVER)
		c->cubic.epoch = min64(c->cubic.epoch + idle, c->s->now);
	c->ssthresh = max32(c->ssthresh, c->cwnd / 4 * 3);
	if (c->s->cfg.pacing) {
		if (idle > NVP_NS)
			c->cwnd = max32(c->cwnd / 2, floor);
	} else {
		for (; idle > rto && c->cwnd > floor; idle -= rto)
			c->cwnd /= 2;
		c->cwnd = max32(c->cwnd, floor);
	}
	c->last_tx = c->s->now;
}

/* The newest round trip counts where it is shorter than the average: one ACK that a busy peer held
 * back would slow down what follows for many round trips. */
uint64_t tcp_cc_pacing(const struct tcp_conn *c)
{
	uint32_t rtt = c->rack_rtt_us ? min32(c->srtt_us, c->rack_rtt_us) : c->srtt_us;
	uint64_t rate;

	if (!c->s->cfg.pacing || rtt < PACE_MIN_RTT_US)
		return 0;
	rate = (uint64_t)c->cwnd * 1000000 / rtt;
	if (c->s->st.conns <= PACE_FEW)
		rate = c->cwnd < c->ssthresh / 2 ? rate * 4 : rate * 2;
	else
		rate = c->cwnd < c->ssthresh / 2 ? rate * 2 : rate * 6 / 5;
	return rate ? rate : 1;
}

/* What the path takes in BURST_US, two segments at least; UINT32_MAX where many share the link. At
 * a full bottleneck a burst loses packets where segments that come as others leave lose none. Among
 * many connections a burst of one is small beside what all send, and small reads are dear. */
uint32_t tcp_cc_burst(const struct tcp_conn *c)
{
	uint64_t n = (uint64_t)c->cwnd * BURST_US / max32(c->srtt_us, 1);

	if (c->s->st.conns > PACE_FEW)
		return UINT32_MAX;
	return (uint32_t)min64(max64(n, 2u * c->mss), UINT32_MAX);
}

/* Bytes handed out at once: a millisecond's worth, and not less than a disk read is worth: bursts
 * of half a window up to the initial window's ten segments are what every path takes, as long as
 * not all that use it are few. */
uint32_t tcp_pace_quantum(const struct tcp_conn *c, uint64_t rate)
{
	uint64_t q = max64(rate * PACE_QUANTUM_NS / NSEC_PER_SEC, min32(c->cwnd / 2, 10u * c->mss));

	q = min64(q, min32(tcp_cc_burst(c), max32(tcp_max_push(c), 2u * c->mss)));
	q = max64(q - q % c->mss, c->mss);
	return (uint32_t)max64(q, tcp_min_pull(c));
}
