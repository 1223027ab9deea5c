/* tcp_info: questions about a connection or the stack; nothing changes. */
#include "stacks/atlas/tcp/tcp_priv.h"

uint64_t tcp_snd_nxt(const struct tcp_conn *c)
{
	return min64(c->snd_nxt, c->avail_end); /* not the FIN */
}

uint64_t tcp_snd_una(const struct tcp_conn *c)
{
	return min64(c->snd_una, c->avail_end);
}

void *tcp_user(const struct tcp_conn *c)
{
	return c->user;
}

const struct tcp_tuple *tcp_conn_tuple(const struct tcp_conn *c)
{
	return &c->t;
}

bool tcp_tx_limited_by_source(const struct tcp_conn *c)
{
	return tcp_usable_end(c) > c->snd_nxt;
}

void tcp_get_info(const struct tcp_conn *c, struct tcp_info *out)
{
	uint64_t wnd = c->snd_wnd_end > c->snd_una ? c->snd_wnd_end - c->snd_una : 0;

	*out = (struct tcp_info){.cwnd = c->cwnd,
				 .ssthresh = c->ssthresh,
				 .rwnd = (uint32_t)wnd,
				 .in_flight = tcp_pipe(c),
				 .srtt_us = c->srtt_us,
				 .rttvar_us = c->rttvar_us,
				 .min_rtt_us = c->min_rtt_us == UINT32_MAX ? 0 : c->min_rtt_us,
				 .rto_us = (uint32_t)(tcp_rto_backed(c) / NSEC_PER_USEC),
				 .mss = c->mss,
				 .pacing_bps = tcp_cc_pacing(c),
				 .state = tcp_state_name[c->state],
				 .ca_state = tcp_ca_name[c->ca_state]};
}

void tcp_get_stats(const struct tcp_stack *s, struct tcp_stats *out)
{
	*out = s->st;
}
