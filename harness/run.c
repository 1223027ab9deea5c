/* run: the loop over blocks and cells.
 *
 * One idea: the plan (cells, orders, seeds) is a function of the experiment, the journal says what
 * of it is done, and the loop does the rest. So starting, resuming and stopping are one code path.
 */
#include "harness/run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "harness/bench.h"
#include "harness/ceilings.h"
#include "harness/cell_io.h"
#include "harness/cgroup.h"
#include "harness/child.h"
#include "harness/interrupt.h"
#include "harness/meta.h"
#include "harness/plot.h"
#include "harness/registry.h"
#include "harness/report.h"
#include "harness/resolve.h"
#include "harness/results.h"
#include "harness/undo.h"

struct plan {
	struct bench b;
	struct experiment x;
	struct cell *cell; /* CELLS_MAX */
	int cells, blocks, planned, done, failed, invalid, missing;
	struct results r;
	uint64_t t0;
	int done_at_start;
};

static void raise_limits(void)
{
	struct rlimit rl;

	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* Every stack is known and can run here, before anything is made. */
static int check_stacks(const struct plan *p, struct errbuf *e)
{
	for (int i = 0; i < p->cells && !cell_io_wanted(&p->x); i++) {
		const char *name = cell_text(&p->x, &p->cell[i], "stack"), *variant;
		const struct stack_ops *ops = registry_stack(name, &variant, e);
		struct errbuf why = {""};
		int err;

		if (!ops)
			return -EINVAL;
		err = ops->check ? ops->check(variant, &why) : 0;
		if (err)
			return errf(e, -ENOENT, "stack %s can't run here: %s", name, why.s);
	}
	return 0;
}

/* Collectors are known, and the load generator is there. */
static int check_rest(const struct plan *p, struct errbuf *e)
{
	char name[300], path[300];

	for (const char *c = experiment_text(&p->x, "collect.collectors"); *c;) {
		size_t n = strcspn(c, ", \t");

		snprintf(name, sizeof name, "%.*s", (int)n, c);
		if (n && !registry_collector(name, e))
			return -EINVAL;
		c += n;
		c += strspn(c, ", \t");
	}
	snprintf(name, sizeof name, "%s/%s", p->b.bin_dir, experiment_text(&p->x, "load.program"));
	if (!child_which(name, path, sizeof path))
		return errf(e, -ENOSYS, "%s is missing: run make", name);
	return 0;
}

static int load_plan(struct plan *p, const struct run_options *o, struct errbuf *e)
{
	const char *base;
	char path[512];
	int err;

	machine_read(&p->b.machine);
	if (o->resume) {
		snprintf(path, sizeof path, "%s/experiment.exp", o->resume);
		err = experiment_load(&p->x, path, false, NULL, 0, e);
	} else {
		err = experiment_load(&p->x, o->file, o->quick, o->sets, o->nsets, e);
	}
	if (!err)
		err = resolve(&p->x, &p->b.machine, e);
	if (err)
		return err;
	p->cells = sweep_cells(&p->x, registry_caches, p->cell, e);
	if (p->cells < 0)
		return p->cells;
	snprintf(p->b.bin_dir, sizeof p->b.bin_dir, "%s", o->bin_dir);
	err = check_stacks(p, e);
	if (!err)
		err = check_rest(p, e);
	if (err)
		return err;
	p->blocks = (int)cell_count(&p->x, &p->cell[0], "run.repetitions");
	p->planned = p->blocks * p->cells;
	p->b.x = &p->x;
	base = experiment_text(&p->x, "content.dir");
	if (!*base)
		base = getenv("DCN_CONTENT");
	snprintf(p->b.content_base, sizeof p->b.content_base, "%s",
		 base && *base ? base : "/var/tmp/dcn-content");
	return 0;
}

static const char *left_text(const struct plan *p, char *buf, size_t len)
{
	int now = p->done - p->done_at_start;
	double per, s;

	if (now < 1) {
		snprintf(buf, len, "?");
		return buf;
	}
	per = (double)(clock_ns() - p->t0) / 1e9 / now;
	s = per * (p->planned - p->done);
	if (s < 90)
		snprintf(buf, len, "%.0f s", s);
	else
		snprintf(buf, len, "%.0f min", s / 60);
	return buf;
}

/* "7.45 Gb/s, cpu 99 %": what there is. */
static void figures(const struct outcome *o, char *buf, size_t len)
{
	double net = metrics_get(&o->m, "net_gbps"), cpu = metrics_get(&o->m, "cpu_pct");
	double lat = metrics_get(&o->m, "disk_lat_us_mean");

	if (!isfinite(net))
		snprintf(buf, len, "%.2f Gb/s, %.0f us", metrics_get(&o->m, "disk_read_gbps"), lat);
	else if (isfinite(cpu))
		snprintf(buf, len, "%.2f Gb/s, cpu %.0f %%", net, cpu);
	else
		snprintf(buf, len, "%.2f Gb/s", net);
}

static void show(const struct plan *p, int block, const struct cell *c, const struct outcome *o)
{
	char label[200], left[32], fig[80];

	cell_label(&p->x, c, label, sizeof label);
	left_text(p, left, sizeof left);
	figures(o, fig, sizeof fig);
	if (o->ran)
		log_info("[%d/%d] block %d  %s: %s%s%s%s; left: %s", p->done, p->planned, block + 1,
			 label, fig, *o->bound ? ", bound by " : "", o->bound,
			 o->valid ? "" : "  INVALID", left);
	else
		log_info("[%d/%d] block %d  %s: FAILED; left: %s", p->done, p->planned, block + 1,
			 label, left);
	for (int i = 0; i < o->whys; i++)
		log_warn("    %s", o->why[i]);
}

/* What load.rate_of_ceiling stands for in this block: every stack of a point gets the same. 0 where
 * the rate is the experiment's own. */
static int rate_of_block(struct plan *p, int block, const struct cell *c, struct errbuf *e)
{
	double share = cell_number(&p->x, c, "load.rate_of_ceiling"), disk, client;
	struct metrics m = {.n = 0};

	p->b.rate = 0;
	if (!(share > 0) || strcmp(cell_text(&p->x, c, "load.mode"), "open"))
		return 0;
	ceilings_apply(&p->b, c, block, &p->r.ledger, &m);
	disk = metrics_get(&m, "ceil_disk_gbps");
	client = metrics_get(&m, "ceil_client_gbps");
	disk = disk <= client || !isfinite(client) ? disk : client;
	if (!isfinite(disk))
		return errf(e, -ENODATA,
			    "load.rate_of_ceiling: no ceiling could be measured in block %d; set "
			    "load.rate instead",
			    block + 1);
	p->b.rate =
		share / 100 * disk * 1e9 / 8 / (double)cell_size(&p->x, c, "content.object_size");
	return 0;
}

static int one_run(struct plan *p, int block, const struct cell *c, struct errbuf *e)
{
	uint64_t seed =
		rng_mix(cell_count(&p->x, c, "run.seed") + 1) ^ (uint64_t)(block * 8191 + 1);
	struct outcome o;
	int err = cell_io_wanted(&p->x) ? 0 : rate_of_block(p, block, c, e);

	if (err)
		return err;
	/* One seed a block: all its cells see the same request stream. */
	if (cell_io_wanted(&p->x))
		err = cell_io_run(&p->b, c, seed >> 16, &o, e);
	else
		err = cell_run(&p->b, c, NULL, true, seed >> 16, &o, e);
	if (err) {
		outcome_free(&o);
		return err;
	}
	if (!cell_io_wanted(&p->x))
		ceilings_apply(&p->b, c, block, &p->r.ledger, &o.m);
	if (o.ran)
		verdict_bound(&p->b, c, o.server_cpus, &o);
	p->done++;
	p->failed += !o.ran;
	p->invalid += o.ran && !o.valid;
	p->missing = o.missing > p->missing ? o.missing : p->missing;
	show(p, block, c, &o);
	err = results_add(&p->r, c, block, &o, e);
	if (!err)
		err = results_write_meta(&p->r, e);
	outcome_free(&o);
	return err;
}

static int run_block(struct plan *p, int block, struct errbuf *e)
{
	int *order = calloc((size_t)p->cells, sizeof *order), err, todo = 0;

	if (!order)
		return errf(e, -ENOMEM, "out of memory");
	for (int i = 0; i < p->cells; i++)
		todo += !ledger_has(&p->r.ledger, block, i);
	err = todo && !cell_io_wanted(&p->x)
		      ? ceilings_measure(&p->b, p->cell, p->cells, block, &p->r, e)
		      : 0;
	sweep_order(cell_count(&p->x, &p->cell[0], "run.seed"), block, order, p->cells);
	for (int i = 0; i < p->cells && !err && !interrupt_soon(); i++)
		if (!ledger_has(&p->r.ledger, block, order[i]))
			err = one_run(p, block, &p->cell[order[i]], e);
	free(order);
	return err;
}

static int finish(struct plan *p, const struct run_options *o, int err, struct errbuf *e)
{
	struct errbuf why = {""};
	int sig = interrupt_exit();

	if (err && !sig && !p->done && !o->resume) { /* it could not even begin */
		log_err("%s", e->s);
		results_discard(&p->r);
		return 1;
	}
	meta_end(&p->r, p->done, p->planned, sig ? "interrupted" : err ? "failed" : "complete");
	if (p->b.no_cgroup)
		results_warn(&p->r,
			     "no memory cgroup (%s): objects were evicted after use instead "
			     "of a page-cache budget",
			     p->b.no_cgroup_why);
	results_write_meta(&p->r, &why);
	if (p->done && summary_write(p->r.dir, &why))
		log_err("%s", why.s);
	if (err && !sig)
		log_err("%s", e->s);
	if (p->done && !o->no_plot && plot_dir(p->r.dir, o->bin_dir, &why))
		log_warn("no figure: %s", why.s);
	if (p->done && report_write(p->r.dir, &why))
		log_warn("no report: %s", why.s);
	printf("%s\n", p->r.dir);
	if (sig) {
		log_info("stopped; `dcn run --resume %s` goes on", p->r.dir);
		return sig;
	}
	if (err)
		return 1;
	if (p->invalid || p->failed)
		log_warn("%d runs failed, %d are invalid; runs.csv says why", p->failed,
			 p->invalid);
	if (p->failed || p->invalid == p->planned)
		return 1;
	return o->strict && p->missing ? 4 : 0;
}

static int open_results(struct plan *p, const struct run_options *o, struct errbuf *e)
{
	int err = o->resume ? results_resume(&p->r, &p->x, o->resume, e)
			    : results_create(&p->r, &p->x, o->out, e);

	if (err)
		return err;
	p->done = p->done_at_start = p->r.ledger.runs;
	machine_touch(&p->b.machine);
	meta_begin(&p->r, &p->b, p->cell, p->cells);
	return results_write_meta(&p->r, e);
}

int run_experiment(const struct run_options *o)
{
	struct plan *p = calloc(1, sizeof *p);
	struct errbuf e = {""};
	int err, status;

	if (!p || !(p->cell = calloc(CELLS_MAX, sizeof *p->cell))) {
		free(p);
		log_err("out of memory");
		return 1;
	}
	p->r.ledger.fd = -1;
	raise_limits();
	err = load_plan(p, o, &e);
	if (err) {
		log_err("%s", e.s);
		status = err == -EINVAL || err == -ENOENT || err == -E2BIG ? 2 : 1;
		goto out;
	}
	err = undo_open(&e);
	if (!err)
		err = open_results(p, o, &e);
	if (err) {
		log_err("%s", e.s);
		status = err == -EEXIST ? 2 : 1;
		goto out_undo;
	}
	child_adopt();
	interrupt_install();
	log_info("%s: %d cells, %d blocks, %d runs%s; results in %s", p->x.path, p->cells,
		 p->blocks, p->planned, p->done ? " (resumed)" : "", p->r.dir);
	p->t0 = clock_ns();
	for (int block = 0; block < p->blocks && !err && !interrupt_soon(); block++)
		err = run_block(p, block, &e);
	status = finish(p, o, err, &e);
out_undo:
	undo_close();
out:
	results_close(&p->r);
	free(p->cell);
	free(p);
	return status;
}
