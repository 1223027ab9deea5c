/* bench: what all runs of one experiment share, and one run of one cell.
 *
 * cell_run() makes the testbed, starts collectors, stack and load, waits, judges, and takes
 * everything down again in the reverse order, whatever happened. Main thread; blocks for the run.
 */
#ifndef HARNESS_BENCH_H
#define HARNESS_BENCH_H

#include <jansson.h>

#include "harness/machine.h"
#include "harness/metrics.h"
#include "harness/observe.h"
#include "harness/sweep.h"
#include "workloads/content.h"

struct bench {
	const struct experiment *x;
	struct machine machine;
	char bin_dir[256];	/* our own programs */
	char content_base[256]; /* all content directories are below */
	char content_dir[320];	/* of the content made last */
	struct content content;
	bool have_content;
	double rate; /* of an open loop, 1/s, from the block's ceilings; 0: as the experiment says
		      */
	bool no_cgroup; /* there is no memory cgroup here: objects are evicted instead */
	char no_cgroup_why[200];
};

#define VERDICTS_MAX 8

/* What came out of one run. */
struct outcome {
	struct metrics m;
	bool ran;		     /* the load gave a result */
	bool valid;		     /* and nothing speaks against it */
	char why[VERDICTS_MAX][200]; /* what does */
	int whys;
	char bound[16];		 /* disk, client, server_cpu, network, load, or "" */
	json_t *load, *stats;	 /* the load's and the stack's own words; NULL if none */
	json_t *stats_start;	 /* the stack's at the start of the window; stats: at its end */
	json_t *wan;		 /* counters of the WAN box; NULL if there was none */
	json_t *testbed;	 /* what meta.json says of it */
	struct observe *obs;	 /* samples; NULL if it never started */
	uint64_t t_start, t_end; /* the window */
	int missing;		 /* collectors that this machine can't run */
	int server_cpus;
	uint64_t mark_late_ns; /* the later of the two marks */
	char warning[512];     /* one a line */
	double wall_s;	       /* the whole run, set-up included */
};

/* Make or reuse the cell's content. Blocks, with progress on stderr. */
int bench_content(struct bench *b, const struct cell *c, struct errbuf *e);

/* Bytes of the cell's hot set. */
uint64_t bench_hot_bytes(const struct bench *b, const struct cell *c);

/* Run it. `stack` replaces the cell's (for ceilings; NULL = the cell's own), `observe` = collectors
 * are wanted. 0 when there is an outcome (look at ran and valid); -EINTR when given up; other
 * -errno when the machine can't run it at all (no namespaces ...): then the whole experiment ends.
 */
int cell_run(struct bench *b, const struct cell *c, const char *stack, bool observe, uint64_t seed,
	     struct outcome *out, struct errbuf *e);
void outcome_free(struct outcome *o);
/* Requests per second of an open loop; 0: the loop is closed. */
double bench_rate(const struct bench *b, const struct cell *c);
void outcome_invalid(struct outcome *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Judge a finished run: sets valid, why, bound. */
struct verdict_in {
	const struct bench *b;
	const struct cell *cell;
	bool caches;		  /* the page cache serves this stack */
	const struct testbed *tb; /* NULL in tests */
	double irq_client_share;  /* of the disk's interrupts, on the client's CPUs; NAN unknown */
	double read_bytes;	  /* the stack had read from storage in the window; NAN unknown */
};
void verdict(const struct verdict_in *in, struct outcome *o);
/* What bound it; needs the ceilings in o->m. */
void verdict_bound(const struct bench *b, const struct cell *c, int server_cpus, struct outcome *o);

#endif
