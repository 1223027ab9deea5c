/* null_srv: epoll, edge triggered, one registration a connection and no further epoll_ctl.
 *
 * The one idea: an object is generated straight into a buffer that stays in the L2 cache and sent
 * from there, so that neither a file nor DRAM is in the path and the server costs little more than
 * its send() calls. What the socket does not take is kept with the connection.
 *
 * Limits: request heads NULL_HEAD_MAX; one response at a time (pipelined requests wait in the input
 * buffer and the socket); unsent bytes at most one chunk; RESPONSES_A_TURN bounds how long one
 * connection may hold the loop. No timeouts: idle connections stay.
 */
#include "stacks/null/null_srv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ipaddr.h"
#include "base/log.h"
#include "stacks/null/null_http.h"

#define CHUNK		 (128 * 1024) /* generated and sent at once; must stay cache resident */
#define TLS_CHUNK	 (4 * 16384)  /* four full records */
#define BATCH		 256
#define RESPONSES_A_TURN 8

struct conn {
	int fd;
	bool listener, tls_listener; /* else a connection */
	bool readable, peer_closed, close_after, queued;
	SSL *ssl;
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
	uint8_t *buf; /* CHUNK */
	bool full_told;
};

static void conn_free(struct null_srv *s, struct conn *c)
{
	(void)s;
	c->prev->next = c->next;
	c->next->prev = c->prev;
	SSL_free(c->ssl);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* Send p[0, n) or keep what is left. 1 all gone, 0 kept, -1 the connection is broken. */
static int send_or_keep(struct conn *c, const uint8_t *p, size_t n, bool more)
{
	size_t at = 0;

	while (at < n) {
		ssize_t k = send(c->fd, p + at, n - at, MSG_NOSIGNAL | (more ? MSG_MORE : 0));

		if (k < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				return -1;
			c->out = malloc(n - at);
			if (!c->out)
				return -1;
			memcpy(c->out, p + at, n - at);
			c->out_len = n - at;
			c->out_off = 0;
			return 0;
		}
		at += (size_t)k;
	}
	return 1;
}

/* As send_or_keep(), for what was kept before. */
static int flush_kept(struct conn *c)
{
	while (c->out) {
		ssize_t k = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);

		if (k < 0)
			return errno == EAGAIN ? 0 : errno == EINTR ? 0 : -1;
		c->out_off += (size_t)k;
		if (c->out_off == c->out_len) {
			free(c->out);
			c->out = NULL;
		}
	}
	return 1;
}

/* Send what OpenSSL wrote. */
static int flush_tls(struct conn *c)
{
	struct null_out *o = &null_tls_out;
	int r = o->len ? send_or_keep(c, o->p, o->len, false) : 1;

	o->len = 0;
	return r;
}

/* Send a head (may be empty) and n bytes of the body as plaintext or records. */
static int emit(struct null_srv *s, struct conn *c, const char *head, size_t head_len)
{
	size_t room = (c->ssl ? TLS_CHUNK : CHUNK) - head_len, n = room;
	size_t flip;

	if (n > c->body_end - c->body_off)
		n = c->body_end - c->body_off;
	memcpy(s->buf, head, head_len);
	content_fill(s->cfg.content.seed, c->id, c->body_off, s->buf + head_len, n);
	flip = s->cfg.content.object_size / 2;
	if (c->body_end && (int64_t)c->id == s->cfg.corrupt && flip >= c->body_off &&
	    flip < c->body_off + n)
		s->buf[head_len + flip - c->body_off] ^= 1;
	c->body_off += n;
	if (!c->ssl)
		return send_or_keep(c, s->buf, head_len + n, false);
	if (SSL_write(c->ssl, s->buf, (int)(head_len + n)) != (int)(head_len + n))
		return -1;
	return flush_tls(c);
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

static ssize_t conn_recv(struct conn *c, char *p, size_t n)
{
	int k;

	if (!c->ssl)
		return recv(c->fd, p, n, 0);
	k = SSL_read(c->ssl, p, (int)n);
	if (k > 0)
		return k;
	switch (SSL_get_error(c->ssl, k)) {
	case SSL_ERROR_WANT_READ:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		ERR_clear_error();
		errno = ECONNRESET;
		return -1;
	}
}

/* Take one request from what has come. 1 taken, 0 none complete, -1 close. */
static int next_request(struct null_srv *s, struct conn *c, struct null_req *r)
{
	char *buf = c->in;
	size_t used;

	for (;;) {
		if (c->in_len) {
			used = null_parse(buf, c->in_len, &s->cfg.content, r);
			if (used) {
				c->in_len -= used;
				memmove(buf, buf + used, c->in_len);
				return 1;
			}
		}
		if (!c->readable)
			return 0;
		if (!buf) {
			buf = c->in = malloc(NULL_HEAD_MAX);
			if (!buf)
				return -1;
		}
		ssize_t n = conn_recv(c, buf + c->in_len, NULL_HEAD_MAX - c->in_len);

		if (n == 0)
			return -1;
		if (n < 0) {
			if (errno != EAGAIN)
				return -1;
			c->readable = c->peer_closed; /* a close is found by reading up to it */
			return c->peer_closed ? -1 : 0;
		}
		c->in_len += (size_t)n;
		if (!c->ssl && c->in_len < NULL_HEAD_MAX && !c->peer_closed)
			c->readable = false; /* a short read: the socket was empty (epoll(7)) */
	}
}

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
		if (c->ssl && null_tls_out.len && flush_tls(c) < 0) /* handshake, alerts */
			return -1;
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
static void conn_end(struct null_srv *s, struct conn *c)
{
	char sink[4096];

	if (c->ssl && SSL_is_init_finished(c->ssl)) {
		SSL_shutdown(c->ssl);
		if (!c->out)
			flush_tls(c);
		ERR_clear_error();
	}
	null_tls_out.len = 0;
	shutdown(c->fd, SHUT_WR);
	while (recv(c->fd, sink, sizeof sink, MSG_DONTWAIT) == (ssize_t)sizeof sink)
		;
	conn_free(s, c);
}

static void accept_all(struct null_srv *s, struct conn *l)
{
	int fd, one = 1;

	while ((fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof *c);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
					 .data.ptr = c};

		if (c && l->tls_listener)
			c->ssl = null_tls_new(s->cfg.tls, fd);
		if (!c || (l->tls_listener && !c->ssl) ||
		    epoll_ctl(s->ep, EPOLL_CTL_ADD, fd, &ev) != 0) {
			if (c)
				SSL_free(c->ssl);
			free(c);
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		c->fd = fd;
		c->next = s->all.next;
		c->prev = &s->all;
		s->all.next->prev = c;
		s->all.next = c;
	}
	if ((errno == EMFILE || errno == ENFILE) && !s->full_told) {
		log_warn("out of descriptors: further connections wait; raise `ulimit -n`");
		s->full_told = true;
		usleep(1000); /* the listener stays readable; don't spin hard on it */
	}
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
		conn_end(s, c);
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
				conn_end(s, c);
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
	s->buf = malloc(CHUNK);
	s->ep = epoll_create1(EPOLL_CLOEXEC);
	ev.data.ptr = &s->stop;
	if (!s->buf || s->ep < 0 || epoll_ctl(s->ep, EPOLL_CTL_ADD, cfg->stop_fd, &ev) != 0) {
		errf(e, -ENOMEM, "out of memory or descriptors");
		goto fail;
	}
	s->tls.tls_listener = true;
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
		conn_free(s, s->all.next);
	if (s->plain.fd >= 0)
		close(s->plain.fd);
	if (s->tls.fd >= 0)
		close(s->tls.fd);
	if (s->ep >= 0)
		close(s->ep);
	free(s->buf);
	free(s);
}
