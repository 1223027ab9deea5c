/* aead: AES-GCM of TLS 1.3 records, in place, by one of several implementations.
 *
 * A back end is a constant table plus a per-key context (the model is picotls). Outputs are
 * identical; they differ in speed: `ipsec-mb` (libipsec-mb, VAES/AVX-512 where the CPU has it) and
 * `openssl` (EVP: the oracle, and the fair comparison `atlas:openssl`).
 *
 * Contexts are per thread at use; key set-up and use neither block nor allocate (memory is the
 * caller's, ctx_size bytes, aligned to 64, zero before the first key(); `openssl` takes EVP's own
 * context at the first key of each length, and clear() frees it).
 */
#ifndef ATLAS_TLS_AEAD_H
#define ATLAS_TLS_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_TAG     16
#define AEAD_IV	     12
#define AEAD_KEY_MAX 32

struct aead_ops {
	const char *name;
	size_t ctx_size;
	/* Once a thread before use; 0 or -errno. */
	int (*thread_init)(void);
	/* 16 or 32 bytes; again at any time: the new key counts. 0 or -errno. */
	int (*key)(void *ctx, const uint8_t *key, int key_len);
	/* Wipe the key, free what key() took. */
	void (*clear)(void *ctx);
	/* Seal p[0, len) in place, and one further plaintext byte `type` that follows it logically
	 * (it is stored elsewhere: where a merged read has the next record's first byte); its
	 * ciphertext goes to type_out[0], the tag to tag_out[0, 16). */
	void (*seal)(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5], uint8_t *p,
		     size_t len, uint8_t type, uint8_t *type_out, uint8_t *tag_out);
	/* As seal, from src to dst (atlas:copy). */
	void (*seal_copy)(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5],
			  const uint8_t *src, uint8_t *dst, size_t len, uint8_t type,
			  uint8_t *type_out, uint8_t *tag_out);
	/* Open p[0, len) in place, the tag at p + len. 0 or -EBADMSG (p is then garbage). */
	int (*open)(void *ctx, const uint8_t iv[AEAD_IV], const uint8_t aad[5], uint8_t *p,
		    size_t len);
};

extern const struct aead_ops aead_ipsec_mb, aead_openssl;
/* By name; NULL if unknown. */
const struct aead_ops *aead_find(const char *name);

#endif
