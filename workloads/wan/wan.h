/* wan: the settings of the WAN box, dcn-wan, and what their text means.
 *
 * The names are those of the [testbed] keys of an experiment file and, with '-' for '_', of the
 * options of the program. What the box does with them is in README.md. Plain values, any thread.
 */
#ifndef WORKLOADS_WAN_WAN_H
#define WORKLOADS_WAN_WAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

enum wan_dir { WAN_UP /* client to server */, WAN_DOWN /* server to client: the data */, WAN_DIRS };

/* Gilbert-Elliott: two states; packets are lost in the bad one. Probabilities, 0 to 1. */
struct wan_burst {
	double p; /* good to bad, each packet */
	double r; /* bad to good */
	double h; /* share that gets through in the bad state */
};

struct wan_cfg {
	char server_if[16], client_if[16];
	uint64_t rtt_lo, rtt_hi; /* ns, of a flow: uniform between them */
	uint64_t jitter; /* ns, of a packet: uniform in +-jitter, order within a flow kept */
	double loss, reorder, duplicate; /* 0 to 1 */
	uint64_t reorder_hold;		 /* ns a reordered packet comes late */
	struct wan_burst burst;
	uint64_t rate;	      /* bit/s, 0: not limited */
	uint64_t queue_bytes; /* of the bottleneck; one of the two is 0 */
	uint32_t queue_packets;
	bool segment;	       /* cut GSO packets up towards the client */
	bool impair[WAN_DIRS]; /* which directions loss, reordering, duplication, rate apply to */
	uint64_t seed;
	uint64_t spin;	 /* ns before a packet is due that are waited for awake */
	char stats[108]; /* path of the statistics socket; empty: none */
};

struct wan_option {
	const char *name; /* "burst_loss" */
	const char *arg;  /* "P:R[:H]" */
	const char *help;
	bool testbed; /* a key of [testbed] */
};

/* All options, ended by a NULL name. */
extern const struct wan_option wan_options[];

void wan_cfg_init(struct wan_cfg *c);
/* Set one by name ('-' and '_' are the same); an empty value, "0" or "none" switch it off. 0,
 * -ENOENT (no such option) or -EINVAL with a sentence that names it. */
int wan_cfg_set(struct wan_cfg *c, const char *name, const char *value, struct errbuf *e);
/* After the last set: fill what depends on others, refuse what contradicts itself. */
int wan_cfg_finish(struct wan_cfg *c, struct errbuf *e);

/* Must packets of this direction go through the box (or may the kernel forward them)? */
bool wan_takes(const struct wan_cfg *c, enum wan_dir dir);

#endif
