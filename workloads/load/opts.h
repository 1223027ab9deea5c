/* opts: the command line of dcn-load as one checked struct. Main thread, before anything is opened.
 */
#ifndef LOAD_OPTS_H
#define LOAD_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"

#define LOAD_CONN_MAX 1000000u

enum load_verify { VERIFY_OFF, VERIFY_SAMPLED, VERIFY_ALL };
enum load_engine { ENGINE_CURL, ENGINE_SINK, ENGINE_MIXED };
enum load_arrival { ARRIVAL_POISSON, ARRIVAL_UNIFORM };

extern const char *const load_engine_names[], *const load_verify_names[];

struct load_url {
	bool tls;
	char host[128]; /* without brackets */
	bool v6_literal;
	int port;
	char base[192];	      /* scheme://host[:port], no path, as libcurl takes it */
	char host_field[160]; /* value of the Host field */
};

struct load_opts {
	struct load_url url;
	const char *content_dir;
	uint32_t connections;
	uint64_t duration_ns, warmup_ns, ramp_ns, interval_ns, timeout_ns;
	bool open_loop;
	double rate; /* requests/s, open loop */
	enum load_arrival arrival;
	double cache_ratio; /* 0..100 */
	enum load_verify verify;
	enum load_engine engine;
	uint64_t seed;
	const char *cacert; /* NULL: the system's */
	bool insecure;
	bool warm_hot;
	uint32_t residency; /* sample before every Nth request; 0 = never */
	int events_fd;	    /* -1 = none */
	uint32_t shards;    /* libcurl multi handles; 0 = chosen by connections */
};

/* 0; 1 if --help or --version was asked for (already printed); -EINVAL with a sentence. */
int load_opts_parse(int argc, char **argv, struct load_opts *o, struct errbuf *e);

/* "3s", "500ms", "2m", "250us", "1.5" (seconds). 0 or -EINVAL. */
int load_parse_time(const char *s, uint64_t *ns);
/* http://HOST[:PORT][/] or https://...; HOST a name, an IPv4 address or [IPv6]. 0 or -EINVAL. */
int load_parse_url(const char *s, struct load_url *u, struct errbuf *e);

#endif
