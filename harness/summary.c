/* summary: summary.csv from runs.csv: one row a cell, mean and 95 % half-width over its valid
 * repetitions; and aa.csv, where a stack was compared with itself (aa.h).
 *
 * One idea: it is a function of runs.csv alone, so it can be made again at any time, also from a
 * run that was interrupted. Columns between "repetition" and "valid" say which cell; those after
 * "wall_s" up to "why" are metrics.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/stats.h"
#include "harness/aa.h"
#include "harness/csv.h"
#include "harness/results.h"

static int same(const struct csv *c, int a, int b, int col)
{
	return !strcmp(csv_text(c, a, col), csv_text(c, b, col));
}

/* The bound that most of the cell's valid runs had. */
static const char *usual_bound(const struct csv *c, int cell_col, int row, int valid, int bound)
{
	const char *best = "";
	int most = 0;

	for (int i = 0; i < c->rows; i++) {
		int n = 0;

		if (!same(c, i, row, cell_col) || csv_number(c, i, valid) != 1)
			continue;
		for (int k = 0; k < c->rows; k++)
			n += same(c, k, row, cell_col) && csv_number(c, k, valid) == 1 &&
			     same(c, i, k, bound);
		if (n > most) {
			most = n;
			best = csv_text(c, i, bound);
		}
	}
	return best;
}

static void put_metric(FILE *f, const struct csv *c, int row, int col, double *v, int valid)
{
	int cell_col = csv_column(c, "cell"), n = 0;
	double ci;

	for (int i = 0; i < c->rows; i++) {
		double x = csv_number(c, i, col);

		if (same(c, i, row, cell_col) && csv_number(c, i, valid) == 1 && isfinite(x))
			v[n++] = x;
	}
	ci = stats_ci95(v, n);
	if (n)
		fprintf(f, ",%.9g,", stats_mean(v, n));
	else
		fputs(",,", f);
	if (isfinite(ci))
		fprintf(f, "%.6g", ci);
}

/* First row of the cell that follows the one of `row` (-1: of the first cell); -1 if none. */
static int next_cell(const struct csv *c, int cell, int row)
{
	double after = row < 0 ? -1 : csv_number(c, row, cell);
	int best = -1;

	for (int i = 0; i < c->rows; i++) {
		double v = csv_number(c, i, cell);

		if (v > after && (best < 0 || v < csv_number(c, best, cell)))
			best = i;
	}
	return best;
}

static void write_rows(FILE *f, const struct csv *c, double *v)
{
	int cell = csv_column(c, "cell"), rep = csv_column(c, "repetition");
	int valid = csv_column(c, "valid"), bound = csv_column(c, "bound");
	int first = csv_column(c, "wall_s") + 1, why = csv_column(c, "why");

	for (int col = rep + 1; col < valid; col++)
		fprintf(f, "%s,", c->name[col]);
	fputs("cell,n,runs,bound", f);
	for (int col = first; col < why; col++)
		fprintf(f, ",%s,%s_ci95", c->name[col], c->name[col]);
	fputc('\n', f);
	/* Cells in the order of the experiment, whatever order they ran in. */
	for (int row = next_cell(c, cell, -1); row >= 0; row = next_cell(c, cell, row)) {
		int n = 0, runs = 0;

		for (int i = 0; i < c->rows; i++) {
			runs += same(c, i, row, cell);
			n += same(c, i, row, cell) && csv_number(c, i, valid) == 1;
		}
		for (int col = rep + 1; col < valid; col++) {
			csv_put(f, csv_text(c, row, col));
			fputc(',', f);
		}
		fprintf(f, "%s,%d,%d,%s", csv_text(c, row, cell), n, runs,
			usual_bound(c, cell, row, valid, bound));
		for (int col = first; col < why; col++)
			put_metric(f, c, row, col, v, valid);
		fputc('\n', f);
	}
}

int summary_write(const char *dir, struct errbuf *e)
{
	char path[512], tmp[512];
	struct csv c;
	double *v;
	FILE *f;
	int err;

	snprintf(path, sizeof path, "%s/runs.csv", dir);
	err = csv_load(&c, path, e);
	if (err)
		return err;
	if (csv_column(&c, "wall_s") < 0 || csv_column(&c, "why") < 0 ||
	    csv_column(&c, "valid") < 0) {
		csv_free(&c);
		return errf(e, -EINVAL, "%s: not a runs.csv of dcn", path);
	}
	snprintf(path, sizeof path, "%s/summary.csv", dir);
	snprintf(tmp, sizeof tmp, "%s/.summary.csv", dir);
	v = calloc((size_t)c.rows + 1, sizeof *v);
	f = v ? fopen(tmp, "w") : NULL;
	if (f) {
		write_rows(f, &c, v);
		err = fclose(f) || rename(tmp, path) ? -errno : 0;
	} else {
		err = -errno;
	}
	free(v);
	csv_free(&c);
	return err ? errf(e, err, "%s: %s", path, strerror(-err)) : aa_write(dir, e);
}
