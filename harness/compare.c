/* compare: ratios with confidence intervals between two folders, or two stacks of one folder.
 *
 * One idea: run i of a cell in A is paired with run i in B (the same block, the same request seed),
 * and the mean of log(b / a) is what has a t interval. The effect is stated before the p-value. A
 * stack without page cache meets a stock server's cell of every cache ratio. DESIGN.md section 8.
 */
#include "harness/compare.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/stats.h"
#include "harness/csv.h"
#include "harness/registry.h"

#define PAIRS_MAX 1024

struct side {
	struct csv c;
	const char *stack; /* value of `key`; NULL = any */
	const char *key;   /* "stack", or another swept one */
	int cell, rep, valid;
};

static int open_side(struct side *s, const char *dir, const char *stack, struct errbuf *e)
{
	char path[512];
	int err;

	snprintf(path, sizeof path, "%s/runs.csv", dir);
	err = csv_load(&s->c, path, e);
	if (err)
		return err;
	s->stack = stack;
	s->cell = csv_column(&s->c, "cell");
	s->rep = csv_column(&s->c, "repetition");
	s->valid = csv_column(&s->c, "valid");
	if (s->cell < 0 || s->rep < 0 || s->valid < 0)
		return errf(e, -EINVAL, "%s: not a runs.csv of dcn", path);
	for (int i = 0; stack && i < s->c.rows; i++)
		if (!strcmp(csv_text(&s->c, i, csv_column(&s->c, s->key)), stack))
			return 0;
	return stack ? errf(e, -ENOENT, "%s: no run with %s = %s", path, s->key, stack) : 0;
}

static const char *get(const struct side *s, int row, const char *col)
{
	return csv_text(&s->c, row, csv_column(&s->c, col));
}

static bool wanted(const struct side *s, int row)
{
	return !s->stack || !strcmp(get(s, row, s->key), s->stack);
}

/* The same point but for the stack that was asked for, and for ratios that mean nothing. */
static bool same_point(const struct side *a, int ra, const struct side *b, int rb)
{
	bool free_ratio = a->stack && !strcmp(a->key, "stack") &&
			  (!registry_caches(a->stack) || !registry_caches(b->stack));

	for (int col = a->rep + 1; col < a->valid; col++) {
		const char *name = a->c.name[col];

		if ((a->stack && !strcmp(name, a->key)) ||
		    (free_ratio && !strcmp(name, "cache_ratio")))
			continue;
		if (csv_column(&b->c, name) < 0 ||
		    strcmp(csv_text(&a->c, ra, col), get(b, rb, name)))
			return false;
	}
	return true;
}

static int pairs(const struct side *a, int ra, const struct side *b, int rb, const char *metric,
		 double *va, double *vb)
{
	int ca = csv_column(&a->c, metric), cb = csv_column(&b->c, metric), n = 0;

	for (int i = 0; i < a->c.rows; i++)
		for (int k = 0; k < b->c.rows && n < PAIRS_MAX; k++) {
			if (strcmp(csv_text(&a->c, i, a->cell), csv_text(&a->c, ra, a->cell)) ||
			    strcmp(csv_text(&b->c, k, b->cell), csv_text(&b->c, rb, b->cell)) ||
			    strcmp(csv_text(&a->c, i, a->rep), csv_text(&b->c, k, b->rep)) ||
			    csv_number(&a->c, i, a->valid) != 1 ||
			    csv_number(&b->c, k, b->valid) != 1)
				continue;
			va[n] = csv_number(&a->c, i, ca);
			vb[n++] = csv_number(&b->c, k, cb);
		}
	return n;
}

static void name_point(const struct side *b, int row, char *buf, size_t len)
{
	size_t at = 0;

	buf[0] = 0;
	for (int col = b->rep + 1; col < b->valid && at < len; col++)
		if (!b->stack || strcmp(b->c.name[col], b->key))
			at += (size_t)snprintf(buf + at, len - at, "%s%s=%s", at ? " " : "",
					       b->c.name[col], csv_text(&b->c, row, col));
}

static void print_one(const char *metric, const char *point, const struct stats_ratio *r,
		      json_t *list)
{
	const char *says = !isfinite(r->lo) ? "one pair only"
			   : r->lo > 1	    ? "B is higher"
			   : r->hi < 1	    ? "B is lower"
					    : "no difference shown";

	if (list) {
		json_t *o = json_pack("{s:s, s:s, s:i, s:f, s:s}", "metric", metric, "point", point,
				      "pairs", r->n, "ratio", r->ratio, "says", says);

		if (o && isfinite(r->lo)) {
			json_object_set_new(o, "lo", json_real(r->lo));
			json_object_set_new(o, "hi", json_real(r->hi));
			json_object_set_new(o, "p", json_real(r->p));
		}
		json_array_append_new(list, o);
	} else if (isfinite(r->lo)) {
		printf("%-20s %-52s %3d  %7.3f  [%.3f, %.3f]  p=%.3g  %s\n", metric, point, r->n,
		       r->ratio, r->lo, r->hi, r->p, says);
	} else {
		printf("%-20s %-52s %3d  %7.3f  %s\n", metric, point, r->n, r->ratio, says);
	}
}

static bool first_of_cell(const struct side *s, int row)
{
	for (int i = 0; i < row; i++)
		if (!strcmp(csv_text(&s->c, i, s->cell), csv_text(&s->c, row, s->cell)))
			return false;
	return true;
}

/* All points of one metric. Returns how many could be compared. */
static int one_metric(const struct side *a, const struct side *b, const char *metric, json_t *list)
{
	static double va[PAIRS_MAX], vb[PAIRS_MAX];
	int found = 0;

	for (int i = 0; i < a->c.rows; i++)
		for (int k = 0; k < b->c.rows; k++) {
			struct stats_ratio r;
			char point[256];

			if (!wanted(a, i) || !wanted(b, k) || !first_of_cell(a, i) ||
			    !first_of_cell(b, k) || !same_point(a, i, b, k))
				continue;
			if (!stats_paired_ratio(va, vb, pairs(a, i, b, k, metric, va, vb), &r))
				continue;
			name_point(registry_caches(get(b, k, "stack")) ? b : a,
				   registry_caches(get(b, k, "stack")) ? k : i, point,
				   sizeof point);
			print_one(metric, point, &r, list);
			found++;
		}
	return found;
}

int compare(const struct compare_options *o)
{
	static const char usual[] =
		"net_gbps,cpu_pct,cpu_s_per_gb,host_cpu_s_per_gb,latency_ms_p50,"
		"latency_ms_p99,ttfb_ms_p99,disk_read_gbps,mem_read_per_net_byte";
	const char *p = o->metrics ? o->metrics : usual;
	json_t *list = o->json ? json_array() : NULL;
	const char *key = o->key ? o->key : "stack";
	struct side a = {.stack = o->stack_a, .key = key}, b = {.stack = o->stack_b, .key = key};
	struct errbuf e = {""};
	int found = 0;

	if (open_side(&a, o->dir_a, o->stack_a, &e) || open_side(&b, o->dir_b, o->stack_b, &e)) {
		log_err("%s", e.s);
		csv_free(&a.c);
		csv_free(&b.c);
		json_decref(list);
		return 1;
	}
	if (!list)
		printf("A: %s %s\nB: %s %s\nratio B / A, paired by block, with its 95 %% "
		       "interval\n\n",
		       o->dir_a, o->stack_a ? o->stack_a : "", o->dir_b,
		       o->stack_b ? o->stack_b : "");
	while (*p) {
		size_t n = strcspn(p, ",");
		char metric[64];

		snprintf(metric, sizeof metric, "%.*s", (int)n, p);
		found += one_metric(&a, &b, metric, list);
		p += n;
		p += *p == ',';
	}
	if (list) {
		json_dumpf(list, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
		putchar('\n');
	}
	if (!found)
		log_err("%s and %s have no valid runs of the same point in common", o->dir_a,
			o->dir_b);
	json_decref(list);
	csv_free(&a.c);
	csv_free(&b.c);
	return found ? 0 : 1;
}
