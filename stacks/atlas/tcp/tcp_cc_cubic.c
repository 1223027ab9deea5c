/* tcp_cc_cubic: CUBIC, RFC 9438.
 *
 * W(t) = C (t - K)^3 + W_max in segments and seconds; the Reno-friendly estimate beside it; fast
 * convergence. cwnd itself stays in bytes; fractions of a byte are carried in `frac`.
 *
 * Departure: below SHORT_US the estimate grows as fast as Reno from the start. Linux's CUBIC
 * computes its rate once a jiffy and within one only raises it, which is the same there (measured
 * at 3 % loss and 60 us: 10 segments in flight, and 6 with 4.3's alpha, which would be our share
 * beside it).
 */
#include <math.h>

#include "stacks/atlas/tcp/tcp_priv.h"

#define C_CUBIC	 0.4
#define BETA	 0.7
#define ALPHA	 (3 * (1 - BETA) / (1 + BETA)) /* 4.3 */
#define SHORT_US 4000

double tcp_cubic_window(double w_max, double k, double t)
{
	return C_CUBIC * (t - k) * (t - k) * (t - k) + w_max;
}

double tcp_cubic_k(double w_max, double cwnd)
{
	return w_max > cwnd ? cbrt((w_max - cwnd) / C_CUBIC) : 0;
}

uint32_t tcp_cubic_ssthresh(struct tcp_conn *c, uint32_t from)
{
	double w = (double)from / c->mss;

	c->cubic.prior = w;
	c->cubic.w_max = w < c->cubic.w_max ? w * (1 + BETA) / 2 : w; /* 4.7 */
	c->cubic.epoch = NEVER;
	return max32((uint32_t)(from * BETA), 2u * c->mss);
}

static void new_epoch(struct tcp_conn *c, double w)
{
	c->cubic.epoch = c->s->now;
	if (w > c->cubic.w_max)
		c->cubic.w_max = w;
	c->cubic.k = tcp_cubic_k(c->cubic.w_max, w);
	c->cubic.w_est = w;
	c->cubic.frac = 0;
}

void tcp_cubic_acked(struct tcp_conn *c, uint32_t bytes)
{
	double w = (double)c->cwnd / c->mss, acked = (double)bytes / c->mss;
	double t, target, rtt = c->srtt_us * 1e-6, grow;
	bool slow = c->cubic.w_est < c->cubic.prior && c->srtt_us >= SHORT_US;

	if (c->cubic.epoch == NEVER)
		new_epoch(c, w);
	t = (double)(c->s->now - c->cubic.epoch) * 1e-9;
	/* 4.3: after the estimate has passed the old window, as fast as Reno */
	c->cubic.w_est += (slow ? ALPHA : 1) * acked / w;
	target = tcp_cubic_window(c->cubic.w_max, c->cubic.k, t + rtt);
	target = target < w ? w : target > 1.5 * w ? 1.5 * w : target;
	grow = (target - w) / w * acked;
	if (tcp_cubic_window(c->cubic.w_max, c->cubic.k, t) < c->cubic.w_est)
		grow = c->cubic.w_est > w ? c->cubic.w_est - w : 0;
	grow = grow * c->mss + c->cubic.frac;
	c->cwnd += (uint32_t)grow;
	c->cubic.frac = grow - (uint32_t)grow;
}
