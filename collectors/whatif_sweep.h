/* whatif_sweep: run all cells of an experiment of the model, write a results folder.
 *
 * The folder has the schema of measured ones (DESIGN.md section 7): experiment.exp, meta.json,
 * runs.csv, summary.csv; every row and meta.json say "simulated". plot/ holds what plots/whatif.gp
 * draws. Blocks: some tenths of a second a cell and repetition.
 */
#ifndef COLLECTORS_WHATIF_SWEEP_H
#define COLLECTORS_WHATIF_SWEEP_H

#include "collectors/whatif_exp.h"

/* `dir` must not exist, or be empty. 0 or -errno with a sentence. */
int whatif_sweep(const struct whatif_exp *x, const char *dir, struct errbuf *e);
/* whatif.{svg,pdf,png} by gnuplot, from the folder's plot/ and the script whatif.gp in `scripts`.
 */
int whatif_plot(const char *dir, const char *scripts, struct errbuf *e);

#endif
