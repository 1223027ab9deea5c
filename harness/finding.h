/* finding: what doctor found out: a list of (group, name, verdict, sentence), and two ways to print
 * it. Plain memory, one owner.
 */
#ifndef HARNESS_FINDING_H
#define HARNESS_FINDING_H

#include <jansson.h>
#include <stdbool.h>

#define FINDINGS_MAX 192

enum finding_kind {
	FINDING_NO,   /* missing: the sentence says why, and what would fix it */
	FINDING_YES,  /* there */
	FINDING_FACT, /* neither good nor bad */
	FINDING_WARN, /* there, but results suffer: why, and what would fix it */
};

struct finding {
	const char *group; /* static */
	char name[40], text[480];
	enum finding_kind kind;
};

struct findings {
	struct finding f[FINDINGS_MAX];
	int n;
};

void findings_add(struct findings *l, const char *group, const char *name, enum finding_kind kind,
		  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* NULL if there is none. */
const struct finding *findings_find(const struct findings *l, const char *group, const char *name);
/* A table of at most `width` columns, sentences wrapped; and how many are missing. */
void findings_print(const struct findings *l, int width);
json_t *findings_json(const struct findings *l);

#endif
