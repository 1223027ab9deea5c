/* report: `dcn report`: one self-contained report.html of a results folder. */
#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include "base/errbuf.h"

/* Writes DIR/report.html from summary.csv, meta.json and the SVG figure. 0 or -errno. */
int report_write(const char *dir, struct errbuf *e);

#endif
