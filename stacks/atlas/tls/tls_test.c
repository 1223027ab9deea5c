/* tls: the handshake and the take-over against an unmodified OpenSSL client in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "stacks/atlas/tls/testkit.h"

static struct kit_cert ec, rsa;

static struct tls_ctx *server_ctx(const struct kit_cert *k, const struct aead_ops *aead,
				  const char *suites)
{
	struct tls_ctx_cfg cfg = {
		.cert_file = k->cert, .key_file = k->key, .aead = aead, .suites = suites};
	struct errbuf e = {0};
	struct tls_ctx *t = tls_ctx_new(&cfg, &e);

	if (!t)
		fail_msg("%s", e.s);
	return t;
}

/* Both ends, with the handshake done. */
struct pair {
	struct tls_ctx *t;
	SSL_CTX *client_ctx;
	struct kit_server s;
	struct kit_client k;
};

static void pair_new(struct pair *p, const struct kit_cert *cert, const struct aead_ops *aead,
		     const char *suites)
{
	*p = (struct pair){.t = server_ctx(cert, aead, suites), .client_ctx = kit_client_ctx()};
	kit_client_new(&p->k, p->client_ctx);
	p->s.c = tls_accept(p->t, &kit_io, &p->s);
	assert_non_null(p->s.c);
}

static void pair_free(struct pair *p)
{
	kit_server_free(&p->s);
	kit_client_free(&p->k);
	SSL_CTX_free(p->client_ctx);
	tls_ctx_free(p->t);
	ERR_clear_error();
}

/* `n` bytes each way after the handshake. */
static void exchange(struct pair *p, size_t n)
{
	uint8_t *a = malloc(n), *b = malloc(n);
	size_t got = 0;

	for (size_t i = 0; i < n; i++)
		a[i] = (uint8_t)(i * 7 + n);
	assert_int_equal(SSL_write(p->k.ssl, a, (int)n), n);
	p->s.data.n = 0;
	assert_int_equal(kit_to_server(&p->s, &p->k, 0), 0);
	assert_int_equal(p->s.data.n, n);
	assert_memory_equal(p->s.data.p, a, n);

	assert_int_equal(tls_write(p->s.c, a, n), 0);
	kit_to_client(&p->s, &p->k);
	while (got < n) {
		int r = SSL_read(p->k.ssl, b + got, (int)(n - got));

		assert_true(r > 0);
		got += (size_t)r;
	}
	assert_memory_equal(a, b, n);
	free(a);
	free(b);
}

static void handshake_all_kinds(void **state)
{
	static const struct aead_ops *const aeads[] = {&aead_ipsec_mb, &aead_openssl};
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
	const struct kit_cert *const certs[] = {&ec, &rsa};

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct pair p;

		pair_new(&p, certs[i & 1], aeads[i >> 1 & 1], suites[i >> 2]);
		assert_string_equal(tls_suite(p.s.c), "");
		assert_int_equal(tls_write(p.s.c, (const uint8_t *)"x", 1), -ENOTCONN);
		assert_true(kit_handshake(&p.s, &p.k, 0));
		assert_string_equal(tls_suite(p.s.c), suites[i >> 2]);
		assert_null(p.s.c->hs);
		exchange(&p, 1);
		exchange(&p, 50000);
		exchange(&p, 100);
		pair_free(&p);
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
		cmocka_unit_test(handshake_all_kinds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
