/* report: a page that can be mailed: no script, no link, figures inline.
 *
 * One idea: everything shown is read back from the results files, so the page never says what they
 * do not. All text is escaped.
 */
#include "harness/report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/aa.h"
#include "harness/caption.h"
#include "harness/csv.h"
#include "harness/experiment.h"
#include "harness/metrics.h"

static const char style[] =
	"body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:72em;margin:2em "
	"auto;padding:0 "
	"1em}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
	"table{border-collapse:collapse;font-size:13px}th,td{padding:.25em .7em;border-bottom:1px "
	"solid "
	"#ddd;text-align:right;white-space:nowrap}th{border-bottom:2px solid #888}"
	"td.l,th.l{text-align:left;white-space:normal}.wide{overflow-x:auto}svg{max-width:100%;"
	"height:"
	"auto}.ci{color:#777}.bad{color:#a00}pre{background:#f5f5f5;padding:1em;overflow-x:auto;"
	"font-size:12px}";

static void put(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			fputs("&lt;", f);
		else if (*s == '>')
			fputs("&gt;", f);
		else if (*s == '&')
			fputs("&amp;", f);
		else if (*s == '"')
			fputs("&quot;", f);
		else
			fputc(*s, f);
	}
}

static void cell(FILE *f, const char *tag, const char *text)
{
	fprintf(f, "<%s>", tag);
	put(f, text);
	fprintf(f, "</%.2s>", tag);
}

/* The figure, without its XML declaration. */
static void put_figure(FILE *f, const char *dir, const char *figure)
{
	char path[512], line[4096];
	bool on = false;
	FILE *svg;

	snprintf(path, sizeof path, "%s/%s.svg", dir, figure);
	svg = fopen(path, "r");
	if (!svg) {
		fputs("<p class=bad>No figure: run <code>dcn plot</code>.</p>\n", f);
		return;
	}
	fputs("<figure>\n", f);
	while (fgets(line, sizeof line, svg)) {
		on |= !strncmp(line, "<svg", 4);
		if (on)
			fputs(line, f);
	}
	fputs("</figure>\n", f);
	fclose(svg);
}

static const char *const shown[] = {"net_gbps",
				    "cpu_pct",
				    "cpu_s_per_gb",
				    "host_cpu_s_per_gb",
				    "latency_ms_p50",
				    "latency_ms_p99",
				    "ttfb_ms_p99",
				    "disk_read_gbps",
				    "cache_hit_pct",
				    "errors",
				    "collect_cpu_pct",
				    "ceil_disk_gbps",
				    "ceil_client_gbps",
				    "ceil_crypto_gbps",
				    NULL};

static bool any_value(const struct csv *c, int col)
{
	for (int i = 0; i < c->rows; i++)
		if (isfinite(csv_number(c, i, col)))
			return true;
	return false;
}

static void put_value(FILE *f, const struct csv *c, int row, const char *metric)
{
	char name[64];
	double v = csv_number(c, row, csv_column(c, metric)), ci;

	snprintf(name, sizeof name, "%s_ci95", metric);
	ci = csv_number(c, row, csv_column(c, name));
	if (!isfinite(v)) {
		fputs("<td></td>", f);
		return;
	}
	fprintf(f, "<td>%.4g", v);
	if (isfinite(ci) && ci > 0)
		fprintf(f, " <span class=ci>&plusmn; %.2g</span>", ci);
	fputs("</td>", f);
}

static void put_summary(FILE *f, const struct csv *c)
{
	int keys = csv_column(c, "cell"), n = csv_column(c, "n"), runs = csv_column(c, "runs");

	fputs("<div class=wide><table><tr>", f);
	for (int i = 0; i < keys; i++)
		cell(f, "th class=l", c->name[i]);
	fputs("<th>n</th><th class=l>bound</th>", f);
	for (int i = 0; shown[i]; i++) {
		const struct metric_info *m = metric_info(shown[i]);

		if (!any_value(c, csv_column(c, shown[i])))
			continue;
		fputs("<th title=\"", f);
		put(f, m ? m->text : "");
		fputs("\">", f);
		put(f, shown[i]);
		fputs("</th>", f);
	}
	fputs("</tr>\n", f);
	for (int row = 0; row < c->rows; row++) {
		fputs("<tr>", f);
		for (int i = 0; i < keys; i++)
			cell(f, "td class=l", csv_text(c, row, i));
		if (strcmp(csv_text(c, row, n), csv_text(c, row, runs)))
			fprintf(f, "<td class=bad>%s of %s</td>", csv_text(c, row, n),
				csv_text(c, row, runs));
		else
			cell(f, "td", csv_text(c, row, n));
		cell(f, "td class=l", csv_text(c, row, csv_column(c, "bound")));
		for (int i = 0; shown[i]; i++)
			if (any_value(c, csv_column(c, shown[i])))
				put_value(f, c, row, shown[i]);
		fputs("</tr>\n", f);
	}
	fputs("</table></div>\n", f);
}

/* A JSON object of plain values as a two-column table. */
static void put_object(FILE *f, const json_t *o)
{
	const char *key;
	json_t *v;

	fputs("<table>", f);
	json_object_foreach((json_t *)o, key, v)
	{
		char num[64];

		if (json_is_string(v) && !*json_string_value(v)) /* nothing to say */
			continue;
		fputs("<tr>", f);
		cell(f, "td class=l", key);
		if (json_is_number(v)) {
			snprintf(num, sizeof num, "%.15g", json_number_value(v));
			cell(f, "td class=l", num);
		} else if (json_is_boolean(v)) {
			cell(f, "td class=l", json_is_true(v) ? "yes" : "no");
		} else {
			cell(f, "td class=l", json_string_value(v) ? json_string_value(v) : "");
		}
		fputs("</tr>\n", f);
	}
	fputs("</table>\n", f);
}

static void put_missing(FILE *f, const json_t *missing)
{
	const char *metric, *why;
	json_t *one, *n;

	fputs("<table><tr><th class=l>metric</th><th class=l>why</th><th>runs</th></tr>", f);
	json_object_foreach((json_t *)missing, metric, one)
	{
		json_object_foreach(one, why, n)
		{
			char num[32];

			snprintf(num, sizeof num, "%lld", (long long)json_integer_value(n));
			fputs("<tr>", f);
			cell(f, "td class=l", metric);
			cell(f, "td class=l", why);
			cell(f, "td", num);
			fputs("</tr>\n", f);
		}
	}
	fputs("</table>\n", f);
}

/* A stack against itself, if that was asked. */
static void put_aa(FILE *f, const char *dir)
{
	struct aa *a = calloc(1, sizeof *a);
	struct errbuf e;
	char text[160];

	if (!a || aa_read(a, dir, &e) <= 0) {
		free(a);
		return;
	}
	fputs("<h2>A stack against itself</h2><p>", f);
	put(f, aa_sentence(a, text, sizeof text));
	if (isfinite(a->cpu_pct))
		fprintf(f,
			" The collectors used %.2f %% of one core (most: %.2f %%), without "
			"programs they start.",
			a->cpu_pct, a->cpu_max);
	fputs("</p><table><tr><th class=l>compared</th><th class=l>point</th><th class=l>metric"
	      "</th><th>blocks</th><th>ratio</th><th>95 % interval</th><th>p (Holm)</th></tr>\n",
	      f);
	for (int i = 0; i < a->n; i++) {
		const struct aa_line *l = &a->line[i];

		fprintf(f, "<tr%s>", l->differs ? " class=bad" : "");
		cell(f, "td class=l",
		     strcmp(l->key, "twin") ? "with / without collectors" : "second / first twin");
		cell(f, "td class=l", l->point);
		cell(f, "td class=l", l->metric);
		fprintf(f, "<td>%d</td><td>%.3f</td>", l->r.n, l->r.ratio);
		if (isfinite(l->p_holm))
			fprintf(f, "<td>%.3f to %.3f</td><td>%.3f</td>", l->r.lo, l->r.hi,
				l->p_holm);
		else
			fputs("<td></td><td></td>", f);
		fputs("</tr>\n", f);
	}
	fputs("</table>\n", f);
	free(a);
}

static void put_invalid(FILE *f, const char *dir)
{
	char path[512];
	struct errbuf e;
	struct csv c;
	int n = 0;

	snprintf(path, sizeof path, "%s/runs.csv", dir);
	if (csv_load(&c, path, &e))
		return;
	for (int i = 0; i < c.rows; i++) {
		if (csv_number(&c, i, csv_column(&c, "valid")) == 1)
			continue;
		if (!n++)
			fputs("<h2>Runs that don't count</h2><ul>", f);
		fprintf(f, "<li>cell %s, repetition %s: ", csv_text(&c, i, csv_column(&c, "cell")),
			csv_text(&c, i, csv_column(&c, "repetition")));
		put(f, csv_text(&c, i, csv_column(&c, "why")));
		fputs("</li>\n", f);
	}
	if (n)
		fputs("</ul>\n", f);
	csv_free(&c);
}

static void put_meta(FILE *f, const json_t *meta)
{
	static const char *const part[][2] = {{"machine", "Machine"},
					      {"host", "What may matter of the host"},
					      {"testbed", "Testbed"},
					      {"versions", "Versions"},
					      {NULL, NULL}};
	const json_t *w;
	size_t i;

	if (json_array_size(json_object_get(meta, "warnings"))) {
		fputs("<h2>Warnings</h2><ul>", f);
		json_array_foreach(json_object_get(meta, "warnings"), i, w)
			cell(f, "li", json_string_value(w) ? json_string_value(w) : "");
		fputs("</ul>\n", f);
	}
	for (int k = 0; part[k][0]; k++) {
		fprintf(f, "<h2>%s</h2>\n", part[k][1]);
		put_object(f, json_object_get(meta, part[k][0]));
	}
	fputs("<h2>What could not be measured</h2>\n", f);
	put_missing(f, json_object_get(meta, "missing"));
}

static void put_page(FILE *f, const char *dir, const struct experiment *x, const struct csv *sum,
		     const json_t *meta)
{
	struct caption cap;

	caption_make(&cap, dir, x, sum);
	fprintf(f, "<!doctype html><html lang=en><meta charset=utf-8><title>");
	put(f, cap.title);
	fprintf(f, "</title><style>%s</style>\n<h1>", style);
	put(f, cap.title);
	fputs("</h1>\n", f);
	put_figure(f, dir, experiment_text(x, "experiment.figure"));
	fputs("<h2>Summary</h2><p>Means over valid repetitions with the half-width of the 95 % "
	      "confidence interval. An empty field was not measured; the reason is below.</p>\n",
	      f);
	put_summary(f, sum);
	put_aa(f, dir);
	put_invalid(f, dir);
	put_meta(f, meta);
	fputs("<h2>Experiment</h2><pre>", f);
}

static void put_experiment(FILE *f, const struct experiment *x)
{
	char *text = NULL;
	size_t len;
	FILE *mem = open_memstream(&text, &len);

	if (!mem)
		return;
	experiment_write(x, mem);
	if (!fclose(mem))
		put(f, text);
	free(text);
}

int report_write(const char *dir, struct errbuf *e)
{
	struct experiment *x = calloc(1, sizeof *x);
	struct csv sum = {0};
	char path[512], tmp[512];
	json_t *meta;
	FILE *f = NULL;
	int err;

	if (!x)
		return errf(e, -ENOMEM, "out of memory");
	snprintf(path, sizeof path, "%s/experiment.exp", dir);
	err = experiment_load(x, path, false, NULL, 0, e);
	snprintf(path, sizeof path, "%s/summary.csv", dir);
	if (!err)
		err = csv_load(&sum, path, e);
	snprintf(path, sizeof path, "%s/meta.json", dir);
	meta = json_load_file(path, 0, NULL);
	snprintf(path, sizeof path, "%s/report.html", dir);
	snprintf(tmp, sizeof tmp, "%s/.report.html", dir);
	if (!err) {
		f = fopen(tmp, "w");
		err = f ? 0 : errf(e, -errno, "%s: %s", tmp, strerror(errno));
	}
	if (!err) {
		put_page(f, dir, x, &sum, meta);
		put_experiment(f, x);
		fputs("</pre></html>\n", f);
		if (fclose(f) || rename(tmp, path))
			err = errf(e, -errno, "%s: %s", path, strerror(errno));
	}
	csv_free(&sum);
	json_decref(meta);
	free(x);
	return err;
}
