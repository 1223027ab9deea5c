/* stls: see stls.h. Decryption is OpenSSL's EVP: only a few records need it. */
#include "workloads/load/stls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { CT_ALERT = 21, CT_HANDSHAKE = 22, CT_DATA = 23 };
enum { HS_TICKET = 4, HS_KEY_UPDATE = 24 };

/* ---- keys ---- */

/* HKDF-Expand-Label(secret, label, "", len), RFC 8446 7.1; len is at most one hash, so that
 * HKDF-Expand is a single HMAC. */
static int expand(const EVP_MD *md, const uint8_t *secret, const char *label, uint8_t *out,
		  size_t len)
{
	uint8_t info[64], mac[EVP_MAX_MD_SIZE];
	size_t n = strlen(label), at = 0;
	unsigned int mac_len = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)len;
	info[at++] = (uint8_t)(6 + n);
	memcpy(info + at, "tls13 ", 6);
	at += 6;
	memcpy(info + at, label, n);
	at += n;
	info[at++] = 0; /* no context */
	info[at++] = 1; /* HKDF block number */
	if (!HMAC(md, secret, EVP_MD_get_size(md), info, at, mac, &mac_len) || mac_len < len)
		return -EIO;
	memcpy(out, mac, len);
	return 0;
}

static int key_set(struct stls *t, struct stls_key *k, bool enc)
{
	uint8_t key[32];
	int klen = EVP_CIPHER_get_key_length(t->cipher), ok;

	if (expand(t->md, k->secret, "key", key, (size_t)klen) != 0 ||
	    expand(t->md, k->secret, "iv", k->iv, sizeof k->iv) != 0)
		return -EIO;
	if (!k->ctx)
		k->ctx = EVP_CIPHER_CTX_new();
	ok = k->ctx && EVP_CipherInit_ex(k->ctx, t->cipher, NULL, key, NULL, enc);
	OPENSSL_cleanse(key, sizeof key);
	k->seq = 0;
	return ok ? 0 : -ENOMEM;
}

static int key_next(struct stls *t, struct stls_key *k, bool enc)
{
	uint8_t next[STLS_SECRET];
	size_t n = (size_t)EVP_MD_get_size(t->md);

	if (expand(t->md, k->secret, "traffic upd", next, n) != 0)
		return -EIO;
	memcpy(k->secret, next, n);
	return key_set(t, k, enc);
}

int stls_init(struct stls *t, unsigned int suite, const uint8_t *client_secret,
	      const uint8_t *server_secret)
{
	int err;

	memset(t, 0, sizeof *t);
	if (suite == 0x1301) {
		t->md = EVP_sha256();
		t->cipher = EVP_aes_128_gcm();
	} else if (suite == 0x1302) {
		t->md = EVP_sha384();
		t->cipher = EVP_aes_256_gcm();
	} else {
		return -EPROTO;
	}
	memcpy(t->tx.secret, client_secret, (size_t)EVP_MD_get_size(t->md));
	memcpy(t->rx.secret, server_secret, (size_t)EVP_MD_get_size(t->md));
	err = key_set(t, &t->tx, true);
	if (!err)
		err = key_set(t, &t->rx, false);
	if (err)
		stls_clear(t);
	return err;
}

void stls_clear(struct stls *t)
{
	EVP_CIPHER_CTX_free(t->rx.ctx);
	EVP_CIPHER_CTX_free(t->tx.ctx);
	free(t->rec);
	OPENSSL_cleanse(t, sizeof *t);
}

static void nonce(const struct stls_key *k, uint8_t out[12])
{
	memcpy(out, k->iv, 12);
	for (int i = 0; i < 8; i++)
		out[11 - i] ^= (uint8_t)(k->seq >> (8 * i));
}

/* ---- handshake ---- */

static bool unhex(const char *s, uint8_t *out, size_t max)
{
	size_t n = strcspn(s, "\r\n");

	if (n % 2 || n / 2 > max)
		return false;
	for (size_t i = 0; i < n / 2; i++) {
		unsigned int v = 0;

		for (int k = 0; k < 2; k++) {
			char c = s[2 * i + (size_t)k];

			v = v * 16 + (unsigned int)(c >= 'a' ? c - 'a' + 10 : c - '0');
		}
		out[i] = (uint8_t)v;
	}
	return true;
}

/* "SERVER_TRAFFIC_SECRET_0 <client random> <secret>", all lower-case hexadecimal. */
static void on_keylog(const SSL *ssl, const char *line)
{
	struct stls_secrets *sec = SSL_get_app_data(ssl);
	const char *secret = strrchr(line, ' ');

	if (!sec || !secret)
		return;
	if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
		sec->have_client = unhex(secret + 1, sec->client, STLS_SECRET);
	if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
		sec->have_server = unhex(secret + 1, sec->server, STLS_SECRET);
}

SSL_CTX *stls_ctx(const struct load_opts *o, struct errbuf *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	static const uint8_t alpn[] = "\x08http/1.1";
	int ok;

	if (!ctx) {
		errf(e, -ENOMEM, "OpenSSL could not be initialised");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(ctx, STLS_SUITES);
	SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_keylog_callback(ctx, on_keylog);
	SSL_CTX_set_verify(ctx, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	ok = o->insecure ? 1 /* nothing loaded: or each handshake would search a directory */
	     : o->cacert ? SSL_CTX_load_verify_locations(ctx, o->cacert, NULL)
			 : SSL_CTX_set_default_verify_paths(ctx);
	if (ok != 1) {
		errf(e, -EINVAL, "--cacert %s: no usable PEM certificates (%s)",
		     o->cacert ? o->cacert : "(system)",
		     ERR_reason_error_string(ERR_peek_last_error()));
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

SSL *stls_handshake_new(SSL_CTX *ctx, int fd, const struct load_url *u, struct stls_secrets *sec)
{
	SSL *ssl = SSL_new(ctx);
	X509_VERIFY_PARAM *vp;

	if (!ssl)
		return NULL;
	memset(sec, 0, sizeof *sec);
	SSL_set_app_data(ssl, sec);
	vp = SSL_get0_param(ssl);
	if (!X509_VERIFY_PARAM_set1_ip_asc(vp, u->host)) { /* not an address: a name */
		SSL_set1_host(ssl, u->host);
		SSL_set_tlsext_host_name(ssl, u->host);
	}
	SSL_set_connect_state(ssl);
	if (SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

int stls_take(struct stls *t, SSL *ssl, const struct stls_secrets *sec)
{
	const SSL_CIPHER *c = SSL_get_current_cipher(ssl);

	/* Without read-ahead OpenSSL reads record by record: nothing of what follows the handshake
	 * may be left inside it. */
	if (!c || !sec->have_client || !sec->have_server || SSL_has_pending(ssl))
		return -EPROTO;
	return stls_init(t, SSL_CIPHER_get_protocol_id(c), sec->client, sec->server);
}

/* ---- records in ---- */

/* Decrypt p[0, len) in place; its plaintext length, or -EBADMSG. */
static int open_record(struct stls *t, uint8_t *p, uint32_t len)
{
	uint8_t iv[12];
	int n = 0, fin = 0, body = (int)len - 16;

	nonce(&t->rx, iv);
	if (!EVP_DecryptInit_ex(t->rx.ctx, NULL, NULL, NULL, iv) ||
	    !EVP_DecryptUpdate(t->rx.ctx, NULL, &n, t->hdr, STLS_HDR) ||
	    !EVP_DecryptUpdate(t->rx.ctx, p, &n, p, body) ||
	    !EVP_CIPHER_CTX_ctrl(t->rx.ctx, EVP_CTRL_AEAD_SET_TAG, 16, p + body) ||
	    EVP_DecryptFinal_ex(t->rx.ctx, p + n, &fin) != 1) {
		ERR_clear_error();
		return -EBADMSG;
	}
	t->rx.seq++;
	t->opened++;
	return body;
}

/* Whole handshake messages of one record; ones that span records are not sent by servers we meet.
 */
static int post_handshake(struct stls *t, const uint8_t *p, size_t n)
{
	while (n >= 4) {
		size_t len = (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];

		if (len > n - 4)
			return -EPROTO;
		if (p[0] == HS_KEY_UPDATE) {
			if (len != 1 || p[4] > 1 || n != 5) /* must end its record: 5.1 */
				return -EPROTO;
			if (p[4] == 1)
				t->key_update_due = true;
			return key_next(t, &t->rx, false);
		}
		if (p[0] != HS_TICKET)
			return -EPROTO;
		p += 4 + len;
		n -= 4 + len;
	}
	return n ? -EPROTO : 0;
}

/* One complete record that is to be looked at. */
static int take_record(struct stls *t, uint8_t *p, uint32_t len, struct stls_out *o)
{
	int n = open_record(t, p, len);

	if (n < 0)
		return n;
	while (n > 0 && p[n - 1] == 0) /* padding: 5.4 */
		n--;
	if (n == 0)
		return -EPROTO;
	n--;
	switch (p[n]) {
	case CT_DATA:
		if (n)
			o->expect = o->data(o->arg, p, (size_t)n);
		return 0;
	case CT_HANDSHAKE:
		return post_handshake(t, p, (size_t)n);
	case CT_ALERT:
		return n == 2 && p[1] == 0 ? 1 : -EPROTO; /* close_notify, or fatal */
	default:
		return -EPROTO;
	}
}

/* How even the records of this server's responses are: called for each header within a body. */
static void learn(struct stls *t, uint64_t expect)
{
	if (t->len - STLS_TRAIL < expect) {
		t->uneven |= t->even_now && t->even_now != t->len;
		t->even_now = t->len;
		return;
	}
	/* the last one, or one that belongs to something else */
	if (t->uneven || t->len - STLS_TRAIL > expect)
		t->even_n = 0;
	else if (t->even_now && t->even_now != t->even)
		t->even_n = 1;
	else if (t->even_now && t->even_n < STLS_TRUST)
		t->even_n++;
	if (t->even_now)
		t->even = t->even_now;
	t->even_now = 0;
	t->uneven = false;
}

/* Records of the even length that follow this one and are not the response's last. */
static uint32_t followers(const struct stls *t, uint64_t expect)
{
	uint64_t plain = t->len - STLS_TRAIL, behind = expect - plain;

	if (t->even_n < STLS_TRUST || t->len != t->even || t->uneven || !behind)
		return 0;
	behind = (behind - 1) / plain;
	return (uint32_t)(behind < STLS_RUN_MAX ? behind : STLS_RUN_MAX - 1);
}

static int take_header(struct stls *t, const struct stls_out *o)
{
	t->len = (uint32_t)t->hdr[3] << 8 | t->hdr[4];
	if (t->hdr[0] != CT_DATA || t->hdr[1] != 3 || t->hdr[2] != 3 || t->len < STLS_TRAIL ||
	    t->len > STLS_REC_MAX)
		return -EPROTO;
	if (t->after_run && t->len != t->even && t->len - STLS_TRAIL != o->expect)
		return -EPROTO;
	t->after_run = false;
	t->left = t->len;
	t->counting = t->len - STLS_TRAIL >= STLS_LOOK && t->len - STLS_TRAIL <= o->expect;
	if (o->expect)
		learn(t, o->expect);
	if (t->counting) {
		t->run_records = 1 + followers(t, o->expect);
		t->run = t->run_records * (STLS_HDR + t->len);
		t->left = t->run - STLS_HDR;
	}
	return 0;
}

/* Body bytes within the first `n` wire bytes of a run of records. */
static uint32_t body_of(const struct stls *t, uint32_t n)
{
	uint32_t whole = STLS_HDR + t->len, plain = t->len - STLS_TRAIL, rest = n % whole;

	rest = rest > STLS_HDR ? rest - STLS_HDR : 0;
	return n / whole * plain + (rest < plain ? rest : plain);
}

void stls_skip(struct stls *t, size_t n, struct stls_out *o)
{
	uint32_t from = t->run - t->left, body = body_of(t, from + (uint32_t)n) - body_of(t, from);

	t->left -= (uint32_t)n;
	if (body)
		o->expect = o->count(o->arg, body);
	if (!t->left) {
		t->hdr_n = 0;
		t->counting = false;
		t->rx.seq += t->run_records;
		t->counted += t->run_records;
		t->after_run = t->run_records > 1;
	}
}

/* Part of a record that must be looked at: straight from p if it is whole, collected otherwise.
 * Bytes used, or an error; *res becomes 1 at close_notify. */
static ssize_t collect(struct stls *t, uint8_t *p, size_t n, struct stls_out *o, int *res)
{
	uint8_t *whole = p;
	size_t take = n < t->left ? n : t->left;
	int err;

	if (take < t->len) { /* in pieces */
		if (!t->rec)
			t->rec = malloc(STLS_REC_MAX);
		if (!t->rec)
			return -ENOMEM;
		memcpy(t->rec + (t->len - t->left), p, take);
		whole = t->rec;
	}
	t->left -= (uint32_t)take;
	if (t->left)
		return (ssize_t)take;
	err = take_record(t, whole, t->len, o);
	free(t->rec);
	t->rec = NULL;
	t->hdr_n = 0;
	if (err < 0)
		return err;
	*res = err;
	return (ssize_t)take;
}

int stls_feed(struct stls *t, uint8_t *p, size_t n, struct stls_out *o)
{
	int res = 0;

	while (n && !res) {
		size_t take;
		ssize_t k;
		int err;

		if (t->hdr_n < STLS_HDR) {
			take = (size_t)STLS_HDR - t->hdr_n;
			if (take > n)
				take = n;
			memcpy(t->hdr + t->hdr_n, p, take);
			t->hdr_n += (uint8_t)take;
			p += take;
			n -= take;
			if (t->hdr_n < STLS_HDR)
				return 0;
			err = take_header(t, o);
			if (err)
				return err;
		} else if (t->counting) {
			take = n < t->left ? n : t->left;
			stls_skip(t, take, o);
			p += take;
			n -= take;
		} else {
			k = collect(t, p, n, o, &res);
			if (k < 0)
				return (int)k;
			p += k;
			n -= (size_t)k;
		}
	}
	return res;
}

/* ---- records out ---- */

int stls_seal(struct stls *t, uint8_t type, const uint8_t *p, size_t n, uint8_t *out)
{
	size_t len = n + STLS_TRAIL;
	uint8_t iv[12], *at = out + STLS_HDR;
	int k = 0, fin = 0;

	if (n > STLS_SEAL_MAX)
		return -EMSGSIZE;
	memcpy(out, (uint8_t[]){CT_DATA, 3, 3, (uint8_t)(len >> 8), (uint8_t)len}, STLS_HDR);
	nonce(&t->tx, iv);
	if (!EVP_EncryptInit_ex(t->tx.ctx, NULL, NULL, NULL, iv) ||
	    !EVP_EncryptUpdate(t->tx.ctx, NULL, &k, out, STLS_HDR) ||
	    !EVP_EncryptUpdate(t->tx.ctx, at, &k, p, (int)n) ||
	    !EVP_EncryptUpdate(t->tx.ctx, at + n, &k, &type, 1) ||
	    !EVP_EncryptFinal_ex(t->tx.ctx, at + n + 1, &fin) ||
	    !EVP_CIPHER_CTX_ctrl(t->tx.ctx, EVP_CTRL_AEAD_GET_TAG, 16, at + n + 1))
		return -EIO;
	t->tx.seq++;
	return (int)(STLS_HDR + len);
}

int stls_key_update(struct stls *t, uint8_t *out)
{
	static const uint8_t msg[] = {HS_KEY_UPDATE, 0, 0, 1, 0}; /* update_not_requested */
	int n = stls_seal(t, CT_HANDSHAKE, msg, sizeof msg, out);

	if (n < 0)
		return n;
	t->key_update_due = false;
	if (key_next(t, &t->tx, true) != 0)
		return -EIO;
	return n;
}
