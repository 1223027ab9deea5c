/* sweep: the cells of an experiment and the order they run in.
 *
 * A cell is one point of the product of all axes. A stack that does not use the page cache is
 * measured once per point: its cells of different cache ratio fall together into one, shown with
 * ratio 0. Pure; the caller owns the array.
 */
#ifndef HARNESS_SWEEP_H
#define HARNESS_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/experiment.h"

#define CELLS_MAX 4096

struct cell {
	int index;		       /* position in the product, from 0: the number in results */
	short choice[EXPERIMENT_AXES]; /* index of the axis's value */
	bool uncached;		       /* its cache ratio means nothing */
};

/* Fills at most CELLS_MAX cells; returns how many, or -E2BIG. `caches` may be NULL (all do). */
int sweep_cells(const struct experiment *x, bool (*caches)(const char *stack), struct cell *out,
		struct errbuf *e);
/* What the cell has for "section.key". */
const char *cell_text(const struct experiment *x, const struct cell *c, const char *name);
const char *cell_setting(const struct experiment *x, const struct cell *c, int setting);
/* The same as numbers; 0 if it has none ("" or "auto"). */
uint64_t cell_count(const struct experiment *x, const struct cell *c, const char *name);
uint64_t cell_size(const struct experiment *x, const struct cell *c, const char *name);
uint64_t cell_ns(const struct experiment *x, const struct cell *c, const char *name);
double cell_number(const struct experiment *x, const struct cell *c, const char *name);
bool cell_on(const struct experiment *x, const struct cell *c, const char *name);
/* "nginx:aio tls=on cache_ratio=0 connections=512 ...": what people read. Returns buf. */
const char *cell_label(const struct experiment *x, const struct cell *c, char *buf, int len);

/* The columns that say which cell a row is: stack, tls, cache_ratio, connections (the stack alone
 * if the load is iowindow), then every other swept key. Fills settings' indices, returns how many.
 */
int sweep_columns(const struct experiment *x, int out[4 + EXPERIMENT_AXES]);
/* Column name of a setting: "stack", "connections", ... */
const char *sweep_column_name(int setting);

/* Order of block `block` (from 0): a seeded permutation of 0..n-1 (Fisher-Yates). */
void sweep_order(uint64_t seed, int block, int *order, int n);

#endif
