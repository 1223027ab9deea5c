/* record: protected records from the peer: opened, checked, acted upon.
 *
 * What a client may still send after its Finished is little: data, alerts, KeyUpdate. Everything
 * else ends the connection with the alert RFC 8446 names. Read keys are kept as 44 bytes; the
 * expanded form (1 KB) exists once a context, for the connection that spoke last.
 *
 * Limits: handshake messages may be split over records or share one, but only KeyUpdate exists, so
 * five bytes of memory do. RFC 8446 4.6.3, 5.1-5.5, 6.
 */
#include "stacks/atlas/tls/tls_int.h"

#include <errno.h>
#include <string.h>

int tls_read_key_set(struct tls_conn *c)
{
	enum hkdf_hash h = c->suite->hash;
	int err;

	tls_read_key_drop(c);
	err = hkdf_expand_label(h, c->rd_secret, "key", c->rd.key, c->suite->key_len);
	if (!err)
		err = hkdf_expand_label(h, c->rd_secret, "iv", c->rd.iv, AEAD_IV);
	c->rd.seq = 0;
	c->rd.id = ++c->t->last_id;
	return err;
}

void tls_read_key_drop(struct tls_conn *c)
{
	if (c->rd.id && c->t->rd_id == c->rd.id) {
		c->t->aead->clear(c->t->rd_ctx);
		c->t->rd_id = 0;
	}
}

static int read_key_expand(struct tls_conn *c)
{
	struct tls_ctx *t = c->t;
	int err;

	if (t->rd_id == c->rd.id)
		return 0;
	t->rd_id = 0;
	err = t->aead->key(t->rd_ctx, c->rd.key, c->suite->key_len);
	if (!err)
		t->rd_id = c->rd.id;
	return err;
}

int tls_record_check(struct tls_conn *c, const uint8_t hdr[TLS_HDR])
{
	/* After the Finished nothing comes in the clear, not even ChangeCipherSpec (5, D.4). The
	 * version field is to be ignored (5.1). */
	if (hdr[0] != REC_DATA) {
		c->t->stats.bad_records++;
		return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE, "a record in the clear");
	}
	if (record_len(hdr) > CIPHERTEXT_MAX) {
		c->t->stats.bad_records++;
		return tls_fail_alert(c, ALERT_RECORD_OVERFLOW, "record too long");
	}
	if (record_len(hdr) < AEAD_TAG) {
		c->t->stats.bad_records++;
		return tls_fail_alert(c, ALERT_BAD_RECORD_MAC, "record shorter than a tag");
	}
	return 0;
}

/* Records without data cost us work and the peer next to nothing: a few in a row are enough. */
static int quiet_record(struct tls_conn *c)
{
	if (++c->quiet <= QUIET_MAX)
		return 0;
	return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE, "too many records without data");
}

static int alert_input(struct tls_conn *c, const uint8_t *p, size_t n)
{
	if (n != 2) /* one whole alert a record (5.1) */
		return tls_fail_alert(c, ALERT_DECODE_ERROR, "malformed alert");
	c->t->stats.alerts_in++;
	switch (p[1]) {
	case ALERT_CLOSE_NOTIFY:
		c->state = TLS_PEER_CLOSED;
		return 0;
	case ALERT_USER_CANCELED: /* close_notify follows (6.1) */
		return quiet_record(c);
	default: /* every other alert is fatal, whatever level it states (6) */
		return tls_conn_fail(c, "the peer sent a fatal alert");
	}
}

/* The upcall answers a request, or, when a key of the peer's wears out, makes one: see
 * tls_key_update(). Once until it is done. */
static void ask_rekey(struct tls_conn *c)
{
	if (c->rekey_asked || c->closed)
		return;
	c->rekey_asked = true;
	c->io->key_update(c->arg);
}

static int key_update_input(struct tls_conn *c)
{
	uint8_t next[HKDF_HASH_MAX];
	size_t n = hkdf_hash_len(c->suite->hash);
	int err;

	if (c->msg[4] > 1)
		return tls_fail_alert(c, ALERT_ILLEGAL_PARAMETER, "malformed KeyUpdate");
	err = hkdf_expand_label(c->suite->hash, c->rd_secret, "traffic upd", next, n);
	memcpy(c->rd_secret, next, n);
	OPENSSL_cleanse(next, sizeof next);
	if (!err)
		err = tls_read_key_set(c);
	if (err)
		return tls_fail_alert(c, ALERT_INTERNAL_ERROR, "no new read key");
	c->t->stats.key_updates_in++;
	err = quiet_record(c);
	if (!err && c->msg[4] == 1)
		ask_rekey(c);
	return err;
}

static int handshake_bytes(struct tls_conn *c, const uint8_t *p, size_t n)
{
	while (n) {
		c->msg[c->msg_len++] = *p++;
		n--;
		if (c->msg[0] != HS_KEY_UPDATE)
			return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE,
					      "unexpected handshake message");
		/* A wrong length is known before the body: don't wait for it. */
		if (c->msg_len == KEY_UPDATE_LEN - 1 && (c->msg[1] || c->msg[2] || c->msg[3] != 1))
			return tls_fail_alert(c, ALERT_DECODE_ERROR, "malformed KeyUpdate");
		if (c->msg_len < KEY_UPDATE_LEN)
			continue;
		if (n) /* the key changes behind it: it must end its record (5.1) */
			return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE,
					      "bytes behind a KeyUpdate");
		c->msg_len = 0;
		return key_update_input(c);
	}
	return quiet_record(c);
}

static int content_input(struct tls_conn *c, uint8_t type, const uint8_t *p, size_t n)
{
	if (c->msg_len && type != REC_HANDSHAKE)
		return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE,
				      "a handshake message was interrupted");
	if (type == REC_DATA) {
		if (!n)
			return quiet_record(c);
		c->quiet = 0;
		c->io->data(c->arg, p, n);
		return c->state == TLS_FAILED ? -EPROTO : 0;
	}
	if (!n) /* 5.4: only data may be empty */
		return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE, "empty record");
	if (type == REC_ALERT)
		return alert_input(c, p, n);
	if (type == REC_HANDSHAKE)
		return handshake_bytes(c, p, n);
	return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE, "unknown kind of record");
}

int tls_record_input(struct tls_conn *c, const uint8_t hdr[TLS_HDR], uint8_t *body, size_t len)
{
	size_t n = len - AEAD_TAG;
	uint8_t nonce[AEAD_IV];

	if (read_key_expand(c))
		return tls_fail_alert(c, ALERT_INTERNAL_ERROR, "no read key");
	record_nonce(nonce, c->rd.iv, c->rd.seq);
	if (c->t->aead->open(c->t->rd_ctx, nonce, hdr, body, n)) {
		c->t->stats.bad_records++;
		return tls_fail_alert(c, ALERT_BAD_RECORD_MAC, "a record does not verify");
	}
	c->rd.seq++;
	if (n > INNER_MAX)
		return tls_fail_alert(c, ALERT_RECORD_OVERFLOW, "record too long");
	while (n && !body[n - 1]) /* padding (5.4) */
		n--;
	if (!n)
		return tls_fail_alert(c, ALERT_UNEXPECTED_MESSAGE, "a record without a type");
	/* The peer's key wears out too: half-way to the limit, ask for a new one (5.5). */
	if (c->rd.seq == c->t->record_limit / 2)
		ask_rekey(c);
	return content_input(c, body[n - 1], body, n - 1);
}
