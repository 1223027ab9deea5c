/* doctor: `dcn doctor`: what this machine can measure, and for what it can't: why, and the fix. */
#ifndef HARNESS_DOCTOR_H
#define HARNESS_DOCTOR_H

#include <stdbool.h>

#include "harness/finding.h"

/* Prints to stdout, as a table or as JSON. Exit status: 0 also when things are missing. */
int doctor(const char *bin_dir, bool json);

/* Parts of it. `dir`: where content is or would be. */
void doctor_storage(struct findings *l, const char *dir);
void doctor_network(struct findings *l);

#endif
