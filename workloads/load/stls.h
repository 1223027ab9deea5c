/* stls: the TLS 1.3 record layer of a sink: a client that counts bodies without decrypting them.
 *
 * OpenSSL shakes hands on the socket; then the traffic secrets (key-log callback) become ours and
 * OpenSSL's object is freed. After that every record looks alike from outside (type 23), so the
 * rule is: while a response body is outstanding, a record that is large enough to be nothing else
 * and fits into it is counted by its header; every other record is decrypted and its tag checked:
 * response heads, session tickets, KeyUpdate, alerts, short ends of bodies. A wrong guess can't
 * stay unnoticed: the next decrypted record would fail its tag.
 *
 * A server whose responses have all come in records of one size, but for the last, is believed
 * after STLS_TRUST of them: from then on a run of such records is discarded in one piece, headers
 * included. The record behind the run has to have the header that ends the response; otherwise the
 * connection is given up (-EPROTO).
 *
 * One thread. Allocates at the handshake and for records that arrive in pieces and must be
 * decrypted. RFC 8446 5.2 to 5.4 (records), 4.6 (post-handshake messages), 7.1 to 7.3 (keys).
 */
#ifndef LOAD_STLS_H
#define LOAD_STLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "workloads/load/opts.h"

#define STLS_HDR      5
#define STLS_TRAIL    17	    /* content type and tag */
#define STLS_REC_MAX  (16384 + 256) /* RFC 8446 5.2: longest encrypted record */
#define STLS_LOOK     2048	    /* records with less plaintext are always decrypted */
#define STLS_TRUST    8		    /* responses in even records before headers are skipped */
#define STLS_RUN_MAX  4096	    /* records discarded in one piece */
#define STLS_SECRET   48
#define STLS_SUITES   "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" /* of all engines */
#define STLS_SEAL_MAX 512 /* plaintext of one sealed request */

struct stls_key {
	EVP_CIPHER_CTX *ctx;
	uint8_t secret[STLS_SECRET], iv[12];
	uint64_t seq;
};

struct stls {
	const EVP_MD *md; /* of the suite */
	const EVP_CIPHER *cipher;
	struct stls_key rx, tx;
	uint8_t hdr[STLS_HDR];
	uint8_t hdr_n;
	bool counting; /* the current record is skipped, not decrypted */
	bool key_update_due;
	uint32_t left, len; /* of the current record, after its header; left: of a run, all */
	uint32_t run;	    /* wire bytes of the records being skipped, 0: none */
	uint32_t run_records;
	bool after_run;		  /* the next header must end the response */
	uint32_t even, even_now;  /* record length of the last responses, of this one */
	uint32_t even_n;	  /* how many responses had it */
	bool uneven;		  /* this response has others too */
	uint8_t *rec;		  /* one that came in pieces; NULL if none */
	uint64_t opened, counted; /* records */
};

/* What comes out of stls_feed() and stls_skip(). */
struct stls_out {
	void *arg;
	/* Decrypted application data; returns how many further body bytes are expected now. */
	uint64_t (*data)(void *arg, const uint8_t *p, size_t n);
	/* n body bytes were counted; the same. */
	uint64_t (*count)(void *arg, size_t n);
	uint64_t expect; /* body bytes outstanding; kept up by the two above */
};

/* A context that verifies as the options say. NULL with a sentence. Once a process: installs the
 * key-log callback, which finds its struct stls_secrets by SSL_set_app_data(). */
SSL_CTX *stls_ctx(const struct load_opts *o, struct errbuf *e);
struct stls_secrets {
	uint8_t client[STLS_SECRET], server[STLS_SECRET];
	bool have_client, have_server;
};
SSL *stls_handshake_new(SSL_CTX *ctx, int fd, const struct load_url *u, struct stls_secrets *sec);

/* Take over after the handshake: keys from the secrets. 0 or -errno. `ssl` may be freed then. */
int stls_take(struct stls *t, SSL *ssl, const struct stls_secrets *sec);
/* The pure part: suite by its IANA number (0x1301, 0x1302). */
int stls_init(struct stls *t, unsigned int suite, const uint8_t *client_secret,
	      const uint8_t *server_secret);
void stls_clear(struct stls *t);

/* Wire bytes, any split; p is overwritten (decryption is in place). 0; 1 close_notify came; -EPROTO
 * or -EBADMSG (a tag was wrong). */
int stls_feed(struct stls *t, uint8_t *p, size_t n, struct stls_out *o);
/* How many of the next wire bytes may be discarded unread (a record, or a run), and saying so. */
static inline size_t stls_skippable(const struct stls *t)
{
	return t->counting ? t->left : 0;
}
void stls_skip(struct stls *t, size_t n, struct stls_out *o);

/* Seal one record of type `type` into out (n + STLS_HDR + STLS_TRAIL bytes); its length or -errno.
 */
int stls_seal(struct stls *t, uint8_t type, const uint8_t *p, size_t n, uint8_t *out);
/* The peer asked for a KeyUpdate of ours: the record into out, and the new key in force. */
int stls_key_update(struct stls *t, uint8_t *out);

#endif
