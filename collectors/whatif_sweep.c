/* whatif_sweep: cells -> runs.csv -> means, intervals, and the data of the figure.
 *
 * One idea: repetitions differ in their seed (jitter of ACKs and disk, phases of connections), so
 * the intervals say how much chance is in the model. They say nothing about the model's error.
 */
#include "collectors/whatif_sweep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "collectors/whatif_out.h"

#ifndef DCN_VERSION
#define DCN_VERSION "unknown"
#endif

#define METRICS_MAX 32
#define REPS_MAX    1000
#define PAUSE_NS    (5 * NSEC_PER_SEC) /* between lines of progress */

struct sweep {
	const struct whatif_exp *x;
	const char *dir;
	struct whatif_cell *cell;
	int cells;
	double *value; /* [cell][metric][repetition] */
	FILE *runs;
};

static double *values(struct sweep *s, int cell, int metric)
{
	return s->value + ((size_t)cell * METRICS_MAX + (size_t)metric) * (size_t)s->x->repetitions;
}

static FILE *create(const char *dir, const char *name, struct errbuf *e)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		errf(e, -errno, "%s: %s", path, strerror(errno));
	return f;
}

static int metric(const char *name)
{
	for (int i = 0; i < whatif_metrics_n; i++)
		if (!strcmp(whatif_metrics[i].name, name))
			return i;
	return -1;
}

static double mean(struct sweep *s, int cell, const char *name)
{
	return stats_mean(values(s, cell, metric(name)), s->x->repetitions);
}

/* Did disks, cores or the I/O window keep it from the rate that was asked for? */
static bool short_of(struct sweep *s, int cell)
{
	const struct whatif_cfg *c = &s->cell[cell].cfg;

	return mean(s, cell, "net_gbps") < 0.96 * (double)c->line_rate / 1e9 * c->load / 100;
}

/* ---- runs.csv, summary.csv ---- */

/* Columns that say which cell a row is: what every results folder has, then all parameters swept,
 * and which axis the cell is a point of. */
static bool own_column(const struct sweep *s, int axis)
{
	const char *name = whatif_params[s->x->axis[axis].param].name;

	return strcmp(name, "connections") && strcmp(name, "tls");
}

static void put_key_names(const struct sweep *s, FILE *f)
{
	fputs("stack,simulated,tls,cache_ratio,connections", f);
	for (int i = 0; i < s->x->axes; i++)
		if (own_column(s, i))
			fprintf(f, ",%s", whatif_params[s->x->axis[i].param].name);
	fputs(",vary", f);
}

static const char *vary_name(const struct sweep *s, const struct whatif_cell *c)
{
	return c->vary < 0 ? "base" : whatif_params[s->x->axis[c->vary].param].name;
}

static void put_keys(const struct sweep *s, const struct whatif_cell *c, FILE *f)
{
	char text[64];

	fprintf(f, "atlas,1,%s,0,%llu", c->cfg.tls ? "on" : "off",
		(unsigned long long)c->cfg.connections);
	for (int i = 0; i < s->x->axes; i++)
		if (own_column(s, i))
			fprintf(f, ",%s",
				whatif_text(&c->cfg, s->x->axis[i].param, text, sizeof text));
	fprintf(f, ",%s", vary_name(s, c));
}

static void put_number(FILE *f, double v)
{
	fputc(',', f);
	if (isfinite(v))
		fprintf(f, "%.9g", v);
}

static int write_summary(struct sweep *s, struct errbuf *e)
{
	FILE *f = create(s->dir, "summary.csv", e);
	int n = s->x->repetitions;

	if (!f)
		return -EIO;
	put_key_names(s, f);
	fputs(",cell,n,runs,bound", f);
	for (int m = 0; m < whatif_metrics_n; m++)
		fprintf(f, ",%s,%s_ci95", whatif_metrics[m].name, whatif_metrics[m].name);
	fputc('\n', f);
	for (int i = 0; i < s->cells; i++) {
		put_keys(s, &s->cell[i], f);
		fprintf(f, ",%d,%d,%d,%s", i, n, n, short_of(s, i) ? "disk" : "load");
		for (int m = 0; m < whatif_metrics_n; m++) {
			put_number(f, stats_mean(values(s, i, m), n));
			put_number(f, stats_ci95(values(s, i, m), n));
		}
		fputc('\n', f);
	}
	return fclose(f) ? errf(e, -errno, "%s/summary.csv: %s", s->dir, strerror(errno)) : 0;
}

static int run_cell(struct sweep *s, int cell, int rep, struct errbuf *e)
{
	struct whatif_cfg c = s->cell[cell].cfg;
	struct whatif_result r;
	uint64_t t0 = clock_ns();
	int err;

	c.seed = s->x->seed + (uint64_t)rep;
	err = whatif_resolve(&c, e);
	if (!err)
		err = whatif_run(&c, &r, e);
	if (err)
		return err;
	fprintf(s->runs, "%d,%d,", cell, rep + 1);
	put_keys(s, &s->cell[cell], s->runs);
	fprintf(s->runs, ",1,,%.3f,%.3f", (double)t0 / 1e9, (double)(clock_ns() - t0) / 1e9);
	for (int m = 0; m < whatif_metrics_n; m++) {
		double v = whatif_metrics[m].get(&r);

		values(s, cell, m)[rep] = v;
		put_number(s->runs, v);
	}
	fputs(",\n", s->runs);
	return fflush(s->runs) ? errf(e, -errno, "%s/runs.csv: %s", s->dir, strerror(errno)) : 0;
}

static int run_all(struct sweep *s, struct errbuf *e)
{
	int total = s->cells * s->x->repetitions, done = 0, err = 0;
	uint64_t said = clock_ns();

	s->runs = create(s->dir, "runs.csv", e);
	if (!s->runs)
		return -EIO;
	fputs("cell,repetition,", s->runs);
	put_key_names(s, s->runs);
	fputs(",valid,bound,start_s,wall_s", s->runs);
	for (int m = 0; m < whatif_metrics_n; m++)
		fprintf(s->runs, ",%s", whatif_metrics[m].name);
	fputs(",why\n", s->runs);
	for (int rep = 0; rep < s->x->repetitions && !err; rep++) {
		for (int i = 0; i < s->cells && !err; i++) {
			err = run_cell(s, i, rep, e);
			done++;
			if (clock_ns() - said < PAUSE_NS)
				continue;
			said = clock_ns();
			log_info("[%d/%d] simulated", done, total);
		}
	}
	if (fclose(s->runs) && !err)
		err = errf(e, -errno, "%s/runs.csv: %s", s->dir, strerror(errno));
	return err;
}

/* ---- meta.json ---- */

static json_t *now_text(void)
{
	time_t now = time(NULL);
	struct tm tm;
	char s[32];

	gmtime_r(&now, &tm);
	strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(s);
}

static json_t *metric_list(void)
{
	json_t *j = json_object();

	for (int i = 0; i < whatif_metrics_n; i++)
		json_object_set_new(j, whatif_metrics[i].name,
				    json_pack("{s:s, s:s}", "unit", whatif_metrics[i].unit, "text",
					      whatif_metrics[i].text));
	return j;
}

static int write_meta(struct sweep *s, json_t *started, struct errbuf *e)
{
	json_t *j = json_object(), *cells = json_array();
	int n = s->cells * s->x->repetitions, err;
	char text[96], path[512];

	for (int i = 0; i < s->cells; i++) {
		const struct whatif_cell *c = &s->cell[i];

		snprintf(text, sizeof text, "simulated atlas, vary %s", vary_name(s, c));
		json_array_append_new(cells, json_string(text));
	}
	json_object_set_new(j, "schema", json_integer(1));
	json_object_set_new(j, "simulated", json_true());
	json_object_set_new(j, "title", json_string(s->x->title));
	json_object_set_new(j, "figure", json_string("whatif"));
	json_object_set_new(j, "notes", json_string(s->x->notes));
	json_object_set_new(j, "source", json_string(s->x->path));
	json_object_set_new(j, "model",
			    json_string("discrete-event model of atlas's buffers driving a "
					"set-associative cache; nothing was measured"));
	json_object_set(j, "started", started);
	json_object_set_new(j, "finished", now_text());
	json_object_set_new(j, "versions", json_pack("{s:s}", "dcn", DCN_VERSION));
	json_object_set_new(j, "metrics", metric_list());
	json_object_set_new(j, "cells", cells);
	json_object_set_new(j, "seeds", json_pack("{s:I}", "run", (json_int_t)s->x->seed));
	json_object_set_new(j, "runs", json_pack("{s:i, s:i}", "done", n, "planned", n));
	json_object_set_new(j, "ended", json_string("complete"));
	snprintf(path, sizeof path, "%s/meta.json", s->dir);
	err = json_dump_file(j, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(j);
	return err ? errf(e, -EIO, "%s can't be written", path) : 0;
}

/* ---- plot/ ---- */

/* One row a point: the axis of its panel, its combination, its place. The base cell is a point of
 * every axis. */
static int write_points(struct sweep *s, struct errbuf *e)
{
	FILE *f = create(s->dir, "plot/whatif.csv", e);
	char fifo[64];

	if (!f)
		return -EIO;
	fputs("axis,line_gbps,wait,fifo,x,read,write,total,total_ci95,short,disk\n", f);
	for (int i = 0; i < s->cells; i++) {
		const struct whatif_cell *c = &s->cell[i];
		double r = mean(s, i, "mem_read_per_net_byte");
		double w = mean(s, i, "mem_write_per_net_byte"), sum[REPS_MAX];

		for (int k = 0; k < s->x->repetitions; k++)
			sum[k] = values(s, i, metric("mem_read_per_net_byte"))[k] +
				 values(s, i, metric("mem_write_per_net_byte"))[k];
		snprintf(fifo, sizeof fifo, "%.9g,%d,%d", (double)c->cfg.line_rate / 1e9,
			 c->cfg.min_pull > 0, (int)c->cfg.fifo);
		for (int a = 0; a < s->x->axes; a++) {
			const struct whatif_axis *ax = &s->x->axis[a];
			double ci = stats_ci95(sum, s->x->repetitions);

			if (ax->cross || (c->vary >= 0 && c->vary != a))
				continue;
			fprintf(f, "%s,%s,%.9g,%.9g,%.9g,%.9g,%.9g,%d,%.9g\n",
				whatif_params[ax->param].name, fifo,
				whatif_number(&c->cfg, ax->param), r, w, r + w,
				isfinite(ci) ? ci : 0, short_of(s, i),
				mean(s, i, "disk_read_per_net_byte"));
		}
	}
	return fclose(f) ? errf(e, -errno, "%s/plot: %s", s->dir, strerror(errno)) : 0;
}

/* As text and as a number. */
static void put_base(const struct sweep *s, int param, FILE *f)
{
	const char *name = whatif_params[param].name;
	char text[64];

	fprintf(f, "BASE_%s = \"%s\"\nAT_%s = %.12g\n", name,
		whatif_text(&s->x->base, param, text, sizeof text), name,
		whatif_number(&s->x->base, param));
}

static int write_variables(const struct sweep *s, struct errbuf *e)
{
	FILE *f = create(s->dir, "plot/whatif.gp", e);

	if (!f)
		return -EIO;
	fprintf(f, "# written by dcn-whatif; draw with dcn-whatif --plot DIR\n");
	fprintf(f, "TITLE = \"%s\"\nREPETITIONS = %d\n", s->x->title, s->x->repetitions);
	for (int i = 0; i < whatif_params_n; i++)
		put_base(s, i, f);
	fprintf(f, "AXES = \"");
	for (int i = 0; i < s->x->axes; i++)
		if (!s->x->axis[i].cross)
			fprintf(f, "%s ", whatif_params[s->x->axis[i].param].name);
	fprintf(f, "\"\nRATES = \"");
	for (int i = 0; i < s->x->axes; i++) {
		const struct whatif_axis *a = &s->x->axis[i];
		struct whatif_cfg c = s->x->base;
		struct errbuf unused;

		for (int v = 0; a->param == whatif_find("line_rate") && v < a->n; v++) {
			whatif_set(&c, a->param, a->value[v], &unused);
			fprintf(f, "%.9g ", (double)c.line_rate / 1e9);
		}
	}
	fprintf(f, "\"\n");
	return fclose(f) ? errf(e, -errno, "%s/plot: %s", s->dir, strerror(errno)) : 0;
}

/* ---- all of it ---- */

static int make_dir(const char *dir, struct errbuf *e)
{
	char path[512];

	if (mkdir(dir, 0755) && errno != EEXIST)
		return errf(e, -errno, "%s: %s; choose another place with --out", dir,
			    strerror(errno));
	snprintf(path, sizeof path, "%s/runs.csv", dir);
	if (!access(path, F_OK))
		return errf(e, -EEXIST, "%s has results already; choose another --out", dir);
	snprintf(path, sizeof path, "%s/plot", dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int write_files(struct sweep *s, json_t *started, struct errbuf *e)
{
	FILE *f;
	int err = write_summary(s, e);

	if (!err)
		err = write_meta(s, started, e);
	if (!err)
		err = write_points(s, e);
	if (!err)
		err = write_variables(s, e);
	f = err ? NULL : create(s->dir, "experiment.exp", e);
	if (!f)
		return err ? err : -EIO;
	whatif_exp_write(s->x, f);
	return fclose(f) ? errf(e, -errno, "%s/experiment.exp: %s", s->dir, strerror(errno)) : 0;
}

int whatif_sweep(const struct whatif_exp *x, const char *dir, struct errbuf *e)
{
	struct sweep s = {.x = x, .dir = dir};
	json_t *started = now_text();
	int err = make_dir(dir, e);

	if (!err) {
		s.cell = calloc(WHATIF_CELLS, sizeof *s.cell);
		s.cells =
			s.cell ? whatif_exp_cells(x, s.cell, e) : errf(e, -ENOMEM, "out of memory");
		err = s.cells < 0 ? s.cells : 0;
	}
	if (!err) {
		s.value = calloc((size_t)s.cells * METRICS_MAX * (size_t)x->repetitions,
				 sizeof *s.value);
		err = s.value ? run_all(&s, e) : errf(e, -ENOMEM, "out of memory");
	}
	if (!err)
		err = write_files(&s, started, e);
	json_decref(started);
	free(s.cell);
	free(s.value);
	return err;
}

static int gnuplot(const char *dir, const char *set, struct errbuf *e)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return errf(e, -errno, "fork: %s", strerror(errno));
	if (pid == 0) {
		if (!chdir(dir) && !setenv("LC_ALL", "C.UTF-8", 1)) /* it writes degree signs */
			execlp("gnuplot", "gnuplot", "-e", set, "-e",
			       "load \"plot/whatif.gp\"; load SCRIPTS.\"/whatif.gp\"",
			       (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return errf(e, -errno, "gnuplot: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return errf(e, -EIO, "gnuplot could not draw %s; is gnuplot-nox installed?", dir);
}

int whatif_plot(const char *dir, const char *scripts, struct errbuf *e)
{
	static const char *const format[] = {"svg", "pdf", "png"};
	char real[4096], set[4300];
	int err = 0;

	if (!realpath(scripts, real) || strchr(real, '"'))
		return errf(e, -ENOENT, "%s: the plot scripts are not there; set DCN_PLOTS",
			    scripts);
	for (int i = 0; i < 3 && !err; i++) {
		snprintf(set, sizeof set, "SCRIPTS=\"%s\"; FORMAT=\"%s\"; OUT=\"whatif.%s\"", real,
			 format[i], format[i]);
		err = gnuplot(dir, set, e);
	}
	return err;
}
