/* result: a finished run as the JSON object that dcn-load prints. */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include <jansson.h>

#include "workloads/load/run.h"

/* New reference. */
json_t *result_json(const struct run *r);

#endif
