/* tcp_input_fuzz: a sequence of segments, clock steps and calls of the application, from bytes.
 *
 * Numbers are taken near the connection's own marks, or nothing would ever be acceptable. After
 * each step every invariant is recomputed; at the end the stack must have got everything back.
 *
 * Input: steps of 12 bytes: what, flags, connection, length, seq and ack deltas, window, options.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stacks/atlas/tcp/tcp_priv.h"

#define CONNS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct tcp_stack *s;
	struct tcp_conn *c[CONNS];
	int accepted, closed;
	uint8_t mood; /* of hooks: bits for refusals */
	uint64_t now;
};

static uint8_t payload[65536];

static void check(bool ok, const char *why)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", why);
	abort();
}

static int on_xmit(void *ctx, const struct tcp_out *o)
{
	struct fuzz *f = ctx;
	struct tcp_seg g;
	uint32_t n = 0;

	check(!tcp_parse(o->hdr, o->hdr_len, &g), "a header that does not parse");
	for (int i = 0; i < o->niov; i++)
		n += (uint32_t)o->iov[i].iov_len;
	check(n == o->len, "pieces and length differ");
	return f->mood & 1 ? -105 : 0;
}

static void *on_accept(void *ctx, struct tcp_conn *c, const struct tcp_tuple *t)
{
	struct fuzz *f = ctx;

	if (f->mood & 2)
		return NULL;
	f->accepted++;
	f->c[t->rport % CONNS] = c;
	return &f->c[t->rport % CONNS];
}

static uint32_t on_rx(void *ctx, struct tcp_conn *c, const uint8_t *p, uint32_t len)
{
	struct fuzz *f = ctx;

	for (uint32_t i = 0; i < len; i++) /* every byte must be readable */
		f->now += p[i] >> 8;
	if (f->mood & 4)
		tcp_abort(c);
	return f->mood & 8 ? len / 2 : len;
}

static void on_want(void *ctx, struct tcp_conn *c)
{
	struct fuzz *f = ctx;
	struct tcp_want w;

	for (int i = 0; i < 8 && tcp_next(c, &w); i++) {
		struct iovec v = {payload, w.len < sizeof payload ? w.len : sizeof payload};

		check(w.len > 0, "nothing is wanted");
		if (f->mood & 16) {
			tcp_unwant(c, &w);
			return;
		}
		if (tcp_push(c, w.off, &v, 1, (uint32_t)v.iov_len, NULL, f->now) <= 0)
			return;
	}
}

static void on_acked(void *ctx, struct tcp_conn *c, uint64_t off)
{
	(void)ctx, (void)c, (void)off;
}

static void on_event(void *ctx, struct tcp_conn *c, enum tcp_event ev, enum tcp_reason why)
{
	struct fuzz *f = ctx;
	struct tcp_conn **slot = tcp_user(c);

	(void)why;
	check(*slot == c, "an event of a connection that is gone");
	if (ev != TCP_EV_CLOSED)
		return;
	f->closed++;
	*slot = NULL;
}

static const struct tcp_ops fuzz_ops = {on_xmit, on_accept, on_rx, on_want, on_acked, on_event};

static void segment(struct fuzz *f, const uint8_t *b, uint16_t port)
{
	struct tcp_conn *c = f->c[port % CONNS];
	int8_t ds = (int8_t)b[4], da = (int8_t)b[5];
	struct tcp_seg g = {.flags = b[1], .wnd = (uint16_t)(b[6] << 8 | b[7]), .wscale = -1};

	g.t.lport = b[0] & 0x40 ? 81 : 80;
	g.t.rport = port;
	g.len = (uint32_t)b[3] * (b[8] & 1 ? 16 : 1);
	g.data = payload;
	g.seq = (uint32_t)ds;
	g.ack = (uint32_t)da;
	if (c) {
		g.seq = c->irs + 1 + (uint32_t)c->rcv_nxt + (uint32_t)ds * (b[8] & 2 ? 100 : 1);
		g.ack = tcp_seq(c, b[8] & 4 ? c->snd_una : c->snd_nxt) +
			(uint32_t)da * (b[8] & 8 ? 100 : 1);
		g.tsecr = tcp_ts_now(c) - b[10];
		g.tsval = c->ts_recent + (uint32_t)(int8_t)b[9];
		for (int i = 0; i < (b[11] & 3); i++) {
			g.sack[i].start = tcp_seq(c, c->snd_una) + b[9] * (uint32_t)(i + 1) * 16;
			g.sack[i].end = g.sack[i].start + b[10] * 16u;
			g.nsack++;
		}
	}
	g.ts_ok = b[8] & 16;
	if (g.flags & TCP_SYN) {
		g.sack_ok = b[8] & 32;
		g.mss = b[11];
		g.wscale = b[8] & 64 ? (int8_t)(b[9] % 15) : -1;
	}
	tcp_input(f->s, &g, f->now);
}

static void step(struct fuzz *f, const uint8_t *b)
{
	uint16_t port = (uint16_t)(1000 + b[2] % CONNS);
	struct tcp_conn *c = f->c[port % CONNS];
	struct tcp_tuple t = {.lport = 80, .rport = port};

	f->mood = b[0] & 0x80 ? b[6] & 31 : 0;
	switch (b[0] & 15) {
	case 0:
		f->now += (uint64_t)b[4] << (10 + b[5] % 26);
		tcp_timers(f->s, f->now);
		break;
	case 1:
		if (c)
			tcp_avail(c, c->avail_end + b[4] * 256u);
		break;
	case 2:
		if (c)
			tcp_end(c);
		break;
	case 3:
		if (c && b[4] > 200)
			tcp_abort(c);
		break;
	case 4:
		if (c)
			tcp_rx_resume(c);
		break;
	case 5:
		tcp_flush_acks(f->s, f->now);
		break;
	case 6:
		if (c)
			tcp_pmtu(f->s, &t, tcp_seq(c, c->snd_una + b[5]),
				 (uint16_t)(b[6] << 8 | b[7]));
		break;
	default:
		segment(f, b, port);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_cfg cfg = {.max_conns = 3,
			      .mss = 1460,
			      .timewait_ns = NSEC_PER_SEC,
			      .idle_ns = 100 * NSEC_PER_SEC,
			      .rcv_wnd = 20000,
			      .ports = {80}};
	struct fuzz f = {.now = NSEC_PER_SEC};

	if (size < 1)
		return 0;
	cfg.max_push = data[0] & 1 ? 60000 : 0;
	cfg.pacing = data[0] & 2;
	cfg.cc = data[0] & 4 ? TCP_CC_NEWRENO : TCP_CC_CUBIC;
	cfg.max_chunks = data[0] & 8 ? 24 : 512;
	f.s = tcp_stack_new(&cfg, &fuzz_ops, &f, NULL);
	for (data++, size--; size >= 12; data += 12, size -= 12) {
		step(&f, data);
		for (int i = 0; i < CONNS; i++) {
			const char *why =
				f.c[i] && f.c[i]->state != TS_CLOSED ? tcp_check(f.c[i]) : NULL;

			check(!why, why);
		}
	}
	f.mood = 0;
	for (int i = 0; i < 100000 && tcp_next_timer(f.s) != NEVER; i++) { /* let it run out */
		f.now = max64(f.now, tcp_next_timer(f.s));
		tcp_timers(f.s, f.now);
	}
	check(tcp_next_timer(f.s) == NEVER, "a timer that never ends");
	check(f.accepted == f.closed, "a connection that was not closed, or closed twice");
	check(f.s->nfree_chunk == f.s->nchunks && f.s->nfree_rxblk == f.s->nrxblks, "leak");
	tcp_stack_free(f.s);
	return 0;
}
