/* doctor: `dcn doctor`: what this machine can measure, and for what it can't: why, and the fix. */
#ifndef HARNESS_DOCTOR_H
#define HARNESS_DOCTOR_H

#include <stdbool.h>

/* Prints to stdout, as a table or as JSON. Exit status: 0 also when things are missing. */
int doctor(const char *bin_dir, bool json);

#endif
