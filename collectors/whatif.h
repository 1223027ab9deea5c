/* whatif: atlas's buffer life on a machine that is not there.
 *
 * Everything here is simulated. A discrete-event model of what decides which buffer is touched when
 * (ACK clock, serve queue, I/O window, disk, cores, interface, free list) drives the cache of
 * llcsim.h, and the lines that reach DRAM are counted. Or a trace recorded by `atlas --trace` is
 * replayed into the same cache. whatif.c says what the model does and leaves out.
 *
 * One owner, no threads, no clocks: a run is a function of its configuration and seed.
 */
#ifndef COLLECTORS_WHATIF_H
#define COLLECTORS_WHATIF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "collectors/llcsim.h"

/* Who touches, in the cache's counts. */
enum whatif_owner { WHATIF_BUFFERS, WHATIF_STATE };

struct whatif_cfg {
	/* the cache */
	uint64_t llc; /* bytes */
	uint64_t ways, ddio_ways;
	uint64_t sliced; /* 1: sets as in LLC_SLICED, else LLC_HASHED */
	uint64_t slices;
	uint64_t sample; /* one set in so many is simulated */
	/* the stack */
	uint64_t fifo;	      /* 1: the oldest free buffer first (atlas:fifo) */
	uint64_t tls;	      /* 1: sealed in place */
	uint64_t min_pull;    /* bytes the window must allow before a read starts; 0: any */
	uint64_t io_window;   /* reads outstanding, all workers together */
	uint64_t buffers;     /* 0: atlas's default for the window */
	uint64_t buffer_size; /* bytes from one buffer to the next */
	uint64_t record_size; /* plaintext bytes */
	uint64_t pull;	      /* longest read, bytes */
	uint64_t cores;	      /* 0: as many as seal twice the line rate */
	uint64_t seal_rate;   /* bytes per second and core */
	uint64_t conn_bytes;  /* a connection's state: read for each ACK, half of it written */
	/* the load */
	uint64_t connections;
	uint64_t line_rate; /* bit/s */
	double load;	    /* per cent of the line rate that ACKs ask for */
	uint64_t rtt;	    /* ns; sets the congestion window */
	uint64_t ack_bytes; /* acknowledged by one ACK */
	/* the disk */
	uint64_t disk_latency; /* ns, mean, without queueing */
	double disk_jitter;    /* per cent of it, both ways, uniform */
	uint64_t disk_rate;    /* bit/s of all disks; 0: twice the line rate */
	uint64_t seed;
};

struct whatif_result {
	uint64_t net_bytes, disk_bytes; /* in the counted part; body and wire bytes are one here */
	uint64_t span_ns;		/* simulated (model), or from first to last touch (trace) */
	uint64_t warm_bytes;		/* sent before counting began */
	uint64_t stolen;		/* held buffers taken away, to be read again */
	uint64_t buffers;		/* of the pool; a trace does not tell: 0 */
	uint64_t buffers_used;		/* different ones in the counted part */
	double reading_mean, busy_mean; /* buffers: being read; not free */
	uint64_t busy_max;
	double line;			      /* bytes */
	struct llc_count count[2][LLC_KINDS]; /* by owner; scaled to the whole cache */
};

void whatif_defaults(struct whatif_cfg *c);
/* Fill in what 0 leaves open, check. 0 or -EINVAL with a sentence. */
int whatif_resolve(struct whatif_cfg *c, struct errbuf *e);
/* c must be resolved. 0, -EINVAL, -ENOMEM. Takes some tenths of a second. */
int whatif_run(const struct whatif_cfg *c, struct whatif_result *r, struct errbuf *e);
/* A cache as c describes it. */
int whatif_cache(struct llcsim **out, const struct whatif_cfg *c, struct errbuf *e);
/* Copy the cache's counts, scaled. */
void whatif_counts(const struct llcsim *s, struct whatif_result *r);

#endif
