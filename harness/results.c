/* results: append a row, keep it.
 *
 * One idea: the order of writing is rows, sync, journal line, sync. Whatever dies in between, the
 * journal names exactly the runs whose rows are whole.
 */
#include "harness/results.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "harness/cell_io.h"
#include "harness/csv.h"
#include "harness/registry.h"

/* Columns: the driver's own, then whatever else the chosen collectors measure. */
static void choose_columns(struct results *r)
{
	const char *names = experiment_text(r->x, "collect.collectors");

	r->keys = sweep_columns(r->x, r->key);
	if (cell_io_wanted(r->x)) {
		for (int i = 0; metric_io_columns[i].name; i++)
			r->metric[r->metrics++] = metric_io_columns[i].name;
		return;
	}
	for (int i = 0; metric_columns[i].name; i++)
		r->metric[r->metrics++] = metric_columns[i].name;
	for (const char *p = names; *p;) {
		const struct collector_ops *ops;
		size_t n = strcspn(p, ", \t");
		struct errbuf e;
		char name[48];

		snprintf(name, sizeof name, "%.*s", (int)n, p);
		ops = n ? registry_collector(name, &e) : NULL;
		for (int i = 0; ops && ops->metrics && ops->metrics[i].name; i++) {
			const char *m = ops->metrics[i].name;
			bool there = false;

			for (int k = 0; k < r->metrics; k++)
				there |= !strcmp(r->metric[k], m);
			if (!there && r->metrics < RESULT_COLUMNS)
				r->metric[r->metrics++] = m;
		}
		p += n;
		p += strspn(p, ", \t");
	}
}

static FILE *open_in(const char *dir, const char *name, const char *mode, struct errbuf *e)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, mode);
	if (!f)
		errf(e, -errno, "%s: %s", path, strerror(errno));
	return f;
}

static int make_dirs(const char *path, struct errbuf *e)
{
	char part[400];

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		snprintf(part, sizeof part, "%.*s", (int)(p - path + (ptrdiff_t)n), path);
		if (*part && mkdir(part, 0755) && errno != EEXIST)
			return errf(e, -errno, "%s: %s; choose another place with --out", part,
				    strerror(errno));
		p += n;
		p += strspn(p, "/");
	}
	return 0;
}

static int is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d)))
		n += de->d_name[0] != '.';
	if (d)
		closedir(d);
	return n == 0;
}

static void choose_dir(struct results *r, const char *out)
{
	time_t now = time(NULL);
	uint64_t h = (uint64_t)now;
	struct tm tm;
	char stamp[32];

	if (out) {
		snprintf(r->dir, sizeof r->dir, "%s", out);
		return;
	}
	for (int i = 0; i < settings_n; i++) /* names the experiment as resolved */
		for (const char *p = r->x->v[i].text; *p; p++)
			h = rng_mix(h ^ (uint64_t)(unsigned char)*p);
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	snprintf(r->dir, sizeof r->dir, "results/%s/%s-%08llx",
		 experiment_text(r->x, "experiment.figure"), stamp,
		 (unsigned long long)(h & 0xffffffffu));
}

static void write_headers(struct results *r)
{
	fputs("cell,repetition", r->runs);
	for (int i = 0; i < r->keys; i++)
		fprintf(r->runs, ",%s", sweep_column_name(r->key[i]));
	fputs(",valid,bound,start_s,wall_s", r->runs);
	for (int i = 0; i < r->metrics; i++)
		fprintf(r->runs, ",%s", r->metric[i]);
	fputs(",why\n", r->runs);
	fflush(r->runs);
	fputs("t_s,cell,repetition,metric,value\n", r->samples);
	fflush(r->samples);
}

static int open_files(struct results *r, const char *mode, struct errbuf *e)
{
	char path[512];
	int err;

	snprintf(path, sizeof path, "%s/latency", r->dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	snprintf(path, sizeof path, "%s/raw", r->dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	err = ledger_open(&r->ledger, r->dir, e);
	if (err)
		return err;
	r->runs = open_in(r->dir, "runs.csv", mode, e);
	r->samples = r->runs ? open_in(r->dir, "samples.csv", mode, e) : NULL;
	return r->samples ? 0 : -EIO;
}

int results_create(struct results *r, const struct experiment *x, const char *out, struct errbuf *e)
{
	int err;
	FILE *f;

	memset(r, 0, sizeof *r);
	r->x = x;
	r->ledger.fd = -1;
	choose_columns(r);
	choose_dir(r, out);
	if (!is_empty(r->dir))
		return errf(e, -EEXIST,
			    "%s exists and is not empty; choose another --out, or go on "
			    "with --resume %s",
			    r->dir, r->dir);
	err = make_dirs(r->dir, e);
	if (err)
		return err;
	err = open_files(r, "w", e);
	if (err)
		return err;
	write_headers(r);
	f = open_in(r->dir, "experiment.exp", "w", e);
	if (!f)
		return -EIO;
	experiment_write(x, f);
	r->meta = json_object();
	return fclose(f) ? errf(e, -errno, "%s: %s", r->dir, strerror(errno)) : 0;
}

int results_resume(struct results *r, const struct experiment *x, const char *dir, struct errbuf *e)
{
	char path[512];
	int err;

	memset(r, 0, sizeof *r);
	r->x = x;
	r->ledger.fd = -1;
	choose_columns(r);
	snprintf(r->dir, sizeof r->dir, "%s", dir);
	err = open_files(r, "r+", e);
	if (err)
		return err;
	if (r->ledger.runs_bytes >= 0) {
		err = ftruncate(fileno(r->runs), r->ledger.runs_bytes) |
		      ftruncate(fileno(r->samples), r->ledger.samples_bytes);
	} else { /* nothing was finished */
		err = ftruncate(fileno(r->runs), 0) | ftruncate(fileno(r->samples), 0);
		write_headers(r);
	}
	if (err)
		return errf(e, -errno, "%s: %s", dir, strerror(errno));
	fseek(r->runs, 0, SEEK_END);
	fseek(r->samples, 0, SEEK_END);
	snprintf(path, sizeof path, "%s/meta.json", dir);
	r->meta = json_load_file(path, 0, NULL);
	if (!json_is_object(r->meta)) {
		json_decref(r->meta);
		r->meta = json_object();
	}
	return 0;
}

static void put_row(struct results *r, const struct cell *c, int block, const struct outcome *o)
{
	char why[1024] = "";
	size_t at = 0;

	fprintf(r->runs, "%d,%d", c->index, block + 1);
	for (int i = 0; i < r->keys; i++) {
		fputc(',', r->runs);
		csv_put(r->runs, cell_setting(r->x, c, r->key[i]));
	}
	fprintf(r->runs, ",%d,%s,%.3f,%.2f", o->valid, o->bound, (double)o->t_start / 1e9,
		o->wall_s);
	for (int i = 0; i < r->metrics; i++) {
		double v = metrics_get(&o->m, r->metric[i]);

		fputc(',', r->runs);
		if (isfinite(v))
			fprintf(r->runs, "%.9g", v);
	}
	for (int i = 0; i < o->whys && at < sizeof why; i++)
		at += (size_t)snprintf(why + at, sizeof why - at, "%s%s", i ? "; " : "", o->why[i]);
	fputc(',', r->runs);
	csv_put(r->runs, why);
	fputc('\n', r->runs);
}

static void put_sample(struct results *r, const struct cell *c, int block, double t,
		       const char *metric, double value)
{
	fprintf(r->samples, "%.4f,%d,%d,%s,%.9g\n", t, c->index, block + 1, metric, value);
}

/* The load's cumulative counts as a rate, and what the collectors saw. Times count from the start
 * of the window. */
static void put_samples(struct results *r, const struct cell *c, int block, const struct outcome *o)
{
	const json_t *list = json_object_get(o->load, "samples"), *row;
	const struct sample *s = NULL;
	double t0 = 0, b0 = 0;
	size_t i;
	int n = 0;

	json_array_foreach(list, i, row)
	{
		double t = json_number_value(json_array_get(row, 0));
		double b = json_number_value(json_array_get(row, 1));

		if (i && t > t0)
			put_sample(r, c, block, (t - (double)o->t_start) / 1e9, "net_gbps",
				   (b - b0) * 8 / (t - t0));
		t0 = t;
		b0 = b;
	}
	if (o->obs)
		s = observe_samples(o->obs, &n);
	for (int k = 0; k < n; k++)
		put_sample(r, c, block, ((double)s[k].t_ns - (double)o->t_start) / 1e9, s[k].metric,
			   s[k].value);
}

static void put_histogram(struct results *r, const struct cell *c, int block, const json_t *load)
{
	static const char *const kind[] = {"latency_us", "ttfb_us"};
	char name[64];
	struct errbuf e;
	FILE *f;

	if (!json_object_get(load, "hist"))
		return;
	snprintf(name, sizeof name, "latency/cell%03d-rep%d.csv", c->index, block + 1);
	f = open_in(r->dir, name, "w", &e);
	if (!f)
		return;
	fputs("kind,lower_us,count\n", f);
	for (int k = 0; k < 2; k++) {
		const json_t *h = json_object_get(json_object_get(load, "hist"), kind[k]), *b;
		size_t i;

		json_array_foreach(h, i, b) fprintf(f, "%s,%.0f,%.0f\n", kind[k],
						    json_number_value(json_array_get(b, 0)),
						    json_number_value(json_array_get(b, 1)));
	}
	fclose(f);
}

static void put_raw(struct results *r, const struct cell *c, int block, const struct outcome *o)
{
	json_t *j = json_object();
	char path[512];

	snprintf(path, sizeof path, "%s/raw/cell%03d-rep%d.json", r->dir, c->index, block + 1);
	json_object_set(j, "load", o->load);
	if (o->stats)
		json_object_set(j, "stack", o->stats);
	if (o->stats_start)
		json_object_set(j, "stack_start", o->stats_start);
	if (o->wan)
		json_object_set(j, "wan", o->wan);
	if (o->obs)
		json_object_set_new(j, "sampler",
				    json_pack("{s:i, s:f}", "late_ticks", observe_late(o->obs),
					      "mark_late_ms", (double)o->mark_late_ns / 1e6));
	json_dump_file(j, path, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(j);
}

/* meta.json's "missing": {metric: {why: runs}}. */
static void note_missing(struct results *r, const struct outcome *o)
{
	json_t *all = json_object_get(r->meta, "missing");

	if (!all) {
		all = json_object();
		json_object_set_new(r->meta, "missing", all);
	}
	for (int i = 0; i < r->metrics; i++) {
		const struct metric *m = metrics_find(&o->m, r->metric[i]);
		const char *why = m && *m->why ? m->why : "no collector for it was asked for";
		json_t *one;

		if (m && m->has)
			continue;
		one = json_object_get(all, r->metric[i]);
		if (!one) {
			one = json_object();
			json_object_set_new(all, r->metric[i], one);
		}
		json_object_set_new(
			one, why, json_integer(json_integer_value(json_object_get(one, why)) + 1));
	}
}

int results_add(struct results *r, const struct cell *c, int block, const struct outcome *o,
		struct errbuf *e)
{
	int err;

	put_row(r, c, block, o);
	if (o->ran) {
		put_samples(r, c, block, o);
		put_histogram(r, c, block, o->load);
		put_raw(r, c, block, o);
		note_missing(r, o);
	}
	if (o->testbed)
		json_object_set(r->meta, "testbed", o->testbed);
	for (const char *w = o->warning; *w;) { /* one a line */
		size_t n = strcspn(w, "\n");

		results_warn(r, "%.*s", (int)n, w);
		w += n;
		w += *w == '\n';
	}
	if (fflush(r->runs) || fflush(r->samples) || fdatasync(fileno(r->runs)) ||
	    fdatasync(fileno(r->samples)))
		return errf(e, -errno, "%s: results can't be written: %s", r->dir, strerror(errno));
	err = ledger_add_run(&r->ledger, block, c->index,
			     o->valid ? "ok"
			     : o->ran ? "invalid"
				      : "failed",
			     ftell(r->runs), ftell(r->samples));
	return err ? errf(e, err, "%s/journal: %s", r->dir, strerror(-err)) : 0;
}

void results_warn(struct results *r, const char *fmt, ...)
{
	json_t *list = json_object_get(r->meta, "warnings"), *w;
	char s[600];
	va_list ap;
	size_t i;

	va_start(ap, fmt);
	vsnprintf(s, sizeof s, fmt, ap);
	va_end(ap);
	if (!list) {
		list = json_array();
		json_object_set_new(r->meta, "warnings", list);
	}
	json_array_foreach(list, i, w) if (!strcmp(json_string_value(w), s)) return;
	json_array_append_new(list, json_string(s));
}

int results_write_meta(struct results *r, struct errbuf *e)
{
	char path[512], tmp[512];

	snprintf(path, sizeof path, "%s/meta.json", r->dir);
	snprintf(tmp, sizeof tmp, "%s/.meta.json", r->dir);
	if (json_dump_file(r->meta, tmp, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) ||
	    rename(tmp, path))
		return errf(e, -EIO, "%s can't be written", path);
	return 0;
}

void results_discard(struct results *r)
{
	static const char *const name[] = {"runs.csv",
					   "samples.csv",
					   "experiment.exp",
					   "meta.json",
					   "journal",
					   "latency",
					   "raw",
					   "."};
	char path[512];

	for (unsigned int i = 0; i < sizeof name / sizeof *name; i++) {
		snprintf(path, sizeof path, "%s/%s", r->dir, i == 7 ? "" : name[i]);
		remove(path);
	}
}

void results_close(struct results *r)
{
	if (r->runs)
		fclose(r->runs);
	if (r->samples)
		fclose(r->samples);
	ledger_close(&r->ledger);
	json_decref(r->meta);
	memset(r, 0, sizeof *r);
	r->ledger.fd = -1;
}
