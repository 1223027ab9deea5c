/* run: see run.h. Slots, requests and what is counted; phases and the loop are in loop.c.
 *
 * The one idea: every upcall reads the clock itself (run_now), so that the window is exact to the
 * clock and not to the length of a batch of events.
 *
 * A closed loop asks again as soon as a slot is free. An open loop has planned times: each goes to
 * a free slot or waits in a bounded backlog, and its latency counts from the planned time.
 */
#include "workloads/load/run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "workloads/load/loop.h"

#define RETRY_NS     (250 * NSEC_PER_MSEC) /* after a failed or broken connection */
#define RAMP_RETRIES 16 /* failures tolerated while connecting, and N / 16 more */
#define DEAD_REFUSED                                                                               \
	4 /* failed connections in a row, at least, before the server counts as dead               \
	   */
#define DEAD_AFTER_NS  NSEC_PER_SEC
#define COMPLAINTS_MAX 10 /* wrong bodies told of one by one */

/* ---- lists of slots ---- */

void slot_append(struct slot_list *l, struct slot *s)
{
	s->prev = l->tail;
	s->next = NULL;
	if (l->tail)
		l->tail->next = s;
	else
		l->head = s;
	l->tail = s;
	l->n++;
}

void slot_unlink(struct slot_list *l, struct slot *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		l->head = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		l->tail = s->prev;
	s->prev = s->next = NULL;
	l->n--;
}

static struct slot_list *list_of(struct run *r, enum slot_state st)
{
	switch (st) {
	case SLOT_IDLE:
		return &r->idle;
	case SLOT_FLIGHT:
		return &r->flight;
	case SLOT_WAIT:
		return &r->wait;
	default:
		return NULL;
	}
}

static void slot_move(struct run *r, struct slot *s, enum slot_state to)
{
	struct slot_list *from = list_of(r, s->state);

	if (from)
		slot_unlink(from, s);
	s->state = to;
	slot_append(list_of(r, to), s);
}

/* ---- sending ---- */

static bool want_verify(struct run *r, const struct slot *s)
{
	if (r->opts.verify == VERIFY_OFF || s->engine != r->engines[0])
		return false;
	if (r->opts.verify == VERIFY_ALL || r->opts.engine == ENGINE_MIXED)
		return true;
	return r->verify_seq++ % RUN_VERIFY_EACH == 0;
}

static void slot_request(struct run *r, struct slot *s)
{
	int err;

	s->off = 0;
	s->bad = s->first_seen = false;
	s->t_sent = run_now(r);
	slot_move(r, s, SLOT_FLIGHT);
	err = s->engine->ops->request(s->engine, s);
	if (err)
		run_fail(r, s, LE_CONNECT, strerror(-err));
}

static void slot_get(struct run *r, struct slot *s, uint64_t id, uint64_t planned)
{
	s->head = false;
	s->id = id;
	s->t_planned = planned;
	s->verify = want_verify(r, s);
	if (r->phase == PH_WINDOW) {
		if (mix_is_hot(id))
			r->st.hot_requests++;
		else
			r->st.cold_requests++;
		if (r->opts.residency && r->resid_seq++ % r->opts.residency == 0)
			resid_sample(&r->resid, id);
	}
	slot_request(r, s);
}

void slot_connect(struct run *r, struct slot *s)
{
	s->head = true;
	s->verify = false;
	s->id = r->content.hot ? 0 : CONTENT_COLD;
	slot_request(r, s);
}

/* A slot is free: give it what the phase has for it. */
void slot_go(struct run *r, struct slot *s)
{
	uint64_t planned;

	if (!s->up && r->phase != PH_DONE) {
		r->connecting++;
		slot_connect(r, s);
		return;
	}
	switch (r->phase) {
	case PH_HOT:
		if (r->hot_next < r->content.hot) {
			slot_get(r, s, r->hot_next++, 0);
			return;
		}
		break;
	case PH_WARMUP:
	case PH_WINDOW:
		if (!r->opts.open_loop) {
			slot_get(r, s, mix_next(&r->mix), 0);
			return;
		}
		if (r->backlog_n) {
			planned = r->backlog[r->backlog_head];
			r->backlog_head = (r->backlog_head + 1) & (RUN_BACKLOG - 1);
			r->backlog_n--;
			slot_get(r, s, mix_next(&r->mix), planned);
			return;
		}
		break;
	default:
		break;
	}
	slot_move(r, s, SLOT_IDLE);
}

/* Planned times that have come (open loop). */
void run_arrivals(struct run *r, uint64_t now)
{
	while (sched_peek(&r->sched) <= now) {
		uint64_t planned = sched_peek(&r->sched);

		sched_pop(&r->sched);
		if (r->idle.head) {
			slot_get(r, r->idle.head, mix_next(&r->mix), planned);
		} else if (r->backlog_n < RUN_BACKLOG) {
			r->backlog[(r->backlog_head + r->backlog_n) & (RUN_BACKLOG - 1)] = planned;
			if (++r->backlog_n > r->st.backlog_max)
				r->st.backlog_max = r->backlog_n;
		} else {
			r->st.backlog_lost++;
		}
	}
}

/* ---- receiving ---- */

void run_first_byte(struct run *r, struct slot *s)
{
	if (s->first_seen)
		return;
	s->first_seen = true;
	s->t_first = run_now(r);
	r->refused = 0;
}

static void check_bytes(struct run *r, struct slot *s, const void *p, uint64_t n)
{
	char path[32];
	size_t wrong;

	if (s->bad || s->off + n > r->content.object_size)
		return;
	wrong = content_check(r->content.seed, s->id, s->off, p, n);
	if (!wrong)
		return;
	s->bad = true;
	if (r->st.verify_failures++ < COMPLAINTS_MAX)
		log_warn("%s: wrong byte at offset %llu", content_path(s->id, path),
			 (unsigned long long)(s->off + wrong - 1));
}

void run_body(struct run *r, struct slot *s, const void *p, uint64_t n)
{
	run_now(r);
	if (r->phase == PH_WINDOW) {
		r->st.body_bytes += n;
		if (s->verify && p)
			r->st.verified_bytes += n;
	}
	if (s->verify && p)
		check_bytes(r, s, p, n);
	s->off += n;
}

static void count_error(struct run *r, enum load_error kind)
{
	if (r->phase != PH_RAMP && r->phase != PH_DONE)
		r->st.errors[kind]++;
}

static void count_response(struct run *r, struct slot *s, uint64_t now)
{
	if (r->phase != PH_WINDOW)
		return;
	r->st.responses++;
	hist_add(&r->st.latency, now - s->t_sent);
	if (s->first_seen)
		hist_add(&r->st.ttfb, s->t_first - s->t_sent);
	if (r->opts.open_loop)
		hist_add(&r->st.planned, now - s->t_planned);
	if (s->verify)
		r->st.verified_responses++;
}

/* The answer to the HEAD that opened the connection. */
static void connected(struct run *r, struct slot *s, int status, int64_t length, uint64_t now)
{
	char path[32];

	content_path(s->id, path);
	r->connecting--;
	if (status != 200) {
		run_fatal(r, -EPROTO,
			  "%s answers %d to HEAD %s: does it serve the content directory %s?",
			  r->opts.url.base, status, path, r->opts.content_dir);
		return;
	}
	if (length >= 0 && (uint64_t)length != r->content.object_size) {
		run_fatal(r, -EPROTO,
			  "%s%s has %lld bytes, but the catalogue in %s says %llu: another content "
			  "directory?",
			  r->opts.url.base, path, (long long)length, r->opts.content_dir,
			  (unsigned long long)r->content.object_size);
		return;
	}
	s->up = true;
	r->up++;
	r->ramp_progress = now;
}

void run_response(struct run *r, struct slot *s, int status, int64_t length)
{
	uint64_t now = run_now(r);

	r->refused = 0;
	if (s->head)
		connected(r, s, status, length, now);
	else if (status != 200)
		count_error(r, LE_HTTP_STATUS);
	else if (s->off != r->content.object_size)
		count_error(r, LE_SHORT_BODY);
	else if (s->bad)
		count_error(r, LE_BAD_CONTENT);
	else
		count_response(r, s, now);
	if (r->fatal)
		slot_move(r, s, SLOT_IDLE);
	else
		slot_go(r, s);
}

/* Failures while connecting: the first ends the run if nothing was reached yet. */
static void ramp_failed(struct run *r, const char *what)
{
	if (r->up == 0 || ++r->ramp_failures > RAMP_RETRIES + r->opts.connections / 16)
		run_fatal(r, -ECONNREFUSED,
			  "cannot connect to %s: %s (%u of %u connections are up): is the server "
			  "running, and does it take that many?",
			  r->opts.url.base, what ? what : "failed", r->up, r->opts.connections);
}

/* Has the server gone? Only failed connections for a while, and not one byte. */
static void note_refused(struct run *r, uint64_t now, const char *what)
{
	uint32_t enough = r->opts.connections < 64 ? r->opts.connections : 64;

	if (r->refused++ == 0)
		r->refused_since = now;
	if (enough < DEAD_REFUSED)
		enough = DEAD_REFUSED;
	if (r->refused >= enough && now - r->refused_since >= DEAD_AFTER_NS)
		run_fatal(r, -EPIPE,
			  "the server at %s died: %u connections in a row failed (%s) and nothing "
			  "came for %.1f s; see its log",
			  r->opts.url.base, r->refused, what ? what : "refused",
			  (double)(now - r->refused_since) / 1e9);
}

void run_fail(struct run *r, struct slot *s, enum load_error kind, const char *what)
{
	uint64_t now = run_now(r);

	if (s->state != SLOT_FLIGHT)
		return;
	if (!s->up) {
		r->connecting--;
		ramp_failed(r, what);
	} else {
		count_error(r, kind);
		log_debug("connection %u: %s: %s", s->idx, load_error_names[kind],
			  what ? what : "");
		if (kind == LE_CONNECT || kind == LE_TLS)
			note_refused(r, now, what);
	}
	s->t_sent = now + RETRY_NS;
	slot_move(r, s, SLOT_WAIT);
}

void run_fatal(struct run *r, int err, const char *fmt, ...)
{
	va_list ap;

	(void)err;
	if (r->fatal)
		return; /* the first reason is the one */
	r->fatal = true;
	va_start(ap, fmt);
	vsnprintf(r->err.s, sizeof r->err.s, fmt, ap);
	va_end(ap);
}

void run_reconnected(struct run *r)
{
	if (r->phase == PH_WARMUP || r->phase == PH_WINDOW)
		r->st.reconnects++;
}
