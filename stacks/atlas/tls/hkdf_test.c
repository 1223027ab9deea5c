/* hkdf: RFC 8448 section 3 (SHA-256) and the published trace of a TLS_AES_256_GCM_SHA384 connection
 * ("The Illustrated TLS 1.3 Connection"), and OpenSSL's own TLS13-KDF for both hashes. */
#include "stacks/atlas/tls/hkdf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "base/rng.h"

static void check(enum hkdf_hash h, const char *secret, const char *label, const char *want)
{
	uint8_t s[HKDF_HASH_MAX], out[HKDF_HASH_MAX];
	char hex[2 * HKDF_HASH_MAX + 1] = "";
	size_t n = strlen(want) / 2;

	for (size_t i = 0; i < strlen(secret) / 2; i++)
		sscanf(secret + 2 * i, "%2hhx", &s[i]);
	assert_int_equal(hkdf_expand_label(h, s, label, out, n), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", out[i]);
	assert_string_equal(hex, want);
}

static void rfc8448(void **state)
{
	static const char hs[] = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38";
	static const char ap[] = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
	static const char cl[] = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";

	(void)state;
	check(HKDF_SHA256, hs, "key", "3fce516009c21727d0f2e4e86ee403bc");
	check(HKDF_SHA256, hs, "iv", "5d313eb2671276ee13000b30");
	check(HKDF_SHA256, hs, "finished",
	      "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8");
	check(HKDF_SHA256, ap, "key", "9f02283b6c9c07efc26bb9f2ac92e356");
	check(HKDF_SHA256, ap, "iv", "cf782b88dd83549aadf1e984");
	check(HKDF_SHA256, cl, "key", "17422dda596ed5d9acd890e3c63f5051");
	check(HKDF_SHA256, cl, "iv", "5b78923dee08579033e523d9");
}

static void sha384_trace(void **state)
{
	static const char cl[] = "9e47af27cb60d818a9ea7d233cb5ed4cc525fcd74614fb24b0ee59acb8e5aa7f"
				 "f8d88b89792114208fec291a6fa96bad";
	static const char sv[] = "86c967fd7747a36a0685b4ed8d0e6b4c02b4ddaf3cd294aa44e9f6b0183bf911"
				 "e89a189ba5dfd71fccffb5cc164901f8";

	(void)state;
	check(HKDF_SHA384, cl, "key",
	      "de2f4c7672723a692319873e5c227606691a32d1c59d8b9f51dbb9352e9ca9cc");
	check(HKDF_SHA384, cl, "iv", "bb007956f474b25de902432f");
	check(HKDF_SHA384, sv, "key",
	      "01f78623f17e3edcc09e944027ba3218d57c8e0db93cd3ac419309274700ac27");
	check(HKDF_SHA384, sv, "iv", "196a750b0c5049c0cc51a541");
}

/* The same by OpenSSL. */
static void oracle(const char *digest, const uint8_t *secret, size_t secret_len, char *label,
		   uint8_t *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM p[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, secret_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, label, strlen(label)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, "", 0),
		OSSL_PARAM_construct_end(),
	};

	assert_int_equal(EVP_KDF_derive(k, out, out_len, p), 1);
	EVP_KDF_CTX_free(k);
	EVP_KDF_free(kdf);
}

static void against_openssl(void **state)
{
	char *labels[] = {"key", "iv", "traffic upd", "finished", ""};
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	for (int i = 0; i < 2000; i++) {
		enum hkdf_hash h = i & 1 ? HKDF_SHA384 : HKDF_SHA256;
		size_t n = 1 + rng_below(&r, hkdf_hash_len(h));
		uint8_t s[HKDF_HASH_MAX], a[HKDF_HASH_MAX], b[HKDF_HASH_MAX];
		char *label = labels[rng_below(&r, 5)];

		for (size_t j = 0; j < sizeof s; j++)
			s[j] = (uint8_t)rng_u64(&r);
		assert_int_equal(hkdf_expand_label(h, s, label, a, n), 0);
		oracle(h == HKDF_SHA256 ? "SHA256" : "SHA384", s, hkdf_hash_len(h), label, b, n);
		assert_memory_equal(a, b, n);
	}
}

static void bounds(void **state)
{
	uint8_t s[HKDF_HASH_MAX] = {0}, out[64];

	(void)state;
	assert_int_equal(hkdf_expand_label(HKDF_SHA256, s, "key", out, 33), -EINVAL);
	assert_int_equal(hkdf_expand_label(HKDF_SHA384, s, "key", out, 49), -EINVAL);
	assert_int_equal(hkdf_expand_label(HKDF_SHA256, s, "a label too long", out, 16), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc8448),
		cmocka_unit_test(sha384_trace),
		cmocka_unit_test(against_openssl),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
