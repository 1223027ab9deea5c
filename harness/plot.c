/* plot: from summary.csv to pictures.
 *
 * One idea: C decides what a line is (x key, series, labels, which points are lower bounds) and
 * writes it as data; gnuplot scripts only draw. DIR/plot/ gets one CSV a series (all columns of
 * summary.csv, and x, hollow), ceilings.csv, and figure.gp, which sets variables and loads
 * plots/FIGURE.gp (default.gp if there is none): plots/README.md lists them. So a figure can be
 * redrawn by hand from DIR/plot alone.
 */
#include "harness/plot.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "harness/caption.h"
#include "harness/child.h"
#include "harness/csv.h"
#include "harness/experiment.h"
#include "harness/plot_ratio.h"
#include "harness/sweep.h"

#define SERIES_MAX 64
#define X_MAX	   128

struct series {
	int row; /* the first of summary.csv */
	char label[160];
	int color, dash, point; /* indices into the palette of common.gp, from 0 */
	bool uncached;		/* drawn at every cache ratio */
};

struct figure {
	const char *dir;
	struct experiment x;
	struct csv sum;
	struct plot_ratio ratio;
	int key[4 + EXPERIMENT_AXES], keys; /* columns of sum that name a cell */
	int xcol;
	double xv[X_MAX];
	int xs;
	struct series s[SERIES_MAX];
	int n;
};

const char *plot_scripts(const char *bin_dir, char *buf, int len)
{
	const char *env = getenv("DCN_PLOTS");
	static const char *const rel[] = {"../plots", "../../plots", "../share/dcn/plots"};
	char probe[600];

	for (int i = -1; i < 3; i++) {
		if (i < 0 && !env)
			continue;
		if (i < 0)
			snprintf(buf, (size_t)len, "%s", env);
		else
			snprintf(buf, (size_t)len, "%s/%s", bin_dir, rel[i]);
		snprintf(probe, sizeof probe, "%s/common.gp", buf);
		if (!access(probe, R_OK))
			return buf;
	}
	return NULL;
}

/* A swept value as a place on an axis: sizes and durations by their numbers. */
static double x_value(const char *text)
{
	uint64_t u;
	double d;

	if (!units_number(text, &d))
		return d;
	if (!units_size(text, &u))
		return (double)u;
	if (!units_duration(text, &u))
		return (double)u / 1e6;
	return NAN;
}

static bool is_uncached(const struct figure *f, int row)
{
	const char *name = csv_text(&f->sum, row, csv_column(&f->sum, "stack"));

	return caption_uncached(name);
}

static bool same_series(const struct figure *f, int a, int b)
{
	int ratio = csv_column(&f->sum, "cache_ratio");

	for (int i = 0; i < f->keys; i++) {
		if (f->key[i] == f->xcol || (f->key[i] == ratio && is_uncached(f, a)))
			continue;
		if (strcmp(csv_text(&f->sum, a, f->key[i]), csv_text(&f->sum, b, f->key[i])))
			return false;
	}
	return true;
}

static void find_x(struct figure *f)
{
	for (int i = 0; i < f->sum.rows; i++) {
		double v = x_value(csv_text(&f->sum, i, f->xcol));
		int k = 0;

		if (!isfinite(v))
			continue;
		while (k < f->xs && f->xv[k] < v)
			k++;
		if ((k < f->xs && f->xv[k] == v) || f->xs == X_MAX)
			continue;
		memmove(&f->xv[k + 1], &f->xv[k], (size_t)(f->xs - k) * sizeof f->xv[0]);
		f->xv[k] = v;
		f->xs++;
	}
}

/* How many different values a column has. */
static int distinct(const struct figure *f, int col)
{
	int n = 0;

	for (int i = 0; i < f->sum.rows; i++) {
		bool seen = false;

		for (int k = 0; k < i && !seen; k++)
			seen = !strcmp(csv_text(&f->sum, i, col), csv_text(&f->sum, k, col));
		n += !seen;
	}
	return n;
}

/* One key of a label: "nginx", "0 % BC", "TLS", "loss 1". */
static void label_part(const struct series *s, const char *name, const char *v, char *buf,
		       size_t len)
{
	if (!strcmp(name, "stack"))
		snprintf(buf, len, "%s", v);
	else if (!strcmp(name, "cache_ratio") && s->uncached)
		snprintf(buf, len, "no cache");
	else if (!strcmp(name, "cache_ratio"))
		snprintf(buf, len, "%s %% BC", v);
	else if (!strcmp(name, "tls"))
		snprintf(buf, len, "%s", strcmp(v, "on") ? "plain" : "TLS");
	else
		snprintf(buf, len, "%s %s", name, v);
}

/* What differs between lines; the stack if nothing does. */
static void label(const struct figure *f, struct series *s)
{
	size_t at = 0, len = sizeof s->label;
	char part[64];

	for (int i = 0; i < f->keys && at < len; i++) {
		const char *name = f->sum.name[f->key[i]];
		const char *v = csv_text(&f->sum, s->row, f->key[i]);

		if (f->key[i] == f->xcol || distinct(f, f->key[i]) < 2)
			continue;
		label_part(s, name, v, part, sizeof part);
		at += (size_t)snprintf(s->label + at, len - at, "%s%s", at ? ", " : "", part);
	}
	if (!at)
		snprintf(s->label, len, "%s",
			 csv_text(&f->sum, s->row, csv_column(&f->sum, "stack")));
}

/* Colour by stack, dash by everything else, marker by line. */
static void style(struct figure *f, struct series *s)
{
	int stack = csv_column(&f->sum, "stack"), colors = 0;

	s->color = s->dash = 0;
	for (int i = 0; i < f->n; i++) {
		const struct series *o = &f->s[i];

		colors = o->color + 1 > colors ? o->color + 1 : colors;
		if (!strcmp(csv_text(&f->sum, o->row, stack), csv_text(&f->sum, s->row, stack))) {
			s->color = o->color;
			s->dash = o->dash + 1 > s->dash ? o->dash + 1 : s->dash;
		}
	}
	if (!s->dash)
		s->color = colors;
	s->point = f->n;
}

static void find_series(struct figure *f)
{
	for (int i = 0; i < f->sum.rows; i++) {
		bool seen = false;

		for (int k = 0; k < f->n && !seen; k++)
			seen = same_series(f, f->s[k].row, i);
		if (seen || f->n == SERIES_MAX)
			continue;
		f->s[f->n] = (struct series){.row = i, .uncached = is_uncached(f, i)};
		label(f, &f->s[f->n]);
		style(f, &f->s[f->n]);
		f->n++;
	}
}

static void put_point(FILE *o, const struct figure *f, int row, double x)
{
	const struct csv *c = &f->sum;
	bool hollow = !strcmp(csv_text(c, row, csv_column(c, "bound")), "client") ||
		      csv_number(c, row, csv_column(c, "client_limited")) >= 0.5;

	fprintf(o, "%.9g,%d", x, hollow);
	for (int i = 0; i < c->cols; i++) {
		const char *t = csv_text(c, row, i);

		fputc(',', o);
		csv_put(o, *t ? t : "NaN");
	}
	plot_ratio_row(&f->ratio, o, row);
	fputc('\n', o);
}

static int write_series(const struct figure *f, int i, struct errbuf *e)
{
	bool flat = !strcmp(f->sum.name[f->xcol], "cache_ratio") && f->s[i].uncached;
	char path[400];
	FILE *o;

	snprintf(path, sizeof path, "%s/plot/series%d.csv", f->dir, i + 1);
	o = fopen(path, "w");
	if (!o)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	fputs("x,hollow", o);
	for (int k = 0; k < f->sum.cols; k++)
		fprintf(o, ",%s", f->sum.name[k]);
	plot_ratio_header(o);
	fputc('\n', o);
	for (int k = 0; k < f->xs; k++)
		for (int row = 0; row < f->sum.rows; row++)
			if (same_series(f, f->s[i].row, row) &&
			    (flat || x_value(csv_text(&f->sum, row, f->xcol)) == f->xv[k]))
				put_point(o, f, row, f->xv[k]);
	return fclose(o) ? errf(e, -errno, "%s: %s", path, strerror(errno)) : 0;
}

/* Mean of a column over all rows at x. */
static double mean_at(const struct figure *f, const char *name, double x)
{
	int col = csv_column(&f->sum, name), n = 0;
	double s = 0;

	for (int i = 0; i < f->sum.rows; i++) {
		double v = csv_number(&f->sum, i, col);

		if (isfinite(v) && x_value(csv_text(&f->sum, i, f->xcol)) == x) {
			s += v;
			n++;
		}
	}
	return n ? s / n : NAN;
}

/* A ceiling at the right end of the axis, where its name is written; 0 if unknown. */
static double last_ceiling(const struct figure *f, const char *name)
{
	double v = mean_at(f, name, f->xv[f->xs - 1]);

	return isfinite(v) ? v : 0;
}

static int write_ceilings(const struct figure *f, struct errbuf *e)
{
	static const char *const c[] = {"ceil_disk_gbps", "ceil_client_gbps", "ceil_crypto_gbps"};
	char path[400];
	FILE *o;

	snprintf(path, sizeof path, "%s/plot/ceilings.csv", f->dir);
	o = fopen(path, "w");
	if (!o)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	fputs("x,disk,client,crypto\n", o);
	for (int k = 0; k < f->xs; k++) {
		fprintf(o, "%.9g", f->xv[k]);
		for (int i = 0; i < 3; i++) {
			double v = mean_at(f, c[i], f->xv[k]);

			if (isfinite(v))
				fprintf(o, ",%.9g", v);
			else
				fputs(",NaN", o);
		}
		fputc('\n', o);
	}
	return fclose(o) ? errf(e, -errno, "%s: %s", path, strerror(errno)) : 0;
}

/* A gnuplot string: double quotes and backslashes escaped, no other control characters. */
static void put_string(FILE *o, const char *name, const char *text)
{
	fprintf(o, "%s = \"", name);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', o);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, o);
	}
	fputs("\"\n", o);
}

static void put_arrays(FILE *o, const struct figure *f)
{
	char name[48];

	fprintf(o,
		"N = %d\narray FILE[N]\narray LABEL[N]\narray COLOR[N]\narray DASH[N]\n"
		"array POINT[N]\narray ROWS[N]\n",
		f->n);
	for (int i = 0; i < f->n; i++) {
		snprintf(name, sizeof name, "FILE[%d]", i + 1);
		fprintf(o, "%s = \"plot/series%d.csv\"\n", name, i + 1);
		snprintf(name, sizeof name, "LABEL[%d]", i + 1);
		put_string(o, name, f->s[i].label);
		fprintf(o, "COLOR[%d] = %d; DASH[%d] = %d; POINT[%d] = %d\n", i + 1,
			f->s[i].color + 1, i + 1, f->s[i].dash + 1, i + 1, f->s[i].point + 1);
	}
	for (int k = 0; k < f->keys; k++) {
		const char *key = f->sum.name[f->key[k]];

		fprintf(o, "array KEY_%s[N]\n", key);
		for (int i = 0; i < f->n; i++) {
			snprintf(name, sizeof name, "KEY_%.20s[%d]", key, i + 1);
			put_string(o, name, csv_text(&f->sum, f->s[i].row, f->key[k]));
		}
	}
	fprintf(o, "XS = %d\narray XV[XS]\n", f->xs);
	for (int k = 0; k < f->xs; k++)
		fprintf(o, "XV[%d] = %.9g\n", k + 1, f->xv[k]);
}

/* Highest value, error bar included, of a metric over all rows; 0 if none. */
static double highest(const struct figure *f, const char *metric)
{
	char ci[64];
	double best = 0;

	snprintf(ci, sizeof ci, "%s_ci95", metric);
	for (int i = 0; i < f->sum.rows; i++) {
		double v = csv_number(&f->sum, i, csv_column(&f->sum, metric));
		double h = csv_number(&f->sum, i, csv_column(&f->sum, ci));

		v += isfinite(h) ? h : 0;
		best = isfinite(v) && v > best ? v : best;
	}
	return best;
}

static int write_script(const struct figure *f, const char *scripts, struct errbuf *e)
{
	const char *xname = f->sum.name[f->xcol],
		   *fig = experiment_text(&f->x, "experiment.figure");
	struct caption cap;
	char path[700];
	FILE *o;

	snprintf(path, sizeof path, "%s/plot/figure.gp", f->dir);
	o = fopen(path, "w");
	if (!o)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	caption_make(&cap, f->dir, &f->x, &f->sum);
	fputs("# written by dcn plot; draw with: gnuplot -e 'FORMAT=\"svg\"; OUT=\"x.svg\"' "
	      "plot/figure.gp\n",
	      o);
	put_string(o, "SCRIPTS", scripts);
	put_string(o, "TITLE", cap.title);
	fprintf(o, "CAPTIONS = %d\narray CAPTION[%d]\n", cap.lines, cap.lines ? cap.lines : 1);
	for (int i = 0; i < cap.lines; i++) {
		char name[32];

		snprintf(name, sizeof name, "CAPTION[%d]", i + 1);
		put_string(o, name, cap.line[i]);
	}
	put_string(o, "CPU_WHY", cap.cpu_why);
	put_string(o, "MEM_WHY", cap.mem_why);
	fprintf(o, "MAX_MEM = %.9g\nMAX_PER_BYTE = %.9g\n",
		fmax(highest(f, "mem_read_gbps"), highest(f, "mem_write_gbps")),
		highest(f, "mem_read_per_net_byte"));
	put_string(o, "XNAME", xname);
	put_string(o, "XLABEL", cap.xlabel);
	fprintf(o, "CORES = %d\nREPETITIONS = %d\n", cap.server_cpus, cap.repetitions);
	fprintf(o, "MAX_NET = %.9g\nMAX_CPU = %.9g\n", highest(f, "net_gbps"),
		highest(f, "cpu_pct"));
	fprintf(o, "CLIENT_AT_LEAST = %d\n", highest(f, "ceil_client_at_least") > 0);
	fprintf(o, "CEIL_DISK = %.9g\nCEIL_CLIENT = %.9g\nCEIL_CRYPTO = %.9g\n",
		last_ceiling(f, "ceil_disk_gbps"), last_ceiling(f, "ceil_client_gbps"),
		last_ceiling(f, "ceil_crypto_gbps"));
	put_arrays(o, f);
	fputs("load SCRIPTS.\"/common.gp\"\n", o);
	snprintf(path, sizeof path, "%s/%s.gp", scripts, fig);
	fprintf(o, "load SCRIPTS.\"/%s.gp\"\n", access(path, R_OK) ? "default" : fig);
	return fclose(o) ? errf(e, -errno, "%s: %s", path, strerror(errno)) : 0;
}

static int draw(const struct figure *f, const char *format, struct errbuf *e)
{
	const char *fig = experiment_text(&f->x, "experiment.figure");
	char set[300], cmd[900];
	const char *argv[] = {"sh", "-c", cmd, "sh", f->dir, set, NULL};
	struct child_spec s = {.argv = argv, .keep_fd = -1};
	char *out;
	int err;

	snprintf(set, sizeof set, "FORMAT=\"%s\"; OUT=\"%s.%s\"", format, fig, format);
	/* gnuplot says in a locale without UTF-8 that it can't write a degree sign */
	snprintf(cmd, sizeof cmd,
		 "cd \"$1\" && LC_ALL=C.UTF-8 exec gnuplot -e \"$2\" plot/figure.gp");
	err = child_capture(&s, 60 * NSEC_PER_SEC, &out, e);
	free(out);
	return err;
}

static int open_figure(struct figure *f, struct errbuf *e)
{
	char path[400];
	const char *xname;
	int err, cell;

	snprintf(path, sizeof path, "%s/experiment.exp", f->dir);
	err = experiment_load(&f->x, path, false, NULL, 0, e);
	snprintf(path, sizeof path, "%s/summary.csv", f->dir);
	if (!err)
		err = csv_load(&f->sum, path, e);
	if (!err)
		err = plot_ratio_open(&f->ratio, f->dir, &f->sum, e);
	if (err)
		return err;
	xname = sweep_column_name(setting_find_name(experiment_text(&f->x, "experiment.x")));
	f->xcol = csv_column(&f->sum, xname);
	cell = csv_column(&f->sum, "cell");
	for (int i = 0; i < cell && f->keys < 4 + EXPERIMENT_AXES; i++)
		f->key[f->keys++] = i;
	if (f->xcol < 0 || cell < 0)
		return errf(e, -EINVAL, "%s: no column %s to draw against (experiment.x)", path,
			    xname);
	find_x(f);
	find_series(f);
	if (!f->n || !f->xs)
		return errf(e, -ENODATA, "%s: nothing to draw", path);
	return 0;
}

int plot_dir(const char *dir, const char *bin_dir, struct errbuf *e)
{
	static const char *const formats[] = {"svg", "pdf", "png"};
	struct figure *f = calloc(1, sizeof *f);
	char scripts[512], real[512], path[400];
	int err;

	if (!f)
		return errf(e, -ENOMEM, "out of memory");
	f->dir = dir;
	err = open_figure(f, e);
	if (!err && (!plot_scripts(bin_dir, scripts, sizeof scripts) || !realpath(scripts, path)))
		err = errf(e, -ENOENT, "the plot scripts are not beside %s; set DCN_PLOTS",
			   bin_dir);
	if (!err) {
		snprintf(real, sizeof real, "%s", path);
		snprintf(path, sizeof path, "%s/plot", dir);
		if (mkdir(path, 0755) && errno != EEXIST)
			err = errf(e, -errno, "%s: %s", path, strerror(errno));
	}
	for (int i = 0; i < f->n && !err; i++)
		err = write_series(f, i, e);
	if (!err)
		err = write_ceilings(f, e);
	if (!err)
		err = write_script(f, real, e);
	for (int i = 0; i < 3 && !err; i++)
		err = draw(f, formats[i], e);
	plot_ratio_close(&f->ratio);
	csv_free(&f->sum);
	free(f);
	return err;
}
