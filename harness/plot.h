/* plot: figures of a results folder: SVG, PDF and PNG by gnuplot and plots/FIGURE.gp. */
#ifndef HARNESS_PLOT_H
#define HARNESS_PLOT_H

#include "base/errbuf.h"

/* Blocks for gnuplot. 0 or -errno with a sentence. */
int plot_dir(const char *dir, const char *bin_dir, struct errbuf *e);
/* Where plots/ is: $DCN_PLOTS, beside the build tree, or installed. buf 512 bytes; NULL if nowhere.
 */
const char *plot_scripts(const char *bin_dir, char *buf, int len);

#endif
