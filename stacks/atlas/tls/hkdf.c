/* hkdf: see hkdf.h.
 *
 * With an output no longer than the hash, HKDF-Expand (RFC 5869 2.3) is its first block:
 * HMAC(secret, info || 0x01), where info is the HkdfLabel structure of RFC 8446 7.1.
 */
#include "stacks/atlas/tls/hkdf.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define LABEL_MAX 12 /* the longest we use is "traffic upd" */

size_t hkdf_hash_len(enum hkdf_hash h)
{
	return h == HKDF_SHA256 ? 32 : 48;
}

int hkdf_expand_label(enum hkdf_hash h, const uint8_t *secret, const char *label, uint8_t *out,
		      size_t out_len)
{
	static const char prefix[] = "tls13 ";
	uint8_t info[2 + 1 + sizeof prefix - 1 + LABEL_MAX + 1 + 1], block[EVP_MAX_MD_SIZE];
	size_t label_len = strlen(label), n = 0;

	if (label_len > LABEL_MAX || out_len > hkdf_hash_len(h))
		return -EINVAL;
	info[n++] = (uint8_t)(out_len >> 8);
	info[n++] = (uint8_t)out_len;
	info[n++] = (uint8_t)(sizeof prefix - 1 + label_len);
	memcpy(info + n, prefix, sizeof prefix - 1);
	n += sizeof prefix - 1;
	memcpy(info + n, label, label_len);
	n += label_len;
	info[n++] = 0; /* no context */
	info[n++] = 1; /* block T(1) */
	if (!HMAC(h == HKDF_SHA256 ? EVP_sha256() : EVP_sha384(), secret, (int)hkdf_hash_len(h),
		  info, n, block, NULL))
		return -EIO;
	memcpy(out, block, out_len);
	OPENSSL_cleanse(block, sizeof block);
	return 0;
}
