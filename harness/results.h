/* results: the files of one experiment's folder (DESIGN.md section 7; results/README.md).
 *
 * runs.csv, samples.csv, latency/, raw/ grow run by run; summary.csv is made anew from runs.csv;
 * meta.json is kept as JSON in memory and written whole. Main thread; writing blocks.
 */
#ifndef HARNESS_RESULTS_H
#define HARNESS_RESULTS_H

#include <jansson.h>
#include <stdio.h>

#include "harness/bench.h"
#include "harness/ledger.h"

#define RESULT_COLUMNS 192

struct results {
	char dir[320];
	const struct experiment *x;
	int key[4 + EXPERIMENT_AXES], keys; /* columns that say which cell */
	const char *metric[RESULT_COLUMNS];
	int metrics;
	FILE *runs, *samples;
	struct ledger ledger;
	json_t *meta;
};

/* A new folder: `out`, which must not exist or be empty, or results/FIGURE/TIME-HASH below the
 * current directory. */
int results_create(struct results *r, const struct experiment *x, const char *out,
		   struct errbuf *e);
/* Go on in `dir`. Rows after the journal's last line are cut off. */
int results_resume(struct results *r, const struct experiment *x, const char *dir,
		   struct errbuf *e);
/* One finished run: its row, samples, histograms, raw JSON, then its journal line. */
int results_add(struct results *r, const struct cell *c, int block, const struct outcome *o,
		struct errbuf *e);
void results_warn(struct results *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int results_write_meta(struct results *r, struct errbuf *e);
/* Remove a folder in which nothing was finished. */
void results_discard(struct results *r);
void results_close(struct results *r);

/* summary.csv of a folder from its runs.csv. */
int summary_write(const char *dir, struct errbuf *e);

#endif
