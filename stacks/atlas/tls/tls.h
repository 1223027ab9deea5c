/* tls: TLS 1.3 for a server that owns its record layer.
 *
 * OpenSSL does the handshake over memory BIOs. When it is done the traffic secrets (from the
 * key-log callback) become ours, OpenSSL's connection object is freed, and from then on records are
 * built and opened here, in both directions: no session tickets are sent, so both sequence numbers
 * start at 0.
 *
 * Two ways out, because the stream has two kinds of bytes:
 *   stored bytes    handshake flights, response heads, alerts, KeyUpdate. They come through the
 *                   send() upcall, sealed, and the caller keeps them until acknowledged.
 *   record ranges   response bodies. The caller reserves record numbers once, at the place in the
 *                   stream where the body lies, and seals record k whenever it has its bytes, any
 *                   number of times, in any order: tls_seal(). The tag of each record on the wire
 *                   must be compared on every later seal (tls_tag_*: the caller keeps them).
 *
 * One thread per struct tls_conn; nothing blocks; tls_accept() and the handshake allocate (control
 * path), sealing and opening do not.
 *
 * RFC 8446 (5.1-5.5 record protection and limits, 4.6.3 KeyUpdate, 6 alerts, 7.1-7.3 keys).
 */
#ifndef ATLAS_TLS_TLS_H
#define ATLAS_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "stacks/atlas/tls/aead.h"

#define TLS_HDR	       5
#define TLS_TRAIL      17 /* encrypted content type and tag */
#define TLS_OVERHEAD   (TLS_HDR + TLS_TRAIL)
#define TLS_RECORD_MAX 16384 /* plaintext */

struct tls_ctx_cfg {
	const char *cert_file, *key_file; /* PEM; ECDSA P-256 or RSA */
	const struct aead_ops *aead;
	const char *suites;    /* OpenSSL names in order of preference; NULL = AES-128, AES-256 */
	uint64_t record_limit; /* records a key may protect; 0 = 2^24.5 (RFC 8446 5.5) */
};

struct tls_ctx;	  /* one a worker thread */
struct tls_conn;  /* one a connection */
struct tls_epoch; /* one write key: a connection has a new one after each KeyUpdate it sends */

/* NULL with a sentence naming the file. */
struct tls_ctx *tls_ctx_new(const struct tls_ctx_cfg *cfg, struct errbuf *e);
void tls_ctx_free(struct tls_ctx *t);

/* Upcalls of tls_input(), tls_write(), tls_close(), tls_key_update(). They may call what writes on
 * the same connection (not from send()), but neither tls_input() nor tls_free(). */
struct tls_io {
	/* Wire bytes to be stored and sent at the end of what was queued so far; borrowed: copy. */
	void (*send)(void *arg, const uint8_t *p, size_t n);
	/* Decrypted application data, borrowed; all of it is taken. */
	void (*data)(void *arg, const uint8_t *p, size_t n);
	/* The peer asked us to change our write key (RFC 8446 4.6.3), or its own is half worn out.
	 * The caller cuts its unsent record range, then calls tls_key_update(), now or later:
	 * send() receives the KeyUpdate record and the next records belong to a new epoch. Not
	 * repeated until that is done. */
	void (*key_update)(void *arg);
};

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_PEER_CLOSED /* close_notify came */, TLS_FAILED };

struct tls_conn *tls_accept(struct tls_ctx *t, const struct tls_io *io, void *arg);
void tls_free(struct tls_conn *c);
enum tls_state tls_conn_state(const struct tls_conn *c);

/* Wire bytes from the peer, in order, any split. 0, or -EPROTO after a fatal alert was handed to
 * send() (or came in): close the connection when it is sent. */
int tls_input(struct tls_conn *c, const uint8_t *p, size_t n);

/* Seal `n` bytes of application data as stored records (send() is called with each; a KeyUpdate
 * comes first if the key is worn out). 0, -ENOTCONN before the handshake is done, -EPIPE after
 * tls_close() or a fatal alert, -ENOMEM. */
int tls_write(struct tls_conn *c, const uint8_t *p, size_t n);
/* close_notify through send(), once; nothing before the handshake is done. Input goes on. */
void tls_close(struct tls_conn *c);

/* Reserve `n` consecutive record numbers at the present end of the stream; *first is the first. The
 * epoch is referenced: give it back by tls_epoch_put() once its last byte is acknowledged (the
 * epoch outlives the connection if need be). NULL if n > tls_records_left(), or where tls_write()
 * would fail. */
struct tls_epoch *tls_reserve(struct tls_conn *c, uint64_t n, uint64_t *first);
/* Give back the last `n` reserved and never sealed (a response cut short by KeyUpdate or close),
 * before anything else is written: a number that stands before others cannot come back (abort). */
void tls_unreserve(struct tls_conn *c, uint64_t n);
void tls_epoch_put(struct tls_epoch *e);
/* Records this key may still protect (RFC 8446 5.5): rekey by tls_key_update() before it is 0. */
uint64_t tls_records_left(const struct tls_conn *c);
/* KeyUpdate through send(), then a new epoch. 0 or as tls_write(). */
int tls_key_update(struct tls_conn *c);
/* Longest payload of a record the peer takes: TLS_RECORD_MAX, or 512 to 4096 if it negotiated that
 * (RFC 6066 4). Cut bodies into records no longer than this. */
size_t tls_record_max(const struct tls_conn *c);

/* Seal record `seq` of epoch `e`: payload p[0, len), len <= 16384, in place; header and trailer
 * into hdr and trail. Deterministic: the same bytes give the same record. */
void tls_seal(struct tls_epoch *e, uint64_t seq, uint8_t *p, size_t len, uint8_t hdr[TLS_HDR],
	      uint8_t trail[TLS_TRAIL]);
/* The same, out of place (atlas:copy). */
void tls_seal_copy(struct tls_epoch *e, uint64_t seq, const uint8_t *src, uint8_t *dst, size_t len,
		   uint8_t hdr[TLS_HDR], uint8_t trail[TLS_TRAIL]);

struct tls_stats {
	uint64_t handshakes, handshake_failures, alerts_in, alerts_out, key_updates_in,
		key_updates_out, bad_records;
};
void tls_get_stats(const struct tls_ctx *t, struct tls_stats *out);
/* "TLS_AES_128_GCM_SHA256", or "" before the handshake is done. */
const char *tls_suite(const struct tls_conn *c);
/* Why it is TLS_FAILED, in a few words, static storage; "" otherwise. */
const char *tls_why(const struct tls_conn *c);

#endif
