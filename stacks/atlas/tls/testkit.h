/* testkit: what tests and fuzzers of this room share: throw-away certificates, a connection whose
 * output is collected, an OpenSSL client in memory, and a peer's record layer with known keys.
 *
 * Failures of set-up abort: there is nothing to test then. Not used by atlas itself.
 */
#ifndef ATLAS_TLS_TESTKIT_H
#define ATLAS_TLS_TESTKIT_H

#include <stdio.h>

#include <openssl/ssl.h>

#include "stacks/atlas/tls/tls_int.h"

/* Key and self-signed certificate as PEM in memory files; paths stay valid until kit_cert_free().
 */
struct kit_cert {
	int cert_fd, key_fd;
	char cert[32], key[32];
};
enum kit_kind { KIT_P256, KIT_RSA };
void kit_cert_new(struct kit_cert *k, enum kit_kind kind);
void kit_cert_free(struct kit_cert *k);
/* A memory file with this text; its path in `path` (32 bytes). */
int kit_file(const char *text, size_t n, char *path);

/* A growing byte string. */
struct kit_buf {
	uint8_t *p;
	size_t n, cap;
};
void kit_add(struct kit_buf *b, const uint8_t *p, size_t n);
void kit_drop(struct kit_buf *b, size_t n); /* from the front */
void kit_free(struct kit_buf *b);

/* The server's side: upcalls collect. */
struct kit_server {
	struct tls_conn *c;
	struct kit_buf wire, data;
	unsigned int key_update_calls;
	bool manual_rekey; /* don't answer by tls_key_update() */
	bool echo;	   /* write data back at once */
};
extern const struct tls_io kit_io;
void kit_server_free(struct kit_server *s);

/* OpenSSL's side. `wire` is what it has sent and the server did not take yet. */
struct kit_client {
	SSL *ssl;
	BIO *in, *out;
	struct kit_buf wire;
};
SSL_CTX *kit_client_ctx(void);
void kit_client_new(struct kit_client *k, SSL_CTX *ctx);
void kit_client_free(struct kit_client *k);
/* Take what OpenSSL wrote into k->wire. */
void kit_client_pull(struct kit_client *k);
/* The server's wire bytes go to the client. */
void kit_to_client(struct kit_server *s, struct kit_client *k);
/* Client's bytes go to the server, `chunk` at a time (0: all at once); tls_input()'s result. */
int kit_to_server(struct kit_server *s, struct kit_client *k, size_t chunk);
/* To the end, or until neither side moves. True if both are done. */
bool kit_handshake(struct kit_server *s, struct kit_client *k, size_t chunk);

/* Both ends, each in its own context. `suites` and `aead` may be NULL (defaults). */
struct kit_pair {
	struct tls_ctx *t;
	SSL_CTX *client_ctx;
	struct kit_server s;
	struct kit_client k;
};
void kit_pair_new(struct kit_pair *p, const struct kit_cert *cert, const struct aead_ops *aead,
		  const char *suites);
void kit_pair_free(struct kit_pair *p);

/* A client's record layer with the given traffic secret (OpenSSL's EVP). */
struct kit_peer {
	enum hkdf_hash hash;
	int key_len;
	uint8_t tx_secret[HKDF_HASH_MAX], rx_secret[HKDF_HASH_MAX];
	uint64_t tx_seq, rx_seq;
};
/* An open connection without a handshake: all keys from `seed`. */
void kit_open(struct kit_server *s, struct kit_peer *peer, struct tls_ctx *t, uint16_t suite,
	      uint8_t seed);
/* One protected record of p[0, n) | type | pad zeros, appended to out. */
void kit_seal(struct kit_peer *peer, uint8_t type, const uint8_t *p, size_t n, size_t pad,
	      struct kit_buf *out);
/* Open the first record of `in` and drop it. Length of its content in out (16 KB), its type in
 * *type; -1 if it does not verify or is not complete. */
int kit_open_record(struct kit_peer *peer, struct kit_buf *in, uint8_t *type, uint8_t *out);
/* The next key of that direction's secret. */
void kit_next_key(struct kit_peer *peer, uint8_t *secret, uint64_t *seq);

#endif
