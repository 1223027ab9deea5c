/* loop: set-up, phases and the event loop of a run (run.h).
 *
 * One epoll instance for all engines; timers are the deadline of epoll_pwait2. Each turn takes a
 * bounded batch of events, so that ticks (timeouts, retries, samples, loop lag) are not starved.
 */
#include "workloads/load/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define BATCH	       64
#define TICK_NS	       (5 * NSEC_PER_MSEC)
#define STARTS_A_TURN  64  /* idle slots put to work in one turn of a closed loop */
#define CONNECTS_PLAIN 256 /* connections being opened at a time */
#define CONNECTS_TLS   64  /* handshakes at a time */

static volatile sig_atomic_t interrupted;

void run_interrupt(void)
{
	interrupted = 1;
}

/* ---- phases ---- */

/* A line for whoever started us; without a time if t_ns is 0. */
static void tell(const struct run *r, const char *what, uint64_t t_ns)
{
	char line[64];
	int n;

	if (r->opts.events_fd < 0)
		return;
	if (t_ns)
		n = snprintf(line, sizeof line, "%s %llu\n", what, (unsigned long long)t_ns);
	else
		n = snprintf(line, sizeof line, "%s\n", what);
	if (write(r->opts.events_fd, line, (size_t)n) < 0)
		log_warn("--events-fd: %s", strerror(errno));
}

static void enter(struct run *r, enum phase ph, uint64_t now)
{
	r->phase = ph;
	switch (ph) {
	case PH_WARMUP:
		r->phase_end = now + r->opts.warmup_ns;
		if (r->opts.open_loop)
			sched_init(&r->sched, r->opts.rate, r->opts.arrival, r->opts.seed, now);
		break;
	case PH_WINDOW:
		r->st.t_start = r->phase_end; /* planned: the counting goes by the clock */
		r->phase_end += r->opts.duration_ns;
		r->st.t_end = r->phase_end;
		r->next_sample = r->st.t_start + r->opts.interval_ns;
		self_usage_read(&r->st.use0);
		tell(r, "start", r->st.t_start);
		stats_sample(&r->st, r->st.t_start);
		break;
	case PH_DONE:
		r->phase_end = UINT64_MAX;
		if (!r->st.t_start)
			break; /* interrupted before the window */
		self_usage_read(&r->st.use1);
		tell(r, "end", r->st.t_end);
		stats_sample(&r->st, r->st.t_end);
		break;
	default:
		r->phase_end = UINT64_MAX;
		break;
	}
}

uint64_t run_now(struct run *r)
{
	uint64_t now = clock_ns();

	while (now >= r->phase_end)
		enter(r, r->phase == PH_WARMUP ? PH_WINDOW : PH_DONE, now);
	return now;
}

/* All connections are up, or all hot objects fetched: the untimed phases end by themselves. */
static void untimed_phases(struct run *r, uint64_t now)
{
	if (r->phase == PH_RAMP && r->up == r->opts.connections) {
		tell(r, "ready", 0);
		log_debug("%u connections up after %.2f s", r->up,
			  (double)(now - r->ramp_start) / 1e9);
		enter(r, r->opts.warm_hot ? PH_HOT : PH_WARMUP, now);
	}
	if (r->phase == PH_HOT && r->hot_next >= r->content.hot && !r->flight.n)
		enter(r, PH_WARMUP, now);
}

/* ---- work that is due ---- */

/* Open further connections: as many at a time as allowed, spread over --ramp. */
static void ramp(struct run *r, uint64_t now)
{
	uint32_t n = r->opts.connections, allowed = n;

	if (r->opts.ramp_ns && now - r->ramp_start < r->opts.ramp_ns)
		allowed = 1 + (uint32_t)((double)(now - r->ramp_start) / (double)r->opts.ramp_ns *
					 (double)(n - 1));
	while (r->next_connect < allowed && r->connecting < r->connect_max && !r->fatal) {
		r->connecting++;
		slot_connect(r, &r->slots[r->next_connect++]);
	}
	if (now - r->ramp_progress > r->opts.timeout_ns + r->opts.ramp_ns)
		run_fatal(r, -ETIMEDOUT,
			  "only %u of %u connections to %s came up, the last one %.0f s ago: does "
			  "the "
			  "server take that many?",
			  r->up, n, r->opts.url.base, (double)(now - r->ramp_progress) / 1e9);
}

static void start_idle(struct run *r, uint64_t now)
{
	if (r->opts.open_loop && r->phase != PH_HOT) {
		run_arrivals(r, now);
		return;
	}
	for (int i = 0; i < STARTS_A_TURN && r->idle.head; i++) {
		if (r->phase == PH_HOT && r->hot_next >= r->content.hot)
			return;
		slot_go(r, r->idle.head);
	}
}

static void tick(struct run *r, uint64_t now)
{
	if (r->phase == PH_WINDOW)
		hist_add(&r->st.lag, now - r->next_tick);
	while (r->next_tick <= now)
		r->next_tick += TICK_NS;
	while (r->wait.head && r->wait.head->t_sent <= now && !r->fatal &&
	       (r->wait.head->up || r->connecting < r->connect_max))
		slot_go(r, r->wait.head);
	while (r->flight.head && r->flight.head->t_sent + r->opts.timeout_ns < now) {
		struct slot *s = r->flight.head;

		s->engine->ops->drop(s->engine, s);
		run_fail(r, s, LE_TIMEOUT, "no answer within --timeout");
	}
	while (r->phase == PH_WINDOW && r->next_sample <= now) {
		if (r->next_sample < r->st.t_end)
			stats_sample(&r->st, now);
		r->next_sample += r->opts.interval_ns;
	}
}

/* ---- the loop ---- */

static uint64_t poll_engines(struct run *r, uint64_t now)
{
	uint64_t next = UINT64_MAX, t;

	for (int i = 0; i < 2; i++) {
		if (!r->engines[i])
			continue;
		t = r->engines[i]->ops->poll(r->engines[i], now);
		if (t < next)
			next = t;
	}
	return next;
}

static uint64_t next_deadline(const struct run *r, uint64_t engines)
{
	uint64_t t = r->next_tick;

	if (engines < t)
		t = engines;
	if (r->phase_end < t)
		t = r->phase_end;
	if (r->phase == PH_WARMUP || r->phase == PH_WINDOW) {
		if (r->opts.open_loop && sched_peek(&r->sched) < t)
			t = sched_peek(&r->sched);
		if (!r->opts.open_loop && r->idle.head)
			t = 0;
	}
	return t;
}

static int wait_events(struct run *r, struct epoll_event *ev, uint64_t deadline)
{
	uint64_t t0 = run_now(r), t1, timeout = deadline > t0 ? deadline - t0 : 0;
	struct timespec ts = {.tv_sec = (time_t)(timeout / NSEC_PER_SEC),
			      .tv_nsec = (long)(timeout % NSEC_PER_SEC)};
	enum phase ph = r->phase;
	int n = epoll_pwait2(r->ep, ev, BATCH, &ts, NULL);

	t1 = run_now(r);
	if (timeout && ph == PH_WINDOW && r->phase == PH_WINDOW)
		r->st.blocked_ns += t1 - t0;
	return n;
}

int run_go(struct run *r)
{
	struct epoll_event ev[BATCH];
	uint64_t now = clock_ns(), engines = 0;

	r->ramp_start = r->ramp_progress = now;
	r->next_tick = now + TICK_NS;
	r->phase_end = UINT64_MAX;
	while (r->phase != PH_DONE && !r->fatal && !interrupted) {
		int n = wait_events(r, ev, next_deadline(r, engines));

		for (int i = 0; i < n; i++) {
			struct evh *h = ev[i].data.ptr;

			h->fn(r, h, ev[i].events);
		}
		now = run_now(r);
		if (now >= r->next_tick)
			tick(r, now);
		if (r->phase == PH_RAMP)
			ramp(r, now);
		untimed_phases(r, now);
		if (r->phase == PH_HOT || r->phase == PH_WARMUP || r->phase == PH_WINDOW)
			start_idle(r, now);
		engines = poll_engines(r, now);
	}
	if (interrupted && !r->fatal && r->phase != PH_DONE) {
		if (r->phase != PH_WINDOW) {
			run_fatal(r, -EINTR, "interrupted before the measured window began");
		} else {
			r->st.interrupted = true;
			r->st.t_end = clock_ns();
			enter(r, PH_DONE, r->st.t_end);
		}
	}
	if (!r->fatal && !r->st.responses && !r->st.body_bytes)
		run_fatal(r, -ETIMEDOUT, "nothing came from %s in the window (%llu errors)",
			  r->opts.url.base, (unsigned long long)stats_errors_total(&r->st));
	return r->fatal ? -EIO : 0;
}

/* ---- set-up ---- */

static int resolve(struct run *r, struct errbuf *e)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *ai;
	char port[8];
	int err;

	snprintf(port, sizeof port, "%d", r->opts.url.port);
	err = getaddrinfo(r->opts.url.host, port, &hints, &ai);
	if (err)
		return errf(e, -EHOSTUNREACH, "--url: %s: %s", r->opts.url.host, gai_strerror(err));
	memcpy(&r->addr, ai->ai_addr, ai->ai_addrlen);
	r->addr_len = ai->ai_addrlen;
	err = getnameinfo(ai->ai_addr, ai->ai_addrlen, r->addr_text, sizeof r->addr_text, NULL, 0,
			  NI_NUMERICHOST);
	freeaddrinfo(ai);
	return err ? errf(e, -EHOSTUNREACH, "--url: %s", gai_strerror(err)) : 0;
}

/* engines[0] is the one that can verify (libcurl), engines[1] the sink; either may be absent. */
static int make_engines(struct run *r, struct errbuf *e)
{
	uint32_t n = r->opts.connections, curl = 0;

	if (r->opts.engine == ENGINE_CURL)
		curl = n;
	if (r->opts.engine == ENGINE_MIXED)
		curl = (n + RUN_MIXED_EACH - 1) / RUN_MIXED_EACH;
	if (curl) {
		r->engines[0] = engine_curl_new(r, curl, e);
		if (!r->engines[0])
			return -EIO;
	}
	if (curl < n) {
		r->engines[1] = engine_sink_new(r, n - curl, e);
		if (!r->engines[1])
			return -EIO;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct slot *s = &r->slots[i];
		bool is_curl = r->opts.engine == ENGINE_CURL ||
			       (r->opts.engine == ENGINE_MIXED && i % RUN_MIXED_EACH == 0);
		int err;

		s->idx = i;
		s->engine = r->engines[is_curl ? 0 : 1];
		err = s->engine->ops->attach(s->engine, s, e);
		if (err)
			return err;
	}
	return 0;
}

int run_init(struct run *r, const struct load_opts *o, struct errbuf *e)
{
	int err;

	memset(r, 0, sizeof *r);
	r->opts = *o;
	r->ep = -1;
	err = content_load(o->content_dir, &r->content, e);
	if (err)
		return err;
	err = mix_init(&r->mix, &r->content, o->cache_ratio, o->seed, e);
	if (err)
		return err;
	err = resolve(r, e);
	if (err)
		return err;
	err = limits_files(o->connections, e);
	if (err)
		return err;
	err = limits_ports(o->connections, e);
	if (err)
		return err;
	ports_init(&r->ports);
	resid_init(&r->resid, o->content_dir, r->content.object_size);
	r->connect_max = o->url.tls ? CONNECTS_TLS : CONNECTS_PLAIN;
	r->ep = epoll_create1(EPOLL_CLOEXEC);
	r->slots = calloc(o->connections, sizeof r->slots[0]);
	if (o->open_loop)
		r->backlog = calloc(RUN_BACKLOG, sizeof r->backlog[0]);
	if (r->ep < 0 || !r->slots || (o->open_loop && !r->backlog) ||
	    stats_init(&r->st, (uint32_t)(o->duration_ns / o->interval_ns) + 8) != 0)
		return errf(e, -ENOMEM, "out of memory or descriptors for %u connections",
			    o->connections);
	return make_engines(r, e);
}

void run_fini(struct run *r)
{
	for (uint32_t i = 0; r->slots && i < r->opts.connections; i++) {
		struct slot *s = &r->slots[i];

		if (s->engine && s->conn)
			s->engine->ops->detach(s->engine, s);
	}
	for (int i = 0; i < 2; i++)
		if (r->engines[i])
			r->engines[i]->ops->free(r->engines[i]);
	stats_free(&r->st);
	free(r->backlog);
	free(r->slots);
	if (r->ep >= 0)
		close(r->ep);
}
