/* epoch: records to the peer: write keys, record numbers, sealing.
 *
 * A record is a pure function of (epoch, record number, payload): a body record is sealed again for
 * a retransmission and comes out as it was. Hence an epoch outlives its use for new records: it is
 * freed, and wiped, when the connection has moved on and the last range reserved in it is given
 * back.
 *
 * A record number is used for one plaintext only, ever (GCM breaks otherwise). So numbers are
 * handed out by the stream's order, and only reserved ones that nothing was written behind can be
 * given back. Breaking that is a programming error that stops the program.
 *
 * RFC 8446 5.1-5.5, 4.6.3.
 */
#include "stacks/atlas/tls/tls_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok)
{
	if (!ok)
		abort();
}

static struct tls_epoch *epoch_new(const struct aead_ops *aead)
{
	size_t n = (sizeof(struct tls_epoch) + aead->ctx_size + 63) & ~(size_t)63;
	struct tls_epoch *e = aligned_alloc(64, n);

	if (!e)
		return NULL;
	memset(e, 0, n);
	e->aead = aead;
	e->refs = 1;
	return e;
}

void tls_epoch_put(struct tls_epoch *e)
{
	must(e->refs > 0);
	if (--e->refs)
		return;
	e->aead->clear(e->ctx);
	OPENSSL_cleanse(e, sizeof *e);
	free(e);
}

/* A new epoch with the keys of `secret`. 0 or -errno. */
int tls_write_key_set(struct tls_conn *c, const uint8_t *secret, struct tls_epoch **out)
{
	struct tls_epoch *e = epoch_new(c->t->aead);
	uint8_t key[AEAD_KEY_MAX];
	int err;

	if (!e)
		return -ENOMEM;
	c->t->allocs++;
	err = hkdf_expand_label(c->suite->hash, secret, "key", key, c->suite->key_len);
	if (!err)
		err = hkdf_expand_label(c->suite->hash, secret, "iv", e->iv, AEAD_IV);
	if (!err)
		err = e->aead->key(e->ctx, key, c->suite->key_len);
	OPENSSL_cleanse(key, sizeof key);
	if (err) {
		tls_epoch_put(e);
		return err;
	}
	*out = e;
	return 0;
}

/* The nonce of record `seq`, which from now on belongs to its plaintext. */
static void take_nonce(struct tls_epoch *e, uint64_t seq, size_t len, uint8_t nonce[AEAD_IV])
{
	must(seq < e->next && len <= TLS_RECORD_MAX);
	if (seq >= e->sealed)
		e->sealed = seq + 1;
	record_nonce(nonce, e->iv, seq);
}

void tls_seal(struct tls_epoch *e, uint64_t seq, uint8_t *p, size_t len, uint8_t hdr[TLS_HDR],
	      uint8_t trail[TLS_TRAIL])
{
	uint8_t nonce[AEAD_IV];

	take_nonce(e, seq, len, nonce);
	record_header(hdr, len + TLS_TRAIL);
	e->aead->seal(e->ctx, nonce, hdr, p, len, REC_DATA, trail, trail + 1);
}

/* Any content type. */
static void seal_copy(struct tls_epoch *e, uint64_t seq, uint8_t type, const uint8_t *src,
		      uint8_t *dst, size_t len, uint8_t *hdr, uint8_t *trail)
{
	uint8_t nonce[AEAD_IV];

	take_nonce(e, seq, len, nonce);
	record_header(hdr, len + TLS_TRAIL);
	e->aead->seal_copy(e->ctx, nonce, hdr, src, dst, len, type, trail, trail + 1);
}

void tls_seal_copy(struct tls_epoch *e, uint64_t seq, const uint8_t *src, uint8_t *dst, size_t len,
		   uint8_t hdr[TLS_HDR], uint8_t trail[TLS_TRAIL])
{
	seal_copy(e, seq, REC_DATA, src, dst, len, hdr, trail);
}

/* The next record of the stream, through send(). */
void tls_write_record(struct tls_conn *c, uint8_t type, const uint8_t *p, size_t n)
{
	uint8_t *tx = c->t->tx;

	c->tail = 0;
	seal_copy(c->wr, c->wr->next++, type, p, tx + TLS_HDR, n, tx, tx + TLS_HDR + n);
	c->io->send(c->arg, tx, n + TLS_OVERHEAD);
}

int tls_fail_alert(struct tls_conn *c, enum alert a, const char *why)
{
	const uint8_t msg[2] = {2, (uint8_t)a};

	if (!c->closed) {
		tls_write_record(c, REC_ALERT, msg, sizeof msg);
		c->t->stats.alerts_out++;
	}
	return tls_conn_fail(c, why);
}

static int check_writable(const struct tls_conn *c)
{
	if (c->state == TLS_HANDSHAKE)
		return -ENOTCONN;
	return c->closed ? -EPIPE : 0;
}

int tls_write(struct tls_conn *c, const uint8_t *p, size_t n)
{
	int err = check_writable(c);

	while (!err && n) {
		size_t len = n < c->record_max ? n : c->record_max;

		if (!tls_records_left(c)) {
			err = tls_key_update(c);
			continue;
		}
		tls_write_record(c, REC_DATA, p, len);
		p += len;
		n -= len;
	}
	return err;
}

void tls_close(struct tls_conn *c)
{
	static const uint8_t msg[2] = {1, ALERT_CLOSE_NOTIFY};

	if (check_writable(c))
		return;
	c->t->stats.alerts_out++;
	tls_write_record(c, REC_ALERT, msg, sizeof msg);
	c->closed = true;
}

uint64_t tls_records_left(const struct tls_conn *c)
{
	if (!c->wr || c->wr->next >= c->t->record_limit)
		return 0;
	return c->t->record_limit - c->wr->next;
}

struct tls_epoch *tls_reserve(struct tls_conn *c, uint64_t n, uint64_t *first)
{
	if (check_writable(c) || n > tls_records_left(c))
		return NULL;
	*first = c->wr->next;
	c->wr->next += n;
	c->tail += n;
	c->wr->refs++;
	return c->wr;
}

void tls_unreserve(struct tls_conn *c, uint64_t n)
{
	must(n <= c->tail && c->wr->next - n >= c->wr->sealed);
	c->tail -= n;
	c->wr->next -= n;
}

int tls_key_update(struct tls_conn *c)
{
	/* Ask for the peer's new key too if its present one is half worn out. */
	uint8_t msg[KEY_UPDATE_LEN] = {HS_KEY_UPDATE, 0, 0, 1, c->rd.seq >= c->t->record_limit / 2};
	uint8_t next[HKDF_HASH_MAX];
	struct tls_epoch *e = NULL;
	int err = check_writable(c);

	if (err)
		return err;
	err = hkdf_expand_label(c->suite->hash, c->wr_secret, "traffic upd", next,
				hkdf_hash_len(c->suite->hash));
	if (!err)
		err = tls_write_key_set(c, next, &e);
	if (!err) {
		tls_write_record(c, REC_HANDSHAKE, msg, sizeof msg);
		memcpy(c->wr_secret, next, sizeof next);
		tls_epoch_put(c->wr);
		c->wr = e;
		c->rekey_asked = false;
		c->t->stats.key_updates_out++;
	}
	OPENSSL_cleanse(next, sizeof next);
	return err;
}
