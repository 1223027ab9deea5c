/* null_srv: the event loop of the null server. One struct per thread; threads share nothing but the
 * configuration, which is read only. */
#ifndef NULL_NULL_SRV_H
#define NULL_NULL_SRV_H

#include <stdint.h>

#include "base/errbuf.h"
#include "stacks/atlas/tls/tls.h"
#include "workloads/content.h"

struct null_cfg {
	const char *ip;
	int port, tls_port; /* 0: not served */
	struct content content;
	struct tls_ctx_cfg tls;
	int64_t corrupt; /* object served with one wrong byte (tests of checkers), -1 none */
	int stop_fd;	 /* eventfd: readable means stop */
};

struct null_srv;

/* Open the listeners (SO_REUSEPORT, so that every worker has its own). NULL with a sentence. */
struct null_srv *null_srv_new(const struct null_cfg *cfg, struct errbuf *e);
/* Serve until stop_fd is readable. Blocks. Call in the thread that will serve: the AEAD is set up
 * per thread. */
void null_srv_run(struct null_srv *s);
void null_srv_free(struct null_srv *s);

#endif
