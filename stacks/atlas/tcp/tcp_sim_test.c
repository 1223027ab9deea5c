/* tcp_sim_test: the engine against testpeer over a bad network, in virtual time.
 *
 * A scenario is a number: the seed decides the link (delay, jitter, loss, bursts, reordering,
 * duplication, rate, queue, ACK compression, segmentation), the peers (options, windows down to a
 * few bytes, ways to acknowledge and to close) and the source (disk delay, capacity, pieces,
 * refusals, ENOBUFS). It ends when nothing can happen any more; then every byte must have been
 * delivered exactly once, or the connection reset by someone entitled to it, TCP_EV_CLOSED told
 * once for each connection, and no chunk, block, timer or TIME_WAIT entry left. All counts over the
 * scoreboard are recomputed from scratch along the way.
 *
 *     tcp_sim_test            DCN_SIM_N scenarios (default 10,000; fewer under a sanitizer)
 *     tcp_sim_test SEED       one scenario, with a trace
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stacks/atlas/tcp/testsim.h"

#define MAX_TIME (7200 * NSEC_PER_SEC)

#if defined(__SANITIZE_ADDRESS__)
#define DEFAULT_N 1000
#else
#define DEFAULT_N 10000
#endif

/* Nothing is late, out of order or doubled: whatever is missing is lost. */
static bool orderly(const struct link *l)
{
	return !l->jitter && l->reorder <= 0 && l->dup <= 0 && !l->compress && !l->ns_per_byte;
}

/* Only losses of data, and every peer says what has arrived: no reaction can be wrong. (Without
 * SACK our own duplicates look like losses; to_server() judges what is taken back then.) */
static bool certain(void)
{
	for (int i = 0; i < sim.napps; i++)
		if (!sim.app[i].p.sack)
			return false;
	return orderly(&sim.up) && sim.up.loss <= 0 && sim.up.burst_enter <= 0 &&
	       orderly(&sim.down);
}

static void check_end(void)
{
	struct tcp_stack *s = sim.s;

	for (int i = 0; i < sim.napps; i++) {
		struct app *a = &sim.app[i];
		struct peer *p = &a->p;
		bool resets = p->close == PEER_RESETS || a->abort_at;

		if (p->bad)
			sim_bad(p->bad);
		if (p->state == P_REFUSED && !a->closed)
			continue;
		if (a->closed != 1)
			sim_bad("TCP_EV_CLOSED not told exactly once");
		if (p->state == P_DONE && p->rcv_nxt != p->response + 1)
			sim_bad("response incomplete");
		if (a->why == TCP_R_DONE && (p->rcv_nxt < p->response || a->rx != p->request) &&
		    !resets)
			sim_bad("closed as done, but bytes are missing");
		if (a->why != TCP_R_DONE && !resets && !sim.heavy) {
			if (sim.trace)
				printf("conn %d: reason %d, peer state %d\n", i, a->why, p->state);
			sim_bad("reset for no reason");
		}
	}
	if (certain() && s->st.spurious)
		sim_bad("took back a reaction where nothing but losses happen");
	if (s->nfree_chunk != s->nchunks)
		sim_bad("chunk leaked");
	if (s->nfree_rxblk != s->nrxblks)
		sim_bad("reassembly block leaked");
	if (s->st.conns || s->tw_n || tcp_next_timer(s) != NEVER)
		sim_bad("connection or timer left");
}

/* ---- scenario ---- */

/* Up to max, spread over orders of magnitude, the large ones more often. */
static uint32_t log_size(uint32_t max)
{
	double u = rng_unit(&sim.rng);

	return (uint32_t)(max * (sim_rnd(3) ? u : u * u * u * u * u * u));
}

static void make_link(struct link *l, bool data)
{
	l->delay = sim_rnd(3) ? sim_rnd(50 * MS) : sim_rnd(MS);
	if (!sim_rnd(3))
		l->jitter = sim_rnd(l->delay + 1);
	if (sim_rnd(2))
		l->loss = rng_unit(&sim.rng) * (sim_rnd(4) ? 0.03 : 0.2);
	if (!sim_rnd(4))
		l->burst_enter = 0.005, l->burst_leave = 0.3;
	if (!sim_rnd(3)) {
		l->reorder = rng_unit(&sim.rng) * 0.2;
		l->reorder_by = 1 + sim_rnd(l->delay * 2 + MS);
	}
	if (!sim_rnd(4))
		l->dup = rng_unit(&sim.rng) * 0.1;
	if (data && !sim_rnd(3)) {
		l->ns_per_byte = 8 + sim_rnd(4000);
		l->queue = 3000 + (uint32_t)sim_rnd(200000);
	}
	if (!data && !sim_rnd(4))
		l->compress = 1 + sim_rnd(30 * MS);
	if (!data && !sim_rnd(8))
		l->loss = 0.5; /* ACK loss */
	sim.heavy |= l->loss > 0.1 || l->burst_enter > 0;
}

static void make_peer(struct app *a, int i)
{
	struct peer *p = &a->p;

	*p = (struct peer){.ctx = a, .send = sim_peer_send};
	p->t = (struct tcp_tuple){.lport = 80, .rport = (uint16_t)(5000 + i)};
	p->t.local = ipaddr_v4((const uint8_t[]){198, 18, 0, 1});
	p->t.remote = ipaddr_v4((const uint8_t[]){198, 18, 0, 2});
	p->sack = sim_rnd(5);
	p->dsack = sim_rnd(3);
	p->ts = sim_rnd(3);
	p->ws = sim_rnd(4);
	p->wscale = (int8_t)sim_rnd(9);
	p->mss = sim_rnd(4) ? 1460 : (uint16_t)(100 + sim_rnd(1360));
	p->buf =
		sim_rnd(3) ? 65536u << sim_rnd(4) : 1 + log_size(32768) + (sim_rnd(2) ? p->mss : 0);
	p->buf = max32(p->buf, p->ws ? 1u << p->wscale : 1);
	p->ack_every = sim_rnd(3) ? 1 + (uint32_t)sim_rnd(2) : 1 + (uint32_t)sim_rnd(64);
	p->delack = 1 + sim_rnd(100 * MS);
	if (!sim_rnd(4)) {
		p->read_every = MS + sim_rnd(sim_rnd(8) ? 20 * MS : 3000 * MS);
		p->read_chunk = max32(p->buf / 4, 16) + (uint32_t)sim_rnd(p->buf);
	}
	p->request = sim_rnd(8) ? 1 + log_size(16384) : 0;
	p->response = log_size(p->buf < 4096 ? 16384 : 262144);
	if (p->read_every > 50 * MS || p->buf < 512 || sim.down.ns_per_byte > 1000)
		p->response /= 16;
	p->close = (enum peer_close)sim_rnd(3);
	p->isn = (uint32_t)rng_u64(&sim.rng);
	p->ts_off = (uint32_t)rng_u64(&sim.rng);
	if (!sim_rnd(12)) {
		p->close = PEER_RESETS;
		p->reset_at = sim_rnd(2000 * MS);
	}
	if (!sim_rnd(16)) {
		a->abort_at = 1 + sim_rnd(2000 * MS);
		sim_event(a->abort_at, EV_WAKE, a);
	}
	a->m = &sim;
}

static bool make(uint64_t seed, bool with_trace)
{
	struct tcp_cfg cfg = {.max_conns = MAX_CONNS,
			      .mss = 1460,
			      .timewait_ns = NSEC_PER_SEC,
			      .idle_ns = 300 * NSEC_PER_SEC,
			      .ports = {80}};

	sim_reset(seed, with_trace);
	sim.segment = sim_rnd(2);
	if (sim_rnd(8)) {
		make_link(&sim.up, false);
		make_link(&sim.down, true);
	}
	sim.nobufs = sim_rnd(4) ? 0 : rng_unit(&sim.rng) * 0.1;
	sim.refuse_rx = sim_rnd(4) ? 0 : rng_unit(&sim.rng) * 0.5;
	sim.refuse_read = sim_rnd(4) ? 0 : rng_unit(&sim.rng) * 0.3;
	sim.read_delay = sim_rnd(3) ? sim_rnd(3 * MS) : 0;
	sim.max_push = sim_rnd(3) ? 65000 : 1460 + (uint32_t)sim_rnd(20000);
	sim.pull = min32(sim.max_push, sim_rnd(2) ? 49152 : 500 + (uint32_t)sim_rnd(16384));
	sim.min_pull = sim_rnd(2) ? 0 : (uint32_t)sim_rnd(32768);
	cfg.max_push = sim.max_push;
	cfg.cc = sim_rnd(3) ? TCP_CC_CUBIC : TCP_CC_NEWRENO;
	cfg.pacing = sim_rnd(2);
	cfg.rcv_wnd = sim_rnd(2) ? 65536 : 1000 + (uint32_t)sim_rnd(400000);
	cfg.max_chunks = sim_rnd(4) ? 2048 : 8 + (uint32_t)sim_rnd(40);
	cfg.isn_secret[0] = rng_u64(&sim.rng);
	sim.napps = 1 + (int)sim_rnd(MAX_CONNS);
	sim.s = tcp_stack_new(&cfg, &app_ops, &sim, NULL);
	for (int i = 0; i < sim.napps; i++) {
		make_peer(&sim.app[i], i);
		sim_event(sim_rnd(20 * MS), EV_SERVE, &sim.app[i]); /* doubles as the start */
	}
	return sim.s != NULL;
}

static uint64_t next_time(void)
{
	uint64_t t = sim.nheap ? sim.heap[0]->at : NEVER;

	t = min64(t, tcp_next_timer(sim.s));
	for (int i = 0; i < sim.napps; i++)
		if (sim.app[i].p.now || sim.app[i].p.t_rto)
			t = min64(t, peer_next_timer(&sim.app[i].p));
	return t;
}

static void check_conn(const struct tcp_conn *c)
{
	const char *why = c && c->state != TS_CLOSED ? tcp_check(c) : NULL;

	if (why)
		sim_bad(why);
}

/* A reaction that was taken back was not to a loss: the first byte that was missing then had
 * arrived the first time it was sent. (Where the network repeats segments or lets them pass each
 * other a reaction to one segment may be taken back while another one is lost, and a repeated
 * retransmission looks like a needless one.) */
static void to_server(struct app *a, const struct tcp_seg *g)
{
	uint64_t was = sim.s->st.spurious, una = a->c ? a->c->snd_una : 0;

	tcp_input(sim.s, g, sim.now);
	if (sim.s->st.spurious > was && sim.up.dup + sim.down.dup + sim.down.reorder <= 0 &&
	    una < a->seen && a->first_lost[una / 8] >> una % 8 & 1)
		sim_bad("took back the reaction to a true loss");
}

static void dispatch(struct ev *e)
{
	struct app *a = e->a;

	switch (e->kind) {
	case EV_TO_SERVER:
		to_server(a, &e->g);
		break;
	case EV_TO_PEER:
		peer_input(&a->p, &e->g, sim.now);
		break;
	case EV_READ:
		app_read_done(a, e->g.seq, e->g.len, e->g.flags);
		break;
	case EV_SERVE:
		if (!a->p.t_rto && !a->p.now)
			peer_start(&a->p, sim.now);
		else
			app_serve(a);
		break;
	case EV_WAKE:
		app_wake(a);
		break;
	}
}

static struct tcp_stats sum;

static void total(const struct tcp_stats *st)
{
	const uint64_t *from = (const uint64_t *)st;
	uint64_t *to = (uint64_t *)&sum;

	for (size_t i = 0; i < sizeof sum / sizeof *to; i++)
		to[i] += from[i];
}

/* What the scenarios have exercised; nothing here may be rare. */
static void check_coverage(void)
{
	fprintf(stderr,
		"%llu connections, %llu MB, retransmitted %llu KB in %llu, %llu RTO, %llu TLP, "
		"%llu recoveries, %llu spurious, %llu probes, %llu challenge ACKs, %llu PAWS, %llu "
		"out of order, %llu timeouts\n",
		(unsigned long long)sum.accepted, (unsigned long long)sum.bytes_out >> 20,
		(unsigned long long)sum.bytes_rexmit >> 10, (unsigned long long)sum.segs_rexmit,
		(unsigned long long)sum.rto_fired, (unsigned long long)sum.tlp_fired,
		(unsigned long long)sum.fast_recoveries, (unsigned long long)sum.spurious,
		(unsigned long long)sum.zero_window_probes, (unsigned long long)sum.challenge_acks,
		(unsigned long long)sum.paws_drops, (unsigned long long)sum.ooo_segs_in,
		(unsigned long long)sum.timeouts);
	assert_true(sum.rto_fired && sum.tlp_fired && sum.fast_recoveries && sum.spurious &&
		    sum.zero_window_probes && sum.challenge_acks && sum.ooo_segs_in);
}

static const char *run(uint64_t seed, bool with_trace)
{
	if (!make(seed, with_trace))
		return "no memory";
	while (!sim.bad) {
		uint64_t t = next_time();

		if (t == NEVER)
			break;
		sim.now = max64(sim.now, t);
		if (sim.now > MAX_TIME || ++sim.events > 2000000) {
			sim_bad("does not end");
			break;
		}
		while (sim.nheap && sim.heap[0]->at <= sim.now) {
			struct ev *e = sim_pop();

			dispatch(e);
			sim_free_event(e);
			for (int i = 0; i < sim.napps && !(sim.events & 3); i++)
				check_conn(sim.app[i].c);
		}
		for (int i = 0; i < sim.napps; i++)
			if (sim.app[i].p.now || sim.app[i].p.t_rto)
				peer_timers(&sim.app[i].p, sim.now);
		tcp_timers(sim.s, sim.now);
		tcp_flush_acks(sim.s, sim.now);
	}
	if (!sim.bad)
		check_end();
	total(&sim.s->st);
	tcp_stack_free(sim.s);
	return sim.bad;
}

static uint64_t scenarios = DEFAULT_N;

static void test_scenarios(void **state)
{
	int failed = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= scenarios && failed < 10; seed++) {
		const char *why = run(seed, false);

		if (why) {
			fprintf(stderr, "seed %llu: %s (replay: tcp_sim_test %llu)\n",
				(unsigned long long)seed, why, (unsigned long long)seed);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
	if (scenarios >= 1000)
		check_coverage();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenarios)};
	const char *n = getenv("DCN_SIM_N"), *why;

	peer_pat_init();
	if (argc > 1) {
		why = run(strtoull(argv[1], NULL, 10), true);
		printf("%s\n", why ? why : "ok");
		return why != NULL;
	}
	if (n)
		scenarios = strtoull(n, NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
