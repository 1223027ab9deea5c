/* ceilings: what the machine could give at best, measured in every block (DESIGN.md section 3).
 *
 * disk: fio on the same cold files, O_DIRECT, 64 KiB reads, on the server's CPUs. client: the null
 * stack with the cell's TLS and connections. crypto: aead-bench on the server's CPUs. Results go to
 * the journal at once, so resuming does not repeat them. Main thread; blocks.
 */
#ifndef HARNESS_CEILINGS_H
#define HARNESS_CEILINGS_H

#include "harness/bench.h"
#include "harness/results.h"

/* Measure what block `block` still lacks. 0, -EINTR, or -errno when the testbed can't be made. */
int ceilings_measure(struct bench *b, const struct cell *cells, int n, int block, struct results *r,
		     struct errbuf *e);
/* How many measurements a block needs. */
int ceilings_count(const struct bench *b, const struct cell *cells, int n);
/* Put the block's ceilings into the metrics of one run of `c`. */
void ceilings_apply(const struct bench *b, const struct cell *c, int block, const struct ledger *j,
		    struct metrics *m);

#endif
