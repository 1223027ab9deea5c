/* compare: `dcn compare`: metric by metric, B over A, paired within blocks. */
#ifndef HARNESS_COMPARE_H
#define HARNESS_COMPARE_H

#include <stdbool.h>

struct compare_options {
	const char *dir_a, *dir_b;     /* results folders; may be the same with stacks given */
	const char *stack_a, *stack_b; /* NULL: each stack with itself */
	const char *key;	       /* whose values these are; NULL: stack */
	const char *metrics;	       /* "net_gbps,cpu_s_per_gb"; NULL: the usual ones */
	bool json;
};

/* Exit status: 0, or 1 when nothing can be compared. */
int compare(const struct compare_options *o);

#endif
