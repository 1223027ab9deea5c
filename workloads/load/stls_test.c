/* stls: against itself with swapped secrets (any split, counted records, post-handshake messages),
 * and against OpenSSL's server over a socket pair: tickets, bodies, KeyUpdate both ways,
 * close_notify. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "workloads/load/stls.h"

/* What came out: data is kept, counted bytes are summed. */
struct got {
	uint8_t data[65536];
	size_t n;
	uint64_t counted, expect;
};

static uint64_t on_data(void *arg, const uint8_t *p, size_t n)
{
	struct got *g = arg;

	assert_true(g->n + n <= sizeof g->data);
	memcpy(g->data + g->n, p, n);
	g->n += n;
	return g->expect;
}

static uint64_t on_count(void *arg, size_t n)
{
	struct got *g = arg;

	g->counted += n;
	assert_true(n <= g->expect);
	return g->expect -= n;
}

static struct got got;
static struct stls_out out = {.arg = &got, .data = on_data, .count = on_count};

static void reset(uint64_t expect)
{
	memset(&got, 0, sizeof got);
	got.expect = out.expect = expect;
}

static void pair(unsigned int suite, struct stls *client, struct stls *server)
{
	uint8_t a[STLS_SECRET], b[STLS_SECRET];

	memset(a, 1, sizeof a);
	memset(b, 2, sizeof b);
	assert_int_equal(stls_init(client, suite, a, b), 0);
	assert_int_equal(stls_init(server, suite, b, a), 0);
}

/* Any split of the wire bytes gives the same. */
static void any_split(void **state)
{
	static const unsigned int suites[] = {0x1301, 0x1302};
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	for (int round = 0; round < 200; round++) {
		struct stls c, s;
		uint8_t wire[8192], plain[2048];
		size_t n = 0, p = 0, at = 0;

		pair(suites[round % 2], &c, &s);
		while (n < 6000 && p < 1500) {
			size_t len = 1 + rng_below(&r, 400);
			int k;

			for (size_t i = 0; i < len; i++)
				plain[p + i] = (uint8_t)rng_u64(&r);
			k = stls_seal(&s, 23, plain + p, len, wire + n);
			assert_true(k == (int)len + STLS_HDR + STLS_TRAIL);
			n += (size_t)k;
			p += len;
		}
		reset(0);
		while (at < n) {
			size_t take = 1 + rng_below(&r, round % 3 ? 7 : 900);

			if (take > n - at)
				take = n - at;
			assert_int_equal(stls_feed(&c, wire + at, take, &out), 0);
			at += take;
		}
		assert_int_equal(got.n, p);
		assert_memory_equal(got.data, plain, p);
		stls_clear(&c);
		stls_clear(&s);
	}
}

/* A record header and payload that nobody can decrypt; as long as it fits the body it is counted.
 */
static void counted_unread(void **state)
{
	static uint8_t wire[STLS_HDR + STLS_REC_MAX];
	uint32_t len = 16384 + STLS_TRAIL;
	struct stls c, s;
	int k;

	(void)state;
	pair(0x1301, &c, &s);
	reset(40000);
	for (int i = 0; i < 2; i++) {
		memcpy(wire, (uint8_t[]){23, 3, 3, (uint8_t)(len >> 8), (uint8_t)len}, STLS_HDR);
		assert_int_equal(stls_feed(&c, wire, STLS_HDR, &out), 0);
		assert_int_equal(stls_skippable(&c), len);
		stls_skip(&c, 1000, &out); /* in pieces, one across the trailer */
		assert_int_equal(got.counted, 16384u * (unsigned int)i + 1000);
		stls_skip(&c, 15390, &out);
		stls_skip(&c, 11, &out);
		assert_int_equal(got.counted, 16384u * (unsigned int)(i + 1));
		assert_int_equal(stls_skippable(&c), 0);
		s.tx.seq++; /* the peer used up this record number too */
	}
	/* 7232 are left: a full record does not fit, so it is looked at, and is forged */
	assert_int_equal(got.expect, 7232);
	/* the end of the body is below STLS_LOOK: decrypted */
	got.expect = 0;
	k = stls_seal(&s, 23, (const uint8_t *)"tail", 4, wire);
	assert_int_equal(stls_feed(&c, wire, (size_t)k, &out), 0);
	assert_int_equal(got.n, 4);
	reset(7232);
	memcpy(wire, (uint8_t[]){23, 3, 3, (uint8_t)(len >> 8), (uint8_t)len}, STLS_HDR);
	assert_int_equal(stls_feed(&c, wire, STLS_HDR, &out), 0);
	assert_int_equal(stls_skippable(&c), 0);
	assert_int_equal(stls_feed(&c, wire, len, &out), -EBADMSG);
	stls_clear(&c);
	stls_clear(&s);
}

/* One response of `body` bytes in records of `plain` bytes as a sink meets it: headers are read,
 * what may be discarded is, in pieces of `step`. How many headers were looked at, or an error. */
static int response(struct stls *c, struct stls *s, uint32_t body, uint32_t plain, size_t step)
{
	static uint8_t wire[1 << 20];
	size_t n = 0, at = 0;
	int headers = 0, k;

	for (uint32_t left = body, now; left; left -= now) {
		uint32_t len;

		now = left < plain ? left : plain;
		len = now + STLS_TRAIL;
		if (now < STLS_LOOK) { /* the only ones that are opened */
			static const uint8_t zero[STLS_SEAL_MAX];

			assert_true(now <= sizeof zero);
			n += (size_t)stls_seal(s, 23, zero, now, wire + n);
			continue;
		}
		memcpy(wire + n, (uint8_t[]){23, 3, 3, (uint8_t)(len >> 8), (uint8_t)len},
		       STLS_HDR);
		n += STLS_HDR + len;
		s->tx.seq++;
	}
	reset(body);
	while (at < n) {
		size_t skip = stls_skippable(c), take = skip	     ? skip
							: out.expect ? STLS_HDR
								     : n - at;

		if (!skip && c->hdr_n == STLS_HDR)
			take = c->left;
		take = take < step ? take : step;
		if (skip) {
			stls_skip(c, take, &out);
		} else {
			headers += c->hdr_n == 0;
			k = stls_feed(c, wire + at, take, &out);
			if (k)
				return k;
		}
		at += take;
	}
	assert_int_equal(got.counted + got.n, body);
	return headers;
}

static void even_records_are_skipped_together(void **state)
{
	static const size_t steps[] = {1 << 20, 70000, 16406, 4099, 1};
	struct stls c, s;
	uint8_t wire[64];
	int k;

	(void)state;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		pair(0x1301, &c, &s);
		for (int n = 0; n < STLS_TRUST; n++)
			assert_int_equal(response(&c, &s, 307200, 16384, steps[i]), 19);
		assert_int_equal(response(&c, &s, 307200, 16384, steps[i]),
				 2); /* 18, and the last */
		assert_int_equal(response(&c, &s, 16384 * 5, 16384, steps[i]), 2);
		assert_int_equal(response(&c, &s, 16384 * 5 + 100, 16384, steps[i]), 2);
		assert_int_equal(response(&c, &s, 16384, 16384, steps[i]), 1);
		assert_int_equal(response(&c, &s, 500, 16384, steps[i]), 1);
		assert_int_equal(response(&c, &s, 307200, 16384, steps[i]), 2);
		k = stls_seal(&s, 23, (const uint8_t *)"head", 4,
			      wire); /* nothing was miscounted */
		reset(0);
		assert_int_equal(stls_feed(&c, wire, (size_t)k, &out), 0);
		assert_memory_equal(got.data, "head", 4);
		stls_clear(&c);
		stls_clear(&s);
	}
}

static void uneven_records_are_not(void **state)
{
	struct stls c, s;

	(void)state;
	pair(0x1301, &c, &s);
	for (int n = 0; n < 40; n++) /* every second response in other records */
		assert_int_equal(response(&c, &s, 160000, n % 2 ? 16000 : 10000, 1 << 20),
				 n % 2 ? 10 : 16);
	for (int n = 0; n < STLS_TRUST - 1; n++)
		assert_int_equal(response(&c, &s, 160000, 10000, 1 << 20), 16);
	assert_int_equal(response(&c, &s, 160000, 10000, 1 << 20), 16);
	assert_int_equal(response(&c, &s, 160000, 10000, 1 << 20), 2);
	/* its first record is of another length: looked at one by one, and no longer believed */
	assert_int_equal(response(&c, &s, 160000, 16000, 1 << 20), 10);
	assert_int_equal(response(&c, &s, 160000, 10000, 1 << 20), 16);
	stls_clear(&c);
	stls_clear(&s);
}

/* The lengths change within a response after they had been believed. */
static void broken_trust(void **state)
{
	static uint8_t wire[200000]; /* zeros: no header there */
	struct stls c, s;
	size_t skip;

	(void)state;
	pair(0x1301, &c, &s);
	for (int n = 0; n < STLS_TRUST; n++)
		assert_int_equal(response(&c, &s, 160000, 16000, 1 << 20), 10);
	reset(160000);
	memcpy(wire, (uint8_t[]){23, 3, 3, 16017 >> 8, 16017 & 255}, STLS_HDR);
	assert_int_equal(stls_feed(&c, wire, STLS_HDR, &out), 0);
	skip = stls_skippable(&c);
	assert_int_equal(skip, 9 * (STLS_HDR + 16017) - STLS_HDR);
	stls_skip(&c, skip, &out);
	assert_int_equal(got.expect, 16000);
	memcpy(wire, (uint8_t[]){23, 3, 3, 0, 200}, STLS_HDR); /* a record, but not the last */
	assert_int_equal(stls_feed(&c, wire, STLS_HDR, &out), -EPROTO);
	stls_clear(&c);
	stls_clear(&s);
}

static void messages_within_a_body(void **state)
{
	static const uint8_t ticket[] = {4, 0, 0, 3, 1, 2, 3, 4, 0, 0, 1, 9};
	static const uint8_t update[] = {24, 0, 0, 1, 1};
	uint8_t wire[1024];
	struct stls c, s;
	int k;

	(void)state;
	pair(0x1302, &c, &s);
	reset(100000);
	k = stls_seal(&s, 22, ticket, sizeof ticket, wire);
	assert_int_equal(stls_feed(&c, wire, (size_t)k, &out), 0);
	k = stls_seal(&s, 22, update, sizeof update, wire);
	assert_int_equal(stls_feed(&c, wire, (size_t)k, &out), 0);
	assert_true(c.key_update_due);
	assert_int_equal(got.n, 0);
	assert_true(stls_key_update(&c, wire) > 0);
	assert_false(c.key_update_due);
	k = stls_seal(&s, 23, ticket, 3, wire); /* still with the old key: forged now */
	assert_int_equal(stls_feed(&c, wire, (size_t)k, &out), -EBADMSG);
	stls_clear(&c);
	stls_clear(&s);
}

static void hostile(void **state)
{
	static const struct {
		uint8_t type, n, p[8];
		int want;
	} cases[] = {
		{21, 2, {1, 0}, 1},		       /* close_notify */
		{21, 2, {2, 40}, -EPROTO},	       /* fatal alert */
		{21, 1, {1}, -EPROTO},		       /* half an alert */
		{22, 3, {24, 0, 0}, -EPROTO},	       /* half a handshake message */
		{22, 6, {24, 0, 0, 1, 0, 0}, -EPROTO}, /* KeyUpdate with something behind it */
		{22, 5, {24, 0, 0, 1, 2}, -EPROTO},    /* no such request */
		{22, 5, {1, 0, 0, 1, 2}, -EPROTO},     /* ClientHello */
		{22, 4, {4, 255, 255, 255}, -EPROTO},  /* longer than its record */
		{20, 1, {1}, -EPROTO},		       /* ChangeCipherSpec, protected */
		{0, 3, {0, 0, 0}, -EPROTO},	       /* nothing but padding */
	};
	static const uint8_t headers[][STLS_HDR] = {
		{22, 3, 3, 0, 40},   {23, 3, 1, 0, 40}, {23, 3, 3, 0, 16},
		{23, 3, 3, 0x41, 1}, {21, 3, 3, 0, 2},	{72, 84, 84, 80, 47},
	};
	uint8_t wire[256];
	struct stls c, s;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int k;

		pair(0x1301, &c, &s);
		reset(0);
		k = stls_seal(&s, cases[i].type, cases[i].p, cases[i].n, wire);
		assert_int_equal(stls_feed(&c, wire, (size_t)k, &out), cases[i].want);
		stls_clear(&c);
		stls_clear(&s);
	}
	for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
		pair(0x1301, &c, &s);
		reset(0);
		memcpy(wire, headers[i], STLS_HDR);
		assert_int_equal(stls_feed(&c, wire, STLS_HDR, &out), -EPROTO);
		stls_clear(&c);
		stls_clear(&s);
	}
	pair(0x1301, &c, &s); /* one bit */
	reset(0);
	assert_true(stls_seal(&s, 23, (const uint8_t *)"abc", 3, wire) > 0);
	wire[STLS_HDR + 1] ^= 1;
	assert_int_equal(stls_feed(&c, wire, 3 + STLS_HDR + STLS_TRAIL, &out), -EBADMSG);
	stls_clear(&c);
	stls_clear(&s);
	assert_int_equal(stls_init(&c, 0x1303, wire, wire), -EPROTO);
}

/* ---- OpenSSL's server ---- */

static SSL_CTX *server_ctx(const char *suite)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();

	assert_true(ctx && key && x);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	assert_int_equal(SSL_CTX_set_ciphersuites(ctx, suite), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	return ctx;
}

/* Everything the socket has, into the record layer as a sink does it. */
static int drain(int fd, struct stls *t)
{
	static uint8_t buf[4096];
	int res = 0;

	while (!res) {
		size_t skip = stls_skippable(t);
		ssize_t n =
			recv(fd, buf, skip && skip < sizeof buf ? skip : sizeof buf, MSG_DONTWAIT);

		if (n <= 0)
			return n == 0 ? 1 : 0;
		if (skip) {
			size_t part = (size_t)n < skip ? (size_t)n : skip;

			stls_skip(t, part, &out);
			res = stls_feed(t, buf + part, (size_t)n - part, &out);
		} else {
			res = stls_feed(t, buf, (size_t)n, &out);
		}
	}
	return res;
}

static void say(int fd, struct stls *t, const char *text)
{
	uint8_t wire[600];
	int n = stls_seal(t, 23, (const uint8_t *)text, strlen(text), wire);

	assert_int_equal(send(fd, wire, (size_t)n, 0), n);
}

static void hear(SSL *srv, const char *text)
{
	char buf[128] = "";

	assert_int_equal(SSL_read(srv, buf, sizeof buf), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

/* The server writes n bytes in records of `rec`, the client drains in between. */
static void server_body(SSL *srv, int fd, struct stls *t, size_t n, size_t rec)
{
	static uint8_t zeros[16384];

	while (n) {
		size_t k = n < rec ? n : rec;

		assert_int_equal(SSL_write(srv, zeros, (int)k), k);
		assert_int_equal(drain(fd, t), 0);
		n -= k;
	}
}

static void live(const char *suite)
{
	struct load_opts o = {.insecure = true};
	struct load_url url = {.host = "127.0.0.1"};
	struct errbuf e = {""};
	SSL_CTX *cctx = stls_ctx(&o, &e), *sctx = server_ctx(suite);
	struct stls_secrets sec;
	SSL *srv = SSL_new(sctx), *cli;
	struct stls t;
	uint8_t wire[64];
	int sv[2], cr = 0, sr = 0, n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	n = 1 << 20;
	setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
	cli = stls_handshake_new(cctx, sv[0], &url, &sec);
	assert_non_null(cli);
	SSL_set_fd(srv, sv[1]);
	while (cr != 1 || sr != 1) {
		if (cr != 1)
			cr = SSL_connect(cli);
		if (sr != 1)
			sr = SSL_accept(srv);
	}
	assert_int_equal(stls_take(&t, cli, &sec), 0);
	SSL_free(cli);

	/* request, head, body of 300,000 bytes: 18 records counted, the rest decrypted */
	say(sv[0], &t, "GET /one");
	hear(srv, "GET /one");
	reset(0);
	got.expect = 300000; /* what the head says */
	assert_int_equal(SSL_write(srv, "head", 4), 4);
	assert_int_equal(drain(sv[0], &t), 0); /* two session tickets came before it */
	assert_int_equal(got.n, 4);
	assert_int_equal(t.opened, 3);
	server_body(srv, sv[0], &t, 298000, 16384);
	assert_int_equal(got.counted, 298000);
	got.expect = 0; /* the last 2000 bytes come decrypted */
	server_body(srv, sv[0], &t, 2000, 2000);
	assert_int_equal(got.n, 2004);

	/* the server changes its key and wants ours changed, within a body */
	reset(100000);
	got.expect = 100000;
	server_body(srv, sv[0], &t, 20000, 10000);
	assert_int_equal(SSL_key_update(srv, SSL_KEY_UPDATE_REQUESTED), 1);
	server_body(srv, sv[0], &t, 80000, 10000);
	assert_int_equal(got.counted, 100000);
	assert_true(t.key_update_due);
	n = stls_key_update(&t, wire);
	assert_int_equal(send(sv[0], wire, (size_t)n, 0), n);
	say(sv[0], &t, "GET /two");
	hear(srv, "GET /two");

	assert_int_equal(SSL_write(srv, "more", 4), 4);
	SSL_shutdown(srv);
	assert_int_equal(drain(sv[0], &t), 1);
	assert_int_equal(got.n, 4);
	stls_clear(&t);
	SSL_free(srv);
	SSL_CTX_free(cctx);
	SSL_CTX_free(sctx);
	close(sv[0]);
	close(sv[1]);
}

static void openssl_aes128(void **state)
{
	(void)state;
	live("TLS_AES_128_GCM_SHA256");
}

static void openssl_aes256(void **state)
{
	(void)state;
	live("TLS_AES_256_GCM_SHA384");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split),
		cmocka_unit_test(counted_unread),
		cmocka_unit_test(even_records_are_skipped_together),
		cmocka_unit_test(uneven_records_are_not),
		cmocka_unit_test(broken_trust),
		cmocka_unit_test(messages_within_a_body),
		cmocka_unit_test(hostile),
		cmocka_unit_test(openssl_aes128),
		cmocka_unit_test(openssl_aes256),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
