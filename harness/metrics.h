/* metrics: what one run measured: name -> value, or name -> why there is none.
 *
 * Names carry their unit (DESIGN.md section 7). The table of the driver's own columns, with units
 * and meaning, is here too. Plain memory, one owner.
 */
#ifndef HARNESS_METRICS_H
#define HARNESS_METRICS_H

#include <stdbool.h>

#define METRICS_MAX 256

struct metric {
	char name[48];
	double value;
	bool has;
	char why[320]; /* if !has */
};

struct metrics {
	struct metric m[METRICS_MAX];
	int n;
};

void metrics_set(struct metrics *m, const char *name,
		 double value); /* NAN: missing, "not a number" */
void metrics_missing(struct metrics *m, const char *name, const char *why);
const struct metric *metrics_find(const struct metrics *m, const char *name);
double metrics_get(const struct metrics *m, const char *name); /* NAN if missing */

struct metric_info {
	const char *name, *unit, *text;
};

/* The columns of runs.csv in their order; ends with a NULL name. */
extern const struct metric_info metric_columns[];
/* The same where the load is iowindow. */
extern const struct metric_info metric_io_columns[];
const struct metric_info *metric_info(const char *name); /* NULL if not in the table */
/* Is it one that only a stack's own statistics can give? */
bool metric_from_stack(const char *name);

#endif
