/* whatif_out: a result as named metrics (units in the names) and as JSON. Everything says
 * "simulated". */
#ifndef COLLECTORS_WHATIF_OUT_H
#define COLLECTORS_WHATIF_OUT_H

#include <jansson.h>

#include "collectors/whatif_cfg.h"

struct whatif_metric {
	const char *name, *unit, *text;
	double (*get)(const struct whatif_result *r); /* NAN: does not exist */
};

extern const struct whatif_metric whatif_metrics[];
extern const int whatif_metrics_n;

/* A new reference; `trace` names the trace, NULL for the model. NULL: out of memory. */
json_t *whatif_json(const struct whatif_cfg *c, const struct whatif_result *r, const char *trace);

#endif
