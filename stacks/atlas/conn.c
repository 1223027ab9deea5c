/* conn: one HTTP connection: bytes from TCP go through TLS to the request parser, responses become
 * extents of the stream.
 *
 * Requests are answered in order; at most PIPELINE_MAX responses are queued, then nothing more is
 * taken from TCP and its window closes. A request that must wait for its file to be opened keeps
 * its head in c->req and is parsed again when the file is there.
 */
#include "stacks/atlas/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stacks/atlas/store.h"

static void process(struct conn *c, const uint8_t *p, size_t n);

/* ---- life ---- */

static const struct tls_io tls_upcalls;

static void *conn_accept(void *ctx, struct tcp_conn *tcp, const struct tcp_tuple *t)
{
	struct worker *w = ctx;
	struct conn *c = w->conn_free;

	if (c)
		w->conn_free = c->opening_next;
	else if (!(c = malloc(sizeof *c)))
		return NULL;
	memset(c, 0, sizeof *c);
	c->w = w;
	c->tcp = tcp;
	TAILQ_INIT(&c->out);
	TAILQ_INIT(&c->pulls);
	TAILQ_INIT(&c->rexmits);
	if (w->tls && t->lport == w->opt->tls_port) {
		c->tls = tls_accept(w->tls, &tls_upcalls, c);
		if (!c->tls) {
			c->opening_next = w->conn_free;
			w->conn_free = c;
			return NULL;
		}
	}
	tcp_set_min_pull(tcp, w->opt->min_pull);
	stat_add(&w->st->conns, 1);
	return c;
}

static void conn_free(struct conn *c)
{
	struct worker *w = c->w;

	c->tcp = NULL;
	if (c->on_serve)
		TAILQ_REMOVE(&w->serve, c, serve);
	pull_drop_all(c);
	extents_drop(c);
	store_cancel(w->store, c);
	if (c->tls)
		tls_free(c->tls);
	free(c->req);
	stat_sub(&w->st->conns, 1);
	memset(c, 0, sizeof *c);
	c->opening_next = w->conn_free;
	w->conn_free = c;
}

void conns_free(struct worker *w)
{
	struct conn *c;

	while ((c = w->conn_free)) {
		w->conn_free = c->opening_next;
		free(c);
	}
}

/* Reset now. The conn itself lives until TCP says TCP_EV_CLOSED. */
void conn_abort(struct conn *c)
{
	if (c->aborted || !c->tcp)
		return;
	c->aborted = true;
	pull_drop_all(c);
	tcp_abort(c->tcp);
}

/* ---- out ---- */

static void publish(struct conn *c)
{
	if (!c->aborted && c->tcp)
		tcp_avail(c->tcp, c->stream_end);
}

/* Append memory to the stream, in extents that a frame can carry. */
static int store_bytes(struct conn *c, const uint8_t *p, size_t n)
{
	while (n) {
		uint32_t take = n < STORED_LARGE ? (uint32_t)n : STORED_LARGE;

		if (!extent_store(c, p, take))
			return -ENOMEM;
		p += take;
		n -= take;
	}
	return 0;
}

static void tls_send(void *arg, const uint8_t *p, size_t n)
{
	struct conn *c = arg;

	if (c->aborted)
		return;
	if (store_bytes(c, p, n))
		conn_abort(c);
}

static void finish(struct conn *c)
{
	if (c->ended || c->aborted)
		return;
	c->ended = true;
	if (c->tls && !c->tls_failed)
		tls_close(c->tls);
	publish(c);
	tcp_end(c->tcp);
}

/* The body goes out under as many keys as its length needs. */
static int append_body(struct conn *c, struct file *f, uint64_t off, uint64_t len)
{
	while (len) {
		struct extent *x = extent_file(c, f, off, len);

		if (!x)
			return -ENOMEM;
		off += x->body_len;
		len -= x->body_len;
		if (len && (!c->tls || tls_key_update(c->tls)))
			return -EPROTO;
	}
	return 0;
}

/* Queue the planned response; f may be NULL. */
static void respond(struct conn *c, const struct http_plan *plan, struct file *f)
{
	struct worker *w = c->w;
	int err;

	if (c->tls)
		err = tls_write(c->tls, (const uint8_t *)plan->head, plan->head_len);
	else
		err = store_bytes(c, (const uint8_t *)plan->head, plan->head_len);
	if (!err && plan->body_len)
		err = append_body(c, f, plan->body_off, plan->body_len);
	if (err || TAILQ_EMPTY(&c->out)) {
		stat_add(&w->st->nomem, 1);
		conn_abort(c);
		return;
	}
	TAILQ_LAST(&c->out, extent_list)->last_of_response = true;
	c->queued++;
	stat_add(&w->st->responses, 1);
	if (plan->status >= 400)
		stat_add(&w->st->responses_error, 1);
	if (plan->close)
		c->closing = true;
}

/* The peer wants our write key changed (RFC 8446 4.6.3). Records that were not read yet are moved
 * behind the KeyUpdate; what is queued behind them as sealed bytes can't be, then the update
 * follows at the end. */
static void tls_key_update_asked(void *arg)
{
	struct conn *c = arg;
	struct extent *x = TAILQ_LAST(&c->out, extent_list);
	uint64_t end, sent, left = 0, off = 0;
	struct file *f = NULL;
	bool last = false;

	if (x && !x->stored && x->epoch && c->next_pull < x->off + x->len) {
		sent = c->next_pull > x->off ? (c->next_pull - x->off) / (x->rec + TLS_OVERHEAD)
					     : 0;
		if (c->next_pull > x->off && (c->next_pull - x->off) % (x->rec + TLS_OVERHEAD))
			sent++; /* begun: it stays under its key */
		end = x->body_off + x->body_len;
		off = x->body_off + sent * x->rec;
		if (sent && off < end && !extent_cut(c, x, sent)) {
			f = x->file;
			left = end - off;
			last = x->last_of_response;
			x->last_of_response = false;
		}
	}
	if (tls_key_update(c->tls)) {
		conn_abort(c);
		return;
	}
	if (f && append_body(c, f, off, left)) {
		conn_abort(c);
		return;
	}
	if (f)
		TAILQ_LAST(&c->out, extent_list)->last_of_response = last;
	publish(c);
}

/* ---- requests ---- */

/* Keep bytes that can't be used yet. */
static int stash(struct conn *c, const uint8_t *p, size_t n)
{
	if (!n)
		return 0;
	if (c->req_len + n > c->req_cap) {
		uint32_t cap = c->req_cap ? c->req_cap : 1024;
		uint8_t *m;

		while (cap < c->req_len + n)
			cap *= 2;
		if (cap > REQ_BUF_MAX)
			return -ENOBUFS;
		m = realloc(c->req, cap);
		if (!m)
			return -ENOMEM;
		c->req = m;
		c->req_cap = cap;
	}
	memcpy(c->req + c->req_len, p, n);
	c->req_len += (uint32_t)n;
	return 0;
}

static bool busy(const struct conn *c)
{
	return c->opening || c->queued >= PIPELINE_MAX;
}

/* Bytes of a request's own body, which nothing here wants. Returns how many of p were such. */
static size_t skip_body(struct conn *c, const uint8_t *p, size_t n)
{
	int64_t used;

	if (c->skip_body) {
		size_t k = c->skip_body < n ? (size_t)c->skip_body : n;

		c->skip_body -= k;
		return k;
	}
	if (!c->skip_chunked)
		return 0;
	used = http_chunked_skip(&c->chunked, (const char *)p, n);
	if (used < 0) {
		http_error(NULL, (int)-used, c->w->wall, &c->w->plan);
		respond(c, &c->w->plan, NULL);
		return n;
	}
	if (c->chunked.done)
		c->skip_chunked = false;
	return (size_t)used;
}

static int status_of(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
	case -EISDIR:
	case -ENAMETOOLONG:
	case -EOPNOTSUPP: /* a directory: it can't be opened for direct reads */
		return 404;
	case -EACCES:
	case -EPERM:
	case -EXDEV:
	case -ELOOP:
		return 403;
	case -ENFILE:
	case -EMFILE:
	case -ENOMEM:
	case -ENOSPC:
		return 503;
	default:
		return 500;
	}
}

/* Answer the request in w->req. false: it waits for its file. */
static bool answer(struct conn *c)
{
	struct worker *w = c->w;
	struct file *f = NULL;
	struct http_obj obj;
	int err;

	if (w->req.method == HTTP_OTHER) {
		http_respond(&w->req, NULL, w->wall, &w->plan);
		respond(c, &w->plan, NULL);
		return true;
	}
	err = store_lookup(w->store, w->req.path, c, &f);
	if (err == -EINPROGRESS)
		return false;
	if (err) {
		http_error(&w->req, status_of(err), w->wall, &w->plan);
		respond(c, &w->plan, NULL);
		return true;
	}
	store_obj(f, &obj);
	http_respond(&w->req, &obj, w->wall, &w->plan);
	respond(c, &w->plan, f);
	store_put(w->store, f);
	return true;
}

/* One request head at p. Returns bytes used, 0: more are needed or it must wait. */
static size_t one_request(struct conn *c, const uint8_t *p, size_t n)
{
	struct worker *w = c->w;
	int head = http_parse((const char *)p, n, &w->req);

	if (head == 0)
		return 0;
	if (head < 0) {
		stat_add(&w->st->bad_requests, 1);
		http_error(NULL, -head, w->wall, &w->plan);
		w->plan.close = true;
		respond(c, &w->plan, NULL);
		return n;
	}
	if (!answer(c))
		return 0;
	stat_add(&w->st->requests, 1);
	c->skip_body = w->req.body_len;
	c->skip_chunked = w->req.chunked;
	if (c->skip_chunked)
		memset(&c->chunked, 0, sizeof c->chunked);
	return (size_t)head;
}

static void process(struct conn *c, const uint8_t *p, size_t n)
{
	size_t used = 0;

	while (used < n && !busy(c) && !c->closing && !c->aborted) {
		size_t k = c->skip_body || c->skip_chunked ? skip_body(c, p + used, n - used)
							   : one_request(c, p + used, n - used);

		if (!k)
			break;
		used += k;
	}
	if (c->aborted)
		return;
	if (!c->closing && used < n && stash(c, p + used, n - used)) {
		conn_abort(c);
		return;
	}
	publish(c);
	if (c->closing || (c->peer_fin && !busy(c)))
		finish(c);
}

/* Look again at what was stashed. */
static void reprocess(struct conn *c)
{
	uint8_t *req = c->req;
	uint32_t len = c->req_len, cap = c->req_cap;

	if (!len) {
		process(c, NULL, 0);
		return;
	}
	c->req = NULL;
	c->req_len = c->req_cap = 0;
	process(c, req, len);
	if (!c->req && cap <= 4096 && c->tcp && !c->aborted) { /* keep one for the next time */
		c->req = req;
		c->req_cap = cap;
	} else {
		free(req);
	}
}

static void plain_bytes(struct conn *c, const uint8_t *p, size_t n)
{
	if (!c->req_len) {
		process(c, p, n);
		return;
	}
	if (stash(c, p, n)) {
		conn_abort(c);
		return;
	}
	if (!busy(c))
		reprocess(c);
}

static void tls_data(void *arg, const uint8_t *p, size_t n)
{
	struct conn *c = arg;

	if (!c->closing && !c->aborted)
		plain_bytes(c, p, n);
}

static const struct tls_io tls_upcalls = {
	.send = tls_send, .data = tls_data, .key_update = tls_key_update_asked};

void conn_opened(struct conn *c)
{
	if (c->aborted || !c->tcp)
		return;
	reprocess(c);
	if (c->rx_blocked && !busy(c)) {
		c->rx_blocked = false;
		tcp_rx_resume(c->tcp);
	}
}

/* ---- upcalls of TCP ---- */

static void tls_bytes(struct conn *c, const uint8_t *p, uint32_t len)
{
	if (tls_input(c->tls, p, len)) {
		c->tls_failed = true; /* the alert is stored; nothing may follow it */
		c->closing = true;
	}
	publish(c);
	if (c->closing || (tls_conn_state(c->tls) == TLS_PEER_CLOSED && !busy(c) && !c->req_len))
		finish(c);
}

static uint32_t on_rx(void *ctx, struct tcp_conn *tcp, const uint8_t *p, uint32_t len)
{
	struct conn *c = tcp_user(tcp);
	struct worker *w = c->w;
	enum stage was;

	(void)ctx;
	if (c->closing || c->aborted)
		return len; /* not wanted any more */
	if (busy(c)) {
		c->rx_blocked = true;
		return 0;
	}
	was = stage_enter(&w->stages, STAGE_request);
	if (c->tls)
		tls_bytes(c, p, len);
	else
		plain_bytes(c, p, len);
	stage_enter(&w->stages, was);
	return len;
}

static void on_want(void *ctx, struct tcp_conn *tcp)
{
	struct conn *c = tcp_user(tcp);
	struct extent *x;

	(void)ctx;
	if (!c || c->aborted)
		return;
	c->want_more = true; /* until its turn has shown otherwise */
	pull_queue(c);
	x = extent_at(c, tcp_snd_nxt(tcp));
	if ((x && x->stored) || !TAILQ_EMPTY(&c->pulls))
		pull_transmit(c);
}

static void on_acked(void *ctx, struct tcp_conn *tcp, uint64_t off)
{
	struct conn *c = tcp_user(tcp);

	(void)ctx;
	extents_acked(c, off);
	if (c->aborted || busy(c))
		return;
	if (c->req_len)
		reprocess(c);
	if (c->rx_blocked && !busy(c)) {
		c->rx_blocked = false;
		tcp_rx_resume(c->tcp);
	}
}

static void on_event(void *ctx, struct tcp_conn *tcp, enum tcp_event ev, enum tcp_reason why)
{
	struct conn *c = tcp_user(tcp);

	(void)ctx;
	switch (ev) {
	case TCP_EV_ESTABLISHED:
		return;
	case TCP_EV_RX_FIN:
		c->peer_fin = true;
		if (c->opening || c->req_len >= 1)
			return; /* answered first, if it is a request */
		finish(c);
		return;
	case TCP_EV_CLOSED:
		if (why == TCP_R_RESET)
			stat_add(&c->w->st->closed_by_reset, 1);
		conn_free(c);
		return;
	}
}

const struct tcp_ops conn_tcp_ops = {.xmit = txq_xmit,
				     .accept = conn_accept,
				     .rx = on_rx,
				     .want = on_want,
				     .acked = on_acked,
				     .event = on_event};
