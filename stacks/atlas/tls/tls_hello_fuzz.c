/* Fuzz: whatever comes first on a fresh connection, cut into pieces by the input's first byte.
 *
 * Nothing may crash or leak; a connection that failed stays failed; it cannot get open. OpenSSL's
 * random numbers differ from run to run, which changes no path up to the client's Finished, and an
 * input can't know that one.
 */
#include <stdlib.h>

#include "stacks/atlas/tls/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct tls_ctx *t;
	static struct kit_cert cert;
	struct kit_server s = {0};
	size_t chunk;
	int err = 0;

	if (!t) {
		struct tls_ctx_cfg cfg = {.aead = &aead_ipsec_mb};
		struct errbuf e;

		kit_cert_new(&cert, KIT_P256);
		cfg.cert_file = cert.cert;
		cfg.key_file = cert.key;
		t = tls_ctx_new(&cfg, &e);
		if (!t)
			abort();
	}
	if (!n)
		return 0;
	chunk = p[0] ? p[0] : n;
	s.c = tls_accept(t, &kit_io, &s);
	if (!s.c)
		abort();
	for (size_t at = 1; at < n; at += chunk) {
		size_t take = chunk < n - at ? chunk : n - at;
		int was = err;

		err = tls_input(s.c, p + at, take);
		if (was && !err)
			abort();
		if ((err != 0) != (tls_conn_state(s.c) == TLS_FAILED))
			abort();
	}
	if (tls_conn_state(s.c) == TLS_OPEN || s.data.n)
		abort();
	kit_server_free(&s);
	return 0;
}
