/* caption: the words around a figure: what was measured, where, and what differs from the paper. */
#ifndef HARNESS_CAPTION_H
#define HARNESS_CAPTION_H

#include <stdbool.h>

#include "harness/csv.h"
#include "harness/experiment.h"

struct caption {
	char title[200], xlabel[64], line[3][240];
	int repetitions, server_cpus;
};

void caption_make(struct caption *c, const char *dir, const struct experiment *x,
		  const struct csv *summary);
/* Does the page cache mean nothing to this stack? */
bool caption_uncached(const char *stack);

#endif
