/* cert: make a key pair and sign it with itself, with OpenSSL 3's EVP interface.
 *
 * The address is in subjectAltName (RFC 5280 4.2.1.6), so that clients can verify it as any other.
 */
#include "harness/cert.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int add_ext(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

static X509 *self_sign(EVP_PKEY *key, const char *const *ips)
{
	X509 *x = X509_new();
	X509_NAME *name;
	char san[256] = "";
	size_t at = 0;
	int ok;

	if (!x)
		return NULL;
	for (int i = 0; i < 4 && ips[i] && at < sizeof san; i++)
		at += (size_t)snprintf(san + at, sizeof san - at, "%sIP:%s", i ? "," : "", ips[i]);
	name = X509_get_subject_name(x);
	ok = X509_set_version(x, X509_VERSION_3) &&
	     ASN1_INTEGER_set(X509_get_serialNumber(x), (long)getpid() + 1) &&
	     X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
	     X509_gmtime_adj(X509_getm_notAfter(x), 10 * 86400) && X509_set_pubkey(x, key) &&
	     X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"dcn", -1,
					-1, 0) &&
	     X509_set_issuer_name(x, name) &&
	     add_ext(x, NID_basic_constraints, "critical,CA:TRUE") &&
	     add_ext(x, NID_subject_alt_name, san) && X509_sign(x, key, EVP_sha256());
	if (!ok) {
		X509_free(x);
		x = NULL;
	}
	return x;
}

static FILE *create(const char *dir, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd < 0 ? NULL : fdopen(fd, "w");
}

int cert_make(const char *dir, const char *kind, const char *const *ips, struct errbuf *e)
{
	EVP_PKEY *key = strcmp(kind, "rsa") ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
	X509 *x = key ? self_sign(key, ips) : NULL;
	FILE *fc = NULL, *fk = NULL;
	int err = 0;

	if (!x)
		err = errf(e, -EIO, "OpenSSL can't make a certificate (%s)", kind);
	if (!err) {
		fc = create(dir, "cert.pem");
		fk = create(dir, "key.pem");
		if (!fc || !fk || !PEM_write_X509(fc, x) ||
		    !PEM_write_PrivateKey(fk, key, NULL, NULL, 0, NULL, NULL))
			err = errf(e, -EIO, "%s: the certificate can't be written: %s", dir,
				   strerror(errno));
	}
	if (fc && fclose(fc) && !err)
		err = errf(e, -EIO, "%s/cert.pem: %s", dir, strerror(errno));
	if (fk && fclose(fk) && !err)
		err = errf(e, -EIO, "%s/key.pem: %s", dir, strerror(errno));
	X509_free(x);
	EVP_PKEY_free(key);
	return err;
}
