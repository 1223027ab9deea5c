/* sink: an engine that discards. Raw non-blocking sockets on the run's epoll; heads are parsed,
 * bodies are thrown away inside the kernel (recv with MSG_TRUNC copies nothing), over TLS by record
 * headers (stls.h). It costs a fraction of what libcurl does, so that the client is not the limit;
 * it checks lengths and record tags of heads, not bodies.
 *
 * One request at a time, Content-Length required (neither chunked nor read-until-close: LE_OTHER).
 * Upcalls into the run come only after the bytes at hand are dealt with, since they may start the
 * next request or close the connection.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workloads/load/resp.h"
#include "workloads/load/run.h"
#include "workloads/load/stls.h"

#define BUF_SIZE     (STLS_HDR + STLS_REC_MAX) /* a whole record, in which a head is */
#define HEAD_READ    2048 /* plaintext: what of the body comes along is copied for nothing */
#define REQUEST_MAX  400  /* with the overhead of its record */
#define READS_A_TURN 64	  /* then the others have their turn */

enum sstate { SC_CLOSED, SC_CONNECTING, SC_HANDSHAKE, SC_OPEN };

struct seng;

struct sconn {
	struct evh evh;
	struct slot *s;
	struct seng *en;
	int fd;
	enum sstate st;
	uint32_t events;
	bool was_up;
	bool served;  /* this connection has answered a request */
	bool waiting; /* for the answer to a request */
	bool in_body; /* its head is complete */
	bool done;    /* it is complete */
	bool bad;     /* the server broke the protocol */
	struct resp resp;
	uint64_t body_left;
	char *head; /* a head that came in pieces; NULL if none */
	uint32_t head_n;
	SSL *ssl; /* until the handshake is done */
	struct stls_secrets *sec;
	struct stls tls;
	uint32_t out_off, out_n;
	uint8_t out[REQUEST_MAX]; /* what the socket did not take at once */
};

struct seng {
	struct engine base;
	SSL_CTX *ctx;
	char tail[256]; /* of a request, after its target */
	size_t tail_len;
	uint8_t buf[BUF_SIZE];
};

/* ---- connections ---- */

static void sc_close(struct sconn *c)
{
	if (c->fd >= 0)
		close(c->fd); /* takes it out of epoll */
	c->fd = -1;
	SSL_free(c->ssl);
	c->ssl = NULL;
	OPENSSL_clear_free(c->sec, sizeof *c->sec);
	c->sec = NULL;
	free(c->head);
	c->head = NULL;
	if (c->st == SC_OPEN && c->en->ctx)
		stls_clear(&c->tls);
	c->st = SC_CLOSED;
	c->events = c->head_n = c->out_off = c->out_n = 0;
	c->served = c->waiting = c->in_body = c->done = c->bad = false;
	c->body_left = 0;
}

static int sc_connect(struct sconn *c);

/* A kept connection that breaks before the answer's first byte was most likely closed by the server
 * while the request was on its way; the request is tried once more on a new one (RFC 9110 9.2.2;
 * libcurl does the same). */
static void sc_fail(struct sconn *c, enum load_error kind, const char *what)
{
	bool waiting = c->waiting;
	bool retry = waiting && c->served && kind == LE_RESET && !c->s->first_seen;

	sc_close(c);
	if (retry && sc_connect(c) == 0)
		c->waiting = true;
	else if (waiting)
		run_fail(c->en->base.run, c->s, kind, what);
}

static int sc_events(struct sconn *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	if (c->events == events)
		return 0;
	if (epoll_ctl(c->en->base.run->ep, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &ev) !=
	    0)
		return -errno;
	c->events = events;
	return 0;
}

static int sc_connect(struct sconn *c)
{
	struct run *r = c->en->base.run;
	int one = 1, err;

	c->fd = socket(r->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	ports_spread(&r->ports, c->fd);
	if (connect(c->fd, (const struct sockaddr *)&r->addr, r->addr_len) != 0 &&
	    errno != EINPROGRESS) {
		err = -errno;
		sc_close(c);
		return err;
	}
	c->st = SC_CONNECTING;
	if (c->was_up)
		run_reconnected(r);
	return sc_events(c, EPOLLOUT);
}

/* ---- requests ---- */

static int sc_flush(struct sconn *c)
{
	while (c->out_off < c->out_n) {
		ssize_t n = send(c->fd, c->out + c->out_off, c->out_n - c->out_off, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return sc_events(c, EPOLLIN | EPOLLOUT);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			c->out_off += (uint32_t)n;
	}
	c->out_off = c->out_n = 0;
	return sc_events(c, EPOLLIN);
}

static int sc_send_request(struct sconn *c)
{
	struct seng *en = c->en;
	char text[REQUEST_MAX], path[32];
	int n = snprintf(text, sizeof text, "%s %s%.*s", c->s->head ? "HEAD" : "GET",
			 content_path(c->s->id, path), (int)en->tail_len, en->tail);

	if (n < 0 || (size_t)n + STLS_HDR + STLS_TRAIL + c->out_n > sizeof c->out)
		return -EMSGSIZE;
	if (en->ctx) {
		n = stls_seal(&c->tls, 23, (const uint8_t *)text, (size_t)n, c->out + c->out_n);
		if (n < 0)
			return n;
	} else {
		memcpy(c->out + c->out_n, text, (size_t)n);
	}
	c->out_n += (uint32_t)n;
	return sc_flush(c);
}

/* The connection is usable: send the request that waits for it. */
static void sc_opened(struct sconn *c)
{
	int err;

	c->st = SC_OPEN;
	c->was_up = true;
	err = c->waiting ? sc_send_request(c) : sc_events(c, EPOLLIN);
	if (err)
		sc_fail(c, LE_RESET, strerror(-err));
}

/* ---- responses ---- */

static void body(struct sconn *c, uint64_t n)
{
	c->body_left -= n;
	if (c->resp.status == 200)
		run_body(c->en->base.run, c->s, NULL, n);
	c->done = !c->body_left;
}

/* Bytes of a head, and perhaps of the body after it. False: not HTTP as we take it. */
static bool head_bytes(struct sconn *c, const char *p, size_t n)
{
	const char *whole = p;
	size_t had = c->head_n, len = n, rest;
	int used;

	run_first_byte(c->en->base.run, c->s);
	if (had) { /* go on with what came before */
		size_t take = RESP_HEAD_MAX - had < n ? RESP_HEAD_MAX - had : n;

		memcpy(c->head + had, p, take);
		whole = c->head;
		len = had + take;
	}
	used = resp_parse(whole, len, &c->resp);
	if (used < 0)
		return false;
	if (used == 0) {
		if (!c->head)
			c->head = malloc(RESP_HEAD_MAX);
		if (!c->head || len >= RESP_HEAD_MAX)
			return false;
		if (!had)
			memcpy(c->head, p, n);
		c->head_n = (uint32_t)len;
		return true;
	}
	c->head_n = 0;
	rest = n - ((size_t)used - had);
	p += n - rest;
	if (c->resp.status < 200) /* interim: the real one follows */
		return rest ? head_bytes(c, p, rest) : true;
	if (!c->s->head && (c->resp.chunked || c->resp.length < 0))
		return false;
	free(c->head);
	c->head = NULL;
	c->in_body = true;
	c->body_left = c->s->head ? 0 : (uint64_t)c->resp.length;
	if (rest > c->body_left)
		return false;
	body(c, rest);
	return true;
}

/* The response is complete, or broken: tell the run. Upcalls are only made from here. */
static void sc_settle(struct sconn *c)
{
	struct run *r = c->en->base.run;
	struct resp resp = c->resp;

	if (c->bad) {
		sc_fail(c, LE_OTHER,
			resp.chunked ? "chunked response: the sink needs Content-Length"
				     : "response that is not HTTP/1.1 with Content-Length");
		return;
	}
	if (!c->done)
		return;
	c->done = c->in_body = c->waiting = false;
	c->served = true;
	if (!resp.keep_alive)
		sc_close(c);
	run_response(r, c->s, resp.status, resp.length);
}

/* recv() said no. True: the connection is over (and told so). */
static bool sc_ended(struct sconn *c, ssize_t n)
{
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == 0 && c->in_body)
		sc_fail(c, LE_SHORT_BODY, "the server closed within a body");
	else
		sc_fail(c, LE_RESET, n ? strerror(errno) : "the server closed the connection");
	return true;
}

static void read_plain(struct sconn *c)
{
	for (int i = 0; i < READS_A_TURN; i++) {
		size_t want = c->in_body ? c->body_left : HEAD_READ;
		ssize_t n;

		if (c->in_body) /* TCP discards without copying (tcp(7)) */
			n = recv(c->fd, NULL, want > 1u << 30 ? 1u << 30 : want, MSG_TRUNC);
		else
			n = recv(c->fd, c->en->buf, want, 0);
		if (n <= 0) {
			sc_ended(c, n);
			return;
		}
		if (!c->waiting) /* nobody asked */
			c->bad = true;
		else if (c->in_body)
			body(c, (uint64_t)n);
		else
			c->bad = !head_bytes(c, (const char *)c->en->buf, (size_t)n);
		if (c->bad || c->done) {
			if (c->bad && !c->waiting)
				sc_close(c);
			else
				sc_settle(c);
			return;
		}
		if ((size_t)n < want)
			return; /* the socket is empty */
	}
}

static uint64_t tls_data(void *arg, const uint8_t *p, size_t n)
{
	struct sconn *c = arg;

	if (!c->waiting || c->done || c->bad)
		c->bad = true;
	else if (!c->in_body)
		c->bad = !head_bytes(c, (const char *)p, n);
	else if (n <= c->body_left)
		body(c, n);
	else
		c->bad = true;
	return c->in_body && !c->done ? c->body_left : 0;
}

static uint64_t tls_count(void *arg, size_t n)
{
	struct sconn *c = arg;

	body(c, n);
	return c->body_left;
}

/* What the peer's records asked of us: answer a KeyUpdate before anything else is sealed. */
static int tls_answer(struct sconn *c)
{
	int n;

	if (!c->tls.key_update_due)
		return 0;
	if (c->out_n + STLS_HDR + STLS_TRAIL + 5 > sizeof c->out)
		return -EMSGSIZE;
	n = stls_key_update(&c->tls, c->out + c->out_n);
	if (n < 0)
		return n;
	c->out_n += (uint32_t)n;
	return sc_flush(c);
}

static void read_tls(struct sconn *c)
{
	struct stls_out o = {.arg = c, .data = tls_data, .count = tls_count};

	o.expect = c->in_body ? c->body_left : 0;
	for (int i = 0; i < READS_A_TURN; i++) {
		size_t skip = stls_skippable(&c->tls), want;
		ssize_t n;
		int res = 0;

		/* Within a body: the header of the next record, then its payload, or a run of such
		 * records, unread. Elsewhere a whole record at once. */
		want = skip ? skip : o.expect ? STLS_HDR : BUF_SIZE;
		if (!skip && o.expect && c->tls.left)
			want = c->tls.left;
		n = skip ? recv(c->fd, NULL, want, MSG_TRUNC) : recv(c->fd, c->en->buf, want, 0);
		if (n <= 0) {
			sc_ended(c, n);
			return;
		}
		if (skip)
			stls_skip(&c->tls, (size_t)n, &o);
		else
			res = stls_feed(&c->tls, c->en->buf, (size_t)n, &o);
		if (!res)
			res = tls_answer(c);
		if (res) {
			if (res == 1 && c->done) { /* close_notify behind a complete response */
				c->resp.keep_alive = false;
				sc_settle(c);
			} else {
				sc_fail(c, res == 1 ? LE_RESET : LE_TLS,
					res == 1
						? "the server closed the connection"
						: "a record did not authenticate or made no sense");
			}
			return;
		}
		if (c->bad && !c->waiting) {
			sc_close(c);
			return;
		}
		if (c->bad || c->done) {
			sc_settle(c);
			return;
		}
		if ((size_t)n < want)
			return;
	}
}

/* ---- connecting ---- */

static void sc_handshake(struct sconn *c)
{
	struct run *r = c->en->base.run;
	int k = SSL_connect(c->ssl);

	if (k != 1) {
		switch (SSL_get_error(c->ssl, k)) {
		case SSL_ERROR_WANT_READ:
			sc_events(c, EPOLLIN);
			return;
		case SSL_ERROR_WANT_WRITE:
			sc_events(c, EPOLLOUT);
			return;
		default: {
			const char *why = ERR_reason_error_string(ERR_peek_last_error());

			if (SSL_get_verify_result(c->ssl) != X509_V_OK)
				why = X509_verify_cert_error_string(SSL_get_verify_result(c->ssl));
			ERR_clear_error();
			sc_fail(c, LE_TLS, why ? why : "the server ended the TLS handshake");
			return;
		}
		}
	}
	if (!r->tls_suite[0])
		snprintf(r->tls_suite, sizeof r->tls_suite, "%s", SSL_get_cipher_name(c->ssl));
	k = stls_take(&c->tls, c->ssl, c->sec);
	if (k) {
		sc_fail(c, LE_TLS, "the keys of the connection could not be taken over");
		return;
	}
	SSL_free(c->ssl);
	c->ssl = NULL;
	OPENSSL_clear_free(c->sec, sizeof *c->sec);
	c->sec = NULL;
	sc_opened(c);
}

static void sc_connected(struct sconn *c)
{
	int err = 0;
	socklen_t len = sizeof err;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		sc_fail(c, LE_CONNECT,
			err == EADDRNOTAVAIL
				? "no local port is free (net.ipv4.ip_local_port_range)"
				: strerror(err));
		return;
	}
	if (!c->en->ctx) {
		sc_opened(c);
		return;
	}
	c->st = SC_HANDSHAKE;
	c->sec = OPENSSL_malloc(sizeof *c->sec);
	c->ssl = c->sec ? stls_handshake_new(c->en->ctx, c->fd, &c->en->base.run->opts.url, c->sec)
			: NULL;
	if (!c->ssl)
		sc_fail(c, LE_TLS, "out of memory");
	else
		sc_handshake(c);
}

static void on_event(struct run *r, struct evh *h, uint32_t ev)
{
	struct sconn *c = (struct sconn *)h;
	int err;

	(void)r;
	switch (c->st) {
	case SC_CLOSED: /* an event of the same batch, from before it was closed */
		return;
	case SC_CONNECTING:
		if (ev & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			sc_connected(c);
		return;
	case SC_HANDSHAKE:
		sc_handshake(c);
		return;
	case SC_OPEN:
		if (c->out_n && (ev & EPOLLOUT)) {
			err = sc_flush(c);
			if (err) {
				sc_fail(c, LE_RESET, strerror(-err));
				return;
			}
		}
		if (!(ev & (EPOLLIN | EPOLLERR | EPOLLHUP)))
			return;
		if (c->en->ctx)
			read_tls(c);
		else
			read_plain(c);
		return;
	}
}

/* ---- the engine ---- */

static int seng_attach(struct engine *base, struct slot *s, struct errbuf *e)
{
	struct sconn *c = calloc(1, sizeof *c);

	if (!c)
		return errf(e, -ENOMEM, "out of memory for connection %u", s->idx);
	c->evh.fn = on_event;
	c->s = s;
	c->en = (struct seng *)base;
	c->fd = -1;
	s->conn = c;
	return 0;
}

static int seng_request(struct engine *base, struct slot *s)
{
	struct sconn *c = s->conn;
	int err;

	(void)base;
	c->waiting = true;
	err = c->st == SC_OPEN ? sc_send_request(c) : c->st == SC_CLOSED ? sc_connect(c) : 0;
	if (err)
		sc_close(c);
	return err;
}

static void seng_drop(struct engine *base, struct slot *s)
{
	(void)base;
	sc_close(s->conn);
}

static uint64_t seng_poll(struct engine *base, uint64_t now)
{
	(void)base;
	(void)now;
	return UINT64_MAX;
}

static void seng_detach(struct engine *base, struct slot *s)
{
	(void)base;
	sc_close(s->conn);
	free(s->conn);
	s->conn = NULL;
}

static void seng_free(struct engine *base)
{
	struct seng *en = (struct seng *)base;

	SSL_CTX_free(en->ctx);
	free(en);
}

static const struct engine_ops seng_ops = {
	.name = "sink",
	.attach = seng_attach,
	.request = seng_request,
	.drop = seng_drop,
	.poll = seng_poll,
	.detach = seng_detach,
	.free = seng_free,
};

struct engine *engine_sink_new(struct run *r, uint32_t slots, struct errbuf *e)
{
	struct seng *en = calloc(1, sizeof *en);

	(void)slots;
	if (!en) {
		errf(e, -ENOMEM, "out of memory for the sink engine");
		return NULL;
	}
	en->base.ops = &seng_ops;
	en->base.run = r;
	en->tail_len = (size_t)snprintf(en->tail, sizeof en->tail,
					" HTTP/1.1\r\nHost: %s\r\nUser-Agent: dcn-load\r\n\r\n",
					r->opts.url.host_field);
	if (r->opts.url.tls) {
		en->ctx = stls_ctx(&r->opts, e);
		if (!en->ctx) {
			free(en);
			return NULL;
		}
	}
	return &en->base;
}
