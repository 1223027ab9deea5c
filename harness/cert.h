/* cert: a self-signed certificate for one run, so that no key outlives it. */
#ifndef HARNESS_CERT_H
#define HARNESS_CERT_H

#include "base/errbuf.h"

/* Write DIR/cert.pem and DIR/key.pem (mode 0600). kind: "ecdsa" (P-256) or "rsa" (2048). `ips`: up
 * to 4 addresses for subjectAltName, NULL-terminated. Valid for 10 days from yesterday. */
int cert_make(const char *dir, const char *kind, const char *const *ips, struct errbuf *e);

#endif
