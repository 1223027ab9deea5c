/* testnet: events in a heap, links that lose, delay, reorder, repeat and squeeze. See testsim.h. */
#include "stacks/atlas/tcp/testsim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim sim;
static struct ev pool[MAX_EVENTS];

void sim_reset(uint64_t seed, bool with_trace)
{
	memset(&sim, 0, offsetof(struct sim, heap));
	sim.nheap = 0;
	sim.free = NULL;
	for (int i = 0; i < MAX_EVENTS; i++)
		sim_free_event(&pool[i]);
	sim.seed = seed;
	sim.trace = with_trace;
	rng_seed(&sim.rng, rng_mix(seed)); /* neighbours must not share a stream */
}

uint64_t sim_rnd(uint64_t n)
{
	return rng_below(&sim.rng, n);
}

bool sim_chance(double p)
{
	return rng_unit(&sim.rng) < p;
}

void sim_bad(const char *why)
{
	if (!sim.bad)
		sim.bad = why;
}

/* ---- events ---- */

static bool before(const struct ev *a, const struct ev *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

struct ev *sim_event(uint64_t at, enum ev_kind kind, struct app *a)
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

struct ev *sim_pop(void)
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

void sim_free_event(struct ev *e)
{
	e->next = sim.free;
	sim.free = e;
}

/* ---- network ---- */

static void sim_trace(const char *dir, const struct app *a, const struct tcp_seg *g,
		      const char *note)
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
		l->in_burst = !sim_chance(l->burst_leave);
	else
		l->in_burst = l->burst_enter > 0 && sim_chance(l->burst_enter);
	return l->in_burst || (l->loss > 0 && sim_chance(l->loss));
}

/* Bytes of the response that leave for the first time: are they lost? */
static void note_first(struct app *a, const struct tcp_seg *g, bool gone)
{
	uint64_t off = g->seq - a->p.irs - 1, end = min64(off + g->len, MAX_RESPONSE);

	if (!g->len || off > a->seen)
		return;
	for (; a->seen < end; a->seen++)
		if (gone)
			a->first_lost[a->seen / 8] |= (uint8_t)(1u << a->seen % 8);
}

static void sim_transmit(struct link *l, struct app *a, const struct tcp_seg *g)
{
	enum ev_kind kind = l == &sim.up ? EV_TO_SERVER : EV_TO_PEER;
	uint64_t at = sim.now, copies = 1;

	if (lost(l)) {
		if (l == &sim.down)
			note_first(a, g, true);
		sim_trace(kind == EV_TO_SERVER ? "> lost" : "< lost", a, g, " (lost)");
		return;
	}
	if (l->ns_per_byte) {
		uint64_t start = max64(l->busy, at);

		if ((start - at) / l->ns_per_byte > l->queue) {
			if (l == &sim.down)
				note_first(a, g, true);
			return; /* tail drop */
		}
		l->busy = start + (g->len + 60) * l->ns_per_byte;
		at = l->busy;
	}
	if (l == &sim.down)
		note_first(a, g, false);
	at += l->delay + (l->jitter ? sim_rnd(l->jitter) : 0);
	if (l->compress)
		at = (at + l->compress - 1) / l->compress * l->compress;
	if (l->reorder > 0 && sim_chance(l->reorder))
		at += sim_rnd(l->reorder_by);
	else
		at = l->last = max64(at, l->last);
	copies += l->dup > 0 && sim_chance(l->dup);
	while (copies--) {
		struct ev *e = sim_event(at, kind, a);

		e->g = *g;
		at += sim_rnd(2 * l->delay + 1);
	}
}

void sim_peer_send(void *ctx, struct peer *p, const struct tcp_seg *g)
{
	(void)p;
	sim_trace("> ", ctx, g, "");
	sim_transmit(&sim.up, ctx, g);
}

int sim_xmit(void *ctx, const struct tcp_out *o)
{
	struct app *a = NULL;
	struct tcp_seg g;
	uint32_t left = o->len;

	(void)ctx;
	if (sim.nobufs > 0 && sim_chance(sim.nobufs))
		return -105;
	for (int i = 0; i < sim.napps; i++)
		if (sim.app[i].p.t.rport == o->t.rport)
			a = &sim.app[i];
	if (!a || o->len > max32(sim.max_push, 1460)) {
		sim_bad("a segment to nobody, or longer than max_push");
		return 0;
	}
	if (tcp_parse(o->hdr, o->hdr_len, &g)) {
		sim_bad("a header that does not parse");
		return 0;
	}
	g.t = o->t;
	g.data = o->niov ? o->iov[0].iov_base : NULL;
	for (int i = 1; i < o->niov; i++)
		if (o->iov[i].iov_base != (uint8_t *)o->iov[i - 1].iov_base + o->iov[i - 1].iov_len)
			sim_bad("pieces out of order");
	g.len = o->len;
	sim_trace("< ", a, &g, "");
	if (o->len && !o->mss)
		sim_bad("no segment size");
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
			sim_bad("a segment larger than the peer's MSS");
		sim_transmit(&sim.down, a, &part);
	} while (left);
	return 0;
}
