/* tcp_rtt: smoothed round trip and retransmission timeout (RFC 6298), windowed minimum (RFC 8985
 * 6.2 step 1).
 *
 * Variance is floored so that RTO >= srtt + 200 ms: RFC 6298 asks for 1 s in all, every deployed
 * stack uses about 200 ms. The minimum is over one to two half windows of 150 s, in two words.
 */
#include "stacks/atlas/tcp/tcp_priv.h"

static void min_sample(struct tcp_conn *c, uint32_t us)
{
	if (c->s->now - c->min_rtt_ns > MIN_RTT_WIN_NS) {
		c->min_rtt_us = c->min_rtt_new_us;
		c->min_rtt_new_us = us;
		c->min_rtt_ns = c->s->now;
	}
	c->min_rtt_new_us = min32(c->min_rtt_new_us, us);
	c->min_rtt_us = min32(c->min_rtt_us, us);
}

void tcp_rtt_sample(struct tcp_conn *c, uint64_t rtt_ns)
{
	uint32_t us = (uint32_t)min64(rtt_ns / NSEC_PER_USEC, 300u * 1000 * 1000);
	int32_t err;

	if (!us)
		us = 1;
	min_sample(c, us);
	if (!c->srtt_us) { /* RFC 6298 2.2 */
		c->srtt_us = us;
		c->rttvar_us = us / 2;
		return;
	}
	err = (int32_t)us - (int32_t)c->srtt_us; /* 2.3: alpha 1/8, beta 1/4 */
	c->rttvar_us += ((err < 0 ? -err : err) - (int32_t)c->rttvar_us) / 4;
	c->srtt_us = (uint32_t)max32(1, (uint32_t)((int32_t)c->srtt_us + err / 8));
}

uint64_t tcp_rto(const struct tcp_conn *c)
{
	if (!c->srtt_us)
		return RTO_INITIAL;
	return min64(c->srtt_us * NSEC_PER_USEC +
			     max64(RTO_FLOOR, 4 * c->rttvar_us * NSEC_PER_USEC),
		     RTO_CEIL);
}

uint64_t tcp_rto_backed(const struct tcp_conn *c)
{
	return min64(tcp_rto(c) << (c->backoff > 16 ? 16 : c->backoff), RTO_CEIL);
}
