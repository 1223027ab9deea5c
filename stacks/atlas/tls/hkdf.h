/* hkdf: the two derivations that keys of TLS 1.3 need after the handshake (RFC 8446 7.1-7.3).
 *
 * Pure functions; HMAC of OpenSSL allocates (control path). Any thread.
 */
#ifndef ATLAS_TLS_HKDF_H
#define ATLAS_TLS_HKDF_H

#include <stddef.h>
#include <stdint.h>

enum hkdf_hash { HKDF_SHA256, HKDF_SHA384 };

#define HKDF_HASH_MAX 48

size_t hkdf_hash_len(enum hkdf_hash h);

/* HKDF-Expand-Label(secret, label, "", out_len); the secret has the hash's length, out_len is at
 * most that too (all that TLS asks for). `label` without "tls13 ". 0 or -errno. */
int hkdf_expand_label(enum hkdf_hash h, const uint8_t *secret, const char *label, uint8_t *out,
		      size_t out_len);

#endif
