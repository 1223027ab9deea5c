/* caption: the words around a figure: what was measured, where, and what differs from the paper. */
#ifndef HARNESS_CAPTION_H
#define HARNESS_CAPTION_H

#include <stdbool.h>

#include "harness/csv.h"
#include "harness/experiment.h"

#define CAPTION_LINES 6
#define CAPTION_WIDTH 176 /* characters that fit below a figure */

struct caption {
	char title[200], xlabel[64];
	char line[CAPTION_LINES][CAPTION_WIDTH + 2];
	int lines;
	char cpu_why[200];		   /* if there is no CPU figure */
	char mem_why[320];		   /* if there is no memory throughput */
	int repetitions, repetitions_most; /* valid runs of a point, least and most */
	int server_cpus;
};

void caption_make(struct caption *c, const char *dir, const struct experiment *x,
		  const struct csv *summary);
/* Does the page cache mean nothing to this stack? */
bool caption_uncached(const char *stack);

#endif
