/* ctx: what is wrong with the files or the suites is said in one sentence that names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "stacks/atlas/tls/testkit.h"

static struct kit_cert ec, rsa, other;

static void refused(const char *cert, const char *key, const char *suites, const char *names,
		    const char *says)
{
	struct tls_ctx_cfg cfg = {
		.cert_file = cert, .key_file = key, .aead = &aead_openssl, .suites = suites};
	struct errbuf e = {""};

	assert_null(tls_ctx_new(&cfg, &e));
	if (!strstr(e.s, names) || !strstr(e.s, says) || strchr(e.s, '\n'))
		fail_msg("not clear enough: %s", e.s);
	assert_null(tls_ctx_new(&cfg, NULL));
}

static void accepted(const char *cert, const char *key, const char *suites)
{
	struct tls_ctx_cfg cfg = {
		.cert_file = cert, .key_file = key, .aead = &aead_openssl, .suites = suites};
	struct errbuf e = {""};
	struct tls_ctx *t = tls_ctx_new(&cfg, &e);

	if (!t)
		fail_msg("%s", e.s);
	tls_ctx_free(t);
}

static void missing_files(void **state)
{
	(void)state;
	accepted(ec.cert, ec.key, NULL);
	accepted(rsa.cert, rsa.key, NULL);
	refused("/nowhere/c.pem", ec.key, NULL, "certificate file /nowhere/c.pem", "No such file");
	refused(ec.cert, "/nowhere/k.pem", NULL, "key file /nowhere/k.pem", "No such file");
	refused(NULL, ec.key, NULL, "certificate", "none was given");
	refused(ec.cert, "", NULL, "key", "none was given");
	refused("/", ec.key, NULL, "certificate file /", "directory");
	refused(ec.cert, "/dev/null", NULL, "/dev/null", "empty");
}

static void wrong_files(void **state)
{
	char garbage[32];
	int fd = kit_file("garbage\n", 8, garbage);

	(void)state;
	refused(garbage, ec.key, NULL, garbage, "not a usable certificate");
	refused(ec.cert, garbage, NULL, garbage, "no private key");
	refused(ec.key, ec.key, NULL, ec.key, "not a usable certificate");
	refused(ec.cert, ec.cert, NULL, ec.cert, "no private key");
	refused(ec.cert, other.key, NULL, other.key, "does not belong");
	refused(ec.cert, rsa.key, NULL, rsa.key, "does not belong");
	refused(rsa.cert, ec.key, NULL, ec.key, "does not belong");
	close(fd);
}

/* A key behind a password must not lead to a prompt. */
static void key_with_password(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *b = BIO_new(BIO_s_mem());
	char path[32], *p;
	long n;
	int fd;

	(void)state;
	assert_int_equal(PEM_write_bio_PrivateKey(b, key, EVP_aes_128_cbc(),
						  (const uint8_t *)"secret", 6, NULL, NULL),
			 1);
	n = BIO_get_mem_data(b, &p);
	fd = kit_file(p, (size_t)n, path);
	refused(ec.cert, path, NULL, path, "password");
	close(fd);
	BIO_free(b);
	EVP_PKEY_free(key);
}

static void suites(void **state)
{
	(void)state;
	accepted(ec.cert, ec.key, "TLS_AES_256_GCM_SHA384");
	refused(ec.cert, ec.key, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
		"choose from");
	refused(ec.cert, ec.key, "TLS_AES_128_GCM_SHA256:AES", "suite AES", "choose from");
	refused(ec.cert, ec.key, "", "suites", "choose from");
	refused(ec.cert, ec.key,
		"TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256:"
		"TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256",
		"TLS_AES_128", "too long");
}

static int setup(void **state)
{
	(void)state;
	kit_cert_new(&ec, KIT_P256);
	kit_cert_new(&other, KIT_P256);
	kit_cert_new(&rsa, KIT_RSA);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kit_cert_free(&ec);
	kit_cert_free(&other);
	kit_cert_free(&rsa);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_files),
		cmocka_unit_test(wrong_files),
		cmocka_unit_test(key_with_password),
		cmocka_unit_test(suites),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
