/* plot_ratio: see plot_ratio.h.
 *
 * One idea: within a block all cells met the same machine, so the ratio of two cells is known far
 * better than either of them: the mean of log(cell / atlas) over blocks has the interval that a
 * figure of variants must show. DESIGN.md section 8.
 */
#include "harness/plot_ratio.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/stats.h"

#define BLOCKS_MAX 1024

static const char *const metric[] = {"net_gbps", "cpu_s_per_gb", "host_cpu_s_per_gb",
				     "ttfb_ms_p99"};
#define METRICS (int)(sizeof metric / sizeof *metric)

int plot_ratio_open(struct plot_ratio *r, const char *dir, const struct csv *sum, struct errbuf *e)
{
	char path[512];

	memset(r, 0, sizeof *r);
	r->sum = sum;
	snprintf(path, sizeof path, "%s/runs.csv", dir);
	return csv_load(&r->runs, path, e);
}

void plot_ratio_close(struct plot_ratio *r)
{
	csv_free(&r->runs);
}

void plot_ratio_header(FILE *f)
{
	for (int i = 0; i < METRICS; i++)
		fprintf(f, ",ratio_%s,ratio_%s_lo,ratio_%s_hi", metric[i], metric[i], metric[i]);
}

/* The row of the reference stack at the point of `row`; -1: there is none. */
static int reference(const struct csv *s, int row)
{
	int cell = csv_column(s, "cell"), stack = csv_column(s, "stack");

	for (int i = 0; i < s->rows && stack >= 0; i++) {
		bool same = !strcmp(csv_text(s, i, stack), RATIO_REFERENCE);

		for (int col = 0; col < cell && same; col++)
			same = col == stack || !strcmp(s->name[col], "cache_ratio") ||
			       !strcmp(csv_text(s, i, col), csv_text(s, row, col));
		if (same)
			return i;
	}
	return -1;
}

/* Values of a cell's valid run in a block. */
static double value(const struct csv *runs, const char *cell, const char *block, const char *name)
{
	int ccol = csv_column(runs, "cell"), bcol = csv_column(runs, "repetition");
	int vcol = csv_column(runs, "valid");

	for (int i = 0; i < runs->rows; i++)
		if (!strcmp(csv_text(runs, i, ccol), cell) &&
		    !strcmp(csv_text(runs, i, bcol), block))
			return csv_number(runs, i, vcol) == 1
				       ? csv_number(runs, i, csv_column(runs, name))
				       : NAN;
	return NAN;
}

static void put(FILE *f, double v)
{
	if (isfinite(v))
		fprintf(f, ",%.6g", v);
	else
		fputs(",NaN", f);
}

static void put_one(const struct plot_ratio *r, FILE *f, const char *ref, const char *cell,
		    const char *name)
{
	int ccol = csv_column(&r->runs, "cell"), bcol = csv_column(&r->runs, "repetition"), n = 0;
	struct stats_ratio q = {.ratio = NAN, .lo = NAN, .hi = NAN};
	static double a[BLOCKS_MAX], b[BLOCKS_MAX];

	for (int i = 0; i < r->runs.rows && n < BLOCKS_MAX; i++) {
		if (strcmp(csv_text(&r->runs, i, ccol), ref))
			continue;
		a[n] = value(&r->runs, ref, csv_text(&r->runs, i, bcol), name);
		b[n++] = value(&r->runs, cell, csv_text(&r->runs, i, bcol), name);
	}
	if (stats_paired_ratio(a, b, n, &q) < 1)
		q = (struct stats_ratio){.ratio = NAN, .lo = NAN, .hi = NAN};
	put(f, q.ratio);
	put(f, q.lo);
	put(f, q.hi);
}

void plot_ratio_row(const struct plot_ratio *r, FILE *f, int row)
{
	int cell = csv_column(r->sum, "cell"), ref = reference(r->sum, row);

	for (int i = 0; i < METRICS; i++)
		if (ref < 0 || ref == row)
			fputs(",NaN,NaN,NaN", f);
		else
			put_one(r, f, csv_text(r->sum, ref, cell), csv_text(r->sum, row, cell),
				metric[i]);
}
