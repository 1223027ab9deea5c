/* stackstats: what a stack's own statistics add to the metrics. */
#ifndef HARNESS_STACKSTATS_H
#define HARNESS_STACKSTATS_H

#include <jansson.h>

#include "harness/metrics.h"

/* Readings of stack_ops.stats at the start and the end of the window; `start` NULL: since the stack
 * began; `end` NULL: there are none, and the metrics say so. */
void stackstats_metrics(const json_t *start, const json_t *end, struct metrics *m);

#endif
