/* tls: the connection after the take-over, with an unmodified OpenSSL as the other end: data of all
 * lengths, KeyUpdate and close in both directions, and what an idle connection weighs. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "base/rng.h"
#include "stacks/atlas/tls/testkit.h"

static struct kit_cert cert;

/* OpenSSL's allocations, counted from the start of the program. */
static unsigned long ssl_allocs;

static void *count_malloc(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	ssl_allocs++;
	return malloc(n);
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	ssl_allocs++;
	return realloc(p, n);
}

static void count_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	free(p);
}

static void fill(struct rng *r, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rng_u64(r);
}

static void open_pair(struct kit_pair *p, const struct aead_ops *aead, const char *suite)
{
	kit_pair_new(p, &cert, aead, suite);
	assert_true(kit_handshake(&p->s, &p->k, 0));
}

/* The client gets exactly these bytes. */
static void expect_read(struct kit_pair *p, const uint8_t *want, size_t n)
{
	uint8_t *b = malloc(n + 1);
	size_t got = 0;

	kit_to_client(&p->s, &p->k);
	while (got < n) {
		int r = SSL_read(p->k.ssl, b + got, (int)(n - got));

		assert_true(r > 0);
		got += (size_t)r;
	}
	assert_memory_equal(b, want, n);
	free(b);
}

static void expect_data(struct kit_pair *p, const uint8_t *want, size_t n)
{
	p->s.data.n = 0;
	assert_int_equal(kit_to_server(&p->s, &p->k, 0), 0);
	assert_int_equal(p->s.data.n, n);
	assert_memory_equal(p->s.data.p, want, n);
}

/* Body records of random lengths, some sealed more than once, heads between them; requests of
 * random lengths the other way. */
static void random_lengths(void **state)
{
	static const struct aead_ops *const aeads[] = {&aead_ipsec_mb, &aead_openssl};
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
	static uint8_t p[TLS_RECORD_MAX], sealed[TLS_RECORD_MAX];
	struct rng r;

	(void)state;
	rng_seed(&r, 21);
	for (int k = 0; k < 4; k++) {
		struct kit_pair pair;

		open_pair(&pair, aeads[k & 1], suites[k >> 1]);
		for (int i = 0; i < 400; i++) {
			size_t n = i < 40 ? (size_t)i : rng_below(&r, TLS_RECORD_MAX + 1);
			uint8_t hdr[TLS_HDR], trail[TLS_TRAIL];
			struct tls_epoch *e;
			uint64_t seq;

			if (i == 399)
				n = TLS_RECORD_MAX;
			fill(&r, p, n);
			if (rng_below(&r, 2)) {
				tls_write(pair.s.c, (const uint8_t *)"head", 4);
				expect_read(&pair, (const uint8_t *)"head", 4);
			}
			e = tls_reserve(pair.s.c, 1, &seq);
			for (uint64_t again = rng_below(&r, 2) + 1; again; again--) {
				memcpy(sealed, p, n);
				tls_seal(e, seq, sealed, n, hdr, trail);
			}
			kit_add(&pair.s.wire, hdr, TLS_HDR);
			kit_add(&pair.s.wire, sealed, n);
			kit_add(&pair.s.wire, trail, TLS_TRAIL);
			tls_epoch_put(e);
			expect_read(&pair, p, n);

			n = 1 + rng_below(&r, 20000);
			if (n > sizeof p)
				n = sizeof p;
			assert_int_equal(SSL_write(pair.k.ssl, p, (int)n), n);
			expect_data(&pair, p, n);
		}
		kit_pair_free(&pair);
	}
}

/* The client pads its records. */
static void padded_input(void **state)
{
	struct kit_pair p;

	(void)state;
	kit_pair_new(&p, &cert, NULL, NULL);
	SSL_set_block_padding(p.k.ssl, 512);
	assert_true(kit_handshake(&p.s, &p.k, 0));
	assert_int_equal(SSL_write(p.k.ssl, "GET /", 5), 5);
	kit_client_pull(&p.k);
	assert_true(p.k.wire.n >= 512);
	expect_data(&p, (const uint8_t *)"GET /", 5);
	kit_pair_free(&p);
}

/* The client changes its key, asking for ours or not; ours changes unasked; data flows between. */
static void key_updates(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct kit_pair p;
		struct tls_stats st;
		struct rng r;
		unsigned int asked = 0, own = 0;

		open_pair(&p, k & 1 ? &aead_openssl : NULL,
			  k & 2 ? "TLS_AES_256_GCM_SHA384" : NULL);
		rng_seed(&r, (uint64_t)k);
		for (int i = 0; i < 60; i++) {
			uint8_t text[20];

			fill(&r, text, sizeof text);
			switch (rng_below(&r, 4)) {
			case 0:
				SSL_key_update(p.k.ssl, SSL_KEY_UPDATE_REQUESTED);
				asked++;
				break;
			case 1:
				SSL_key_update(p.k.ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
				break;
			case 2:
				assert_int_equal(tls_key_update(p.s.c), 0);
				own++;
				break;
			default:
				break;
			}
			assert_int_equal(SSL_write(p.k.ssl, text, sizeof text), sizeof text);
			expect_data(&p, text, sizeof text);
			assert_int_equal(tls_write(p.s.c, text, sizeof text), 0);
			expect_read(&p, text, sizeof text);
		}
		tls_get_stats(p.t, &st);
		assert_int_equal(p.s.key_update_calls, asked);
		assert_int_equal(st.key_updates_out, asked + own);
		assert_true(st.key_updates_in >= asked);
		kit_pair_free(&p);
	}
}

/* Worn-out keys: ours changes within tls_write(), the client's when we ask for it. */
static void short_lived_keys(void **state)
{
	struct kit_pair p;
	struct tls_stats st;
	uint8_t text[100];

	(void)state;
	open_pair(&p, NULL, NULL);
	p.t->record_limit = 10;
	memset(text, 'x', sizeof text);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(SSL_write(p.k.ssl, text, sizeof text), sizeof text);
		expect_data(&p, text, sizeof text);
		assert_int_equal(tls_write(p.s.c, text, sizeof text), 0);
		expect_read(&p, text, sizeof text);
	}
	tls_get_stats(p.t, &st);
	assert_true(st.key_updates_in >= 9);
	assert_true(st.key_updates_out >= 9);
	kit_pair_free(&p);
}

static void close_from_client(void **state)
{
	struct kit_pair p;

	(void)state;
	open_pair(&p, NULL, NULL);
	assert_int_equal(SSL_write(p.k.ssl, "bye", 3), 3);
	assert_int_equal(SSL_shutdown(p.k.ssl), 0);
	expect_data(&p, (const uint8_t *)"bye", 3);
	assert_int_equal(tls_conn_state(p.s.c), TLS_PEER_CLOSED);
	tls_close(p.s.c);
	kit_to_client(&p.s, &p.k);
	assert_int_equal(SSL_shutdown(p.k.ssl), 1);
	kit_pair_free(&p);
}

static void close_from_server(void **state)
{
	struct kit_pair p;
	char b;

	(void)state;
	open_pair(&p, NULL, NULL);
	tls_write(p.s.c, (const uint8_t *)"rest", 4);
	tls_close(p.s.c);
	expect_read(&p, (const uint8_t *)"rest", 4);
	assert_int_equal(SSL_read(p.k.ssl, &b, 1), 0);
	assert_int_equal(SSL_get_error(p.k.ssl, 0), SSL_ERROR_ZERO_RETURN);
	/* The client may still speak: we said that we don't. */
	assert_int_equal(SSL_write(p.k.ssl, "ok", 2), 2);
	expect_data(&p, (const uint8_t *)"ok", 2);
	kit_pair_free(&p);
}

/* The client understands our alert. */
static void alert_to_client(void **state)
{
	struct kit_pair p;
	char b;

	(void)state;
	open_pair(&p, NULL, NULL);
	assert_int_equal(SSL_write(p.k.ssl, "x", 1), 1);
	kit_client_pull(&p.k);
	p.k.wire.p[7] ^= 1;
	assert_int_equal(kit_to_server(&p.s, &p.k, 0), -EPROTO);
	kit_to_client(&p.s, &p.k);
	ERR_clear_error();
	assert_true(SSL_read(p.k.ssl, &b, 1) <= 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
			 SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC);
	kit_pair_free(&p);
}

/* A keep-alive request and its answer take no memory, neither ours nor OpenSSL's. */
static void requests_take_no_memory(void **state)
{
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct kit_pair p;
		uint64_t own = 0;

		open_pair(&p, k ? &aead_openssl : NULL, NULL);
		for (int i = 0; i < 100; i++) {
			uint8_t body[1000] = {0}, hdr[TLS_HDR], trail[TLS_TRAIL];
			struct tls_epoch *e;
			unsigned long before;
			uint64_t seq;

			assert_int_equal(SSL_write(p.k.ssl, "GET /", 5), 5);
			kit_client_pull(&p.k);
			p.s.wire.n = p.s.data.n = 0;
			before = ssl_allocs;
			assert_int_equal(kit_to_server(&p.s, &p.k, (size_t)(i % 9)), 0);
			tls_write(p.s.c, body, 200);
			e = tls_reserve(p.s.c, 1, &seq);
			tls_seal(e, seq, body, sizeof body, hdr, trail);
			tls_epoch_put(e);
			if (i == 2) /* one whole and one split request have been */
				own = p.t->allocs;
			if (i > 2)
				assert_int_equal(ssl_allocs, before);
		}
		assert_true(ssl_allocs > 0);
		assert_int_equal(p.t->allocs, own);
		kit_pair_free(&p);
	}
}

/* Measured, not added up: a connection after its handshake, all it holds in the heap. */
static void idle_memory(void **state)
{
	enum { CONNS = 200 };
	static struct kit_server s[CONNS];

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct kit_pair p;
		size_t before;

		open_pair(&p, k ? &aead_openssl : NULL, NULL);
		before = mallinfo2().uordblks;
		for (int i = 0; i < CONNS; i++) {
			struct kit_client c;

			s[i].c = tls_accept(p.t, &kit_io, &s[i]);
			kit_client_new(&c, p.client_ctx);
			assert_true(kit_handshake(&s[i], &c, 0));
			kit_client_free(&c);
			kit_free(&s[i].wire);
		}
		/* 0 with a sanitizer's allocator */
		assert_true(mallinfo2().uordblks - before <= CONNS * 2560ul);
		for (int i = 0; i < CONNS; i++)
			kit_server_free(&s[i]);
		kit_pair_free(&p);
	}
}

static int setup(void **state)
{
	(void)state;
	kit_cert_new(&cert, KIT_P256);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kit_cert_free(&cert);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lengths),    cmocka_unit_test(padded_input),
		cmocka_unit_test(key_updates),	     cmocka_unit_test(short_lived_keys),
		cmocka_unit_test(close_from_client), cmocka_unit_test(close_from_server),
		cmocka_unit_test(alert_to_client),   cmocka_unit_test(requests_take_no_memory),
		cmocka_unit_test(idle_memory),
	};

	CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free);
	return cmocka_run_group_tests(tests, setup, teardown);
}
