/* conn: a TLS connection's life, and its input: bytes of any split become records.
 *
 * Boundaries of records are found here from the first byte on, so that OpenSSL is fed the
 * handshake's records one by one and nothing that follows the client's Finished: application data
 * in the same segment belongs to our record layer already, and a KeyUpdate that OpenSSL saw it
 * would answer itself.
 *
 * A record that lies in the input as a whole is opened in scratch memory of the context; one that
 * comes in pieces has a buffer from when its header is known until it is complete.
 *
 * Limits: one input at a time per context (upcalls must not call tls_input()). RFC 8446 5.1.
 */
#include "stacks/atlas/tls/tls_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tls_conn *tls_conn_new(struct tls_ctx *t, const struct tls_io *io, void *arg)
{
	struct tls_conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->t = t;
	c->io = io;
	c->arg = arg;
	c->state = TLS_HANDSHAKE;
	c->record_max = TLS_RECORD_MAX;
	return c;
}

struct tls_conn *tls_accept(struct tls_ctx *t, const struct tls_io *io, void *arg)
{
	struct tls_conn *c = tls_conn_new(t, io, arg);

	if (c && tls_handshake_new(c)) {
		free(c);
		return NULL;
	}
	return c;
}

int tls_conn_open(struct tls_conn *c, const struct suite *s, const uint8_t *client_secret,
		  const uint8_t *server_secret)
{
	size_t n = hkdf_hash_len(s->hash);
	int err;

	c->suite = s;
	memcpy(c->rd_secret, client_secret, n);
	memcpy(c->wr_secret, server_secret, n);
	err = tls_write_key_set(c, c->wr_secret, &c->wr);
	if (!err)
		err = tls_read_key_set(c);
	if (!err)
		c->state = TLS_OPEN;
	return err;
}

int tls_conn_fail(struct tls_conn *c, const char *why)
{
	c->why = why;
	c->state = TLS_FAILED;
	c->closed = true;
	return -EPROTO;
}

void tls_free(struct tls_conn *c)
{
	if (!c)
		return;
	tls_handshake_free(c);
	tls_read_key_drop(c);
	if (c->wr)
		tls_epoch_put(c->wr);
	tls_part_give(c->t, c->part, c->need);
	OPENSSL_cleanse(c, sizeof *c);
	free(c);
}

/* The body's bytes p[0, n) of the record whose header is in c->hdr; how many were used. */
static int body_input(struct tls_conn *c, const uint8_t *p, size_t n)
{
	size_t take = (size_t)c->need - c->got < n ? (size_t)c->need - c->got : n;
	uint8_t *body = c->part;
	int err;

	if (!body && take < c->need) {
		if (!take)
			return 0;
		body = c->part = tls_part_take(c->t, c->need);
		if (!body)
			return tls_fail_alert(c, ALERT_INTERNAL_ERROR, "out of memory");
	} else if (!body) {
		body = c->t->rx;
	}
	memcpy(body + c->got, p, take);
	c->got = (uint16_t)(c->got + take);
	if (c->got < c->need)
		return (int)take;

	c->hdr_len = 0;
	c->got = 0;
	c->part = NULL;
	err = tls_record_input(c, c->hdr, body, c->need);
	if (body != c->t->rx)
		tls_part_give(c->t, body, c->need);
	return err ? err : (int)take;
}

/* Bytes of at most one protected record; how many were used, or -EPROTO. */
static int protected_input(struct tls_conn *c, const uint8_t *p, size_t n)
{
	size_t take = 0;
	int used;

	if (c->hdr_len < TLS_HDR) {
		take = n < (size_t)TLS_HDR - c->hdr_len ? n : (size_t)TLS_HDR - c->hdr_len;
		memcpy(c->hdr + c->hdr_len, p, take);
		c->hdr_len = (uint8_t)(c->hdr_len + take);
		if (c->hdr_len < TLS_HDR)
			return (int)take;
		used = tls_record_check(c, c->hdr);
		if (used)
			return used;
		c->need = (uint16_t)record_len(c->hdr);
	}
	used = body_input(c, p + take, n - take);
	return used < 0 ? used : (int)take + used;
}

int tls_input(struct tls_conn *c, const uint8_t *p, size_t n)
{
	while (n && (c->state == TLS_HANDSHAKE || c->state == TLS_OPEN)) {
		int used = c->state == TLS_HANDSHAKE ? tls_handshake_input(c, p, n)
						     : protected_input(c, p, n);

		if (used < 0)
			return used;
		p += used;
		n -= (size_t)used;
	}
	return c->state == TLS_FAILED ? -EPROTO : 0;
}

enum tls_state tls_conn_state(const struct tls_conn *c)
{
	return (enum tls_state)c->state;
}

const char *tls_suite(const struct tls_conn *c)
{
	return c->suite ? c->suite->name : "";
}

const char *tls_why(const struct tls_conn *c)
{
	return c->why ? c->why : "";
}

size_t tls_record_max(const struct tls_conn *c)
{
	return c->record_max;
}
