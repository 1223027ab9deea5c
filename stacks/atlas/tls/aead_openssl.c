/* aead_openssl: AES-GCM by OpenSSL's EVP: the oracle of the tests, and stock cryptography at its
 * best for `atlas:openssl`.
 *
 * What EVP charges for is avoided: the cipher is fetched once per context and key length, contexts
 * are kept across keys, and a record sets only its IV. One EVP context seals and opens (the
 * direction is set with the IV). EVP allocates its contexts, at the first key of each length; after
 * that neither a new key nor a record allocates.
 *
 * Limits: OpenSSL 3; RFC 8446 5.2.
 */
#include "stacks/atlas/tls/aead.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/evp.h>

struct ossl_ctx {
	EVP_CIPHER_CTX *now;	/* one of the next two */
	EVP_CIPHER_CTX *len[2]; /* 16-byte and 32-byte keys */
};

static int ossl_thread_init(void)
{
	return 0;
}

static int ossl_key(void *ctx, const uint8_t *key, int key_len)
{
	struct ossl_ctx *c = ctx;
	EVP_CIPHER_CTX **e;

	if (key_len != 16 && key_len != 32)
		return -EINVAL;
	e = &c->len[key_len == 32];
	if (!*e) {
		*e = EVP_CIPHER_CTX_new();
		if (!*e)
			return -ENOMEM;
		if (EVP_CipherInit_ex(*e, key_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
				      NULL, NULL, NULL, 1) != 1) {
			EVP_CIPHER_CTX_free(*e);
			*e = NULL;
			return -ENOMEM;
		}
	}
	c->now = *e;
	return EVP_CipherInit_ex(c->now, NULL, NULL, key, NULL, 1) == 1 ? 0 : -EIO;
}

static void ossl_clear(void *ctx)
{
	struct ossl_ctx *c = ctx;

	EVP_CIPHER_CTX_free(c->len[0]); /* wipes */
	EVP_CIPHER_CTX_free(c->len[1]);
	*c = (struct ossl_ctx){0};
}

/* EVP's failures here are programming errors (a context without key): bytes that were not sealed
 * must not leave, so stop. */
static void must(int ok)
{
	if (ok != 1)
		abort();
}

static void ossl_seal_copy(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5],
			   const uint8_t *src, uint8_t *dst, size_t len, uint8_t type,
			   uint8_t *type_out, uint8_t *tag_out)
{
	EVP_CIPHER_CTX *e = ((struct ossl_ctx *)ctx)->now;
	int n;

	must(EVP_CipherInit_ex(e, NULL, NULL, NULL, iv, 1));
	must(EVP_EncryptUpdate(e, NULL, &n, aad, 5));
	if (len)
		must(EVP_EncryptUpdate(e, dst, &n, src, (int)len));
	must(EVP_EncryptUpdate(e, type_out, &n, &type, 1));
	must(EVP_EncryptFinal_ex(e, tag_out, &n));
	must(EVP_CIPHER_CTX_ctrl(e, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, tag_out));
}

static void ossl_seal(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5], uint8_t *p,
		      size_t len, uint8_t type, uint8_t *type_out, uint8_t *tag_out)
{
	ossl_seal_copy(ctx, iv, aad, p, p, len, type, type_out, tag_out);
}

static int ossl_open(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5], uint8_t *p,
		     size_t len)
{
	EVP_CIPHER_CTX *e = ((struct ossl_ctx *)ctx)->now;
	uint8_t end[AEAD_TAG];
	int n;

	must(EVP_CipherInit_ex(e, NULL, NULL, NULL, iv, 0));
	must(EVP_DecryptUpdate(e, NULL, &n, aad, 5));
	if (len)
		must(EVP_DecryptUpdate(e, p, &n, p, (int)len));
	must(EVP_CIPHER_CTX_ctrl(e, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, p + len));
	return EVP_DecryptFinal_ex(e, end, &n) == 1 ? 0 : -EBADMSG;
}

const struct aead_ops aead_openssl = {
	.name = "openssl",
	.ctx_size = sizeof(struct ossl_ctx),
	.thread_init = ossl_thread_init,
	.key = ossl_key,
	.clear = ossl_clear,
	.seal = ossl_seal,
	.seal_copy = ossl_seal_copy,
	.open = ossl_open,
};
