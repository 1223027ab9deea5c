/* describe: resolve an experiment and tell what it means here.
 *
 * One idea: it uses the functions that `dcn run` uses (load, cells, probes), so what it says is
 * what would happen. Nothing is made or measured.
 */
#include "harness/describe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "harness/bench.h"
#include "harness/ceilings.h"
#include "harness/cell_io.h"
#include "harness/registry.h"
#include "harness/resolve.h"

#define OVERHEAD_S 3.0 /* of a run: testbed, eviction, stack, handshakes */

static double seconds(const struct experiment *x, const struct cell *c)
{
	return (double)(cell_ns(x, c, "run.warmup") + cell_ns(x, c, "run.duration") +
			cell_ns(x, c, "load.ramp")) /
		       1e9 +
	       OVERHEAD_S;
}

static void print_cells(const struct experiment *x, const struct cell *cell, int n)
{
	char label[200];

	printf("\n%d cells:\n", n);
	for (int i = 0; i < n; i++) {
		const char *name = cell_text(x, &cell[i], "stack"), *variant = "";
		struct errbuf why = {""};
		const struct stack_ops *ops = registry_stack(name, &variant, &why);
		int err = cell_io_wanted(x)   ? 0
			  : ops && ops->check ? ops->check(variant, &why)
			  : ops		      ? 0
					      : -EINVAL;

		printf("  %3d  %s%s%s\n", i, cell_label(x, &cell[i], label, sizeof label),
		       err ? "   CAN'T RUN HERE: " : "", err ? why.s : "");
	}
}

static void print_metric(const char *name, const char *unit, const char *text)
{
	printf("  %-24s %-5s %s\n", name, unit ? unit : "", text ? text : "");
}

static void print_metrics(const struct experiment *x)
{
	const char *asked = experiment_text(x, "collect.collectors");
	struct collector_env env = {
		.proc_root = "/proc", .sys_root = "/sys", .options = "", .interval_ns = 1000000000};

	const struct metric_info *m = cell_io_wanted(x) ? metric_io_columns : metric_columns;

	printf("\nmetrics of the driver, the load and all collectors:\n");
	for (; m->name; m++)
		print_metric(m->name, m->unit, m->text);
	if (cell_io_wanted(x))
		return;
	for (int i = 0; registry_collectors[i]; i++) {
		const struct collector_ops *ops = registry_collectors[i];
		struct errbuf why = {""};

		if (!strstr(asked, ops->name))
			continue;
		printf("\ncollector %s:\n", ops->name);
		if (ops->probe && ops->probe(&env, &why)) {
			printf("  MISSING: %s\n", why.s);
			continue;
		}
		for (int k = 0; ops->metrics && ops->metrics[k].name; k++)
			print_metric(ops->metrics[k].name, ops->metrics[k].unit,
				     ops->metrics[k].text);
	}
}

static void print_time(const struct experiment *x, const struct cell *cell, int n)
{
	struct bench b = {.x = x};
	int blocks = (int)cell_count(x, &cell[0], "run.repetitions");
	int ceilings = ceilings_count(&b, cell, n);
	double s = ceilings * seconds(x, &cell[0]);

	for (int i = 0; i < n; i++)
		s += seconds(x, &cell[i]);
	printf("\n%d blocks of %d runs and %d ceilings: about %.0f min, and the time to write the "
	       "content once\n",
	       blocks, n, ceilings, s * blocks / 60 + 0.5);
}

int describe(const char *file, bool quick, char *const *sets, int nsets)
{
	struct experiment *x = calloc(1, sizeof *x);
	struct cell *cell = calloc(CELLS_MAX, sizeof *cell);
	struct errbuf e = {""};
	struct machine m;
	int n = -ENOMEM;

	if (x && cell)
		n = experiment_load(x, file, quick, sets, nsets, &e);
	machine_read(&m);
	if (n == 0)
		n = resolve(x, &m, &e);
	if (n == 0)
		n = sweep_cells(x, registry_caches, cell, &e);
	if (n < 0) {
		log_err("%s", n == -ENOMEM ? "out of memory" : e.s);
	} else {
		experiment_write(x, stdout);
		print_cells(x, cell, n);
		print_metrics(x);
		print_time(x, cell, n);
	}
	free(x);
	free(cell);
	return n < 0 ? 2 : 0;
}

int describe_keys(void)
{
	const char *section = "";

	for (int i = 0; i < settings_n; i++) {
		const struct setting *s = &settings[i];

		if (strcmp(section, s->section))
			printf("%s[%s]\n", *section ? "\n" : "", s->section);
		section = s->section;
		printf("  %-14s %s%s%s%s", s->key, s->help, *s->def ? " (default " : "", s->def,
		       *s->def ? ")" : "");
		printf(s->words ? "; one of: %s\n" : "\n", s->words ? s->words : "");
	}
	printf("\n[sweep]\n  any key above, as key = a, b, c or 1..9 step 2 or 1..64 x2; `stack` "
	       "for "
	       "stack.name\n\n[quick]\n  section.key = value, applied by --quick\n");
	return 0;
}
