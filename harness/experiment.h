/* experiment: an experiment file, checked and resolved.
 *
 * INI by libinih (DESIGN.md section 5). What comes out is complete: every key of harness/setting.h
 * has a text that passed its check, every swept key is an axis with its values, and whatever was
 * wrong has been refused with file, line and what to write instead. experiment_write() gives a file
 * that reads back as the same experiment (without [quick]: it has been applied, or not).
 *
 * One owner, no threads. Loading reads a file; the rest is pure.
 */
#ifndef HARNESS_EXPERIMENT_H
#define HARNESS_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/errbuf.h"
#include "harness/setting.h"

#define EXPERIMENT_TEXT 192 /* longest value, with its NUL */
#define EXPERIMENT_AXES 8
#define AXIS_VALUES	128
#define AXIS_TEXT	48

/* Where a text came from, if not from a line of the file. */
#define EXPERIMENT_DEFAULT 0
#define EXPERIMENT_CMDLINE (-1)

struct experiment_value {
	char text[EXPERIMENT_TEXT];
	int line; /* of the file, or one of the two above */
};

struct experiment_axis {
	int setting; /* index into settings[] */
	int line, n;
	char text[EXPERIMENT_TEXT];	    /* as written: 2000..16000 step 2000 */
	char value[AXIS_VALUES][AXIS_TEXT]; /* expanded */
};

struct experiment {
	char path[256];
	bool quick;
	struct experiment_value v[SETTINGS_MAX];
	struct experiment_axis axis[EXPERIMENT_AXES];
	int axes;
};

/* Read, override (`sets`: "section.key=value"), check. 0, or -ENOENT, -EINVAL, -ENOMEM. */
int experiment_load(struct experiment *x, const char *path, bool quick, char *const *sets,
		    int nsets, struct errbuf *e);
/* The same from text in memory; `path` only names it in sentences. */
int experiment_parse(struct experiment *x, const char *text, const char *path, bool quick,
		     char *const *sets, int nsets, struct errbuf *e);
void experiment_write(const struct experiment *x, FILE *f);

/* Change a value after loading ("auto" into what it means here). -EINVAL with a sentence. */
int experiment_resolve(struct experiment *x, const char *name, const char *text, struct errbuf *e);

/* Unswept text of "section.key"; the name must exist. */
const char *experiment_text(const struct experiment *x, const char *name);
/* The axis of a setting, or NULL. */
const struct experiment_axis *experiment_axis_of(const struct experiment *x, int setting);

/* Expand "a, b, 2..8 step 2, 1..64 x2" into axis->value. Ranges for counts, percentages and sizes.
 */
int axis_expand(struct experiment_axis *axis, const struct setting *s, struct errbuf *e);

#endif
