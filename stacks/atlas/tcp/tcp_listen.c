/* tcp_listen: a SYN becomes a connection in SYN_RCVD.
 *
 * RFC 9293 3.10.7.2. Options are taken as offered and answered in kind. A full table drops the SYN
 * silently: the client tries again. Limit: no SYN cookies, no TCP Fast Open; data on a SYN is not
 * taken (the client sends it again).
 */
#include "stacks/atlas/tcp/tcp_priv.h"

bool tcp_listening(const struct tcp_stack *s, uint16_t port)
{
	for (int i = 0; i < TCP_PORTS && s->cfg.ports[i]; i++)
		if (s->cfg.ports[i] == port)
			return true;
	return false;
}

void tcp_set_mss(struct tcp_conn *c)
{
	uint32_t ts = c->flags & CF_TS ? 12 : 0;
	uint32_t m = min32(c->peer_mss, c->s->cfg.mss);

	c->mss_base = (uint16_t)max32(m, MSS_FLOOR);
	c->mss = (uint16_t)(c->mss_base - ts); /* RFC 6691 */
}

/* RFC 6928 */
uint32_t tcp_initial_window(const struct tcp_conn *c)
{
	return min32(10u * c->mss, max32(2u * c->mss, 14600));
}

static void take_options(struct tcp_conn *c, const struct tcp_seg *g)
{
	struct tcp_stack *s = c->s;

	c->peer_mss = g->mss ? g->mss : MSS_DEFAULT;
	if (g->ts_ok) {
		c->flags |= CF_TS;
		c->ts_recent = g->tsval;
		c->ts_recent_ns = s->now;
	}
	if (g->sack_ok)
		c->flags |= CF_SACK;
	if (g->wscale >= 0) {
		c->flags |= CF_WSCALE;
		c->snd_wscale = (uint8_t)g->wscale;
		c->rcv_wscale = s->rcv_wscale;
	}
	tcp_set_mss(c);
}

static void new_conn(struct tcp_stack *s, const struct tcp_seg *g, uint32_t hash,
		     uint32_t isn_floor, bool reuse)
{
	struct tcp_conn *c = tcp_conn_new(s, &g->t, hash);

	if (!c) {
		s->st.syn_drops++;
		return;
	}
	c->state = TS_SYN_RCVD;
	tcp_isn(c);
	if (reuse && seq_lt(c->iss, isn_floor))
		c->iss = isn_floor;
	c->irs = g->seq;
	take_options(c, g);
	c->snd_wnd_end = g->wnd; /* never scaled on a SYN */
	c->max_wnd = g->wnd;
	c->snd_wl1 = g->seq;
	c->snd_wl2 = c->iss + 1;
	c->rcv_mss = c->mss;
	tcp_cc_init(c);
	c->user = s->ops.accept(s->ctx, c, &c->t);
	if (c->state == TS_CLOSED) /* aborted inside accept(): reported as any other death */
		return;
	if (!c->user) {
		c->flags |= CF_UNREPORTED;
		tcp_answer_rst(s, g);
		tcp_die(c, TCP_R_ABORT);
		return;
	}
	s->st.accepted++;
	tcp_send_synack(c);
	tcp_arm(c);
	tcp_touch(c);
}

void tcp_listen_input(struct tcp_stack *s, const struct tcp_seg *g, uint32_t hash,
		      uint32_t isn_floor, bool reuse)
{
	if (g->flags & TCP_RST)
		return;
	if (!tcp_listening(s, g->t.lport) || g->flags & TCP_ACK) {
		tcp_answer_rst(s, g);
		return;
	}
	if (!(g->flags & TCP_SYN))
		return;
	if (g->flags & TCP_FIN) { /* no honest sender */
		s->st.bad_segs++;
		return;
	}
	new_conn(s, g, hash, isn_floor, reuse);
}
