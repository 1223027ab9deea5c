/* aead_ipsec_mb: AES-GCM by libipsec-mb, with the widest instructions the CPU has.
 *
 * The library's one-shot call wants the whole plaintext in one piece, but the inner content type of
 * a record follows the payload where the next record's first byte lies. So a record is sealed by
 * the incremental calls: INIT, UPDATE payload, UPDATE the type byte from elsewhere, FINALIZE. The
 * state between them is 88 bytes on the stack.
 *
 * The library is used through the functions its manager selects for this CPU. GCM functions keep
 * no state in the manager, so one table, filled once, serves all threads and the manager is freed.
 *
 * Limits: 96-bit IVs, 128-bit tags. NIST SP 800-38D; RFC 8446 5.2.
 */
#include "stacks/atlas/tls/aead.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

struct suite_calls {
	aes_gcm_pre_t pre;
	aes_gcm_init_t init;
	aes_gcm_enc_dec_update_t enc_update;
	aes_gcm_enc_dec_finalize_t enc_final;
	aes_gcm_enc_dec_update_t dec_update;
	aes_gcm_enc_dec_finalize_t dec_final;
};

struct mb_ctx {
	struct gcm_key_data key;
	const struct suite_calls *f;
};

static struct suite_calls calls128, calls256;
static int init_err;

static void select_calls(void)
{
	IMB_MGR *m = alloc_mb_mgr(0);

	if (!m) {
		init_err = -ENOMEM;
		return;
	}
	init_mb_mgr_auto(m, NULL);
	if (imb_get_errno(m)) {
		init_err = -ENOTSUP;
	} else {
		calls128 = (struct suite_calls){m->gcm128_pre,	      m->gcm128_init,
						m->gcm128_enc_update, m->gcm128_enc_finalize,
						m->gcm128_dec_update, m->gcm128_dec_finalize};
		calls256 = (struct suite_calls){m->gcm256_pre,	      m->gcm256_init,
						m->gcm256_enc_update, m->gcm256_enc_finalize,
						m->gcm256_dec_update, m->gcm256_dec_finalize};
	}
	free_mb_mgr(m);
}

static int mb_thread_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, select_calls);
	return init_err;
}

static int mb_key(void *ctx, const uint8_t *key, int key_len)
{
	struct mb_ctx *c = ctx;

	if (key_len != 16 && key_len != 32)
		return -EINVAL;
	c->f = key_len == 16 ? &calls128 : &calls256;
	if (!c->f->pre)
		return -ENOTSUP;
	c->f->pre(key, &c->key);
	return 0;
}

static void mb_clear(void *ctx)
{
	OPENSSL_cleanse(ctx, sizeof(struct mb_ctx));
}

static void mb_seal_copy(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5],
			 const uint8_t *src, uint8_t *dst, size_t len, uint8_t type,
			 uint8_t *type_out, uint8_t *tag_out)
{
	const struct mb_ctx *c = ctx;
	struct gcm_context_data g;

	c->f->init(&c->key, &g, iv, aad, 5);
	if (len)
		c->f->enc_update(&c->key, &g, dst, src, len);
	c->f->enc_update(&c->key, &g, type_out, &type, 1);
	c->f->enc_final(&c->key, &g, tag_out, AEAD_TAG);
}

static void mb_seal(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5], uint8_t *p,
		    size_t len, uint8_t type, uint8_t *type_out, uint8_t *tag_out)
{
	mb_seal_copy(ctx, iv, aad, p, p, len, type, type_out, tag_out);
}

static int mb_open(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5], uint8_t *p,
		   size_t len)
{
	const struct mb_ctx *c = ctx;
	struct gcm_context_data g;
	uint8_t tag[AEAD_TAG];

	c->f->init(&c->key, &g, iv, aad, 5);
	if (len)
		c->f->dec_update(&c->key, &g, p, p, len);
	c->f->dec_final(&c->key, &g, tag, AEAD_TAG);
	return CRYPTO_memcmp(tag, p + len, AEAD_TAG) ? -EBADMSG : 0;
}

const struct aead_ops aead_ipsec_mb = {
	.name = "ipsec-mb",
	.ctx_size = sizeof(struct mb_ctx),
	.thread_init = mb_thread_init,
	.key = mb_key,
	.clear = mb_clear,
	.seal = mb_seal,
	.seal_copy = mb_seal_copy,
	.open = mb_open,
};
