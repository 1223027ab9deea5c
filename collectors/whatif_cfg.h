/* whatif_cfg: the parameters of the model by name: command line, experiment file and results use
 * one table. Pure; any thread. */
#ifndef COLLECTORS_WHATIF_CFG_H
#define COLLECTORS_WHATIF_CFG_H

#include <stddef.h>

#include "collectors/whatif.h"

enum whatif_kind {
	WHATIF_SIZE,
	WHATIF_COUNT,
	WHATIF_TIME,
	WHATIF_RATE,
	WHATIF_PERCENT,
	WHATIF_WORD
};

struct whatif_param {
	const char *name;
	enum whatif_kind kind;
	size_t at; /* in struct whatif_cfg; PERCENT is a double, all others uint64_t */
	const char *def;
	const char *words; /* WORD: "for0 for1" */
	double min, max;
	const char *help;
};

extern const struct whatif_param whatif_params[];
extern const int whatif_params_n;

/* Index, or -1. */
int whatif_find(const char *name);
/* 0 or -EINVAL with "name = text: what to write instead". */
int whatif_set(struct whatif_cfg *c, int param, const char *text, struct errbuf *e);
/* As it is written in files: "20MiB", "40Gbit", "lifo". Returns buf. */
const char *whatif_text(const struct whatif_cfg *c, int param, char *buf, size_t len);
/* For an axis: bytes, counts, ns, bit/s. */
double whatif_number(const struct whatif_cfg *c, int param);

#endif
