/* null_tls: OpenSSL for the null server. A custom BIO receives from the socket but only appends
 * what is to be sent to one buffer of the thread, so that a burst of records leaves in one system
 * call and SSL_write never has to be repeated. */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "stacks/null/null_srv.h"

_Thread_local struct null_out null_tls_out;

static int bio_write(BIO *b, const char *data, int len)
{
	struct null_out *o = &null_tls_out;

	(void)b;
	if (o->len + (size_t)len > o->cap) {
		size_t cap = o->cap * 2 + (size_t)len;
		uint8_t *p = realloc(o->p, cap);

		if (!p)
			return -1;
		o->p = p;
		o->cap = cap;
	}
	memcpy(o->p + o->len, data, (size_t)len);
	o->len += (size_t)len;
	return len;
}

static int bio_read(BIO *b, char *data, int len)
{
	ssize_t n = recv((int)(intptr_t)BIO_get_data(b), data, (size_t)len, 0);

	BIO_clear_retry_flags(b);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static const BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m; /* made by null_tls_ctx() before threads start */

	if (!m) {
		m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "null");
		if (m) {
			BIO_meth_set_write(m, bio_write);
			BIO_meth_set_read(m, bio_read);
			BIO_meth_set_ctrl(m, bio_ctrl);
		}
	}
	return m;
}

SSL_CTX *null_tls_ctx(const char *cert, const char *key, struct errbuf *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const char *bad = NULL;

	if (!ctx || !bio_method()) {
		errf(e, -ENOMEM, "OpenSSL could not be initialised");
		goto fail;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		bad = cert;
	else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		bad = key;
	if (!bad)
		return ctx;
	errf(e, -EINVAL, "%s: not a usable PEM certificate or key (%s)", bad,
	     ERR_reason_error_string(ERR_peek_last_error()));
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

SSL *null_tls_new(SSL_CTX *ctx, int fd)
{
	SSL *ssl = SSL_new(ctx);
	BIO *bio = BIO_new(bio_method());

	if (!ssl || !bio) {
		SSL_free(ssl);
		BIO_free(bio);
		return NULL;
	}
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	return ssl;
}
