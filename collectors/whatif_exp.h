/* whatif_exp: an experiment file of the model, and its cells.
 *
 * INI like every experiment file, but with sections of its own, because nothing is run:
 *
 *	[experiment]	title, notes; cross = AXIS, ...
 *	[whatif]	base values, names of whatif_cfg.h
 *	[sweep]		NAME = value, value, ...
 *	[run]		repetitions (each with its own seed), seed
 *	[quick]		section.key = value: what --quick overrides
 *
 * The axes named by `cross` are combined in full; around each combination the others vary one at a
 * time from the base. One owner; loading reads a file, the rest is pure.
 */
#ifndef COLLECTORS_WHATIF_EXP_H
#define COLLECTORS_WHATIF_EXP_H

#include <stdio.h>

#include "collectors/whatif_cfg.h"

#define WHATIF_AXES   16
#define WHATIF_VALUES 24
#define WHATIF_CELLS  4096
#define WHATIF_VALUE  24 /* longest text, with its NUL */

struct whatif_axis {
	int param, n;
	bool cross;
	char value[WHATIF_VALUES][WHATIF_VALUE];
};

struct whatif_exp {
	char path[256], title[160], notes[192], cross[192];
	bool quick;
	struct whatif_cfg base;
	struct whatif_axis axis[WHATIF_AXES];
	int axes;
	int repetitions;
	uint64_t seed;
};

struct whatif_cell {
	struct whatif_cfg cfg; /* not resolved: 0 still says "what follows" */
	int vary;	       /* axis that differs from the base; -1: none */
};

/* 0, or -ENOENT, -EINVAL with file, line and what to write instead. */
int whatif_exp_load(struct whatif_exp *x, const char *path, bool quick, struct errbuf *e);
/* A list "a, b, c" for an axis, made if it does not exist. */
int whatif_exp_axis(struct whatif_exp *x, const char *name, const char *list, struct errbuf *e);
/* Fills up to WHATIF_CELLS; returns how many, or -EINVAL, -E2BIG. */
int whatif_exp_cells(const struct whatif_exp *x, struct whatif_cell *out, struct errbuf *e);
/* As resolved; reads back as the same experiment. */
void whatif_exp_write(const struct whatif_exp *x, FILE *f);

#endif
