/* curl_engine: requests by libcurl's multi interface on the run's epoll instance.
 *
 * One easy handle a slot, and each keeps to its own connection. libcurl chooses connections by
 * host, so every handle is told to connect to a host name of its own (CURLOPT_CONNECT_TO), which
 * CURLOPT_RESOLVE maps to the one server: the name is the key of libcurl's connection cache, its
 * bundle then holds one connection, and finding it does not walk a list of all of them (which costs
 * half the throughput at 4,000 connections). The Host field, SNI and certificate check still see
 * the URL. CURLINFO_NUM_CONNECTS proves it: a new connection where one should have been reused is
 * counted.
 *
 * epoll registrations are lazy: libcurl takes its interest in a socket back at the end of each
 * transfer and declares it again at the next; most of these changes never reach the kernel.
 *
 * Limits: libcurl looks through its idle connections for dead ones once a second.
 */
#include <curl/curl.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "workloads/load/run.h"
#include "workloads/load/stls.h"

#define BUF_TOTAL	   (256u << 20) /* receive buffers of all handles together, about */
#define BUF_MIN		   (16u << 10)
#define BUF_MAX		   (256u << 10)
#define CONNECTS_PER_SHARD 512 /* its connection cache is a hash of 97 chains */
#define SHARDS_MAX	   64

struct ceng;

struct cshard {
	CURLM *m;
	uint64_t timer; /* when libcurl wants to be called */
	struct ceng *en;
};

struct cconn {
	CURL *h;
	struct slot *s;
	struct cshard *sh;
	struct curl_slist *resolve, *connect_to, *headers;
	int status;
	bool added;
	bool was_up; /* has had a connection */
	char errtext[CURL_ERROR_SIZE];
};

struct csock {
	struct evh evh;
	struct cshard *sh;
	int fd;
	uint32_t want, have; /* epoll events libcurl wants, and those registered */
};

struct ceng {
	struct engine base;
	struct cshard shard[SHARDS_MAX];
	uint32_t n_shards;
	struct csock *socks; /* by descriptor */
	int max_fd;
	long bufsize;
};

/* ---- sockets and timers ---- */

static void on_socket(struct run *r, struct evh *h, uint32_t ev)
{
	struct csock *k = (struct csock *)h;
	int mask = 0, running;

	if (!k->want) { /* nobody cares now: readable means the server closed it */
		if (k->have)
			epoll_ctl(r->ep, EPOLL_CTL_DEL, k->fd, NULL);
		k->have = 0;
		return;
	}
	if (ev & (EPOLLIN | EPOLLHUP | EPOLLRDHUP))
		mask |= CURL_CSELECT_IN;
	if (ev & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (ev & EPOLLERR)
		mask |= CURL_CSELECT_ERR;
	curl_multi_socket_action(k->sh->m, k->fd, mask, &running);
}

static int socket_cb(CURL *h, curl_socket_t fd, int what, void *arg, void *sockp)
{
	struct cshard *sh = arg;
	struct ceng *en = sh->en;
	struct csock *k;
	struct epoll_event ev;

	(void)h;
	(void)sockp;
	if (fd < 0 || fd >= en->max_fd)
		return -1;
	k = &en->socks[fd];
	k->sh = sh;
	k->want = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (what == CURL_POLL_REMOVE)
		k->want = 0;
	if (!k->want || k->have == k->want)
		return 0;
	ev = (struct epoll_event){.events = k->want, .data.ptr = k};
	if (epoll_ctl(en->base.run->ep, k->have ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) != 0)
		run_fatal(en->base.run, -errno, "epoll_ctl: %s", strerror(errno));
	k->have = k->want;
	return 0;
}

static int sockopt_cb(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct ceng *en = arg;

	(void)purpose;
	ports_spread(&en->base.run->ports, fd);
	return CURL_SOCKOPT_OK;
}

static int close_cb(void *arg, curl_socket_t fd)
{
	struct ceng *en = arg;

	if (fd >= 0 && fd < en->max_fd)
		en->socks[fd].want = en->socks[fd].have = 0; /* close() takes it out of epoll */
	return close(fd);
}

static int timer_cb(CURLM *m, long ms, void *arg)
{
	struct cshard *sh = arg;

	(void)m;
	sh->timer = ms < 0 ? UINT64_MAX : clock_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	return 0;
}

/* ---- what a transfer brings ---- */

static void note_suite(struct run *r, CURL *h)
{
	const struct curl_tlssessioninfo *ti = NULL;

	if (r->tls_suite[0] || !r->opts.url.tls)
		return;
	if (curl_easy_getinfo(h, CURLINFO_TLS_SSL_PTR, &ti) == CURLE_OK && ti && ti->internals &&
	    ti->backend == CURLSSLBACKEND_OPENSSL)
		snprintf(r->tls_suite, sizeof r->tls_suite, "%s",
			 SSL_get_cipher_name((SSL *)ti->internals));
}

static size_t header_cb(char *p, size_t size, size_t n, void *arg)
{
	struct cconn *c = arg;

	if (size * n >= 12 && memcmp(p, "HTTP/1.", 7) == 0) {
		run_first_byte(c->s->engine->run, c->s);
		c->status = atoi(p + 9);
		note_suite(c->s->engine->run, c->h); /* the connection is only known now */
	}
	return size * n;
}

static size_t body_cb(char *p, size_t size, size_t n, void *arg)
{
	struct cconn *c = arg;

	if (c->status == 200)
		run_body(c->s->engine->run, c->s, p, size * n);
	return size * n;
}

static enum load_error kind_of(CURLcode rc)
{
	switch (rc) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_INTERFACE_FAILED:
		return LE_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return LE_TLS;
	case CURLE_OPERATION_TIMEDOUT:
		return LE_TIMEOUT;
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
		return LE_RESET;
	case CURLE_PARTIAL_FILE:
		return LE_SHORT_BODY;
	default:
		return LE_OTHER;
	}
}

/* Why, for people; libcurl's own text names the pinned host, which nobody knows. */
static const char *reason(struct cconn *c, CURLcode rc)
{
	long os = 0;

	if (rc == CURLE_COULDNT_CONNECT &&
	    curl_easy_getinfo(c->h, CURLINFO_OS_ERRNO, &os) == CURLE_OK && os)
		return os == EADDRNOTAVAIL ? "no local port is free (net.ipv4.ip_local_port_range)"
					   : strerror((int)os);
	return c->errtext[0] ? c->errtext : curl_easy_strerror(rc);
}

static void finished(struct ceng *en, struct cconn *c, CURLcode rc)
{
	struct run *r = en->base.run;
	curl_off_t length = -1;
	long connects = 0;

	curl_easy_getinfo(c->h, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(c->h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	curl_multi_remove_handle(c->sh->m, c->h);
	c->added = false;
	if (connects > 0) {
		if (c->was_up)
			run_reconnected(r);
		c->was_up = true;
	}
	if (rc == CURLE_OK)
		run_response(r, c->s, c->status, length);
	else
		run_fail(r, c->s, kind_of(rc), reason(c, rc));
}

static uint64_t ceng_poll(struct engine *base, uint64_t now)
{
	struct ceng *en = (struct ceng *)base;
	uint64_t next = UINT64_MAX;
	int running, left;
	CURLMsg *msg;

	for (uint32_t i = 0; i < en->n_shards; i++) {
		struct cshard *sh = &en->shard[i];

		if (sh->timer <= now) {
			sh->timer = UINT64_MAX;
			curl_multi_socket_action(sh->m, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		while ((msg = curl_multi_info_read(sh->m, &left))) {
			struct cconn *c = NULL;

			if (msg->msg != CURLMSG_DONE)
				continue;
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&c);
			finished(en, c, msg->data.result);
		}
		if (sh->timer < next)
			next = sh->timer;
	}
	return next;
}

/* ---- connections ---- */

static int set_tls(struct cconn *c, const struct load_opts *o)
{
	CURLcode rc = CURLE_OK;

	curl_easy_setopt(c->h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	curl_easy_setopt(c->h, CURLOPT_TLS13_CIPHERS, STLS_SUITES); /* as the sink offers them */
	curl_easy_setopt(c->h, CURLOPT_SSL_SESSIONID_CACHE, 0L);    /* full handshakes only */
	if (o->insecure) {
		curl_easy_setopt(c->h, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c->h, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (o->cacert)
		rc = curl_easy_setopt(c->h, CURLOPT_CAINFO, o->cacert);
	return rc == CURLE_OK ? 0 : -EINVAL;
}

/* A name of its own for each connection; see the head of this file. */
static int set_pin(struct ceng *en, struct cconn *c)
{
	const struct run *r = en->base.run;
	const struct load_url *u = &r->opts.url;
	const char *l = u->v6_literal ? "[" : "", *rb = u->v6_literal ? "]" : "";
	bool v6 = r->addr.ss_family == AF_INET6;
	char line[400];

	snprintf(line, sizeof line, "c%u.dcn:%d:%s%s%s", c->s->idx, u->port, v6 ? "[" : "",
		 r->addr_text, v6 ? "]" : "");
	c->resolve = curl_slist_append(NULL, line);
	snprintf(line, sizeof line, "%s%s%s:%d:c%u.dcn:%d", l, u->host, rb, u->port, c->s->idx,
		 u->port);
	c->connect_to = curl_slist_append(NULL, line);
	c->headers = curl_slist_append(NULL, "Accept:");
	if (!c->resolve || !c->connect_to || !c->headers)
		return -ENOMEM;
	curl_easy_setopt(c->h, CURLOPT_RESOLVE, c->resolve);
	curl_easy_setopt(c->h, CURLOPT_CONNECT_TO, c->connect_to);
	curl_easy_setopt(c->h, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(c->h, CURLOPT_DNS_CACHE_TIMEOUT, -1L); /* or each transfer prunes it */
	curl_easy_setopt(c->h, CURLOPT_MAXAGE_CONN, 1000000L);
	return 0;
}

static void set_common(struct ceng *en, struct cconn *c)
{
	curl_easy_setopt(c->h, CURLOPT_PRIVATE, c);
	curl_easy_setopt(c->h, CURLOPT_ERRORBUFFER, c->errtext);
	curl_easy_setopt(c->h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->h, CURLOPT_PROXY, "");
	curl_easy_setopt(c->h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c->h, CURLOPT_USERAGENT, "dcn-load");
	curl_easy_setopt(c->h, CURLOPT_BUFFERSIZE, en->bufsize);
	curl_easy_setopt(c->h, CURLOPT_WRITEFUNCTION, body_cb);
	curl_easy_setopt(c->h, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->h, CURLOPT_HEADERFUNCTION, header_cb);
	curl_easy_setopt(c->h, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(c->h, CURLOPT_SOCKOPTFUNCTION, sockopt_cb);
	curl_easy_setopt(c->h, CURLOPT_SOCKOPTDATA, en);
	curl_easy_setopt(c->h, CURLOPT_CLOSESOCKETFUNCTION, close_cb);
	curl_easy_setopt(c->h, CURLOPT_CLOSESOCKETDATA, en);
}

static void ceng_detach(struct engine *base, struct slot *s)
{
	struct cconn *c = s->conn;

	(void)base;
	if (c->added)
		curl_multi_remove_handle(c->sh->m, c->h);
	curl_easy_cleanup(c->h);
	curl_slist_free_all(c->resolve);
	curl_slist_free_all(c->connect_to);
	curl_slist_free_all(c->headers);
	free(c);
	s->conn = NULL;
}

static int ceng_attach(struct engine *base, struct slot *s, struct errbuf *e)
{
	struct ceng *en = (struct ceng *)base;
	struct cconn *c = calloc(1, sizeof *c);
	int err = -ENOMEM;

	if (!c)
		return errf(e, -ENOMEM, "out of memory for connection %u", s->idx);
	s->conn = c;
	c->s = s;
	c->sh = &en->shard[s->idx / (base->run->opts.engine == ENGINE_MIXED ? RUN_MIXED_EACH : 1) %
			   en->n_shards];
	c->h = curl_easy_init();
	if (c->h) {
		set_common(en, c);
		err = set_pin(en, c);
	}
	if (!err && base->run->opts.url.tls)
		err = set_tls(c, &base->run->opts);
	if (err)
		ceng_detach(base, s);
	return err ? errf(e, err, "libcurl refuses its settings or memory for connection %u",
			  s->idx)
		   : 0;
}

static int ceng_request(struct engine *base, struct slot *s)
{
	struct cconn *c = s->conn;
	char url[256], path[32];

	snprintf(url, sizeof url, "%s%s", base->run->opts.url.base, content_path(s->id, path));
	curl_easy_setopt(c->h, CURLOPT_URL, url);
	if (s->head)
		curl_easy_setopt(c->h, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(c->h, CURLOPT_HTTPGET, 1L);
	c->status = 0;
	c->errtext[0] = '\0';
	if (curl_multi_add_handle(c->sh->m, c->h) != CURLM_OK)
		return -ENOMEM;
	c->added = true;
	return 0;
}

static void ceng_drop(struct engine *base, struct slot *s)
{
	struct cconn *c = s->conn;

	(void)base;
	if (c->added)
		curl_multi_remove_handle(c->sh->m, c->h); /* closes: the transfer was under way */
	c->added = false;
}

static void ceng_free(struct engine *base)
{
	struct ceng *en = (struct ceng *)base;

	for (uint32_t i = 0; i < en->n_shards; i++)
		if (en->shard[i].m)
			curl_multi_cleanup(en->shard[i].m);
	free(en->socks);
	free(en);
	curl_global_cleanup();
}

static const struct engine_ops ceng_ops = {
	.name = "curl",
	.attach = ceng_attach,
	.request = ceng_request,
	.drop = ceng_drop,
	.poll = ceng_poll,
	.detach = ceng_detach,
	.free = ceng_free,
};

static int make_shards(struct ceng *en, uint32_t slots)
{
	uint32_t n = en->base.run->opts.shards;

	if (!n)
		n = 1 + slots / CONNECTS_PER_SHARD;
	en->n_shards = n > SHARDS_MAX ? SHARDS_MAX : n;
	for (uint32_t i = 0; i < en->n_shards; i++) {
		struct cshard *sh = &en->shard[i];

		sh->en = en;
		sh->timer = UINT64_MAX;
		sh->m = curl_multi_init();
		if (!sh->m)
			return -ENOMEM;
		curl_multi_setopt(sh->m, CURLMOPT_SOCKETFUNCTION, socket_cb);
		curl_multi_setopt(sh->m, CURLMOPT_SOCKETDATA, sh);
		curl_multi_setopt(sh->m, CURLMOPT_TIMERFUNCTION, timer_cb);
		curl_multi_setopt(sh->m, CURLMOPT_TIMERDATA, sh);
		curl_multi_setopt(sh->m, CURLMOPT_MAXCONNECTS, (long)slots + 16);
		curl_multi_setopt(sh->m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	}
	return 0;
}

struct engine *engine_curl_new(struct run *r, uint32_t slots, struct errbuf *e)
{
	struct ceng *en = calloc(1, sizeof *en);
	struct rlimit rl = {.rlim_cur = 65536};

	if (!en || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		errf(e, -ENOMEM, "libcurl could not be initialised");
		free(en);
		return NULL;
	}
	en->base.ops = &ceng_ops;
	en->base.run = r;
	getrlimit(RLIMIT_NOFILE, &rl);
	en->max_fd = rl.rlim_cur > (1 << 21) ? 1 << 21 : (int)rl.rlim_cur;
	en->bufsize = (long)(BUF_TOTAL / slots);
	if (en->bufsize > BUF_MAX)
		en->bufsize = BUF_MAX;
	if (en->bufsize < BUF_MIN)
		en->bufsize = BUF_MIN;
	en->socks = calloc((size_t)en->max_fd, sizeof en->socks[0]);
	if (!en->socks || make_shards(en, slots) != 0) {
		errf(e, -ENOMEM, "out of memory or descriptors for libcurl");
		ceng_free(&en->base);
		return NULL;
	}
	for (int i = 0; i < en->max_fd; i++) {
		en->socks[i].evh.fn = on_socket;
		en->socks[i].fd = i;
	}
	return &en->base;
}
