/* testkit: see testkit.h.
 *
 * Certificates are memory files (memfd) under /proc/self/fd, so nothing is left behind. The peer's
 * record layer is written directly on EVP's one-shot sequence, apart from the code under test.
 */
#include "stacks/atlas/tls/testkit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static void must(bool ok)
{
	if (!ok)
		abort();
}

int kit_file(const char *text, size_t n, char *path)
{
	int fd = memfd_create("kit", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, text, n) == (ssize_t)n);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static int bio_file(BIO *b, char *path)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);
	int fd = kit_file(p, (size_t)n, path);

	BIO_free(b);
	return fd;
}

void kit_cert_new(struct kit_cert *k, enum kit_kind kind)
{
	EVP_PKEY *key = kind == KIT_RSA ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *cert = BIO_new(BIO_s_mem()), *priv = BIO_new(BIO_s_mem());
	X509_NAME *name;

	must(key && x && cert && priv);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"atlas", -1, -1, 0);
	X509_set_issuer_name(x, name);
	must(X509_sign(x, key, EVP_sha256()) > 0 && PEM_write_bio_X509(cert, x) == 1 &&
	     PEM_write_bio_PrivateKey(priv, key, NULL, NULL, 0, NULL, NULL) == 1);
	k->cert_fd = bio_file(cert, k->cert);
	k->key_fd = bio_file(priv, k->key);
	X509_free(x);
	EVP_PKEY_free(key);
}

void kit_cert_free(struct kit_cert *k)
{
	close(k->cert_fd);
	close(k->key_fd);
}

void kit_add(struct kit_buf *b, const uint8_t *p, size_t n)
{
	if (!n)
		return;
	if (b->n + n > b->cap) {
		b->cap = (b->n + n) * 2;
		b->p = realloc(b->p, b->cap);
		must(b->p);
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

void kit_drop(struct kit_buf *b, size_t n)
{
	must(n <= b->n);
	b->n -= n;
	if (b->n)
		memmove(b->p, b->p + n, b->n);
}

void kit_free(struct kit_buf *b)
{
	free(b->p);
	*b = (struct kit_buf){0};
}

static void on_send(void *arg, const uint8_t *p, size_t n)
{
	kit_add(&((struct kit_server *)arg)->wire, p, n);
}

static void on_data(void *arg, const uint8_t *p, size_t n)
{
	struct kit_server *s = arg;

	kit_add(&s->data, p, n);
	if (s->echo)
		tls_write(s->c, p, n);
}

static void on_key_update(void *arg)
{
	struct kit_server *s = arg;

	s->key_update_calls++;
	if (!s->manual_rekey)
		tls_key_update(s->c);
}

const struct tls_io kit_io = {on_send, on_data, on_key_update};

void kit_server_free(struct kit_server *s)
{
	tls_free(s->c);
	kit_free(&s->wire);
	kit_free(&s->data);
	*s = (struct kit_server){0};
}

SSL_CTX *kit_client_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	must(ctx);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	return ctx;
}

void kit_client_new(struct kit_client *k, SSL_CTX *ctx)
{
	*k = (struct kit_client){
		.ssl = SSL_new(ctx), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
	must(k->ssl && k->in && k->out);
	SSL_set_bio(k->ssl, k->in, k->out);
	SSL_set_connect_state(k->ssl);
}

void kit_client_free(struct kit_client *k)
{
	SSL_free(k->ssl);
	kit_free(&k->wire);
}

void kit_client_pull(struct kit_client *k)
{
	char *p;
	long n = BIO_get_mem_data(k->out, &p);

	if (n > 0) {
		kit_add(&k->wire, (const uint8_t *)p, (size_t)n);
		BIO_reset(k->out);
	}
}

void kit_to_client(struct kit_server *s, struct kit_client *k)
{
	if (s->wire.n)
		must(BIO_write(k->in, s->wire.p, (int)s->wire.n) == (int)s->wire.n);
	s->wire.n = 0;
}

int kit_to_server(struct kit_server *s, struct kit_client *k, size_t chunk)
{
	int err = 0;

	kit_client_pull(k);
	for (size_t at = 0; at < k->wire.n && !err;) {
		size_t n = chunk && chunk < k->wire.n - at ? chunk : k->wire.n - at;
		/* An allocation of its own, so that a sanitizer sees every read beyond it. */
		uint8_t *copy = calloc(1, n);

		must(copy);
		memcpy(copy, k->wire.p + at, n);
		err = tls_input(s->c, copy, n);
		free(copy);
		at += n;
	}
	k->wire.n = 0;
	return err;
}

bool kit_handshake(struct kit_server *s, struct kit_client *k, size_t chunk)
{
	for (int turn = 0; turn < 6; turn++) {
		int done = SSL_do_handshake(k->ssl);

		if (kit_to_server(s, k, chunk))
			return false;
		kit_to_client(s, k);
		if (done == 1 && tls_conn_state(s->c) != TLS_HANDSHAKE)
			return true;
	}
	return false;
}

void kit_pair_new(struct kit_pair *p, const struct kit_cert *cert, const struct aead_ops *aead,
		  const char *suites)
{
	struct tls_ctx_cfg cfg = {.cert_file = cert->cert,
				  .key_file = cert->key,
				  .aead = aead ? aead : &aead_ipsec_mb,
				  .suites = suites};
	struct errbuf e = {0};

	*p = (struct kit_pair){.t = tls_ctx_new(&cfg, &e), .client_ctx = kit_client_ctx()};
	if (!p->t)
		fprintf(stderr, "%s\n", e.s);
	must(p->t);
	kit_client_new(&p->k, p->client_ctx);
	p->s.c = tls_accept(p->t, &kit_io, &p->s);
	must(p->s.c);
}

void kit_pair_free(struct kit_pair *p)
{
	kit_server_free(&p->s);
	kit_client_free(&p->k);
	SSL_CTX_free(p->client_ctx);
	tls_ctx_free(p->t);
	ERR_clear_error();
}

static void fill(uint8_t *p, uint8_t seed)
{
	for (int i = 0; i < HKDF_HASH_MAX; i++)
		p[i] = (uint8_t)(seed * 31 + i * 7 + 1);
}

void kit_open(struct kit_server *s, struct kit_peer *peer, struct tls_ctx *t, uint16_t suite,
	      uint8_t seed)
{
	const struct suite *su = tls_suite_by_id(suite);

	*peer = (struct kit_peer){.hash = su->hash, .key_len = su->key_len};
	fill(peer->tx_secret, seed);
	fill(peer->rx_secret, (uint8_t)(seed + 1));
	s->c = tls_conn_new(t, &kit_io, s);
	must(s->c && !tls_conn_open(s->c, su, peer->tx_secret, peer->rx_secret));
}

static EVP_CIPHER_CTX *start(const struct kit_peer *k, const uint8_t *secret, uint64_t seq,
			     const uint8_t *hdr, int enc)
{
	EVP_CIPHER_CTX *e = EVP_CIPHER_CTX_new();
	uint8_t key[AEAD_KEY_MAX], iv[AEAD_IV];
	int n;

	must(e && !hkdf_expand_label(k->hash, secret, "key", key, (size_t)k->key_len) &&
	     !hkdf_expand_label(k->hash, secret, "iv", iv, sizeof iv));
	for (int i = 0; i < 8; i++)
		iv[4 + i] ^= (uint8_t)(seq >> (56 - 8 * i));
	must(EVP_CipherInit_ex(e, k->key_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), NULL,
			       key, iv, enc) == 1);
	must(EVP_CipherUpdate(e, NULL, &n, hdr, TLS_HDR) == 1);
	return e;
}

void kit_seal(struct kit_peer *k, uint8_t type, const uint8_t *p, size_t n, size_t pad,
	      struct kit_buf *out)
{
	size_t inner = n + 1 + pad, len = inner + AEAD_TAG;
	uint8_t hdr[TLS_HDR] = {23, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};
	uint8_t *rec = calloc(1, len);
	EVP_CIPHER_CTX *e = start(k, k->tx_secret, k->tx_seq++, hdr, 1);
	int got;

	must(rec && len < 65536);
	if (n)
		memcpy(rec, p, n);
	rec[n] = type;
	must(EVP_CipherUpdate(e, rec, &got, rec, (int)inner) == 1);
	must(EVP_CipherFinal_ex(e, rec + inner, &got) == 1);
	must(EVP_CIPHER_CTX_ctrl(e, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, rec + inner) == 1);
	EVP_CIPHER_CTX_free(e);
	kit_add(out, hdr, sizeof hdr);
	kit_add(out, rec, len);
	free(rec);
}

int kit_open_record(struct kit_peer *k, struct kit_buf *in, uint8_t *type, uint8_t *out)
{
	uint8_t rec[CIPHERTEXT_MAX];
	EVP_CIPHER_CTX *e;
	size_t len, n;
	int got, ok;

	if (in->n < TLS_HDR)
		return -1;
	len = record_len(in->p);
	if (len < AEAD_TAG + 1 || len > sizeof rec || in->n < TLS_HDR + len)
		return -1;
	n = len - AEAD_TAG;
	e = start(k, k->rx_secret, k->rx_seq++, in->p, 0);
	must(EVP_CipherUpdate(e, rec, &got, in->p + TLS_HDR, (int)n) == 1);
	must(EVP_CIPHER_CTX_ctrl(e, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, in->p + TLS_HDR + n) == 1);
	ok = EVP_CipherFinal_ex(e, rec + n, &got);
	EVP_CIPHER_CTX_free(e);
	if (ok != 1)
		return -1;
	kit_drop(in, TLS_HDR + len);
	*type = rec[n - 1];
	memcpy(out, rec, n - 1);
	return (int)n - 1;
}

void kit_next_key(struct kit_peer *k, uint8_t *secret, uint64_t *seq)
{
	uint8_t next[HKDF_HASH_MAX];
	size_t n = hkdf_hash_len(k->hash);

	must(!hkdf_expand_label(k->hash, secret, "traffic upd", next, n));
	memcpy(secret, next, n);
	*seq = 0;
}
