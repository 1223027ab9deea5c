/* aa: see aa.h.
 *
 * One idea: within a block all cells met the same machine. For each block and each point the mean
 * of log(metric) over one side's cells is compared with the other's, so that a block gives one
 * pair, whatever else was swept; the pairs have a t interval (base/stats.h). There are many lines,
 * so the decision takes Holm's correction: with a dozen comparisons of a thing with itself, half of
 * all experiments would show "a difference" at 5 % otherwise.
 *
 * Limits: a block in which a run of the point is invalid is left out. DESIGN.md section 8.
 */
#include "harness/aa.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "harness/csv.h"

#define BLOCKS_MAX  1024
#define COLUMNS_MAX 32 /* of keys */
#define LEVEL	    0.05

static const char *const metrics[] = {"net_gbps", "latency_ms_p50", "latency_ms_p99",
				      "cpu_s_per_gb", "host_cpu_s_per_gb"};
#define METRICS (int)(sizeof metrics / sizeof *metrics)

static const char *const keys[] = {"twin", "active"};

struct table {
	struct csv c;
	int cell, block, valid;
	int key[2]; /* columns; -1: not swept */
};

static bool is_key(const struct table *t, int col)
{
	return col == t->key[0] || col == t->key[1];
}

/* The same point but for twins and collectors? */
static bool same_point(const struct table *t, int a, int b)
{
	for (int col = t->block + 1; col < t->valid; col++)
		if (!is_key(t, col) && strcmp(csv_text(&t->c, a, col), csv_text(&t->c, b, col)))
			return false;
	return true;
}

static bool first_of_point(const struct table *t, int row)
{
	for (int i = 0; i < row; i++)
		if (same_point(t, i, row))
			return false;
	return true;
}

/* Is there a row that the keys named so far don't tell from this one, but this key does? */
static bool tells_apart(const struct table *t, int row, const bool *named, int col)
{
	for (int i = 0; i < t->c.rows; i++) {
		bool same = true;

		for (int k = t->block + 1; k < col && same; k++)
			same = !named[k] || !strcmp(csv_text(&t->c, i, k), csv_text(&t->c, row, k));
		if (same && strcmp(csv_text(&t->c, i, col), csv_text(&t->c, row, col)) != 0)
			return true;
	}
	return false;
}

/* The stack, and what more it takes to tell the point from the others. */
static void name_point(const struct table *t, int row, char *buf, size_t len)
{
	bool named[COLUMNS_MAX] = {false};
	size_t at = 0;

	buf[0] = 0;
	for (int col = t->block + 1; col < t->valid && col < COLUMNS_MAX && at < len; col++) {
		const char *name = t->c.name[col];
		bool stack = !strcmp(name, "stack");

		named[col] = stack || (!is_key(t, col) && tells_apart(t, row, named, col));
		if (named[col])
			at += (size_t)snprintf(buf + at, len - at, "%s%s%s%s", at ? " " : "",
					       stack ? "" : name, stack ? "" : "=",
					       csv_text(&t->c, row, col));
	}
}

/* Which side of the key is this row on? A is "off", or the smaller number. */
static bool on_side_b(const struct table *t, int key, int row)
{
	const char *v = csv_text(&t->c, row, t->key[key]);

	return key ? !strcmp(v, "on") : strcmp(v, "1") != 0;
}

/* Mean logarithms of both sides in a block; false if anything of it is missing. */
static bool pair(const struct table *t, int key, int row, const char *block, int col, double *a,
		 double *b)
{
	double sum[2] = {0, 0};
	int n[2] = {0, 0};

	for (int i = 0; i < t->c.rows; i++) {
		double v = csv_number(&t->c, i, col);
		int side = on_side_b(t, key, i);

		if (strcmp(csv_text(&t->c, i, t->block), block) || !same_point(t, i, row))
			continue;
		if (csv_number(&t->c, i, t->valid) != 1 || !(v > 0))
			return false;
		sum[side] += log(v);
		n[side]++;
	}
	if (!n[0] || n[0] != n[1])
		return false;
	*a = exp(sum[0] / n[0]);
	*b = exp(sum[1] / n[1]);
	return true;
}

static bool first_of_block(const struct table *t, int row, int point)
{
	for (int i = 0; i < row; i++)
		if (same_point(t, i, point) &&
		    !strcmp(csv_text(&t->c, i, t->block), csv_text(&t->c, row, t->block)))
			return false;
	return same_point(t, row, point);
}

static void one_line(struct aa *out, const struct table *t, int key, int row, int metric)
{
	static double a[BLOCKS_MAX], b[BLOCKS_MAX];
	struct aa_line *l = &out->line[out->n];
	int n = 0;

	if (out->n == AA_LINES)
		return;
	for (int i = 0; i < t->c.rows && n < BLOCKS_MAX; i++)
		if (first_of_block(t, i, row))
			n += pair(t, key, row, csv_text(&t->c, i, t->block),
				  csv_column(&t->c, metrics[metric]), &a[n], &b[n]);
	if (!n)
		return;
	stats_paired_ratio(a, b, n, &l->r);
	l->key = keys[key];
	l->metric = metrics[metric];
	l->p_holm = NAN;
	l->differs = false;
	name_point(t, row, l->point, sizeof l->point);
	out->n++;
}

/* Step down from the smallest p: the k-th of m is multiplied by m - k + 1. */
static void holm(struct aa *a)
{
	int m = 0, rank = 0;
	double floor = 0;

	for (int i = 0; i < a->n; i++)
		m += isfinite(a->line[i].r.p);
	for (; rank < m; rank++) {
		struct aa_line *least = NULL;

		for (int i = 0; i < a->n; i++)
			if (isfinite(a->line[i].r.p) && isnan(a->line[i].p_holm) &&
			    (!least || a->line[i].r.p < least->r.p))
				least = &a->line[i];
		if (!least)
			return;
		floor = fmax(floor, fmin(1, least->r.p * (m - rank)));
		least->p_holm = floor;
		least->differs = floor < LEVEL;
		a->found += least->differs;
	}
}

/* Over all valid runs that had collectors. */
static void collectors_cpu(struct aa *a, const struct table *t)
{
	int col = csv_column(&t->c, "collect_cpu_pct"), n = 0;
	double *v = calloc((size_t)t->c.rows + 1, sizeof *v);

	a->cpu_pct = a->cpu_ci = a->cpu_max = NAN;
	for (int i = 0; v && col >= 0 && i < t->c.rows; i++) {
		double x = csv_number(&t->c, i, col);

		if (!isfinite(x) || csv_number(&t->c, i, t->valid) != 1 ||
		    (t->key[1] >= 0 && !on_side_b(t, 1, i)))
			continue;
		v[n++] = x;
		a->cpu_max = isnan(a->cpu_max) || x > a->cpu_max ? x : a->cpu_max;
	}
	if (n) {
		a->cpu_pct = stats_mean(v, n);
		a->cpu_ci = stats_ci95(v, n);
	}
	free(v);
}

int aa_read(struct aa *a, const char *dir, struct errbuf *e)
{
	struct table t;
	char path[512];
	int err;

	memset(a, 0, sizeof *a);
	snprintf(path, sizeof path, "%s/runs.csv", dir);
	err = csv_load(&t.c, path, e);
	if (err)
		return err;
	t.cell = csv_column(&t.c, "cell");
	t.block = csv_column(&t.c, "repetition");
	t.valid = csv_column(&t.c, "valid");
	for (int k = 0; k < 2; k++)
		t.key[k] = csv_column(&t.c, keys[k]);
	if (t.cell < 0 || t.block < 0 || t.valid < 0) {
		csv_free(&t.c);
		return errf(e, -EINVAL, "%s: not a runs.csv of dcn", path);
	}
	for (int k = 0; k < 2; k++)
		for (int row = 0; row < t.c.rows && t.key[k] >= 0; row++)
			for (int m = 0; first_of_point(&t, row) && m < METRICS; m++)
				one_line(a, &t, k, row, m);
	holm(a);
	collectors_cpu(a, &t);
	csv_free(&t.c);
	return a->n;
}

const char *aa_sentence(const struct aa *a, char *buf, size_t len)
{
	double least = 1;
	int told = 0;

	for (int i = 0; i < a->n; i++) {
		told += isfinite(a->line[i].p_holm);
		if (isfinite(a->line[i].r.lo)) {
			least = fmin(least, a->line[i].r.lo);
			least = fmin(least, 1 / a->line[i].r.hi);
		}
	}
	if (!told)
		snprintf(buf, len, "Nothing can be said: two blocks or more are needed.");
	else if (a->found)
		snprintf(buf, len, "A DIFFERENCE IS FOUND in %d of %d comparisons.", a->found,
			 a->n);
	else
		snprintf(buf, len,
			 "No difference is found in %d comparisons; the widest interval reaches "
			 "%.1f %%.",
			 a->n, 100 * (1 / least - 1));
	return buf;
}

int aa_write(const char *dir, struct errbuf *e)
{
	struct aa *a = calloc(1, sizeof *a);
	int n = a ? aa_read(a, dir, e) : errf(e, -ENOMEM, "out of memory");
	char path[512], text[160];
	FILE *f;

	if (n <= 0) {
		free(a);
		return n;
	}
	snprintf(path, sizeof path, "%s/aa.csv", dir);
	f = fopen(path, "w");
	if (!f) {
		free(a);
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	}
	fprintf(f, "# %s\n# ", aa_sentence(a, text, sizeof text));
	if (isfinite(a->cpu_pct))
		fprintf(f, "The collectors used %.2f %% of one core (most: %.2f %%).", a->cpu_pct,
			a->cpu_max);
	fprintf(f, "\nkey,metric,point,blocks,ratio,lo,hi,p,p_holm,differs\n");
	for (int i = 0; i < n; i++) {
		const struct aa_line *l = &a->line[i];

		fprintf(f, "%s,%s,", l->key, l->metric);
		csv_put(f, l->point);
		fprintf(f, ",%d,%.6g,%.6g,%.6g,%.4g,%.4g,%d\n", l->r.n, l->r.ratio, l->r.lo,
			l->r.hi, l->r.p, l->p_holm, l->differs);
	}
	free(a);
	return fclose(f) ? errf(e, -errno, "%s: %s", path, strerror(errno)) : 0;
}

static void print_json(const struct aa *a)
{
	json_t *list = json_array(), *o;
	char text[160];

	for (int i = 0; i < a->n; i++) {
		const struct aa_line *l = &a->line[i];

		o = json_pack("{s:s, s:s, s:s, s:i, s:f, s:b}", "key", l->key, "metric", l->metric,
			      "point", l->point, "blocks", l->r.n, "ratio", l->r.ratio, "differs",
			      l->differs);
		if (isfinite(l->r.lo)) {
			json_object_set_new(o, "lo", json_real(l->r.lo));
			json_object_set_new(o, "hi", json_real(l->r.hi));
			json_object_set_new(o, "p", json_real(l->r.p));
			json_object_set_new(o, "p_holm", json_real(l->p_holm));
		}
		json_array_append_new(list, o);
	}
	o = json_pack("{s:o, s:s}", "comparisons", list, "says", aa_sentence(a, text, sizeof text));
	if (isfinite(a->cpu_pct))
		json_object_set_new(o, "collect_cpu_pct", json_real(a->cpu_pct));
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(o);
}

static void print_lines(const struct aa *a, const char *key, const char *title)
{
	bool any = false;

	for (int i = 0; i < a->n; i++) {
		const struct aa_line *l = &a->line[i];

		if (strcmp(l->key, key))
			continue;
		if (!any)
			printf("%s\n  %-24s %-18s %6s %7s  %-16s %6s\n", title, "point", "metric",
			       "blocks", "ratio", "95 % interval", "p");
		any = true;
		printf("  %-24s %-18s %6d %7.3f  ", l->point, l->metric, l->r.n, l->r.ratio);
		if (isfinite(l->p_holm))
			printf("[%.3f, %.3f]  %7.3f%s\n", l->r.lo, l->r.hi, l->p_holm,
			       l->differs ? "  DIFFERS" : "");
		else
			printf("too few blocks\n");
	}
	if (any)
		putchar('\n');
}

static void print_table(const struct aa *a)
{
	char text[160];

	print_lines(a, "twin", "A stack against itself: second twin / first");
	print_lines(a, "active", "With collectors / without");
	printf("%s\n(p: corrected for all comparisons, by Holm; a difference is p < %.2f)\n",
	       aa_sentence(a, text, sizeof text), LEVEL);
	if (isfinite(a->cpu_pct)) {
		printf("The collectors used %.2f %% of one core", a->cpu_pct);
		if (isfinite(a->cpu_ci))
			printf(" (+- %.2f, most: %.2f)", a->cpu_ci, a->cpu_max);
		printf(", without programs they start.\n");
	}
}

int aa(const char *dir, bool json)
{
	struct aa *a = calloc(1, sizeof *a);
	struct errbuf e = {"out of memory"};
	int n = a ? aa_read(a, dir, &e) : -ENOMEM, status = 1;

	if (n < 0)
		log_err("%s", e.s);
	else if (!n)
		log_err("%s sweeps neither run.twin nor collect.active: run workloads/aa.exp", dir);
	else if (json)
		print_json(a);
	else
		print_table(a);
	if (n > 0)
		status = a->found ? 3 : 0;
	free(a);
	return status;
}
