/* meta: what meta.json says besides reasons and warnings: machine, versions, settings, seeds. */
#ifndef HARNESS_META_H
#define HARNESS_META_H

#include "harness/bench.h"
#include "harness/results.h"

/* Fill the fixed part at the start of a run. */
void meta_begin(struct results *r, const struct bench *b, const struct cell *cells, int n);
/* What only the end knows. */
void meta_end(struct results *r, int done, int planned, const char *ended);

#endif
