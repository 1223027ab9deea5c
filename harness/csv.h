/* csv: read the results files back (RFC 4180: quotes, doubled quotes; one header line). */
#ifndef HARNESS_CSV_H
#define HARNESS_CSV_H

#include <stdio.h>

#include "base/errbuf.h"

struct csv {
	char *text;   /* owns all fields */
	char **field; /* rows * cols, row 0 is the first after the header */
	char **name;  /* cols */
	int rows, cols;
};

/* 0, or -ENOENT, -EINVAL (a row with another number of fields; an unfinished last line is dropped
 * silently: the run was killed there). */
int csv_load(struct csv *c, const char *path, struct errbuf *e);
int csv_parse(struct csv *c, char *text, const char *path, struct errbuf *e); /* takes text over */
void csv_free(struct csv *c);
int csv_column(const struct csv *c, const char *name);	     /* -1 if there is none */
const char *csv_text(const struct csv *c, int row, int col); /* "" if col is -1 */
double csv_number(const struct csv *c, int row, int col);    /* NAN if empty or no number */
/* Write one field, quoted if it must be. */
void csv_put(FILE *f, const char *text);

#endif
