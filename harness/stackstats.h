/* stackstats: what a stack's own statistics add to the metrics. */
#ifndef HARNESS_STACKSTATS_H
#define HARNESS_STACKSTATS_H

#include <jansson.h>

#include "harness/metrics.h"

/* `stats` as of stack_ops.stats; NULL adds nothing. */
void stackstats_metrics(const json_t *stats, struct metrics *m);

#endif
