/* handshake: OpenSSL over two memory BIOs, until the keys are ours.
 *
 * OpenSSL is fed record by record and asked after each whether it is done. The application traffic
 * secrets come by the key-log callback, as the lines of NSS's key-log format. Once the client's
 * Finished was accepted, nothing is left in OpenSSL (no tickets, so it has sent no record under the
 * application keys, and was given none): its connection object, 16 KB and more, is freed, and both
 * record numbers start at 0.
 *
 * Limits: server only; at most HANDSHAKE_INPUT_MAX bytes from a client that does not finish.
 * RFC 8446 2, 4, D.4 (compatibility ChangeCipherSpec), RFC 7301 (ALPN), RFC 6066 4.
 */
#include "stacks/atlas/tls/tls_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

enum { CLIENT, SERVER };

struct handshake {
	SSL *ssl;
	BIO *in, *out; /* ssl's */
	size_t fed;
	bool first_done; /* the first record has passed: answers may be encrypted */
	uint8_t secret_len[2];
	uint8_t secret[2][HKDF_HASH_MAX];
};

int tls_handshake_new(struct tls_conn *c)
{
	struct handshake *h = calloc(1, sizeof *h);

	if (!h)
		return -ENOMEM;
	h->ssl = SSL_new(c->t->ssl);
	h->in = BIO_new(BIO_s_mem());
	h->out = BIO_new(BIO_s_mem());
	if (!h->ssl || !h->in || !h->out) {
		BIO_free(h->in);
		BIO_free(h->out);
		SSL_free(h->ssl);
		free(h);
		return -ENOMEM;
	}
	BIO_set_mem_eof_return(h->in, -1); /* empty means "more to come" */
	SSL_set_bio(h->ssl, h->in, h->out);
	SSL_set_app_data(h->ssl, c);
	SSL_set_accept_state(h->ssl);
	c->hs = h;
	return 0;
}

void tls_handshake_free(struct tls_conn *c)
{
	struct handshake *h = c->hs;

	if (!h)
		return;
	SSL_free(h->ssl);
	OPENSSL_cleanse(h, sizeof *h);
	free(h);
	c->hs = NULL;
}

/* Hexadecimal of at most `max` bytes up to a blank or the end; how many, or -1. */
static int unhex(const char *s, uint8_t *out, size_t max)
{
	size_t n = 0;

	for (; *s && *s != ' '; s += 2, n++) {
		unsigned int v;

		if (n == max || sscanf(s, "%2x", &v) != 1)
			return -1;
		out[n] = (uint8_t)v;
	}
	return (int)n;
}

/* "LABEL client_random secret" */
void tls_handshake_keylog(const SSL *ssl, const char *line)
{
	static const char *const label[] = {
		[CLIENT] = "CLIENT_TRAFFIC_SECRET_0 ",
		[SERVER] = "SERVER_TRAFFIC_SECRET_0 ",
	};
	const struct tls_conn *c = SSL_get_app_data(ssl);

	for (int i = 0; i < 2; i++) {
		const char *secret;
		int n;

		if (strncmp(line, label[i], strlen(label[i])) != 0)
			continue;
		secret = strchr(line + strlen(label[i]), ' ');
		n = secret ? unhex(secret + 1, c->hs->secret[i], HKDF_HASH_MAX) : -1;
		c->hs->secret_len[i] = (uint8_t)(n > 0 ? n : 0);
	}
}

void tls_handshake_info(const SSL *ssl, int where, int ret)
{
	const struct tls_conn *c = SSL_get_app_data(ssl);

	(void)ret;
	if (where == SSL_CB_READ_ALERT)
		c->t->stats.alerts_in++;
	else if (where == SSL_CB_WRITE_ALERT)
		c->t->stats.alerts_out++;
}

int tls_handshake_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned int in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl, (void)arg;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol, RFC 7301 3.2 */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Hand what OpenSSL wrote to the caller. */
static void flush(struct tls_conn *c)
{
	char *p;
	long n = BIO_get_mem_data(c->hs->out, &p);

	if (n > 0) {
		c->io->send(c->arg, (const uint8_t *)p, (size_t)n);
		BIO_reset(c->hs->out);
	}
}

static int give_up(struct tls_conn *c, const char *why)
{
	flush(c);
	tls_handshake_free(c);
	c->t->stats.handshake_failures++;
	return tls_conn_fail(c, why);
}

static const char *ssl_why(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_error());

	return s ? s : "handshake failed";
}

static int take_over(struct tls_conn *c)
{
	struct handshake *h = c->hs;
	uint32_t id = SSL_CIPHER_get_id(SSL_get_current_cipher(h->ssl));
	const struct suite *s = tls_suite_by_id((uint16_t)id);
	uint8_t mfl = SSL_SESSION_get_max_fragment_length(SSL_get0_session(h->ssl));
	int err;

	if (!s || h->secret_len[CLIENT] != hkdf_hash_len(s->hash) ||
	    h->secret_len[SERVER] != hkdf_hash_len(s->hash) || SSL_has_pending(h->ssl) ||
	    BIO_pending(h->in) || BIO_pending(h->out))
		return give_up(c, "OpenSSL did not leave the connection as expected");
	if (mfl >= 1 && mfl <= 4) /* RFC 6066 4: 512 << 0..3; OpenSSL has agreed to it */
		c->record_max = (uint16_t)(256u << mfl);
	err = tls_conn_open(c, s, h->secret[CLIENT], h->secret[SERVER]);
	if (err)
		return give_up(c, "no memory for the keys");
	tls_handshake_free(c);
	c->t->stats.handshakes++;
	return 0;
}

/* A whole record (or a header that can't be right) was fed. */
static int step(struct tls_conn *c)
{
	SSL *ssl = c->hs->ssl;
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(ssl);
	if (ret != 1 && SSL_get_error(ssl, ret) != SSL_ERROR_WANT_READ) {
		ret = give_up(c, ssl_why());
		ERR_clear_error();
		return ret;
	}
	flush(c);
	return SSL_is_init_finished(ssl) ? take_over(c) : 0;
}

/* What comes first must be a ClientHello in a TLS record: nothing else gets as far as OpenSSL,
 * which also knows older forms. */
static int check_first(struct tls_conn *c)
{
	static const uint8_t alert[] = {REC_ALERT, 3, 3, 0, 2, 2, ALERT_UNEXPECTED_MESSAGE};

	if (c->hdr[0] == REC_HANDSHAKE)
		return 0;
	c->io->send(c->arg, alert, sizeof alert);
	c->t->stats.alerts_out++;
	return give_up(c, "not a TLS ClientHello");
}

static int feed(struct tls_conn *c, const uint8_t *p, size_t n)
{
	c->hs->fed += n;
	if (c->hs->fed > HANDSHAKE_INPUT_MAX)
		return give_up(c, "endless handshake");
	if (n && BIO_write(c->hs->in, p, (int)n) != (int)n)
		return give_up(c, "out of memory");
	return 0;
}

/* A header is complete: feed it, and let OpenSSL refuse a record that is too long (its alert is in
 * the right key). */
static int header_done(struct tls_conn *c)
{
	int err = c->hs->first_done ? 0 : check_first(c);

	if (err)
		return err;
	c->hs->first_done = true;
	err = feed(c, c->hdr, TLS_HDR);
	if (err)
		return err;
	c->need = (uint16_t)record_len(c->hdr);
	if (c->need <= CIPHERTEXT_MAX)
		return 0;
	err = step(c);
	return err ? err : give_up(c, "record too long");
}

int tls_handshake_input(struct tls_conn *c, const uint8_t *p, size_t n)
{
	size_t take = 0, body;
	int err;

	if (c->hdr_len < TLS_HDR) {
		take = n < (size_t)TLS_HDR - c->hdr_len ? n : (size_t)TLS_HDR - c->hdr_len;
		memcpy(c->hdr + c->hdr_len, p, take);
		c->hdr_len = (uint8_t)(c->hdr_len + take);
		if (c->hdr_len < TLS_HDR)
			return (int)take;
		err = header_done(c);
		if (err)
			return err;
	}
	body = (size_t)c->need - c->got < n - take ? (size_t)c->need - c->got : n - take;
	err = feed(c, p + take, body);
	if (err)
		return err;
	c->got = (uint16_t)(c->got + body);
	if (c->got == c->need) {
		c->hdr_len = 0;
		c->need = c->got = 0;
		err = step(c);
	}
	return err ? err : (int)(take + body);
}
