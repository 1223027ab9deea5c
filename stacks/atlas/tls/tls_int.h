/* Private to stacks/atlas/tls: what its files share.
 *
 *   ctx.c        struct tls_ctx: certificate, policy, scratch memory
 *   conn.c       struct tls_conn: life, input of any split
 *   handshake.c  OpenSSL over memory BIOs until the keys are ours
 *   record.c     records from the peer: open, alerts, KeyUpdate
 *   epoch.c      records to the peer: write keys, sealing, record numbers
 */
#ifndef ATLAS_TLS_TLS_INT_H
#define ATLAS_TLS_TLS_INT_H

#include <assert.h>
#include <openssl/ssl.h>
#include <stdalign.h>

#include "stacks/atlas/tls/hkdf.h"
#include "stacks/atlas/tls/tls.h"

enum record_type { REC_CCS = 20, REC_ALERT, REC_HANDSHAKE, REC_DATA };

enum alert { /* RFC 8446 6, those we send or look at */
	     ALERT_CLOSE_NOTIFY = 0,
	     ALERT_UNEXPECTED_MESSAGE = 10,
	     ALERT_BAD_RECORD_MAC = 20,
	     ALERT_RECORD_OVERFLOW = 22,
	     ALERT_ILLEGAL_PARAMETER = 47,
	     ALERT_DECODE_ERROR = 50,
	     ALERT_INTERNAL_ERROR = 80,
	     ALERT_USER_CANCELED = 90,
};

#define HS_KEY_UPDATE	    24
#define KEY_UPDATE_LEN	    5			   /* type, 24-bit length 1, request_update */
#define CIPHERTEXT_MAX	    (TLS_RECORD_MAX + 256) /* RFC 8446 5.2 */
#define INNER_MAX	    (TLS_RECORD_MAX + 1)
#define RECORD_LIMIT	    23726566u /* 2^24.5 full records a key, RFC 8446 5.5 */
#define QUIET_MAX	    32	      /* records in a row that carry no data */
#define HANDSHAKE_INPUT_MAX (160 << 10)

struct suite {
	const char *name;
	uint16_t id;
	uint8_t key_len;
	enum hkdf_hash hash;
};

/* A list of equal buffers for records that are not complete yet. */
struct partbuf {
	struct partbuf *next;
};
#define PART_SMALL 2048 /* requests */
#define PART_LARGE CIPHERTEXT_MAX
#define PART_KEEP  32 /* spare ones of each size */

struct part_list {
	struct partbuf *head;
	unsigned int n;
	size_t size;
};

struct tls_ctx {
	SSL_CTX *ssl;
	const struct aead_ops *aead;
	uint64_t record_limit;
	/* One expanded read key for all connections: requests are small and rare, an expanded key
	 * is 1 KB. Valid for the connection whose rd.id is rd_id; 0: none. */
	void *rd_ctx;
	uint64_t rd_id, last_id;
	struct part_list part[2];
	uint64_t allocs; /* memory taken since the handshakes, for tests of the steady state */
	struct tls_stats stats;
	uint8_t rx[CIPHERTEXT_MAX];
	uint8_t tx[TLS_RECORD_MAX + TLS_OVERHEAD];
};

/* Write key. Referenced by the connection and by every reserved range. */
struct tls_epoch {
	const struct aead_ops *aead;
	uint64_t next;	 /* record number */
	uint64_t sealed; /* numbers below were perhaps sealed: never to be given out again */
	uint32_t refs;
	uint8_t iv[AEAD_IV];
	alignas(64) uint8_t ctx[];
};

struct read_key {
	uint64_t seq, id;
	uint8_t key[AEAD_KEY_MAX], iv[AEAD_IV];
};

struct tls_conn {
	struct tls_ctx *t;
	const struct tls_io *io;
	void *arg;
	struct handshake *hs; /* until it is done */
	const struct suite *suite;
	const char *why; /* static text, once failed */
	struct tls_epoch *wr;
	uint64_t tail; /* how many of wr's last records are reserved, none written after */
	struct read_key rd;
	uint8_t rd_secret[HKDF_HASH_MAX], wr_secret[HKDF_HASH_MAX];
	/* The record being gathered: header, then body (in `part` only when it came in pieces). */
	uint8_t *part;
	uint16_t need, got; /* bytes of the body */
	uint16_t record_max;
	uint8_t hdr[TLS_HDR], hdr_len;
	uint8_t msg[KEY_UPDATE_LEN], msg_len; /* handshake message being gathered */
	uint8_t quiet;
	uint8_t state; /* enum tls_state */
	bool closed;   /* close_notify or a fatal alert left: nothing may follow */
	bool rekey_asked;
};

/* Idle connections are many: at most 4 KB each with TCP and the core (DESIGN.md). */
static_assert(sizeof(struct tls_conn) <= 320, "idle TLS connections must stay small");

static inline size_t record_len(const uint8_t hdr[TLS_HDR])
{
	return (size_t)hdr[3] << 8 | hdr[4];
}

/* RFC 8446 5.3: the record number, big-endian, xored into the IV's last eight bytes. */
static inline void record_nonce(uint8_t out[AEAD_IV], const uint8_t iv[AEAD_IV], uint64_t seq)
{
	for (int i = 0; i < AEAD_IV; i++)
		out[i] = iv[i];
	for (int i = 0; i < 8; i++)
		out[AEAD_IV - 1 - i] ^= (uint8_t)(seq >> 8 * i);
}

static inline void record_header(uint8_t hdr[TLS_HDR], size_t len)
{
	hdr[0] = REC_DATA;
	hdr[1] = 3;
	hdr[2] = 3;
	hdr[3] = (uint8_t)(len >> 8);
	hdr[4] = (uint8_t)len;
}

/* ctx.c */
const struct suite *tls_suite_by_id(uint16_t id);
uint8_t *tls_part_take(struct tls_ctx *t, size_t len);
void tls_part_give(struct tls_ctx *t, uint8_t *p, size_t len);

/* conn.c */
struct tls_conn *tls_conn_new(struct tls_ctx *t, const struct tls_io *io, void *arg);
/* The secrets become the connection's keys, both record numbers 0. 0 or -errno. */
int tls_conn_open(struct tls_conn *c, const struct suite *s, const uint8_t *client_secret,
		  const uint8_t *server_secret);
/* No more of this connection, without a word to the peer: -EPROTO. */
int tls_conn_fail(struct tls_conn *c, const char *why);

/* handshake.c: consume bytes of at most one record; how many, or -EPROTO. */
int tls_handshake_new(struct tls_conn *c);
void tls_handshake_free(struct tls_conn *c);
int tls_handshake_input(struct tls_conn *c, const uint8_t *p, size_t n);
void tls_handshake_keylog(const SSL *ssl, const char *line);
void tls_handshake_info(const SSL *ssl, int where, int ret);
int tls_handshake_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned int in_len, void *arg);

/* record.c: open the record hdr | body[0, len) in place and act on it. 0 or -EPROTO. */
int tls_record_check(struct tls_conn *c, const uint8_t hdr[TLS_HDR]);
int tls_record_input(struct tls_conn *c, const uint8_t hdr[TLS_HDR], uint8_t *body, size_t len);
int tls_read_key_set(struct tls_conn *c); /* from rd_secret */
void tls_read_key_drop(struct tls_conn *c);

/* epoch.c */
int tls_write_key_set(struct tls_conn *c, const uint8_t *secret, struct tls_epoch **out);
void tls_write_record(struct tls_conn *c, uint8_t type, const uint8_t *p, size_t n);
/* Fatal alert through send(), then as tls_conn_fail(). */
int tls_fail_alert(struct tls_conn *c, enum alert a, const char *why);

#endif
