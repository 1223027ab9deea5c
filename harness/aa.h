/* aa: a stack against itself, from runs.csv.
 *
 * Two questions, each answered by pairs within blocks: do two cells that differ in nothing but
 * run.twin differ (if so, the method sees differences where there are none), and does it matter
 * whether the collectors sample (collect.active)? Main thread; reads files.
 */
#ifndef HARNESS_AA_H
#define HARNESS_AA_H

#include <stdbool.h>
#include <stdio.h>

#include "base/errbuf.h"
#include "base/stats.h"

#define AA_LINES 256

struct aa_line {
	const char *key; /* "twin": second against first; "active": on against off */
	const char *metric;
	char point[160];
	struct stats_ratio r;
	double p_holm; /* corrected for all lines (Holm 1979); NAN: too few blocks */
	bool differs;  /* p_holm < 0.05 */
};

struct aa {
	struct aa_line line[AA_LINES];
	int n;
	int found;			 /* lines that differ */
	double cpu_pct, cpu_ci, cpu_max; /* collectors' CPU, of one core; NAN: none was measured */
};

/* How many lines; 0 if the folder sweeps neither key, -errno with a sentence. */
int aa_read(struct aa *a, const char *dir, struct errbuf *e);
/* One sentence: is a difference found, and how large could one be that was not. */
const char *aa_sentence(const struct aa *a, char *buf, size_t len);
/* DIR/aa.csv, for plots/aa.gp. Nothing is written, and 0 returned, if there is nothing to say. */
int aa_write(const char *dir, struct errbuf *e);
/* `dcn aa DIR`: a table on stdout. 0: no difference found, 3: one is found, 1: it can't be told. */
int aa(const char *dir, bool json);

#endif
