/* tcp_test: the parts of tcp with a closed form, and the shortest possible life of a connection.
 *
 * Long lives under loss are in tcp_sim_test.c, the RFC's rules as packet scripts in scripts/.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/tcp/tcp_priv.h"

/* ---- a stack whose segments are parsed and remembered ---- */

struct rig {
	struct tcp_stack *s;
	struct tcp_conn *c;
	struct tcp_seg out[64];
	int nout, closed, wants, fail;
	enum tcp_reason why;
	uint64_t acked;
	uint32_t rx;
	uint8_t wire[64][TCP_HDR_MAX];
};

static int rig_xmit(void *ctx, const struct tcp_out *o)
{
	struct rig *r = ctx;

	if (r->fail)
		return -105;
	assert_true(r->nout < 64);
	memcpy(r->wire[r->nout], o->hdr, o->hdr_len);
	assert_int_equal(tcp_parse(r->wire[r->nout], o->hdr_len, &r->out[r->nout]), 0);
	r->out[r->nout++].len = o->len;
	return 0;
}

static void *rig_accept(void *ctx, struct tcp_conn *c, const struct tcp_tuple *t)
{
	struct rig *r = ctx;

	(void)t;
	r->c = c;
	return r;
}

static uint32_t rig_rx(void *ctx, struct tcp_conn *c, const uint8_t *p, uint32_t len)
{
	(void)c, (void)p;
	((struct rig *)ctx)->rx += len;
	return len;
}

static void rig_want(void *ctx, struct tcp_conn *c)
{
	(void)c;
	((struct rig *)ctx)->wants++;
}

static void rig_acked(void *ctx, struct tcp_conn *c, uint64_t off)
{
	(void)c;
	((struct rig *)ctx)->acked = off;
}

static void rig_event(void *ctx, struct tcp_conn *c, enum tcp_event ev, enum tcp_reason why)
{
	struct rig *r = ctx;

	(void)c;
	if (ev == TCP_EV_CLOSED) {
		r->closed++;
		r->why = why;
		r->c = NULL;
	}
}

static const struct tcp_ops rig_ops = {rig_xmit, rig_accept, rig_rx,
				       rig_want, rig_acked,  rig_event};

static struct tcp_tuple tuple(uint16_t rport)
{
	struct tcp_tuple t = {.lport = 80, .rport = rport};

	t.local = ipaddr_v4((const uint8_t[]){198, 18, 0, 1});
	t.remote = ipaddr_v4((const uint8_t[]){198, 18, 0, 2});
	return t;
}

static struct tcp_seg segment(uint8_t flags, uint32_t seq, uint32_t ack)
{
	return (struct tcp_seg){.t = tuple(4000),
				.flags = flags,
				.seq = seq,
				.ack = ack,
				.wnd = 65535,
				.wscale = -1,
				.data = (const uint8_t *)""};
}

static void rig_open(struct rig *r, bool sack)
{
	struct tcp_cfg cfg = {.max_conns = 16,
			      .mss = 1460,
			      .max_push = 65000,
			      .timewait_ns = NSEC_PER_SEC,
			      .ports = {80}};
	struct errbuf e;
	struct tcp_seg g = segment(TCP_SYN, 999, 0);

	memset(r, 0, sizeof *r);
	r->s = tcp_stack_new(&cfg, &rig_ops, r, &e);
	assert_non_null(r->s);
	g.mss = 1460;
	g.sack_ok = sack;
	tcp_input(r->s, &g, 0);
	assert_int_equal(r->nout, 1);
	assert_int_equal(r->out[0].flags, TCP_SYN | TCP_ACK);
	assert_int_equal(r->out[0].ack, 1000);
	g = segment(TCP_ACK, 1000, r->out[0].seq + 1);
	tcp_input(r->s, &g, NSEC_PER_MSEC);
	assert_string_equal(tcp_state_name[r->c->state], "ESTABLISHED");
	r->nout = 0;
}

static void rig_ack(struct rig *r, uint64_t off, uint64_t now)
{
	struct tcp_seg g = segment(TCP_ACK, 1000, r->c->iss + 1 + (uint32_t)off);

	tcp_input(r->s, &g, now);
}

static const uint8_t bytes[65536];

static int rig_push(struct rig *r, uint64_t off, uint32_t len, uint64_t now)
{
	struct iovec v = {(void *)bytes, len};

	return tcp_push(r->c, off, &v, 1, len, NULL, now);
}

static void test_life(void **state)
{
	struct rig r;
	struct tcp_want w;
	struct tcp_seg g;

	(void)state;
	rig_open(&r, true);
	tcp_avail(r.c, 20000);
	assert_int_equal(r.wants, 1);
	assert_true(tcp_next(r.c, &w));
	assert_int_equal(w.off, 0);
	assert_int_equal(w.len, 14600); /* IW10 */
	assert_false(w.rexmit);
	assert_int_equal(rig_push(&r, 0, 14600, 2 * NSEC_PER_MSEC), 14600);
	assert_false(tcp_next(r.c, &w));
	rig_ack(&r, 14600, 3 * NSEC_PER_MSEC);
	assert_int_equal(r.acked, 14600);
	assert_true(tcp_next(r.c, &w));
	assert_int_equal(w.len, 5400);
	tcp_end(r.c);
	assert_int_equal(rig_push(&r, 14600, 5400, 4 * NSEC_PER_MSEC), 5400);
	assert_true(r.out[r.nout - 1].flags & TCP_FIN); /* rides on the last bytes */
	rig_ack(&r, 20001, 5 * NSEC_PER_MSEC);
	assert_int_equal(r.acked, 20000);
	assert_string_equal(tcp_state_name[r.c->state], "FIN_WAIT_2");
	g = segment(TCP_FIN | TCP_ACK, 1000, r.c->iss + 20002);
	tcp_input(r.s, &g, 6 * NSEC_PER_MSEC);
	assert_int_equal(r.closed, 1);
	assert_int_equal(r.why, TCP_R_DONE);
	assert_int_equal(r.s->tw_n, 1);
	tcp_timers(r.s, 2 * NSEC_PER_SEC);
	assert_int_equal(r.s->tw_n, 0);
	assert_int_equal(r.s->nfree_chunk, r.s->nchunks);
	tcp_stack_free(r.s);
}

static void test_rto(void **state)
{
	struct rig r;
	struct tcp_want w;
	uint64_t t = 2 * NSEC_PER_MSEC, due;

	(void)state;
	rig_open(&r, false);
	tcp_avail(r.c, 4000);
	assert_true(tcp_next(r.c, &w));
	assert_int_equal(rig_push(&r, 0, 4000, t), 4000);
	due = t + tcp_rto(r.c);
	tcp_timers(r.s, due - NSEC_PER_MSEC);
	assert_false(tcp_next(r.c, &w));
	tcp_timers(r.s, due + NSEC_PER_MSEC);
	assert_true(tcp_next(r.c, &w));
	assert_true(w.rexmit);
	assert_int_equal(w.off, 0);
	assert_int_equal(w.len, 1460);
	assert_false(tcp_next(r.c, &w));
	assert_int_equal(rig_push(&r, 0, 1460, due + 2 * NSEC_PER_MSEC), 1460);
	assert_int_equal(rig_push(&r, 0, 1460, due + 2 * NSEC_PER_MSEC), 0); /* not needed twice */
	rig_ack(&r, 1460, due + 3 * NSEC_PER_MSEC);
	assert_true(tcp_next(r.c, &w));
	assert_int_equal(w.off, 1460);
	assert_int_equal(w.len, 2540);
	tcp_stack_free(r.s);
}

/* New data and a retransmission leave in one turn, at one time, the new data first: when it arrives
 * the retransmission, which is behind it on the wire, is not lost again. */
static void test_same_instant(void **state)
{
	struct rig r;
	struct tcp_want w;
	struct tcp_seg g;
	uint64_t t = 12 * NSEC_PER_MSEC;

	(void)state;
	rig_open(&r, true);
	tcp_avail(r.c, 30000);
	assert_int_equal(rig_push(&r, 0, 14600, t - 10 * NSEC_PER_MSEC), 14600);
	g = segment(TCP_ACK, 1000, r.c->iss + 1);
	g.nsack = 1;
	g.sack[0].start = r.c->iss + 1 + 1460;
	g.sack[0].end = r.c->iss + 1 + 7300;
	tcp_input(r.s, &g, t);
	assert_int_equal(r.c->ca_state, CA_RECOVERY);
	r.c->cwnd = 100000;
	assert_int_equal(rig_push(&r, 14600, 1460, t), 1460);
	assert_true(tcp_next(r.c, &w));
	assert_true(w.rexmit && w.off == 0 && w.len == 1460);
	assert_int_equal(rig_push(&r, 0, 1460, t), 1460);
	g.sack[0].end = r.c->iss + 1 + 16060;
	tcp_input(r.s, &g, t + 10 * NSEC_PER_MSEC);
	assert_int_equal(r.c->need, 0);
	assert_int_equal(r.c->retrans, 1460);
	tcp_stack_free(r.s);
}

static void test_unwrap(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	for (int i = 0; i < 100000; i++) {
		uint32_t isn = (uint32_t)rng_u64(&rng);
		uint64_t ref = rng_below(&rng, 1ull << 40);
		int64_t off = (int64_t)ref + (int64_t)rng_below(&rng, 1u << 31) - (1 << 30);

		assert_true(tcp_unwrap(isn, ref, isn + 1 + (uint32_t)off) == off);
	}
}

/* RFC 6298 2 by hand, in double */
static void test_rto_estimator(void **state)
{
	struct rig r;
	double srtt = 0, var = 0;
	struct rng rng;

	(void)state;
	rig_open(&r, true);
	r.c->srtt_us = 0;
	assert_int_equal(tcp_rto(r.c), NSEC_PER_SEC);
	rng_seed(&rng, 2);
	for (int i = 0; i < 1000; i++) {
		double us = 50000 + (double)rng_below(&rng, 400000), want;

		if (i == 0) {
			srtt = us;
			var = us / 2;
		} else {
			var = 0.75 * var + 0.25 * fabs(srtt - us);
			srtt = 0.875 * srtt + 0.125 * us;
		}
		tcp_rtt_sample(r.c, (uint64_t)us * 1000);
		want = srtt + fmax(200000, 4 * var);
		assert_true(fabs((double)tcp_rto(r.c) / 1000 - want) < 100);
	}
	r.c->backoff = 3;
	assert_int_equal(tcp_rto_backed(r.c), tcp_rto(r.c) * 8);
	tcp_stack_free(r.s);
}

/* The window follows RFC 9438 figure 1 when every round trip acknowledges one window. */
static void test_cubic(void **state)
{
	struct rig r;
	const double rtt = 0.1, w_max = 1000;
	double k = cbrt(w_max * 0.3 / 0.4), worst = 0;

	(void)state;
	assert_true(fabs(tcp_cubic_k(w_max, 700) - k) < 1e-9);
	assert_true(fabs(tcp_cubic_window(w_max, k, 0) - 700) < 1e-6);
	rig_open(&r, true);
	r.c->cwnd = 1000u * r.c->mss;
	r.c->srtt_us = 100000;
	r.c->cubic.w_max = 0;
	r.c->ssthresh = r.c->cwnd = tcp_cubic_ssthresh(r.c, r.c->cwnd);
	assert_true(r.c->cwnd + 1 >= 700u * r.c->mss);
	for (int i = 0; i < 200; i++) { /* 20 s: over the plateau and beyond */
		double want = tcp_cubic_window(w_max, k, i * rtt),
		       got = (double)r.c->cwnd / r.c->mss;

		if (i > 2)
			worst = fmax(worst, fabs(got / want - 1));
		for (int n = 0; n < 50; n++) {
			r.s->now += (uint64_t)(rtt * 1e9 / 50);
			tcp_cubic_acked(r.c, r.c->cwnd / 50);
		}
	}
	assert_true(worst < 0.02);
	tcp_stack_free(r.s);
}

/* Segments won in 20 round trips right after a loss, far below the old window. */
static double cubic_gain(uint32_t rtt_us)
{
	struct rig r;
	double was, gain;

	rig_open(&r, true);
	r.c->cwnd = 100u * r.c->mss;
	r.c->srtt_us = rtt_us;
	r.c->ssthresh = r.c->cwnd = tcp_cubic_ssthresh(r.c, r.c->cwnd);
	was = r.c->cwnd;
	for (int i = 0; i < 20 * 10; i++) {
		r.s->now += rtt_us * NSEC_PER_USEC / 10;
		tcp_cubic_acked(r.c, r.c->cwnd / 10);
	}
	gain = (r.c->cwnd - was) / r.c->mss;
	tcp_stack_free(r.s);
	return gain;
}

static void test_cubic_short(void **state)
{
	(void)state;
	assert_true(fabs(cubic_gain(100) - 20 * 70. / 80) < 2.5);
	assert_true(fabs(cubic_gain(10000) - 20 * 0.53 * 70. / 75) < 1.5);
}

/* One round trip of full use, ten ACKs, each with this RTT. */
static void slow_start_round(struct tcp_conn *c, uint64_t rtt_ms)
{
	uint32_t n = c->cwnd / 10;

	for (int i = 0; i < 10; i++) {
		struct tcp_acked a = {
			.cum = n, .una_moved = true, .rtt_ns = rtt_ms * NSEC_PER_MSEC};

		c->snd_una += n;
		c->snd_nxt = c->snd_una + c->cwnd;
		c->peak = c->cwnd;
		tcp_cc_acked(c, &a);
	}
}

/* RFC 9406: a round trip longer by an eighth (at least 4 ms) slows slow start down; if it was a
 * blip it goes on, else five rounds later it is over. */
static void test_hystart(void **state)
{
	struct rig r;
	uint32_t w;

	(void)state;
	rig_open(&r, true);
	for (int i = 0; i < 3; i++) {
		w = r.c->cwnd;
		slow_start_round(r.c, 40);
		assert_true(r.c->cwnd >= 2 * w - w / 10 - 10);
	}
	slow_start_round(r.c, 44); /* the threshold is 5 ms */
	assert_false(r.c->flags & CF_CSS);
	slow_start_round(r.c, 50);
	slow_start_round(r.c, 50);
	assert_true(r.c->flags & CF_CSS);
	slow_start_round(r.c, 44);
	assert_false(r.c->flags & CF_CSS);
	slow_start_round(r.c, 60);
	slow_start_round(r.c, 60);
	assert_true(r.c->flags & CF_CSS);
	w = r.c->cwnd;
	slow_start_round(r.c, 60);
	assert_true(r.c->cwnd < w * 4 / 3);
	for (int i = 0; i < 6; i++)
		slow_start_round(r.c, 60);
	assert_true(r.c->flags & CF_HYSTART_OFF);
	assert_true(r.c->ssthresh <= r.c->cwnd);
	tcp_stack_free(r.s);
}

/* The vector of the SipHash paper's appendix A */
static void test_siphash(void **state)
{
	const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	uint8_t m[15];

	(void)state;
	for (int i = 0; i < 15; i++)
		m[i] = (uint8_t)i;
	assert_true(tcp_siphash(key, m, sizeof m) == 0xa129ca6149be45e5);
}

static void test_parse(void **state)
{
	uint8_t h[60] = {0, 80, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0xb0, TCP_SYN, 1, 0};
	const uint8_t opt[24] = {2,  4, 5, 180, 1, 3, 3, 99, 4, 2,  8,
				 10, 0, 0, 0,	7, 0, 0, 0,  9, 77, 0};
	struct tcp_seg g;

	(void)state;
	memcpy(h + 20, opt, sizeof opt);
	assert_int_equal(tcp_parse(h, 44, &g), 0);
	assert_int_equal(g.mss, 1460);
	assert_int_equal(g.wscale, 14);
	assert_true(g.sack_ok && g.ts_ok);
	assert_int_equal(g.tsval, 7);
	assert_int_equal(g.len, 0);
	assert_int_equal(tcp_parse(h, 43, &g), -22); /* options past the end */
	assert_int_equal(tcp_parse(h, 19, &g), -22);
	h[12] = 0x40;
	assert_int_equal(tcp_parse(h, 44, &g), -22);
}

/* Random deadlines fire once each, in order, never early, at most a tick late. */
static void test_wheel(void **state)
{
	struct tcp_cfg cfg = {.max_conns = 512, .ports = {80}};
	struct rig r = {0};
	struct tcp_stack *s = tcp_stack_new(&cfg, &rig_ops, &r, NULL);
	struct rng rng;
	uint64_t at[512], now = 0, last = 0;
	int left = 512;

	(void)state;
	rng_seed(&rng, 3);
	for (int i = 0; i < 512; i++) {
		struct tcp_tuple t = tuple((uint16_t)(1000 + i));
		struct tcp_conn *c = tcp_conn_new(s, &t, tcp_hash(s, &t));

		c->state = TS_ESTABLISHED;
		at[i] = rng_below(&rng, 1ull << (20 + rng_below(&rng, 25)));
		tcp_due(c, DL_ACK, at[i]);
	}
	while (left) {
		uint64_t next = tcp_next_timer(s);

		assert_true(next != NEVER && next > last);
		last = now = next;
		tcp_timers(s, now);
		for (int i = 0; i < 512; i++) {
			bool fired = s->conns[i].due[DL_ACK] == NEVER;

			if (at[i] != NEVER && fired) {
				assert_true(at[i] <= now && at[i] + (2 << WHEEL_SHIFT) > now);
				at[i] = NEVER;
				left--;
				r.nout = 0;
			}
			assert_true(fired == (at[i] == NEVER));
		}
	}
	assert_true(tcp_next_timer(s) == NEVER);
	tcp_stack_free(s);
}

static void test_pacing(void **state)
{
	struct tcp_stack s = {.cfg = {.pacing = true, .mss = 1460, .max_push = 65000}};
	struct tcp_conn c = {
		.s = &s, .mss = 1460, .cwnd = 146000, .ssthresh = 146000, .srtt_us = 10000};

	(void)state;
	assert_int_equal(tcp_cc_pacing(&c), 14600000 * 2);
	c.cwnd = 70000; /* slow start */
	assert_int_equal(tcp_cc_pacing(&c), 7000000 * 4);
	s.st.conns = 9;
	assert_int_equal(tcp_cc_pacing(&c), 7000000 * 2);
	s.st.conns = 8;
	c.rack_rtt_us = 20000; /* the newest round trip was a long one: the average counts */
	assert_int_equal(tcp_cc_pacing(&c), 7000000 * 4);
	c.rack_rtt_us = 5000; /* the average was spoilt */
	assert_int_equal(tcp_cc_pacing(&c), 14000000 * 4);
	assert_int_equal(tcp_frame_max(&c), 65000);
	c.rack_rtt_us = 100; /* too short to be paced: two segments a window */
	assert_int_equal(tcp_cc_pacing(&c), 0);
	assert_int_equal(tcp_frame_max(&c), 23 * 1460);
	c.cwnd = 2000;
	assert_int_equal(tcp_frame_max(&c), 1460);
	c.cwnd = 140000;
	assert_int_equal(tcp_frame_max(&c), 65000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),	cmocka_unit_test(test_rto),
		cmocka_unit_test(test_unwrap),	cmocka_unit_test(test_rto_estimator),
		cmocka_unit_test(test_cubic),	cmocka_unit_test(test_same_instant),
		cmocka_unit_test(test_hystart), cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_parse),	cmocka_unit_test(test_wheel),
		cmocka_unit_test(test_pacing),	cmocka_unit_test(test_cubic_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
