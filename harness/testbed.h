/* testbed: the network between stack and load, on one machine.
 *
 * kind = netns: three network namespaces joined by veth pairs, server | wan | client (the wan
 * namespace and the second pair exist only when the path is shaped; without them server and client
 * share one pair). Everything made is journalled in /run/dcn/ before it is made, so that
 * `dcn restore` can undo it after kill -9.
 *
 * Main thread of the driver. Calls may block (netlink). DESIGN.md section 3.
 */
#ifndef HARNESS_TESTBED_H
#define HARNESS_TESTBED_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"

/* Addresses from 198.18.0.0/15 (RFC 2544: reserved for benchmarks), inside the namespaces only. */
#define TESTBED_SERVER_IP "198.18.0.1"	 /* the kernel's, for stock servers */
#define TESTBED_ATLAS_IP  "198.18.0.2"	 /* atlas's own; no kernel owns it */
#define TESTBED_CLIENT_IP "198.18.0.129" /* without wan: same /24; with wan: 198.18.1.129 */

struct testbed_cfg {
	char server_cpus[128], client_cpus[128]; /* "auto" or a list as in cpuset(7) */
	char congestion[16];			 /* cubic, reno, bbr ... for both kernels */
	bool steering;				 /* rps */
	bool wan;				 /* put the WAN box in between */
	const char *content_dir;		 /* its disk decides the server's CPUs */
};

struct testbed {
	struct testbed_cfg cfg;
	char server_ns[32], client_ns[32], wan_ns[32]; /* names for ip-netns(8) */
	int server_fd, client_fd, wan_fd;  /* /run/netns descriptors; wan_fd -1 if none */
	char server_if[16], client_if[16]; /* interface names inside */
	char wan_server_if[16], wan_client_if[16];
	char server_ip[46], atlas_ip[46], atlas_gw[46], client_ip[46];
	int prefix;
	cpu_set_t server_cpus, client_cpus;
	bool steering;	   /* in force */
	char cpu_why[256]; /* why CPU columns would be empty; empty string if they are valid */
	char warning[512]; /* things results must say (one CPU only, no steering ...) */
	char disk[64];	   /* whole-disk device name of the content, e.g. "vda" */
};

/* Make it. 0, or -errno with a sentence and nothing left behind. */
int testbed_up(struct testbed *tb, const struct testbed_cfg *cfg, struct errbuf *e);
/* Take it down: kills nothing, removes namespaces and pairs, restores what was changed. Idempotent.
 */
void testbed_down(struct testbed *tb);
/* Undo what any dead run left (journals in /run/dcn whose owner is gone). Returns how many. */
int testbed_restore(struct errbuf *e);

/* Changes outside the testbed that are to be undone with it, also by testbed_restore: call before
 * making them. A cgroup directory (its processes are ended by restore, then it is removed); a
 * setting file such as a sysctl (its present value is written back). 0, or -errno with a sentence.
 */
int testbed_note_cgroup(const struct testbed *tb, const char *dir, struct errbuf *e);
int testbed_note_setting(const struct testbed *tb, const char *path, struct errbuf *e);

enum testbed_side { TESTBED_SERVER, TESTBED_CLIENT, TESTBED_WAN };

/* In a forked child before exec: enter the side's namespace and CPU set. 0 or -errno. */
int testbed_enter(const struct testbed *tb, enum testbed_side side);

/* Interrupts of the content disk taken so far on each CPU (ncpu values). */
int testbed_disk_irqs(const struct testbed *tb, uint64_t *per_cpu, int ncpu);

#endif
