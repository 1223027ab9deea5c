/* plot_ratio: each cell against `atlas` at the same point, paired by block, for the figures.
 *
 * Reads runs.csv once; main thread.
 */
#ifndef HARNESS_PLOT_RATIO_H
#define HARNESS_PLOT_RATIO_H

#include <stdio.h>

#include "base/errbuf.h"
#include "harness/csv.h"

#define RATIO_REFERENCE "atlas"

struct plot_ratio {
	struct csv runs;
	const struct csv *sum; /* summary.csv, borrowed */
};

int plot_ratio_open(struct plot_ratio *r, const char *dir, const struct csv *sum, struct errbuf *e);
void plot_ratio_close(struct plot_ratio *r);
/* ",ratio_net_gbps,ratio_net_gbps_lo,..." */
void plot_ratio_header(FILE *f);
/* The values of a row of the summary, NaN where there is no pair. */
void plot_ratio_row(const struct plot_ratio *r, FILE *f, int row);

#endif
