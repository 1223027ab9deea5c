/* null_srv: the event loop of the null server. One struct per thread; threads share nothing but the
 * configuration, which is read only. */
#ifndef NULL_NULL_SRV_H
#define NULL_NULL_SRV_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "workloads/content.h"

struct null_cfg {
	const char *ip;
	int port, tls_port; /* 0: not served */
	struct content content;
	SSL_CTX *tls;
	int64_t corrupt; /* object served with one wrong byte (tests of checkers), -1 none */
	int stop_fd;	 /* eventfd: readable means stop */
};

struct null_srv;

/* Open the listeners (SO_REUSEPORT, so that every worker has its own). NULL with a sentence. */
struct null_srv *null_srv_new(const struct null_cfg *cfg, struct errbuf *e);
/* Serve until stop_fd is readable. Blocks. */
void null_srv_run(struct null_srv *s);
void null_srv_free(struct null_srv *s);

/* TLS 1.3 only, AES-128-GCM, no tickets. NULL with a sentence naming the file. */
SSL_CTX *null_tls_ctx(const char *cert, const char *key, struct errbuf *e);
/* An SSL that reads from `fd` and appends what it writes to the thread's buffer; see null_tls.c. */
SSL *null_tls_new(SSL_CTX *ctx, int fd);

/* Bytes ready to go out. One per thread, emptied before another connection is served. */
struct null_out {
	uint8_t *p;
	size_t len, cap;
};
extern _Thread_local struct null_out null_tls_out;

#endif
