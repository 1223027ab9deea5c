/* ctx: what the connections of one worker share: certificate, policy, scratch memory.
 *
 * The policy in one place: TLS 1.3 only, the two AES-GCM suites, no tickets and no session cache
 * (so that record numbers start at 0 on both sides), no early data, ALPN http/1.1, SNI ignored.
 *
 * Errors of files become one sentence each, naming the file (tls.h). RFC 8446, RFC 7301.
 */
#include "stacks/atlas/tls/tls_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

static const struct suite suites[] = {
	{"TLS_AES_128_GCM_SHA256", 0x1301, 16, HKDF_SHA256},
	{"TLS_AES_256_GCM_SHA384", 0x1302, 32, HKDF_SHA384},
};
#define SUITES_DEFAULT "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define GROUPS	       "X25519:P-256:P-384"

const struct suite *tls_suite_by_id(uint16_t id)
{
	for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
		if (suites[i].id == id)
			return &suites[i];
	return NULL;
}

static const char *ssl_reason(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_last_error());

	return s ? s : "reason unknown";
}

/* Never ask on the terminal. */
static int no_password(char *buf, int size, int rw, void *arg)
{
	(void)buf, (void)size, (void)rw, (void)arg;
	return -1;
}

static int check_readable(const char *what, const char *path, struct errbuf *e)
{
	FILE *f;
	int c;

	if (!path || !*path)
		return errf(e, -EINVAL, "TLS needs a %s file (PEM): none was given", what);
	f = fopen(path, "re");
	if (!f)
		return errf(e, -errno, "cannot open the TLS %s file %s: %s", what, path,
			    strerror(errno));
	errno = 0;
	c = getc(f);
	fclose(f);
	if (c == EOF)
		return errf(e, -EINVAL, "the TLS %s file %s is %s", what, path,
			    errno ? strerror(errno) : "empty");
	return 0;
}

static int load_key(const char *path, EVP_PKEY **key, struct errbuf *e)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return errf(e, -errno, "cannot open the TLS key file %s: %s", path,
			    strerror(errno));
	*key = PEM_read_PrivateKey(f, NULL, no_password, NULL);
	fclose(f);
	if (!*key)
		return errf(e, -EINVAL,
			    "%s holds no private key in PEM that can be read without a password "
			    "(%s)",
			    path, ssl_reason());
	return 0;
}

static int load_files(SSL_CTX *ssl, const struct tls_ctx_cfg *cfg, struct errbuf *e)
{
	EVP_PKEY *key = NULL;
	int err;

	err = check_readable("certificate", cfg->cert_file, e);
	if (!err)
		err = check_readable("key", cfg->key_file, e);
	if (err)
		return err;
	if (SSL_CTX_use_certificate_chain_file(ssl, cfg->cert_file) != 1)
		return errf(e, -EINVAL, "%s is not a usable certificate in PEM (%s)",
			    cfg->cert_file, ssl_reason());
	err = load_key(cfg->key_file, &key, e);
	if (err)
		return err;
	if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
		err = errf(e, -EINVAL, "the key in %s does not belong to the certificate in %s",
			   cfg->key_file, cfg->cert_file);
	EVP_PKEY_free(key);
	return err;
}

static int set_suites(SSL_CTX *ssl, const char *names, struct errbuf *e)
{
	char list[128], *save = NULL;

	if ((size_t)snprintf(list, sizeof list, "%s", names) >= sizeof list)
		return errf(e, -EINVAL, "the list of TLS suites is too long: %s", names);
	for (char *s = strtok_r(list, ":", &save); s; s = strtok_r(NULL, ":", &save)) {
		bool known = false;

		for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
			known |= !strcmp(s, suites[i].name);
		if (!known)
			return errf(e, -EINVAL, "unknown TLS suite %s: choose from %s", s,
				    SUITES_DEFAULT);
	}
	if (!*names)
		return errf(e, -EINVAL, "the list of TLS suites is empty: choose from %s",
			    SUITES_DEFAULT);
	if (SSL_CTX_set_ciphersuites(ssl, names) != 1)
		return errf(e, -EINVAL, "OpenSSL does not take the TLS suites %s (%s)", names,
			    ssl_reason());
	return 0;
}

static int set_policy(SSL_CTX *ssl, const char *names, struct errbuf *e)
{
	if (SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_num_tickets(ssl, 0) != 1 || SSL_CTX_set1_groups_list(ssl, GROUPS) != 1)
		return errf(e, -ENOTSUP, "this OpenSSL cannot do TLS 1.3 (%s)", ssl_reason());
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_quiet_shutdown(ssl, 1);
	SSL_CTX_set_keylog_callback(ssl, tls_handshake_keylog);
	SSL_CTX_set_info_callback(ssl, tls_handshake_info);
	SSL_CTX_set_alpn_select_cb(ssl, tls_handshake_alpn, NULL);
	return set_suites(ssl, names ? names : SUITES_DEFAULT, e);
}

static void *alloc_aligned(size_t n)
{
	size_t whole = (n + 63) & ~(size_t)63;
	void *p = aligned_alloc(64, whole);

	if (p)
		memset(p, 0, whole);
	return p;
}

struct tls_ctx *tls_ctx_new(const struct tls_ctx_cfg *cfg, struct errbuf *e)
{
	struct tls_ctx *t = calloc(1, sizeof *t);
	int err;

	if (!t) {
		errf(e, -ENOMEM, "out of memory for TLS");
		return NULL;
	}
	ERR_clear_error();
	t->aead = cfg->aead;
	t->record_limit = cfg->record_limit ? cfg->record_limit : RECORD_LIMIT;
	t->part[0].size = PART_SMALL;
	t->part[1].size = PART_LARGE;
	err = t->aead->thread_init();
	if (err) {
		errf(e, err, "the AES-GCM back end %s does not work here: %s", t->aead->name,
		     strerror(-err));
		goto fail;
	}
	t->rd_ctx = alloc_aligned(t->aead->ctx_size);
	t->ssl = SSL_CTX_new(TLS_server_method());
	if (!t->rd_ctx || !t->ssl) {
		errf(e, -ENOMEM, "out of memory for TLS");
		goto fail;
	}
	if (set_policy(t->ssl, cfg->suites, e) || load_files(t->ssl, cfg, e))
		goto fail;
	ERR_clear_error();
	return t;
fail:
	ERR_clear_error();
	tls_ctx_free(t);
	return NULL;
}

void tls_ctx_free(struct tls_ctx *t)
{
	if (!t)
		return;
	for (int i = 0; i < 2; i++)
		while (t->part[i].head) {
			struct partbuf *b = t->part[i].head;

			t->part[i].head = b->next;
			free(b);
		}
	if (t->rd_ctx)
		t->aead->clear(t->rd_ctx);
	free(t->rd_ctx);
	SSL_CTX_free(t->ssl);
	OPENSSL_cleanse(t->rx, sizeof t->rx);
	free(t);
}

/* A buffer for `len` bytes (at most CIPHERTEXT_MAX) of a record that came in pieces; NULL without
 * memory. From a short list of spare ones, so that a stream of split requests takes no new memory.
 */
uint8_t *tls_part_take(struct tls_ctx *t, size_t len)
{
	struct part_list *l = &t->part[len > PART_SMALL];
	struct partbuf *b = l->head;

	if (b) {
		l->head = b->next;
		l->n--;
		return (uint8_t *)b;
	}
	t->allocs++;
	return malloc(l->size);
}

void tls_part_give(struct tls_ctx *t, uint8_t *p, size_t len)
{
	struct part_list *l = &t->part[len > PART_SMALL];
	struct partbuf *b = (struct partbuf *)p;

	if (!p)
		return;
	if (l->n >= PART_KEEP) {
		free(p);
		return;
	}
	b->next = l->head;
	l->head = b;
	l->n++;
}

void tls_get_stats(const struct tls_ctx *t, struct tls_stats *out)
{
	*out = t->stats;
}
