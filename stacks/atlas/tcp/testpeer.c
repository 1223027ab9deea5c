/* testpeer: see testpeer.h. Deliberately plain: intervals in an array, one timer each. */
#include "stacks/atlas/tcp/testpeer.h"

#include <string.h>

#include "base/clock.h"
#include "base/rng.h"

#define PEER_RTO (250 * NSEC_PER_MSEC)
#define PEER_WIN 8 /* segments in flight */

uint8_t peer_pat[2 * PAT_PRIME];

void peer_pat_init(void)
{
	for (uint32_t i = 0; i < 2 * PAT_PRIME; i++)
		peer_pat[i] = (uint8_t)rng_mix(i % PAT_PRIME + 1);
}

static void bad(struct peer *p, const char *why)
{
	if (!p->bad)
		p->bad = why;
}

static uint32_t window(struct peer *p)
{
	uint64_t held = p->rcv_nxt - (p->fin_in ? 1 : 0) - p->taken;
	uint64_t edge = p->rcv_nxt + (held < p->buf ? p->buf - held : 0);
	uint8_t ws = p->ws ? (uint8_t)p->wscale : 0;
	uint64_t wire;

	if (edge < p->edge)
		edge = p->edge;
	wire = (edge - p->rcv_nxt) >> ws;
	if (wire > 65535)
		wire = 65535;
	edge = p->rcv_nxt + (wire << ws);
	if (edge > p->edge)
		p->edge = edge;
	return (uint32_t)wire;
}

static struct tcp_seg segment(struct peer *p, uint64_t off, uint8_t flags)
{
	struct tcp_seg g = {
		.t = p->t, .flags = flags, .seq = p->isn + 1 + (uint32_t)off, .wscale = -1};

	g.data = peer_pat;
	if (flags & TCP_ACK) {
		g.ack = p->irs + 1 + (uint32_t)p->rcv_nxt;
		g.wnd = (uint16_t)window(p);
	}
	if (p->ts) {
		g.ts_ok = true;
		g.tsval = (uint32_t)(p->now / NSEC_PER_MSEC) + p->ts_off;
		g.tsecr = flags & TCP_ACK ? p->ts_recent : 0;
	}
	return g;
}

static void add_sack(struct peer *p, struct tcp_seg *g, uint64_t a, uint64_t b)
{
	if (g->nsack >= (p->ts ? 3 : 4))
		return;
	g->sack[g->nsack].start = p->irs + 1 + (uint32_t)a;
	g->sack[g->nsack++].end = p->irs + 1 + (uint32_t)b;
}

static void ack(struct peer *p)
{
	struct tcp_seg g = segment(p, p->snd_nxt, TCP_ACK);
	int first = -1;

	if (p->sack) {
		if (p->dsack && p->dup_b > p->dup_a)
			add_sack(p, &g, p->dup_a, p->dup_b);
		for (int i = 0; i < p->nhole; i++)
			if (p->latest >= p->hole[i].a && p->latest < p->hole[i].b)
				add_sack(p, &g, p->hole[first = i].a, p->hole[i].b);
		for (int i = p->nhole - 1; i >= 0; i--)
			if (i != first)
				add_sack(p, &g, p->hole[i].a, p->hole[i].b);
	}
	p->dup_a = p->dup_b = 0;
	p->unacked = p->segs = 0;
	p->t_ack = UINT64_MAX;
	p->send(p->ctx, p, &g);
}

static void reset(struct peer *p)
{
	struct tcp_seg g = segment(p, p->snd_nxt, TCP_RST | TCP_ACK);

	p->state = P_RESET;
	p->send(p->ctx, p, &g);
}

/* Where our FIN stands. */
static bool may_fin(const struct peer *p)
{
	switch (p->close) {
	case PEER_HALF_CLOSES:
		return true;
	case PEER_CLOSES:
		return p->fin_in || p->rcv_nxt >= p->response;
	default:
		return p->fin_in;
	}
}

static void send_data(struct peer *p)
{
	if (p->state != P_OPEN)
		return;
	while (p->snd_nxt < p->request) {
		uint64_t room = p->snd_edge > p->snd_nxt ? p->snd_edge - p->snd_nxt : 0;
		uint32_t n = (uint32_t)(p->request - p->snd_nxt);
		struct tcp_seg g;

		n = n < p->smss ? n : p->smss;
		n = n < room ? n : (uint32_t)room;
		if (!n || p->snd_nxt - p->snd_una >= PEER_WIN * (uint64_t)p->smss)
			break;
		g = segment(p, p->snd_nxt, TCP_ACK | TCP_PSH);
		g.data = peer_pat + p->snd_nxt % PAT_PRIME;
		g.len = n;
		p->snd_nxt += n;
		if (p->snd_nxt == p->request && p->close == PEER_HALF_CLOSES && !p->fin_out) {
			g.flags |= TCP_FIN;
			p->fin_out = true;
			p->snd_nxt++;
		}
		p->send(p->ctx, p, &g);
	}
	if (p->snd_nxt == p->request && may_fin(p)) {
		struct tcp_seg g = segment(p, p->snd_nxt, TCP_FIN | TCP_ACK);

		p->fin_out = true;
		p->snd_nxt++;
		p->send(p->ctx, p, &g);
	}
	if (p->snd_nxt > p->snd_max)
		p->snd_max = p->snd_nxt;
	if ((p->snd_una < p->snd_nxt || p->snd_nxt < p->request) && p->t_rto == UINT64_MAX)
		p->t_rto = p->now + (PEER_RTO << p->backoff);
}

static void syn(struct peer *p)
{
	struct tcp_seg g = segment(p, (uint64_t)-1, TCP_SYN);

	g.mss = p->mss;
	g.sack_ok = p->sack;
	g.wscale = p->ws ? p->wscale : -1;
	g.wnd = (uint16_t)(p->buf < 65535 ? p->buf : 65535);
	p->edge = g.wnd;
	p->t_rto = p->now + (4 * PEER_RTO << p->backoff);
	p->send(p->ctx, p, &g);
}

void peer_start(struct peer *p, uint64_t now)
{
	p->now = now;
	p->t_rto = p->t_ack = p->t_read = UINT64_MAX;
	p->smss = 536;
	if (p->read_every)
		p->t_read = now + p->read_every;
	syn(p);
}

static void hold(struct peer *p, uint64_t a, uint64_t b)
{
	int i = 0, j;

	while (i < p->nhole && p->hole[i].b < a)
		i++;
	for (j = i; j < p->nhole && p->hole[j].a <= b; j++) {
		a = a < p->hole[j].a ? a : p->hole[j].a;
		b = b > p->hole[j].b ? b : p->hole[j].b;
	}
	if (j == i && p->nhole == PEER_HOLES)
		return; /* no room: as if lost */
	memmove(&p->hole[i + 1], &p->hole[j], (size_t)(p->nhole - j) * sizeof p->hole[0]);
	p->nhole += 1 - (j - i);
	p->hole[i].a = a;
	p->hole[i].b = b;
}

static void drop_hole(struct peer *p)
{
	p->nhole--;
	memmove(&p->hole[0], &p->hole[1], (size_t)p->nhole * sizeof p->hole[0]);
}

/* The overlap of [a, b) with what is here already, for D-SACK. */
static void note_dup(struct peer *p, uint64_t a, uint64_t b)
{
	if (a < p->rcv_nxt) {
		p->dup_a = a;
		p->dup_b = b < p->rcv_nxt ? b : p->rcv_nxt;
		return;
	}
	for (int i = 0; i < p->nhole; i++) {
		uint64_t lo = a > p->hole[i].a ? a : p->hole[i].a;
		uint64_t hi = b < p->hole[i].b ? b : p->hole[i].b;

		if (lo < hi) {
			p->dup_a = lo;
			p->dup_b = hi;
			return;
		}
	}
}

static void read_app(struct peer *p, uint64_t n)
{
	uint64_t data = p->rcv_nxt - (p->fin_in ? 1 : 0), edge = p->edge;

	p->taken = data - p->taken < n ? data : p->taken + n;
	window(p);
	/* a window update when it is worth one */
	if (p->edge - edge >= p->mss || (p->edge > edge && p->edge - edge >= p->buf / 2))
		ack(p);
	else
		p->edge = edge;
}

/* Payload [a, b) and perhaps a FIN behind it. */
static void text(struct peer *p, const struct tcp_seg *g, int64_t off)
{
	uint64_t a, b;
	bool fin = g->flags & TCP_FIN, in_order;

	if (off + (int64_t)g->len + fin <= (int64_t)p->rcv_nxt) {
		if (off >= 0 && g->len)
			note_dup(p, (uint64_t)off, (uint64_t)off + g->len);
		ack(p);
		return;
	}
	a = (uint64_t)(off < 0 ? 0 : off);
	b = (uint64_t)off + g->len;
	if (b > p->edge)
		bad(p, "sent beyond the window");
	if (b > p->response)
		bad(p, "sent more than the response");
	if (g->len && memcmp(g->data, peer_pat + (uint64_t)off % PAT_PRIME, g->len))
		bad(p, "wrong bytes");
	if (fin && b != p->response)
		bad(p, "FIN before the end of the response");
	note_dup(p, a, b);
	if (fin)
		p->fin_off = b;
	in_order = a <= p->rcv_nxt && !p->nhole;
	if (a > p->rcv_nxt) {
		hold(p, a, b);
		p->latest = a;
	} else if (b > p->rcv_nxt) {
		p->rcv_nxt = b;
	}
	while (p->nhole && p->hole[0].a <= p->rcv_nxt) {
		if (p->hole[0].b > p->rcv_nxt)
			p->rcv_nxt = p->hole[0].b;
		drop_hole(p);
	}
	if (p->fin_off == p->rcv_nxt && !p->fin_in) {
		p->fin_in = true;
		p->rcv_nxt++;
	}
	if (!p->read_every)
		p->taken = p->rcv_nxt - (p->fin_in ? 1 : 0);
	p->segs += g->len > p->mss ? (g->len + p->mss - 1) / p->mss : 1;
	if (!in_order || fin || p->dup_b || p->segs >= p->ack_every || p->unacked == 0)
		ack(p);
	else if (p->t_ack == UINT64_MAX)
		p->t_ack = p->now + p->delack;
	p->unacked = 1;
}

static void synack(struct peer *p, const struct tcp_seg *g)
{
	if ((g->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK) || g->ack != p->isn + 1)
		return;
	p->state = P_OPEN;
	p->irs = g->seq;
	p->sack = p->sack && g->sack_ok;
	p->ts = p->ts && g->ts_ok;
	if (g->wscale < 0)
		p->ws = false;
	p->snd_ws = p->ws ? (uint8_t)g->wscale : 0;
	p->ts_recent = g->tsval;
	p->snd_edge = g->wnd;
	p->smss = (g->mss < p->mss ? g->mss : p->mss) - (p->ts ? 12u : 0);
	p->backoff = 0;
	p->t_rto = UINT64_MAX;
	p->fin_off = UINT64_MAX;
	if (!p->request)
		ack(p);
	send_data(p);
}

static void take_ack(struct peer *p, const struct tcp_seg *g)
{
	uint64_t a = p->snd_una + (uint32_t)(g->ack - (p->isn + 1 + (uint32_t)p->snd_una));

	if ((int32_t)(g->ack - (p->isn + 1 + (uint32_t)p->snd_una)) < 0)
		return;
	if (a > p->snd_max) {
		bad(p, "acknowledged what was not sent");
		return;
	}
	if (a > p->snd_una) {
		p->snd_una = a;
		p->backoff = 0;
		p->t_rto = UINT64_MAX;
		if (p->snd_nxt < a)
			p->snd_nxt = a;
	}
	if (p->fin_out && a > p->request)
		p->fin_acked = true;
	a += (uint64_t)g->wnd << p->snd_ws;
	if (a > p->snd_edge)
		p->snd_edge = a;
}

void peer_input(struct peer *p, const struct tcp_seg *g, uint64_t now)
{
	int64_t off;

	p->now = now;
	if (p->state == P_SYN_SENT) {
		if (g->flags & TCP_RST)
			p->state = P_REFUSED;
		else
			synack(p, g);
		return;
	}
	if (p->state == P_RESET || p->state == P_REFUSED) {
		if (!(g->flags & TCP_RST))
			reset(p);
		return;
	}
	off = (int64_t)p->rcv_nxt + (int32_t)(g->seq - (p->irs + 1 + (uint32_t)p->rcv_nxt));
	if (g->flags & TCP_RST) {
		if (off == (int64_t)p->rcv_nxt || off <= (int64_t)p->edge)
			p->state = P_RESET;
		return;
	}
	if (g->flags & TCP_SYN) {
		ack(p);
		return;
	}
	if (!(g->flags & TCP_ACK)) {
		bad(p, "segment without ACK");
		return;
	}
	if (p->ts && !g->ts_ok)
		bad(p, "segment without timestamp");
	if (p->ts && (int32_t)(g->tsval - p->ts_recent) < 0) { /* PAWS: reordered */
		ack(p);
		return;
	}
	if (off <= (int64_t)p->rcv_nxt)
		p->ts_recent = g->tsval;
	take_ack(p, g);
	if (g->len || g->flags & TCP_FIN)
		text(p, g, off);
	else if (off < (int64_t)p->rcv_nxt)
		ack(p); /* a probe */
	send_data(p);
	if (p->fin_in && p->fin_acked)
		p->state = P_DONE;
}

void peer_timers(struct peer *p, uint64_t now)
{
	p->now = now;
	if (p->state >= P_RESET)
		return;
	if (p->close == PEER_RESETS && now >= p->reset_at && p->state == P_OPEN) {
		reset(p);
		return;
	}
	if (p->t_ack <= now)
		ack(p);
	if (p->t_read <= now) {
		p->t_read = now + p->read_every;
		if (p->state == P_OPEN)
			read_app(p, p->read_chunk);
	}
	if (p->t_rto > now)
		return;
	p->t_rto = UINT64_MAX;
	p->backoff += p->backoff < 6;
	if (p->state == P_SYN_SENT) {
		syn(p);
	} else if (p->snd_una < p->request && p->snd_edge <= p->snd_una) {
		struct tcp_seg g = segment(p, p->snd_una, TCP_ACK); /* window probe: one byte */

		g.data = peer_pat + p->snd_una % PAT_PRIME;
		g.len = 1;
		if (p->snd_max < p->snd_una + 1)
			p->snd_max = p->snd_una + 1;
		p->send(p->ctx, p, &g);
		p->t_rto = now + (PEER_RTO << p->backoff);
	} else if (!p->fin_acked) { /* go back */
		p->snd_nxt = p->snd_una;
		if (p->snd_una <= p->request)
			p->fin_out = false;
		send_data(p);
	}
}

uint64_t peer_next_timer(const struct peer *p)
{
	uint64_t t = p->t_rto;

	if (p->state >= P_DONE)
		return UINT64_MAX;
	t = t < p->t_ack ? t : p->t_ack;
	if (p->state == P_OPEN && (p->rcv_nxt > p->taken || p->edge == p->rcv_nxt))
		t = t < p->t_read ? t : p->t_read;
	if (p->close == PEER_RESETS && p->state == P_OPEN && p->reset_at < t)
		t = p->reset_at;
	return t;
}
