/* setting: every key an experiment file may hold, in one const table.
 *
 * The parser, `dcn describe`, `--set`, `[sweep]` and the written-back experiment.exp all read this
 * table, so a new key is one line here and one use of its value. Pure, any thread.
 */
#ifndef HARNESS_SETTING_H
#define HARNESS_SETTING_H

#include "base/errbuf.h"

enum setting_kind {
	SETTING_TEXT,	  /* anything */
	SETTING_COUNT,	  /* whole number in [min, max] */
	SETTING_NUMBER,	  /* finite number in [min, max] */
	SETTING_PERCENT,  /* 0 to 100, "%" allowed */
	SETTING_SIZE,	  /* bytes in [min, max] */
	SETTING_DURATION, /* ns in [min, max] */
	SETTING_SPAN,	  /* one duration or two: 10ms..40ms */
	SETTING_RATE,	  /* bits per second; 0 = unlimited */
	SETTING_CHOICE,	  /* one of `words` */
	SETTING_WORDS,	  /* a list of `words` (any word if NULL) */
	SETTING_STACK,	  /* name or name:variant */
};

struct setting {
	const char *section, *key;
	enum setting_kind kind;
	const char *def; /* "" = not set */
	const char
		*words;	 /* choices, or further values allowed ("auto none"), separated by spaces */
	double min, max; /* in bytes, ns, or plain */
	const char *help;
};

#define SETTINGS_MAX 80

extern const struct setting settings[];
extern const int settings_n;

/* Index of section.key, or -1. */
int setting_find(const char *section, const char *key);
/* Index of "section.key", of "stack", or of a key name that only one section has; -1 if there is
 * none, -2 if several sections have it. */
int setting_find_name(const char *name);
/* 0, or -EINVAL and a sentence ("'5' has no unit; write for example 5s") without file and line. */
int setting_check(const struct setting *s, const char *text, struct errbuf *e);
/* The known name nearest to `wrong` by edit distance, among keys of `section` (sections if NULL,
 * all names that [sweep] takes if "sweep"); NULL if nothing is near. Static storage. */
const char *setting_nearest(const char *section, const char *wrong);
/* Levenshtein distance, computed on at most 63 bytes of each. */
int setting_distance(const char *a, const char *b);

#endif
