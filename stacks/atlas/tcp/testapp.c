/* testapp: the server's application: takes a request, answers with bytes that a slow, sometimes
 * refusing source brings. See testsim.h; the order of things is that of the atlas core. */
#include "stacks/atlas/tcp/testsim.h"

#include <string.h>

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

static void respond(struct app *a)
{
	if (a->started || a->rx < a->p.request || !a->c)
		return;
	a->started = true;
	a->end = sim_chance(0.5) ? a->p.response : sim_rnd(a->p.response + 1);
	tcp_avail(a->c, a->end);
	if (a->end < a->p.response)
		sim_event(sim.now + sim_rnd(300 * MS), EV_WAKE, a);
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
	if (sim_chance(sim.refuse_rx)) {
		n = (uint32_t)sim_rnd(len + 1);
		if (!a->resume) {
			a->resume = true;
			sim_event(sim.now + sim_rnd(100 * MS), EV_WAKE, a);
		}
	}
	if (memcmp(p, peer_pat + a->rx % PAT_PRIME, n))
		sim_bad("the request arrived damaged");
	a->rx += n;
	if (a->rx > a->p.request)
		sim_bad("more request than was sent");
	respond(a);
	return n;
}

static void hook_want(void *ctx, struct tcp_conn *c)
{
	struct app *a = tcp_user(c);

	(void)ctx;
	if (!a->queued) {
		a->queued = true;
		sim_event(sim.now, EV_SERVE, a);
	}
}

static void hook_acked(void *ctx, struct tcp_conn *c, uint64_t off)
{
	struct app *a = tcp_user(c);

	(void)ctx;
	if (off < a->acked || off > a->end)
		sim_bad("acked() out of range");
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
			sim_bad("FIN before the end of the request");
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
			uint32_t k = n == 7 ? left : 1 + (uint32_t)sim_rnd(left);

			v[n++] = (struct iovec){peer_pat + nxt % PAT_PRIME + len - left, k};
			left -= k;
		}
		got = tcp_push(a->c, nxt, v, n, len, a, sim.now);
		if (got > (int)len)
			sim_bad("tcp_push took more than it was given");
		if (got <= 0)
			return;
		if ((uint32_t)got == len)
			*r = a->r[--a->nr];
	}
}

static bool start_read(struct app *a, uint64_t off, uint32_t len, bool rexmit)
{
	struct ev *e;
	uint64_t at = sim.now + (sim.read_delay ? sim_rnd(sim.read_delay) : 0);

	if (a->nr >= MAX_READS - !rexmit) /* one is kept for what everything else waits for */
		return false;
	a->r[a->nr] = (struct read){.off = off, .len = len, .rexmit = rexmit};
	a->nr++;
	e = sim_event(at, EV_READ, a);
	e->g.seq = (uint32_t)off;
	e->g.len = len;
	e->g.flags = rexmit;
	return true;
}

/* As the core does: retransmissions, then new reads behind those under way. */
void app_serve(struct app *a)
{
	struct tcp_want w;

	a->queued = false;
	while (a->c && tcp_next(a->c, &w)) {
		if (w.off + w.len > a->end || !w.len)
			sim_bad("asked for what does not exist");
		if (w.rexmit) {
			struct tcp_want rest = w;
			uint32_t n = min32(w.len, sim_chance(0.8) ? sim.max_push
								  : 1 + (uint32_t)sim_rnd(w.len));

			if (sim_chance(sim.refuse_read) || !start_read(a, w.off, n, true)) {
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
		if (sim_chance(sim.refuse_read)) { /* no capacity: come back alone */
			a->queued = true;
			sim_event(sim.now + sim_rnd(5 * MS), EV_SERVE, a);
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

void app_read_done(struct app *a, uint32_t off, uint32_t len, bool rexmit)
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
	if (a->c && a->nr >= MAX_READS - 2 && !a->queued) {
		a->queued = true;
		sim_event(sim.now, EV_SERVE, a);
	}
}

void app_wake(struct app *a)
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
	if ((a->p.close == PEER_WAITS_FIN || a->rx_fin) && !a->ended) {
		a->ended = true;
		tcp_end(a->c);
	}
}

const struct tcp_ops app_ops = {sim_xmit, hook_accept, hook_rx, hook_want, hook_acked, hook_event};
