/* null_srv: epoll, edge triggered, one registration a connection and no further epoll_ctl.
 *
 * The one idea: an object is generated straight into a buffer that stays in the L2 cache, sealed
 * there in place (TLS by the record layer of stacks/atlas/tls) and sent from there, so that neither
 * a file nor DRAM is in the path and the server costs little more than its send() calls. What the
 * socket does not take is kept with the connection.
 *
 * Limits: request heads NULL_HEAD_MAX; one response at a time (pipelined requests wait in the input
 * buffer and the socket); unsent bytes at most one chunk; RESPONSES_A_TURN bounds how long one
 * connection may hold the loop. No timeouts: idle connections stay.
 */
#include "stacks/null/null_srv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ipaddr.h"
#include "base/log.h"
#include "stacks/null/null_http.h"

#define CHUNK		 (128 * 1024) /* generated and sent at once; must stay cache resident */
#define RECORDS		 8	      /* the same over TLS */
#define RECORD_WIRE	 (TLS_RECORD_MAX + TLS_OVERHEAD)
#define BUF_SIZE	 (RECORDS * RECORD_WIRE)
#define READ_SIZE	 (20 * 1024) /* a whole record */
#define IN_MAX		 (NULL_HEAD_MAX + READ_SIZE)
#define BATCH		 256
#define RESPONSES_A_TURN 8

_Static_assert(BUF_SIZE >= CHUNK, "one buffer serves both");

struct conn {
	int fd;
	bool listener, tls_listener; /* else a connection */
	bool readable, peer_closed, close_after, queued, broken;
	struct null_srv *srv;
	struct tls_conn *tls;
	char *in; /* part of a request head or pipelined requests; NULL if none */
	size_t in_len;
	uint8_t *out; /* formed but not yet taken by the socket; NULL if none */
	size_t out_off, out_len;
	uint64_t id, body_off, body_end;
	struct conn *prev, *next; /* all connections */
	struct conn *again;	  /* the run queue */
};

struct null_srv {
	struct null_cfg cfg;
	int ep;
	struct conn plain, tls, stop, all; /* `all` is a list head */
	struct conn *runq;
	struct tls_ctx *tls_ctx;
	uint8_t *buf;  /* BUF_SIZE */
	uint8_t *rbuf; /* READ_SIZE */
	bool full_told;
};

static void conn_free(struct conn *c)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
	if (c->tls)
		tls_free(c->tls);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* ---- sending ---- */

/* Append to what the socket did not take. */
static bool keep(struct conn *c, const uint8_t *p, size_t n)
{
	size_t have = c->out ? c->out_len - c->out_off : 0;
	uint8_t *q = malloc(have + n);

	if (!q)
		return false;
	if (have)
		memcpy(q, c->out + c->out_off, have);
	memcpy(q + have, p, n);
	free(c->out);
	c->out = q;
	c->out_off = 0;
	c->out_len = have + n;
	return true;
}

/* Send p[0, n) behind what is kept. 1 all gone, 0 some kept, -1 the connection is broken. */
static int send_or_keep(struct conn *c, const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (!c->out && at < n) {
		ssize_t k = send(c->fd, p + at, n - at, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno != EAGAIN)
			return -1;
		if (k < 0)
			break;
		at += (size_t)k;
	}
	if (at == n)
		return 1;
	return keep(c, p + at, n - at) ? 0 : -1;
}

/* As send_or_keep(), for what was kept before. */
static int flush_kept(struct conn *c)
{
	while (c->out) {
		ssize_t k = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno == EAGAIN ? 0 : -1;
		c->out_off += (size_t)k;
		if (c->out_off == c->out_len) {
			free(c->out);
			c->out = NULL;
		}
	}
	return 1;
}

/* The next n bytes of the response's body. */
static void fill(struct null_srv *s, struct conn *c, uint8_t *p, size_t n)
{
	uint64_t flip = s->cfg.content.object_size / 2;

	content_fill(s->cfg.content.seed, c->id, c->body_off, p, n);
	if ((int64_t)c->id == s->cfg.corrupt && flip >= c->body_off && flip < c->body_off + n)
		p[flip - c->body_off] ^= 1;
	c->body_off += n;
}

static size_t body_left(const struct conn *c, size_t room)
{
	uint64_t left = c->body_end - c->body_off;

	return left < room ? (size_t)left : room;
}

/* Fill the buffer with full records: a head (may be empty) and as much of the body as fits. Its
 * length or -1. */
static ssize_t records(struct null_srv *s, struct conn *c, const char *head, size_t head_len)
{
	size_t max = tls_record_max(c->tls),
	       total = head_len + body_left(c, RECORDS * max - head_len);
	uint64_t n = (total + max - 1) / max, seq = 0;
	struct tls_epoch *e = n ? tls_reserve(c->tls, n, &seq) : NULL;
	uint8_t *p = s->buf;

	if (n && !e) { /* the key has done its work */
		if (tls_key_update(c->tls) != 0 || c->broken)
			return -1;
		e = tls_reserve(c->tls, n, &seq);
		if (!e)
			return -1;
	}
	for (uint64_t i = 0; i < n; i++) {
		size_t len = total < max ? total : max;

		memcpy(p + TLS_HDR, head, head_len);
		fill(s, c, p + TLS_HDR + head_len, len - head_len);
		tls_seal(e, seq + i, p + TLS_HDR, len, p, p + TLS_HDR + len);
		p += len + TLS_OVERHEAD;
		total -= len;
		head_len = 0;
	}
	if (e)
		tls_epoch_put(e);
	return p - s->buf;
}

/* Send a head (may be empty) and a chunk of the body. */
static int emit(struct null_srv *s, struct conn *c, const char *head, size_t head_len)
{
	ssize_t len;
	size_t n;

	if (c->tls) {
		len = records(s, c, head, head_len);
		return len < 0 ? -1 : send_or_keep(c, s->buf, (size_t)len);
	}
	memcpy(s->buf, head, head_len);
	n = body_left(c, CHUNK - head_len);
	fill(s, c, s->buf + head_len, n);
	return send_or_keep(c, s->buf, head_len + n);
}

static int respond(struct null_srv *s, struct conn *c, const struct null_req *r)
{
	char head[256];
	size_t n = null_head(r, &s->cfg.content, head, sizeof head);
	bool body = r->status == 200 && !r->head;

	c->id = r->id;
	c->body_off = 0;
	c->body_end = body ? s->cfg.content.object_size : 0;
	c->close_after = !r->keep_alive;
	return emit(s, c, head, n);
}

/* ---- receiving ---- */

static bool in_append(struct conn *c, const uint8_t *p, size_t n)
{
	if (!c->in)
		c->in = malloc(IN_MAX);
	if (!c->in || n > IN_MAX - c->in_len)
		return false;
	memcpy(c->in + c->in_len, p, n);
	c->in_len += n;
	return true;
}

static void on_tls_send(void *arg, const uint8_t *p, size_t n)
{
	struct conn *c = arg;

	c->broken |= send_or_keep(c, p, n) < 0;
}

static void on_tls_data(void *arg, const uint8_t *p, size_t n)
{
	struct conn *c = arg;

	c->broken |= !in_append(c, p, n);
}

static void on_tls_key_update(void *arg)
{
	struct conn *c = arg;

	c->broken |= tls_key_update(c->tls) != 0; /* nothing is reserved between two chunks */
}

static const struct tls_io tls_upcalls = {
	.send = on_tls_send, .data = on_tls_data, .key_update = on_tls_key_update};

/* Read what has come. 1 something, 0 nothing more now, -1 the connection is over. */
static int fill_in(struct null_srv *s, struct conn *c)
{
	ssize_t n = recv(c->fd, s->rbuf, READ_SIZE, 0);

	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0 && errno == EAGAIN) {
		c->readable = false;
		return c->peer_closed ? -1 : 0;
	}
	if (n <= 0)
		return -1;
	if (n < READ_SIZE && !c->peer_closed)
		c->readable = false; /* a short read: the socket is empty (epoll(7)) */
	if (!c->tls)
		return in_append(c, s->rbuf, (size_t)n) ? 1 : -1;
	if (tls_input(c->tls, s->rbuf, (size_t)n) != 0 || c->broken)
		return -1;
	if (tls_conn_state(c->tls) == TLS_PEER_CLOSED && !c->in_len)
		return -1;
	return 1;
}

/* Take one request from what has come. 1 taken, 0 none complete, -1 close. */
static int next_request(struct null_srv *s, struct conn *c, struct null_req *r)
{
	size_t used;
	int k;

	for (;;) {
		used = c->in_len ? null_parse(c->in, c->in_len, &s->cfg.content, r) : 0;
		if (used) {
			c->in_len -= used;
			memmove(c->in, c->in + used, c->in_len);
			return 1;
		}
		if (!c->readable)
			return 0;
		k = fill_in(s, c);
		if (k <= 0)
			return k;
	}
}

/* ---- connections ---- */

static void run_later(struct null_srv *s, struct conn *c)
{
	if (c->queued)
		return;
	c->queued = true;
	c->again = s->runq;
	s->runq = c;
}

/* Go on as far as the socket allows. -1: the connection is over. */
static int conn_run(struct null_srv *s, struct conn *c)
{
	struct null_req r;
	int left = RESPONSES_A_TURN, k;

	for (;;) {
		k = flush_kept(c);
		while (k == 1 && c->body_off < c->body_end)
			k = emit(s, c, "", 0);
		if (k <= 0)
			return k;
		if (c->close_after)
			return -1;
		if (left-- == 0) {
			run_later(s, c);
			return 0;
		}
		k = next_request(s, c, &r);
		if (k < 0)
			return -1;
		if (k == 0) {
			if (c->in && !c->in_len) { /* idle connections hold no buffer */
				free(c->in);
				c->in = NULL;
			}
			return 0;
		}
		if (respond(s, c, &r) < 0)
			return -1;
	}
}

/* Close politely: what was sent should arrive before a reset caused by unread input. */
static void conn_end(struct conn *c)
{
	char sink[4096];

	if (c->tls && tls_conn_state(c->tls) == TLS_OPEN && c->body_off == c->body_end)
		tls_close(c->tls);
	if (c->out)
		flush_kept(c);
	shutdown(c->fd, SHUT_WR);
	while (recv(c->fd, sink, sizeof sink, MSG_DONTWAIT) == (ssize_t)sizeof sink)
		;
	conn_free(c);
}

static void accept_one(struct null_srv *s, int fd, bool tls)
{
	struct conn *c = calloc(1, sizeof *c);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				 .data.ptr = c};
	int one = 1;

	if (c && tls)
		c->tls = tls_accept(s->tls_ctx, &tls_upcalls, c);
	if (!c || (tls && !c->tls) || epoll_ctl(s->ep, EPOLL_CTL_ADD, fd, &ev) != 0) {
		if (c && c->tls)
			tls_free(c->tls);
		free(c);
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->fd = fd;
	c->srv = s;
	c->next = s->all.next;
	c->prev = &s->all;
	s->all.next->prev = c;
	s->all.next = c;
}

static void accept_all(struct null_srv *s, struct conn *l)
{
	int fd;

	while ((fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		accept_one(s, fd, l->tls_listener);
	if ((errno == EMFILE || errno == ENFILE) && !s->full_told) {
		log_warn("out of descriptors: further connections wait; raise `ulimit -n`");
		s->full_told = true;
	}
	if (errno == EMFILE || errno == ENFILE)
		usleep(1000); /* the listener stays readable; don't spin hard on it */
}

static void on_event(struct null_srv *s, struct conn *c, uint32_t ev)
{
	if (c->listener) {
		accept_all(s, c);
		return;
	}
	if (ev & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->readable = true;
	if (ev & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->peer_closed = true;
	if (!c->queued && conn_run(s, c) < 0)
		conn_end(c);
}

void null_srv_run(struct null_srv *s)
{
	struct epoll_event ev[BATCH];

	for (;;) {
		int n = epoll_wait(s->ep, ev, BATCH, s->runq ? 0 : -1);
		struct conn *c;

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &s->stop)
				return;
			on_event(s, ev[i].data.ptr, ev[i].events);
		}
		c = s->runq;
		s->runq = NULL;
		while (c) {
			struct conn *next = c->again;

			c->queued = false;
			if (conn_run(s, c) < 0)
				conn_end(c);
			c = next;
		}
	}
}

static int listen_on(struct null_srv *s, struct conn *l, int port, struct errbuf *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct ipaddr a;
	int one = 1;

	if (ipaddr_parse(s->cfg.ip, &a) != 0 || !ipaddr_is_v4(&a))
		return errf(e, -EINVAL, "%s is not an IPv4 address (--ip)", s->cfg.ip);
	memcpy(&sin.sin_addr, ipaddr_v4_bytes(&a), 4);
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return errf(e, -errno, "socket: %s", strerror(errno));
	l->listener = true;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(l->fd, (struct sockaddr *)&sin, sizeof sin) != 0 || listen(l->fd, 4096) != 0)
		return errf(e, -errno, "cannot listen on %s port %d: %s", s->cfg.ip, port,
			    strerror(errno));
	if (epoll_ctl(s->ep, EPOLL_CTL_ADD, l->fd, &ev) != 0)
		return errf(e, -errno, "epoll_ctl: %s", strerror(errno));
	return 0;
}

struct null_srv *null_srv_new(const struct null_cfg *cfg, struct errbuf *e)
{
	struct null_srv *s = calloc(1, sizeof *s);
	struct epoll_event ev = {.events = EPOLLIN};

	if (!s) {
		errf(e, -ENOMEM, "out of memory");
		return NULL;
	}
	s->cfg = *cfg;
	s->plain.fd = s->tls.fd = -1;
	s->all.next = s->all.prev = &s->all;
	s->buf = malloc(BUF_SIZE);
	s->rbuf = malloc(READ_SIZE);
	s->ep = epoll_create1(EPOLL_CLOEXEC);
	ev.data.ptr = &s->stop;
	if (!s->buf || !s->rbuf || s->ep < 0 ||
	    epoll_ctl(s->ep, EPOLL_CTL_ADD, cfg->stop_fd, &ev) != 0) {
		errf(e, -ENOMEM, "out of memory or descriptors");
		goto fail;
	}
	s->tls.tls_listener = true;
	if (cfg->tls_port) {
		s->tls_ctx = tls_ctx_new(&cfg->tls, e);
		if (!s->tls_ctx)
			goto fail;
	}
	if (cfg->port && listen_on(s, &s->plain, cfg->port, e) != 0)
		goto fail;
	if (cfg->tls_port && listen_on(s, &s->tls, cfg->tls_port, e) != 0)
		goto fail;
	return s;
fail:
	null_srv_free(s);
	return NULL;
}

void null_srv_free(struct null_srv *s)
{
	if (!s)
		return;
	while (s->all.next != &s->all)
		conn_free(s->all.next);
	if (s->plain.fd >= 0)
		close(s->plain.fd);
	if (s->tls.fd >= 0)
		close(s->tls.fd);
	if (s->ep >= 0)
		close(s->ep);
	if (s->tls_ctx)
		tls_ctx_free(s->tls_ctx);
	free(s->buf);
	free(s->rbuf);
	free(s);
}
