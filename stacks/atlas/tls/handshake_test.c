/* handshake: OpenSSL clients of all kinds against the server in memory, up to the take-over. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "base/rng.h"
#include "stacks/atlas/tls/testkit.h"

static struct kit_cert ec, rsa;

/* A byte each way: both record layers have the same keys and numbers. */
static void ping(struct kit_pair *p)
{
	char b;

	p->s.data.n = 0;
	assert_int_equal(SSL_write(p->k.ssl, "?", 1), 1);
	assert_int_equal(kit_to_server(&p->s, &p->k, 0), 0);
	assert_int_equal(p->s.data.n, 1);
	assert_int_equal(tls_write(p->s.c, (const uint8_t *)"!", 1), 0);
	kit_to_client(&p->s, &p->k);
	assert_int_equal(SSL_read(p->k.ssl, &b, 1), 1);
	assert_int_equal(b, '!');
}

/* The handshake fails, and the client is told by this alert (as OpenSSL numbers its error). */
static void expect_refusal(struct kit_pair *p, int alert)
{
	struct tls_stats st;

	ERR_clear_error();
	assert_false(kit_handshake(&p->s, &p->k, 0));
	assert_int_equal(tls_conn_state(p->s.c), TLS_FAILED);
	assert_int_not_equal(strlen(tls_why(p->s.c)), 0);
	ERR_clear_error();
	kit_to_client(&p->s, &p->k);
	SSL_do_handshake(p->k.ssl);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + alert);
	tls_get_stats(p->t, &st);
	assert_int_equal(st.handshakes, 0);
	assert_int_equal(st.handshake_failures, 1);
	assert_int_equal(st.alerts_out, 1);
	assert_int_equal(tls_input(p->s.c, (const uint8_t *)"x", 1), -EPROTO);
}

static void all_kinds(void **state)
{
	static const struct aead_ops *const aeads[] = {&aead_ipsec_mb, &aead_openssl};
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
	const struct kit_cert *const certs[] = {&ec, &rsa};
	struct tls_stats st;

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct kit_pair p;

		kit_pair_new(&p, certs[i & 1], aeads[i >> 1 & 1], suites[i >> 2]);
		assert_string_equal(tls_suite(p.s.c), "");
		assert_int_equal(tls_write(p.s.c, (const uint8_t *)"x", 1), -ENOTCONN);
		assert_true(kit_handshake(&p.s, &p.k, 0));
		assert_int_equal(tls_conn_state(p.s.c), TLS_OPEN);
		assert_string_equal(tls_suite(p.s.c), suites[i >> 2]);
		assert_null(p.s.c->hs); /* nothing of OpenSSL's is left */
		assert_int_equal(SSL_version(p.k.ssl), TLS1_3_VERSION);
		assert_int_equal(SSL_session_reused(p.k.ssl), 0);
		ping(&p);
		tls_get_stats(p.t, &st);
		assert_int_equal(st.handshakes, 1);
		assert_int_equal(st.handshake_failures, 0);
		kit_pair_free(&p);
	}
}

/* The server prefers its own order, then takes what the client has. */
static void suite_choice(void **state)
{
	static const struct {
		const char *server, *client, *want;
	} v[] = {
		{NULL, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
		{"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
		 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
		{NULL, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384",
		 "TLS_AES_256_GCM_SHA384"},
	};
	struct kit_pair p;

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		kit_pair_new(&p, &ec, NULL, v[i].server);
		SSL_set_ciphersuites(p.k.ssl, v[i].client);
		assert_true(kit_handshake(&p.s, &p.k, 0));
		assert_string_equal(tls_suite(p.s.c), v[i].want);
		ping(&p);
		kit_pair_free(&p);
	}
	kit_pair_new(&p, &ec, NULL, NULL);
	SSL_set_ciphersuites(p.k.ssl, "TLS_CHACHA20_POLY1305_SHA256");
	expect_refusal(&p, SSL_AD_HANDSHAKE_FAILURE);
	kit_pair_free(&p);
}

/* Request bytes in the same segment as the Finished belong to our record layer; so does a
 * KeyUpdate, which OpenSSL would have answered. Any split. */
static void request_glued_to_finished(void **state)
{
	(void)state;
	for (size_t chunk = 0; chunk < 120; chunk++) {
		struct kit_pair p;
		char b[16];

		kit_pair_new(&p, &ec, NULL, NULL);
		assert_int_equal(SSL_do_handshake(p.k.ssl), -1);
		assert_int_equal(kit_to_server(&p.s, &p.k, 0), 0);
		kit_to_client(&p.s, &p.k);
		assert_int_equal(SSL_do_handshake(p.k.ssl), 1);
		assert_int_equal(SSL_write(p.k.ssl, "GET /1", 6), 6);
		assert_int_equal(SSL_key_update(p.k.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_write(p.k.ssl, "GET /2", 6), 6);
		assert_int_equal(tls_conn_state(p.s.c), TLS_HANDSHAKE);
		assert_int_equal(kit_to_server(&p.s, &p.k, chunk), 0);
		assert_int_equal(tls_conn_state(p.s.c), TLS_OPEN);
		assert_int_equal(p.s.data.n, 12);
		assert_memory_equal(p.s.data.p, "GET /1GET /2", 12);
		assert_int_equal(p.s.key_update_calls, 1);
		assert_int_equal(tls_write(p.s.c, (const uint8_t *)"200", 3), 0);
		kit_to_client(&p.s, &p.k);
		assert_int_equal(SSL_read(p.k.ssl, b, sizeof b), 3);
		ping(&p);
		kit_pair_free(&p);
	}
}

/* Segments of one byte and other odd sizes; a ClientHello over several records. */
static void small_segments(void **state)
{
	static const size_t chunks[] = {1, 2, 5, 6, 7, 100};
	struct kit_pair p;
	uint8_t alpn[1024];

	(void)state;
	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
		kit_pair_new(&p, &ec, NULL, NULL);
		assert_true(kit_handshake(&p.s, &p.k, chunks[i]));
		ping(&p);
		kit_pair_free(&p);
	}
	kit_pair_new(&p, &ec, NULL, NULL);
	for (size_t i = 0; i < sizeof alpn; i += 8)
		memcpy(alpn + i, "\7http/9.9", 8);
	memcpy(alpn + sizeof alpn - 16, "\x08http/1.1\6other1", 16);
	SSL_set_alpn_protos(p.k.ssl, alpn, sizeof alpn);
	SSL_set_max_send_fragment(p.k.ssl, 512);
	assert_true(kit_handshake(&p.s, &p.k, 0));
	ping(&p);
	kit_pair_free(&p);
}

/* The client's first key share is of a group we don't have: HelloRetryRequest. */
static void hello_retry(void **state)
{
	struct kit_pair p;

	(void)state;
	for (size_t chunk = 0; chunk < 2; chunk++) {
		kit_pair_new(&p, &ec, NULL, NULL);
		assert_int_equal(SSL_set1_groups_list(p.k.ssl, "X448:P-256"), 1);
		assert_true(kit_handshake(&p.s, &p.k, chunk));
		ping(&p);
		kit_pair_free(&p);
	}
	kit_pair_new(&p, &ec, NULL, NULL);
	SSL_set1_groups_list(p.k.ssl, "X448");
	expect_refusal(&p, SSL_AD_HANDSHAKE_FAILURE);
	kit_pair_free(&p);
}

static void without_compat_ccs(void **state)
{
	struct kit_pair p;

	(void)state;
	kit_pair_new(&p, &ec, NULL, NULL);
	SSL_clear_options(p.k.ssl, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
	assert_true(kit_handshake(&p.s, &p.k, 0));
	ping(&p);
	kit_pair_free(&p);
}

static void alpn(void **state)
{
	static const struct {
		const char *offer;
		const char *want; /* NULL: refused */
	} v[] = {
		{"", ""},
		{"\x08http/1.1", "http/1.1"},
		{"\2h2\x08http/1.1", "http/1.1"},
		{"\x08http/1.0\x08http/1.1", "http/1.1"},
		{"\2h2", NULL},
		{"\x08http/1.0", NULL},
		{"\x09http/1.1x", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		const unsigned char *got;
		unsigned int n;
		struct kit_pair p;

		kit_pair_new(&p, &ec, NULL, NULL);
		SSL_set_alpn_protos(p.k.ssl, (const uint8_t *)v[i].offer,
				    (unsigned int)strlen(v[i].offer));
		if (!v[i].want) {
			expect_refusal(&p, SSL_AD_NO_APPLICATION_PROTOCOL);
		} else {
			assert_true(kit_handshake(&p.s, &p.k, 0));
			SSL_get0_alpn_selected(p.k.ssl, &got, &n);
			assert_int_equal(n, strlen(v[i].want));
			assert_memory_equal(got ? got : (const uint8_t *)"", v[i].want, n);
		}
		kit_pair_free(&p);
	}
}

static void any_server_name(void **state)
{
	struct kit_pair p;

	(void)state;
	kit_pair_new(&p, &ec, NULL, NULL);
	SSL_set_tlsext_host_name(p.k.ssl, "nobody.example");
	assert_true(kit_handshake(&p.s, &p.k, 0));
	ping(&p);
	kit_pair_free(&p);
}

static void old_versions(void **state)
{
	struct kit_pair p;

	(void)state;
	kit_pair_new(&p, &ec, NULL, NULL);
	SSL_set_max_proto_version(p.k.ssl, TLS1_2_VERSION);
	expect_refusal(&p, SSL_AD_PROTOCOL_VERSION);
	kit_pair_free(&p);
}

/* A smaller record size asked for in the old way (RFC 6066 4) is kept. */
static void max_fragment_length(void **state)
{
	(void)state;
	for (uint8_t mode = 1; mode <= 4; mode++) {
		static uint8_t p[10000], q[10000];
		struct kit_pair pair;
		size_t got = 0;

		kit_pair_new(&pair, &ec, NULL, NULL);
		SSL_set_tlsext_max_fragment_length(pair.k.ssl, mode);
		assert_true(kit_handshake(&pair.s, &pair.k, 0));
		assert_int_equal(tls_record_max(pair.s.c), 256 << mode);
		for (size_t i = 0; i < sizeof p; i++)
			p[i] = (uint8_t)(i * 13);
		tls_write(pair.s.c, p, sizeof p);
		assert_int_equal(record_len(pair.s.wire.p), (256 << mode) + TLS_TRAIL);
		kit_to_client(&pair.s, &pair.k);
		while (got < sizeof q) {
			int n = SSL_read(pair.k.ssl, q + got, (int)(sizeof q - got));

			assert_true(n > 0);
			got += (size_t)n;
		}
		assert_memory_equal(p, q, sizeof p);
		kit_pair_free(&pair);
	}
}

/* An ordinary OpenSSL server, to get a ticket from; early data allowed. */
static SSL_SESSION *ticket_from_elsewhere(SSL_CTX *client_ctx)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *a = SSL_new(client_ctx), *b;
	BIO *x = BIO_new(BIO_s_mem()), *y = BIO_new(BIO_s_mem());
	SSL_SESSION *s;
	char c;

	SSL_CTX_use_certificate_file(ctx, ec.cert, SSL_FILETYPE_PEM);
	SSL_CTX_use_PrivateKey_file(ctx, ec.key, SSL_FILETYPE_PEM);
	SSL_CTX_set_max_early_data(ctx, 16384);
	b = SSL_new(ctx);
	BIO_up_ref(x);
	BIO_up_ref(y);
	SSL_set_bio(a, x, y);
	SSL_set_bio(b, y, x);
	SSL_set_connect_state(a);
	SSL_set_accept_state(b);
	for (int i = 0; i < 4; i++) {
		SSL_do_handshake(a);
		SSL_do_handshake(b);
	}
	SSL_write(b, "x", 1);
	assert_int_equal(SSL_read(a, &c, 1), 1);
	s = SSL_get1_session(a);
	assert_true(SSL_SESSION_is_resumable(s));
	SSL_set_shutdown(a, SSL_SENT_SHUTDOWN); /* or the session is not to be used again */
	SSL_free(a);
	SSL_free(b);
	SSL_CTX_free(ctx);
	return s;
}

/* A ticket that is not ours, with and without early data: an ordinary full handshake. */
static void foreign_ticket(void **state)
{
	(void)state;
	for (int early = 0; early < 2; early++) {
		struct kit_pair p;
		SSL_SESSION *s;
		size_t n;

		kit_pair_new(&p, &ec, NULL, NULL);
		s = ticket_from_elsewhere(p.client_ctx);
		assert_int_equal(SSL_set_session(p.k.ssl, s), 1);
		if (early)
			assert_int_equal(SSL_write_early_data(p.k.ssl, "GET /early", 10, &n), 1);
		assert_true(kit_handshake(&p.s, &p.k, 0));
		assert_int_equal(SSL_session_reused(p.k.ssl), 0);
		assert_int_equal(SSL_get_early_data_status(p.k.ssl),
				 early ? SSL_EARLY_DATA_REJECTED : SSL_EARLY_DATA_NOT_SENT);
		assert_int_equal(p.s.data.n, 0); /* early data is not taken */
		ping(&p);
		SSL_SESSION_free(s);
		kit_pair_free(&p);
	}
}

static void client_refuses_certificate(void **state)
{
	struct tls_stats st;
	struct kit_pair p;

	(void)state;
	kit_pair_new(&p, &ec, NULL, NULL);
	SSL_set_verify(p.k.ssl, SSL_VERIFY_PEER, NULL);
	assert_false(kit_handshake(&p.s, &p.k, 0));
	assert_int_equal(tls_conn_state(p.s.c), TLS_FAILED);
	tls_get_stats(p.t, &st);
	assert_int_equal(st.alerts_in, 1);
	assert_int_equal(st.handshake_failures, 1);
	kit_pair_free(&p);
}

/* Bytes that are no TLS at all: a plaintext alert. */
static void not_tls(void **state)
{
	static const uint8_t want[] = {21, 3, 3, 0, 2, 2, 10};
	static const char *const v[] = {"GET / HTTP/1.1\r\n\r\n", "\x80\x2e\1\3\1", "\x17\3\3\0\1x",
					"\x15\3\3\0\2\2\x28", "\x14\3\3\0\1\1"};

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct kit_pair p;

		kit_pair_new(&p, &ec, NULL, NULL);
		assert_int_equal(tls_input(p.s.c, (const uint8_t *)v[i], 5), -EPROTO);
		assert_int_equal(p.s.wire.n, sizeof want);
		assert_memory_equal(p.s.wire.p, want, sizeof want);
		assert_int_equal(tls_conn_state(p.s.c), TLS_FAILED);
		kit_pair_free(&p);
	}
}

static void too_long(void **state)
{
	static const uint8_t hdr[] = {22, 3, 1, 0xff, 0xff};
	static const uint8_t ccs[] = {20, 3, 3, 0, 1, 1};
	struct kit_pair p;
	int err = 0;

	(void)state;
	/* One record. */
	kit_pair_new(&p, &ec, NULL, NULL);
	assert_int_equal(tls_input(p.s.c, hdr, 5), -EPROTO);
	assert_memory_equal(p.s.wire.p, "\x15\3\3\0\2\2\x16", 7);
	kit_pair_free(&p);
	/* A handshake of ever more ChangeCipherSpec. */
	kit_pair_new(&p, &ec, NULL, NULL);
	SSL_do_handshake(p.k.ssl);
	assert_int_equal(kit_to_server(&p.s, &p.k, 0), 0);
	for (int i = 0; i < HANDSHAKE_INPUT_MAX / 6 + 1 && !err; i++)
		err = tls_input(p.s.c, ccs, sizeof ccs);
	assert_int_equal(err, -EPROTO);
	kit_pair_free(&p);
}

/* Left in the middle, at every byte. */
static void truncated(void **state)
{
	bool more = true;

	(void)state;
	for (size_t cut = 0; more; cut += 3) {
		struct kit_pair p;
		size_t n;

		kit_pair_new(&p, &ec, cut & 1 ? &aead_openssl : &aead_ipsec_mb, NULL);
		SSL_do_handshake(p.k.ssl);
		kit_client_pull(&p.k);
		n = p.k.wire.n;
		if (cut < n) {
			p.k.wire.n = cut;
			assert_int_equal(kit_to_server(&p.s, &p.k, 0), 0);
			assert_int_equal(p.s.wire.n, 0);
		} else {
			assert_int_equal(kit_to_server(&p.s, &p.k, 0), 0);
			kit_to_client(&p.s, &p.k);
			SSL_do_handshake(p.k.ssl);
			kit_client_pull(&p.k);
			more = cut - n < p.k.wire.n;
			if (more)
				p.k.wire.n = cut - n;
			assert_int_equal(kit_to_server(&p.s, &p.k, 0), 0);
			assert_int_equal(tls_conn_state(p.s.c), more ? TLS_HANDSHAKE : TLS_OPEN);
		}
		kit_pair_free(&p);
	}
}

/* A byte of the client's flights changed: no crash, and never an open connection, except where the
 * byte has no meaning (the versions in record headers). */
static void damaged(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 9);
	for (int i = 0; i < 300; i++) {
		struct kit_pair p;
		size_t at;
		bool second = i & 1, version;

		kit_pair_new(&p, &ec, NULL, NULL);
		SSL_do_handshake(p.k.ssl);
		if (second) {
			kit_to_server(&p.s, &p.k, 0);
			kit_to_client(&p.s, &p.k);
			SSL_do_handshake(p.k.ssl);
		}
		kit_client_pull(&p.k);
		at = rng_below(&r, p.k.wire.n);
		version = second && (at == 1 || at == 2 || at == 7 || at == 8);
		p.k.wire.p[at] ^= (uint8_t)(1u << rng_below(&r, 8));
		kit_to_server(&p.s, &p.k, 0);
		if (!second) {
			kit_to_client(&p.s, &p.k);
			SSL_do_handshake(p.k.ssl);
			kit_to_server(&p.s, &p.k, 0);
		}
		if (!version && (second || at > 2))
			assert_int_not_equal(tls_conn_state(p.s.c), TLS_OPEN);
		kit_pair_free(&p);
	}
}

static int setup(void **state)
{
	(void)state;
	kit_cert_new(&ec, KIT_P256);
	kit_cert_new(&rsa, KIT_RSA);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kit_cert_free(&ec);
	kit_cert_free(&rsa);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds),
		cmocka_unit_test(suite_choice),
		cmocka_unit_test(request_glued_to_finished),
		cmocka_unit_test(small_segments),
		cmocka_unit_test(hello_retry),
		cmocka_unit_test(without_compat_ccs),
		cmocka_unit_test(alpn),
		cmocka_unit_test(any_server_name),
		cmocka_unit_test(old_versions),
		cmocka_unit_test(max_fragment_length),
		cmocka_unit_test(foreign_ticket),
		cmocka_unit_test(client_refuses_certificate),
		cmocka_unit_test(not_tls),
		cmocka_unit_test(too_long),
		cmocka_unit_test(truncated),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
