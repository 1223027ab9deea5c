/* options: the command line of atlas. */
#ifndef ATLAS_OPTIONS_H
#define ATLAS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "base/ipaddr.h"
#include "stacks/atlas/tcp/tcp.h"
#include "stacks/atlas/variant.h"

#define WORKERS_MAX 64

#define FETCH_MAX   64 /* bound of options.fetch */

struct options {
	const char *ifname, *root, *cert, *key, *stats, *stats_shm, *device, *trace;
	struct ipaddr ip, gw;
	int prefix;
	bool has_gw;
	uint16_t port, tls_port;
	unsigned int workers, io_window, buffers, max_conns, max_files, spin_us;
	uint32_t record_size, pull_recs, max_push;
	uint32_t fetch;	   /* completions a turn takes */
	uint32_t min_pull; /* bytes of the stream a window must open by before they are read */
	uint64_t idle_ns, timewait_ns;
	enum tcp_cc cc;
	bool pacing, stages;
	const char *suites;
	const struct variant *variant;
};

/* Fill from argv. 0; 1: --help or --version was answered on stdout; -EINVAL with a sentence. */
int options_parse(struct options *o, int argc, char **argv, struct errbuf *e);

#endif
