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

#include "base/rng.h"
#include "stacks/atlas/tcp/tcp_priv.h"
#include "stacks/atlas/tcp/testpeer.h"

#define MS	   NSEC_PER_MSEC
#define MAX_CONNS  4
#define MAX_EVENTS 65536
#define MAX_READS  64
#define MAX_TIME   (7200 * NSEC_PER_SEC)

#if defined(__SANITIZE_ADDRESS__)
#define DEFAULT_N 1000
#else
#define DEFAULT_N 10000
#endif

struct read { /* one read of the source, under way or done */
	uint64_t off;
	uint32_t len;
	bool rexmit, done;
	struct tcp_want want;
};

struct app {
	struct sim *m;
	struct tcp_conn *c;
	struct peer p;
	uint64_t rx, end, next_read, read_done_at;
	struct read r[MAX_READS];
	int nr, closed;
	bool queued, started, ended, rx_fin, resume;
	enum tcp_reason why;
	uint64_t abort_at;
	uint32_t acked;
};

struct link {
	double loss, dup, reorder, burst_enter, burst_leave;
	uint64_t delay, jitter, reorder_by, compress, last, busy;
	uint64_t ns_per_byte;
	uint32_t queue;
	bool in_burst;
};

enum ev_kind { EV_TO_SERVER, EV_TO_PEER, EV_READ, EV_SERVE, EV_WAKE };

struct ev {
	uint64_t at, order;
	enum ev_kind kind;
	struct app *a;
	struct tcp_seg g;
	struct ev *next; /* in the free list */
};

struct sim {
	uint64_t seed, now, order, events;
	struct rng rng;
	struct tcp_stack *s;
	struct app app[MAX_CONNS];
	int napps;
	struct link up, down; /* towards the server, towards the peers */
	bool segment, heavy, small_pools, trace;
	double nobufs, refuse_rx, refuse_read;
	uint64_t read_delay;
	uint32_t max_push, pull, min_pull;
	const char *bad;
	struct ev *heap[MAX_EVENTS];
	int nheap;
	struct ev *free;
};

static struct ev pool[MAX_EVENTS];
static struct sim sim;

static uint64_t rnd(uint64_t n)
{
	return rng_below(&sim.rng, n);
}

static bool chance(double p)
{
	return rng_unit(&sim.rng) < p;
}

static void bad(const char *why)
{
	if (!sim.bad)
		sim.bad = why;
}

/* ---- events ---- */

static bool before(const struct ev *a, const struct ev *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static struct ev *event(uint64_t at, enum ev_kind kind, struct app *a)
{
	struct ev *e = sim.free;
	int i = sim.nheap++;

	if (!e) {
		fprintf(stderr, "seed %llu: too many events\n", (unsigned long long)sim.seed);
		abort();
	}
	sim.free = e->next;
	*e = (struct ev){.at = at, .order = sim.order++, .kind = kind, .a = a};
	for (; i && before(e, sim.heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim.heap[i] = sim.heap[(i - 1) / 2];
	sim.heap[i] = e;
	return e;
}

static struct ev *event_pop(void)
{
	struct ev *top = sim.heap[0], *last = sim.heap[--sim.nheap];
	int i = 0, k;

	for (; (k = 2 * i + 1) < sim.nheap; i = k) {
		if (k + 1 < sim.nheap && before(sim.heap[k + 1], sim.heap[k]))
			k++;
		if (before(last, sim.heap[k]))
			break;
		sim.heap[i] = sim.heap[k];
	}
	sim.heap[i] = last;
	return top;
}

static void event_free(struct ev *e)
{
	e->next = sim.free;
	sim.free = e;
}

/* ---- network ---- */

static void trace(const char *dir, const struct app *a, const struct tcp_seg *g, const char *note)
{
	if (!sim.trace)
		return;
	printf("%12.6f %d %s %s%s%s%s%s seq %d len %u ack %d wnd %u", (double)sim.now / 1e9,
	       (int)(a - sim.app), dir, g->flags & TCP_SYN ? "S" : "",
	       g->flags & TCP_FIN ? "F" : "", g->flags & TCP_RST ? "R" : "",
	       g->flags & TCP_PSH ? "P" : "", g->flags & TCP_ACK ? "." : "",
	       (int)(g->seq - (dir[0] == '>' ? a->p.isn : a->p.irs) - 1), g->len,
	       (int)(g->ack - (dir[0] == '>' ? a->p.irs : a->p.isn) - 1), g->wnd);
	for (int i = 0; i < g->nsack; i++)
		printf(" sack %d-%d", (int)(g->sack[i].start - a->p.irs - 1),
		       (int)(g->sack[i].end - a->p.irs - 1));
	printf("%s\n", note);
}

static bool lost(struct link *l)
{
	if (l->in_burst)
		l->in_burst = !chance(l->burst_leave);
	else
		l->in_burst = l->burst_enter > 0 && chance(l->burst_enter);
	return l->in_burst || (l->loss > 0 && chance(l->loss));
}

static void transmit(struct link *l, struct app *a, const struct tcp_seg *g)
{
	enum ev_kind kind = l == &sim.up ? EV_TO_SERVER : EV_TO_PEER;
	uint64_t at = sim.now, copies = 1;

	if (lost(l)) {
		trace(kind == EV_TO_SERVER ? "> lost" : "< lost", a, g, " (lost)");
		return;
	}
	if (l->ns_per_byte) {
		uint64_t start = max64(l->busy, at);

		if ((start - at) / l->ns_per_byte > l->queue)
			return; /* tail drop */
		l->busy = start + (g->len + 60) * l->ns_per_byte;
		at = l->busy;
	}
	at += l->delay + (l->jitter ? rnd(l->jitter) : 0);
	if (l->compress)
		at = (at + l->compress - 1) / l->compress * l->compress;
	if (l->reorder > 0 && chance(l->reorder))
		at += rnd(l->reorder_by);
	else
		at = l->last = max64(at, l->last);
	copies += l->dup > 0 && chance(l->dup);
	while (copies--) {
		struct ev *e = event(at, kind, a);

		e->g = *g;
		at += rnd(2 * l->delay + 1);
	}
}

static void peer_send(void *ctx, struct peer *p, const struct tcp_seg *g)
{
	(void)p;
	trace("> ", ctx, g, "");
	transmit(&sim.up, ctx, g);
}

/* ---- the stack's hooks: network, consumer, source ---- */

static int hook_xmit(void *ctx, const struct tcp_out *o)
{
	struct app *a = NULL;
	struct tcp_seg g;
	uint32_t left = o->len;

	(void)ctx;
	if (sim.nobufs > 0 && chance(sim.nobufs))
		return -105;
	for (int i = 0; i < sim.napps; i++)
		if (sim.app[i].p.t.rport == o->t.rport)
			a = &sim.app[i];
	if (!a || o->len > max32(sim.max_push, 1460)) {
		bad("a segment to nobody, or longer than max_push");
		return 0;
	}
	if (tcp_parse(o->hdr, o->hdr_len, &g)) {
		bad("a header that does not parse");
		return 0;
	}
	g.t = o->t;
	g.data = o->niov ? o->iov[0].iov_base : NULL;
	for (int i = 1; i < o->niov; i++)
		if (o->iov[i].iov_base != (uint8_t *)o->iov[i - 1].iov_base + o->iov[i - 1].iov_len)
			bad("pieces out of order");
	g.len = o->len;
	trace("< ", a, &g, "");
	if (o->len && !o->mss)
		bad("no segment size");
	do {
		struct tcp_seg part = g;
		uint32_t n = sim.segment ? min32(left, o->mss) : left;

		part.data += o->len - left;
		part.seq += o->len - left;
		part.len = n;
		left -= n;
		if (left)
			part.flags &= ~(TCP_FIN | TCP_PSH);
		if (sim.segment && n > a->p.mss - (a->p.ts ? 12u : 0))
			bad("a segment larger than the peer's MSS");
		transmit(&sim.down, a, &part);
	} while (left);
	return 0;
}

static void *hook_accept(void *ctx, struct tcp_conn *c, const struct tcp_tuple *t)
{
	(void)ctx;
	for (int i = 0; i < sim.napps; i++)
		if (sim.app[i].p.t.rport == t->rport) {
			struct app *a = &sim.app[i];

			if (a->c || a->closed) /* a SYN that took its time: nobody is behind it */
				return NULL;
			a->c = c;
			tcp_set_min_pull(c, sim.min_pull);
			return a;
		}
	return NULL;
}

static void serve(struct app *a);

static void respond(struct app *a)
{
	if (a->started || a->rx < a->p.request || !a->c)
		return;
	a->started = true;
	a->end = chance(0.5) ? a->p.response : rnd(a->p.response + 1);
	tcp_avail(a->c, a->end);
	if (a->end < a->p.response)
		event(sim.now + rnd(300 * MS), EV_WAKE, a);
	else if (a->p.close == PEER_WAITS_FIN && !a->ended) {
		a->ended = true;
		tcp_end(a->c);
	}
}

static uint32_t hook_rx(void *ctx, struct tcp_conn *c, const uint8_t *p, uint32_t len)
{
	struct app *a = tcp_user(c);
	uint32_t n = len;

	(void)ctx;
	if (chance(sim.refuse_rx)) {
		n = (uint32_t)rnd(len + 1);
		if (!a->resume) {
			a->resume = true;
			event(sim.now + rnd(100 * MS), EV_WAKE, a);
		}
	}
	if (memcmp(p, peer_pat + a->rx % PAT_PRIME, n))
		bad("the request arrived damaged");
	a->rx += n;
	if (a->rx > a->p.request)
		bad("more request than was sent");
	respond(a);
	return n;
}

static void hook_want(void *ctx, struct tcp_conn *c)
{
	struct app *a = tcp_user(c);

	(void)ctx;
	if (!a->queued) {
		a->queued = true;
		event(sim.now, EV_SERVE, a);
	}
}

static void hook_acked(void *ctx, struct tcp_conn *c, uint64_t off)
{
	struct app *a = tcp_user(c);

	(void)ctx;
	if (off < a->acked || off > a->end)
		bad("acked() out of range");
	a->acked = (uint32_t)off;
}

static void hook_event(void *ctx, struct tcp_conn *c, enum tcp_event ev, enum tcp_reason why)
{
	struct app *a = tcp_user(c);

	(void)ctx;
	if (ev == TCP_EV_ESTABLISHED)
		respond(a); /* an empty request */
	if (ev == TCP_EV_RX_FIN) {
		if (a->rx != a->p.request)
			bad("FIN before the end of the request");
		a->rx_fin = true;
		respond(a);
		if (a->c && !a->ended && a->end == a->p.response) {
			a->ended = true;
			tcp_end(c);
		}
	}
	if (ev == TCP_EV_CLOSED) {
		a->closed++;
		a->why = why;
		a->c = NULL;
		a->nr = 0;
	}
}

static void push_ready(struct app *a)
{
	while (a->c) {
		uint64_t nxt = tcp_snd_nxt(a->c);
		struct iovec v[8];
		struct read *r = NULL;
		uint32_t len, left;
		int n = 0, got;

		for (int i = 0; i < a->nr; i++)
			if (!a->r[i].rexmit && a->r[i].done && a->r[i].off <= nxt &&
			    a->r[i].off + a->r[i].len > nxt)
				r = &a->r[i];
		if (!r)
			return;
		len = (uint32_t)(r->off + r->len - nxt);
		for (left = len; left && n < 8;) {
			uint32_t k = n == 7 ? left : 1 + (uint32_t)rnd(left);

			v[n++] = (struct iovec){peer_pat + nxt % PAT_PRIME + len - left, k};
			left -= k;
		}
		got = tcp_push(a->c, nxt, v, n, len, a, sim.now);
		if (got > (int)len)
			bad("tcp_push took more than it was given");
		if (got <= 0)
			return;
		if ((uint32_t)got == len)
			*r = a->r[--a->nr];
	}
}

static bool start_read(struct app *a, uint64_t off, uint32_t len, bool rexmit)
{
	struct ev *e;
	uint64_t at = sim.now + (sim.read_delay ? rnd(sim.read_delay) : 0);

	if (a->nr == MAX_READS)
		return false;
	a->r[a->nr] = (struct read){.off = off, .len = len, .rexmit = rexmit};
	a->nr++;
	e = event(at, EV_READ, a);
	e->g.seq = (uint32_t)off;
	e->g.len = len;
	e->g.flags = rexmit;
	return true;
}

/* As the core does: retransmissions, then new reads behind those under way. */
static void serve(struct app *a)
{
	struct tcp_want w;

	a->queued = false;
	while (a->c && tcp_next(a->c, &w)) {
		if (w.off + w.len > a->end || !w.len)
			bad("asked for what does not exist");
		if (w.rexmit) {
			struct tcp_want rest = w;
			uint32_t n =
				min32(w.len, chance(0.8) ? sim.max_push : 1 + (uint32_t)rnd(w.len));

			if (chance(sim.refuse_read) || !start_read(a, w.off, n, true)) {
				tcp_unwant(a->c, &w);
				return;
			}
			rest.off += n;
			rest.len -= n;
			if (rest.len)
				tcp_unwant(a->c, &rest);
			continue;
		}
		a->next_read = max64(a->next_read, w.off);
		if (chance(sim.refuse_read)) { /* no capacity: come back alone */
			a->queued = true;
			event(sim.now + rnd(5 * MS), EV_SERVE, a);
			return;
		}
		while (a->next_read < w.off + w.len) {
			uint32_t n = (uint32_t)min64(w.off + w.len - a->next_read, sim.pull);

			if (!start_read(a, a->next_read, n, false))
				break;
			a->next_read += n;
		}
		break;
	}
	push_ready(a);
}

static void read_done(struct app *a, uint32_t off, uint32_t len, bool rexmit)
{
	struct iovec v;

	for (int i = 0; a->c && i < a->nr; i++) {
		struct read *r = &a->r[i];

		if ((uint32_t)r->off != off || r->len != len || r->rexmit != rexmit || r->done)
			continue;
		if (!rexmit) {
			r->done = true;
			push_ready(a);
		} else {
			v = (struct iovec){peer_pat + r->off % PAT_PRIME, len};
			*r = a->r[--a->nr];
			tcp_push(a->c, off, &v, 1, len, a, sim.now);
		}
		break;
	}
	if (a->c && a->nr == MAX_READS - 1 && !a->queued) {
		a->queued = true;
		event(sim.now, EV_SERVE, a);
	}
}

static void wake(struct app *a)
{
	if (!a->c)
		return;
	if (a->abort_at && sim.now >= a->abort_at) {
		tcp_abort(a->c);
		return;
	}
	if (a->resume) {
		a->resume = false;
		tcp_rx_resume(a->c);
	}
	if (!a->c || !a->started || a->end == a->p.response)
		return;
	a->end = a->p.response;
	tcp_avail(a->c, a->end);
	if (a->c && (a->p.close == PEER_WAITS_FIN || a->rx_fin) && !a->ended) {
		a->ended = true;
		tcp_end(a->c);
	}
}

static const struct tcp_ops hooks = {hook_xmit, hook_accept, hook_rx,
				     hook_want, hook_acked,  hook_event};

/* ---- invariants ---- */

static void check_conn(const struct tcp_conn *c)
{
	uint32_t sacked = 0, lost_b = 0, retrans = 0, asked = 0, need = 0, n = 0, timed = 0;
	uint64_t at = c->snd_una, t = 0;
	uint32_t prev = NONE;

	for (uint32_t i = c->head; i != NONE; prev = i, i = c->s->chunks[i].next) {
		const struct tcp_chunk *k = &c->s->chunks[i];

		if (k->start != at || !k->len || k->prev != prev)
			bad("chunks are not gapless");
		at += k->len;
		n++;
		if (k->flags & CK_SACKED) {
			sacked += k->len;
			continue;
		}
		lost_b += k->flags & CK_LOST ? k->len : 0;
		retrans += k->flags & CK_RETX ? k->len : 0;
		asked += k->flags & CK_ASKED ? k->len : 0;
		need += (k->flags & (CK_LOST | CK_RETX | CK_ASKED)) == CK_LOST ? k->len : 0;
		timed += (k->flags & (CK_LOST | CK_RETX)) != CK_LOST;
	}
	if (at != c->snd_nxt || c->tail != prev)
		bad("chunks do not cover what is in flight");
	if ((c->flags & CF_SACK && sacked != c->sacked) || lost_b != c->lost ||
	    retrans != c->retrans || asked != c->asked || need != c->need)
		bad("scoreboard counts have drifted");
	if (c->sacked + c->lost > c->snd_nxt - c->snd_una)
		bad("pipe underflow");
	prev = NONE;
	for (uint32_t i = c->thead; i != NONE; prev = i, i = c->s->chunks[i].tnext, timed--) {
		if (c->s->chunks[i].sent_ns < t || c->s->chunks[i].tprev != prev)
			bad("time order broken");
		t = c->s->chunks[i].sent_ns;
	}
	if (timed || c->ttail != prev)
		bad("the list by time misses chunks");
	if (c->cwnd < c->mss || c->snd_nxt > c->avail_end + 1 || c->snd_una > c->snd_nxt)
		bad("marks out of order");
}

static void check_end(void)
{
	struct tcp_stack *s = sim.s;

	for (int i = 0; i < sim.napps; i++) {
		struct app *a = &sim.app[i];
		struct peer *p = &a->p;
		bool resets = p->close == PEER_RESETS || a->abort_at;

		if (p->bad)
			bad(p->bad);
		if (p->state == P_REFUSED && !a->closed)
			continue;
		if (a->closed != 1)
			bad("TCP_EV_CLOSED not told exactly once");
		if (p->state == P_DONE && p->rcv_nxt != p->response + 1)
			bad("response incomplete");
		if (a->why == TCP_R_DONE && (p->rcv_nxt < p->response || a->rx != p->request) &&
		    !resets)
			bad("closed as done, but bytes are missing");
		if (a->why != TCP_R_DONE && !resets && !sim.heavy) {
			if (sim.trace)
				printf("conn %d: reason %d, peer state %d\n", i, a->why, p->state);
			bad("reset for no reason");
		}
	}
	if (s->nfree_chunk != s->nchunks)
		bad("chunk leaked");
	if (s->nfree_rxblk != s->nrxblks)
		bad("reassembly block leaked");
	if (s->st.conns || s->tw_n || tcp_next_timer(s) != NEVER)
		bad("connection or timer left");
}

/* ---- scenario ---- */

/* Up to max, spread over orders of magnitude, the large ones more often. */
static uint32_t log_size(uint32_t max)
{
	double u = rng_unit(&sim.rng);

	return (uint32_t)(max * (rnd(3) ? u : u * u * u * u * u * u));
}

static void make_link(struct link *l, bool data)
{
	l->delay = rnd(3) ? rnd(50 * MS) : rnd(MS);
	if (!rnd(3))
		l->jitter = rnd(l->delay + 1);
	if (rnd(2))
		l->loss = rng_unit(&sim.rng) * (rnd(4) ? 0.03 : 0.2);
	if (!rnd(4))
		l->burst_enter = 0.005, l->burst_leave = 0.3;
	if (!rnd(3)) {
		l->reorder = rng_unit(&sim.rng) * 0.2;
		l->reorder_by = 1 + rnd(l->delay * 2 + MS);
	}
	if (!rnd(4))
		l->dup = rng_unit(&sim.rng) * 0.1;
	if (data && !rnd(3)) {
		l->ns_per_byte = 8 + rnd(4000);
		l->queue = 3000 + (uint32_t)rnd(200000);
	}
	if (!data && !rnd(4))
		l->compress = 1 + rnd(30 * MS);
	if (!data && !rnd(8))
		l->loss = 0.5; /* ACK loss */
	sim.heavy |= l->loss > 0.1 || l->burst_enter > 0;
}

static void make_peer(struct app *a, int i)
{
	struct peer *p = &a->p;

	*p = (struct peer){.ctx = a, .send = peer_send};
	p->t = (struct tcp_tuple){.lport = 80, .rport = (uint16_t)(5000 + i)};
	p->t.local = ipaddr_v4((const uint8_t[]){198, 18, 0, 1});
	p->t.remote = ipaddr_v4((const uint8_t[]){198, 18, 0, 2});
	p->sack = rnd(5);
	p->dsack = rnd(3);
	p->ts = rnd(3);
	p->ws = rnd(4);
	p->wscale = (int8_t)rnd(9);
	p->mss = rnd(4) ? 1460 : (uint16_t)(100 + rnd(1360));
	p->buf = rnd(3) ? 65536u << rnd(4) : 1 + log_size(32768) + (rnd(2) ? p->mss : 0);
	p->buf = max32(p->buf, p->ws ? 1u << p->wscale : 1);
	p->ack_every = rnd(3) ? 1 + (uint32_t)rnd(2) : 1 + (uint32_t)rnd(64);
	p->delack = 1 + rnd(100 * MS);
	if (!rnd(4)) {
		p->read_every = MS + rnd(rnd(8) ? 20 * MS : 3000 * MS);
		p->read_chunk = max32(p->buf / 4, 16) + (uint32_t)rnd(p->buf);
	}
	p->request = rnd(8) ? 1 + log_size(16384) : 0;
	p->response = log_size(p->buf < 4096 ? 16384 : 262144);
	if (p->read_every > 50 * MS || p->buf < 512 || sim.down.ns_per_byte > 1000)
		p->response /= 16;
	p->close = (enum peer_close)rnd(3);
	p->isn = (uint32_t)rng_u64(&sim.rng);
	p->ts_off = (uint32_t)rng_u64(&sim.rng);
	if (!rnd(12)) {
		p->close = PEER_RESETS;
		p->reset_at = rnd(2000 * MS);
	}
	if (!rnd(16)) {
		a->abort_at = 1 + rnd(2000 * MS);
		event(a->abort_at, EV_WAKE, a);
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

	memset(&sim, 0, offsetof(struct sim, heap));
	sim.nheap = 0;
	sim.free = NULL;
	for (int i = 0; i < MAX_EVENTS; i++)
		event_free(&pool[i]);
	sim.seed = seed;
	sim.trace = with_trace;
	rng_seed(&sim.rng, rng_mix(seed)); /* neighbours must not share a stream */
	sim.segment = rnd(2);
	if (rnd(8)) {
		make_link(&sim.up, false);
		make_link(&sim.down, true);
	}
	sim.nobufs = rnd(4) ? 0 : rng_unit(&sim.rng) * 0.1;
	sim.refuse_rx = rnd(4) ? 0 : rng_unit(&sim.rng) * 0.5;
	sim.refuse_read = rnd(4) ? 0 : rng_unit(&sim.rng) * 0.3;
	sim.read_delay = rnd(3) ? rnd(3 * MS) : 0;
	sim.max_push = rnd(3) ? 65000 : 1460 + (uint32_t)rnd(20000);
	sim.pull = min32(sim.max_push, rnd(2) ? 49152 : 500 + (uint32_t)rnd(16384));
	sim.min_pull = rnd(2) ? 0 : (uint32_t)rnd(32768);
	cfg.max_push = sim.max_push;
	cfg.cc = rnd(3) ? TCP_CC_CUBIC : TCP_CC_NEWRENO;
	cfg.pacing = rnd(2);
	cfg.rcv_wnd = rnd(2) ? 65536 : 1000 + (uint32_t)rnd(400000);
	cfg.max_chunks = rnd(4) ? 2048 : 8 + (uint32_t)rnd(40);
	cfg.isn_secret[0] = rng_u64(&sim.rng);
	sim.napps = 1 + (int)rnd(MAX_CONNS);
	sim.s = tcp_stack_new(&cfg, &hooks, &sim, NULL);
	for (int i = 0; i < sim.napps; i++) {
		make_peer(&sim.app[i], i);
		event(rnd(20 * MS), EV_SERVE, &sim.app[i]); /* doubles as the start */
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

static void dispatch(struct ev *e)
{
	struct app *a = e->a;

	switch (e->kind) {
	case EV_TO_SERVER:
		tcp_input(sim.s, &e->g, sim.now);
		break;
	case EV_TO_PEER:
		peer_input(&a->p, &e->g, sim.now);
		break;
	case EV_READ:
		read_done(a, e->g.seq, e->g.len, e->g.flags);
		break;
	case EV_SERVE:
		if (!a->p.t_rto && !a->p.now)
			peer_start(&a->p, sim.now);
		else
			serve(a);
		break;
	case EV_WAKE:
		wake(a);
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
			bad("does not end");
			break;
		}
		while (sim.nheap && sim.heap[0]->at <= sim.now) {
			struct ev *e = event_pop();

			dispatch(e);
			event_free(e);
			for (int i = 0; i < sim.napps && !(sim.events & 3); i++)
				if (sim.app[i].c && sim.app[i].c->state != TS_CLOSED)
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
