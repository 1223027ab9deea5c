/* run: `dcn run`: all cells of an experiment, block by block. */
#ifndef HARNESS_RUN_H
#define HARNESS_RUN_H

#include <stdbool.h>

struct run_options {
	const char *file;   /* experiment, or NULL with resume */
	const char *resume; /* results folder */
	const char *out;
	bool quick, strict, no_plot;
	char *const *sets;
	int nsets;
	const char *bin_dir;
};

/* Returns the exit status of DESIGN.md section 6. */
int run_experiment(const struct run_options *o);

#endif
