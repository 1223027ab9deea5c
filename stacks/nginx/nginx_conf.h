/* nginx_conf: the configuration that each variant gets. Pure: numbers in, text out; any thread.
 * BASELINE.md gives every line its reason.
 */
#ifndef STACKS_NGINX_CONF_H
#define STACKS_NGINX_CONF_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/errbuf.h"

/* What a variant changes. */
struct nginx_variant {
	const char *name; /* "" is nginx itself */
	bool aio;	  /* disk reads in a thread pool, not in the event loop */
	bool direct;	  /* O_DIRECT */
	bool ktls;	  /* the kernel encrypts; sendfile works again */
	int per_cpu;	  /* workers a CPU */
};

/* NULL if there is none. Static storage. */
const struct nginx_variant *nginx_variant(const char *name);

struct nginx_plan {
	const struct nginx_variant *v;
	int workers;	 /* processes */
	int connections; /* worker_connections, each */
	int file_cache;	 /* entries of open_file_cache, each */
	int files;	 /* worker_rlimit_nofile */
	int buffer_kib;	 /* output_buffers 2 of this; 0: nginx's own default */
};

/* Enough workers that each one's share of the connections, as many files being sent, and the file
 * cache fit below `nofile` descriptors. 0, or -EMFILE with a sentence when no number of workers
 * does. */
int nginx_plan(struct nginx_plan *plan, const struct nginx_variant *v, int connections, int cpus,
	       long nofile, struct errbuf *e);

/* Memory of all workers when every connection is being served, in bytes. */
uint64_t nginx_memory(const struct nginx_plan *plan, int connections, bool tls);

struct nginx_site {
	const char *ip, *root, *work_dir;
	const char *cert, *key; /* NULL: no TLS */
	const cpu_set_t *cpus;	/* workers are bound to these in turn; NULL: not bound */
};

void nginx_conf(FILE *f, const struct nginx_plan *plan, const struct nginx_site *site);

#endif
