/* caption: sentences out of meta.json, experiment.exp and summary.csv. Missing facts are left out.
 */
#include "harness/caption.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/metrics.h"
#include "harness/registry.h"

bool caption_uncached(const char *stack)
{
	return !registry_caches(stack);
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void x_label(struct caption *c, const char *name)
{
	static const struct {
		const char *name, *label;
	} known[] = {
		{"connections", "concurrent HTTP connections"},
		{"cache_ratio", "buffer cache ratio (%)"},
		{"rtt", "round-trip time (ms)"},
		{"loss", "packet loss (%)"},
		{"io_window", "I/O window (reads in flight)"},
		{"window", "I/O window (reads in flight)"},
		{"rate", "offered load"},
		{"object_size", "object size (bytes)"},
	};

	snprintf(c->xlabel, sizeof c->xlabel, "%s", name);
	for (unsigned int i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(known[i].name, name))
			snprintf(c->xlabel, sizeof c->xlabel, "%s", known[i].label);
}

/* The names of all stacks, each once. */
static void stack_names(char *buf, size_t len, const struct csv *s)
{
	int col = csv_column(s, "stack");
	size_t at = 0;

	buf[0] = 0;
	for (int i = 0; i < s->rows && at < len; i++) {
		bool seen = false;

		for (int k = 0; k < i && !seen; k++)
			seen = !strcmp(csv_text(s, i, col), csv_text(s, k, col));
		if (!seen)
			at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? ", " : "",
					       csv_text(s, i, col));
	}
}

void caption_make(struct caption *c, const char *dir, const struct experiment *x,
		  const struct csv *summary)
{
	const char *title = experiment_text(x, "experiment.title");
	const char *xname = experiment_text(x, "experiment.x");
	const json_t *machine, *testbed;
	char path[400], stacks[120], cpu[80];
	json_t *meta;
	double least = INFINITY;

	memset(c, 0, sizeof *c);
	snprintf(path, sizeof path, "%s/meta.json", dir);
	meta = json_load_file(path, 0, NULL);
	machine = json_object_get(meta, "machine");
	testbed = json_object_get(meta, "testbed");
	snprintf(c->title, sizeof c->title, "%s",
		 *title ? title : experiment_text(x, "experiment.figure"));
	x_label(c, strchr(xname, '.') ? strchr(xname, '.') + 1 : xname);
	for (int i = 0; i < summary->rows; i++) {
		double n = csv_number(summary, i, csv_column(summary, "n"));

		least = n < least ? n : least;
	}
	c->repetitions = isfinite(least) ? (int)least : 0;
	c->server_cpus = (int)json_integer_value(json_object_get(testbed, "server_cpu_count"));
	c->server_cpus = c->server_cpus ? c->server_cpus : 1;
	stack_names(stacks, sizeof stacks, summary);
	snprintf(cpu, sizeof cpu, "%s", text(machine, "cpu"));
	snprintf(c->line[0], sizeof c->line[0],
		 "n = %d repetitions in randomised blocks, bars: 95 %% confidence; hollow: "
		 "client-limited, "
		 "a lower bound; thin grey lines: ceilings measured in the same blocks.",
		 c->repetitions);
	snprintf(c->line[1], sizeof c->line[1],
		 "%s; %s, %d server core%s of %d (%s), Linux %.20s, disk %s, veth, RTT %s, objects "
		 "%s, "
		 "%.10s.",
		 stacks, *cpu ? cpu : "unknown CPU", c->server_cpus, c->server_cpus > 1 ? "s" : "",
		 (int)json_integer_value(json_object_get(machine, "cpus")),
		 text(machine, "machine"),
		 strncmp(text(machine, "kernel"), "Linux ", 6) ? "" : text(machine, "kernel") + 6,
		 text(testbed, "disk"), experiment_text(x, "testbed.rtt"),
		 experiment_text(x, "content.object_size"), text(meta, "started"));
	snprintf(c->line[2], sizeof c->line[2],
		 "The paper: FreeBSD stacks, 8 cores (Xeon E5-2667 v3), 4 NVMe drives, 2 x 40 GbE, "
		 "clients 10 to 40 ms away.");
	json_decref(meta);
}
