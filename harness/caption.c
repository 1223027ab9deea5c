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

/* Break `s` into lines at blanks. */
static void wrap(struct caption *c, const char *s)
{
	while (*s && c->lines < CAPTION_LINES) {
		size_t n = strlen(s);

		if (n > CAPTION_WIDTH)
			for (n = CAPTION_WIDTH; n > 1 && s[n] != ' ';)
				n--;
		snprintf(c->line[c->lines++], sizeof c->line[0], "%.*s", (int)n, s);
		s += n;
		s += *s == ' ';
	}
}

/* "closed loop, client engine mixed (6.3 % of the responses verified)" */
static void describe_load(char *buf, size_t len, const struct experiment *x, const struct csv *s)
{
	bool both = experiment_axis_of(x, setting_find_name("load.mode"));
	bool engines = experiment_axis_of(x, setting_find_name("load.engine"));
	int col = csv_column(s, "verified_share"), n = 0;
	double least = 1, most = 0;

	for (int i = 0; i < s->rows; i++) {
		double v = csv_number(s, i, col);

		if (!isfinite(v))
			continue;
		least = v < least ? v : least;
		most = v > most ? v : most;
		n++;
	}
	snprintf(buf, len, "%s, client engine %s",
		 both						   ? "closed and open loop"
		 : strcmp(experiment_text(x, "load.mode"), "open") ? "closed loop"
								   : "open loop",
		 engines ? "as drawn" : experiment_text(x, "load.engine"));
	if (n && most - least < 0.02)
		snprintf(buf + strlen(buf), len - strlen(buf),
			 " (%.3g %% of the responses verified)", 50 * (least + most));
	else if (n)
		snprintf(buf + strlen(buf), len - strlen(buf),
			 " (%.2g to %.2g %% of the responses verified)", 100 * least, 100 * most);
}

/* How many valid runs a point has: "n = 4", "n = 3 to 4". */
static const char *runs_text(const struct caption *c, char buf[32])
{
	int n = snprintf(buf, 32, "n = %d", c->repetitions);

	if (c->repetitions < c->repetitions_most)
		snprintf(buf + n, 32 - (size_t)n, " to %d", c->repetitions_most);
	return buf;
}

static bool above_ceiling(const struct csv *s)
{
	int read = csv_column(s, "disk_read_gbps"), top = csv_column(s, "ceil_disk_gbps");
	bool above = false;

	for (int i = 0; i < s->rows; i++)
		above |= csv_number(s, i, read) > csv_number(s, i, top);
	return above;
}

static void describe(struct caption *c, const struct experiment *x, const json_t *machine,
		     const json_t *testbed, const struct csv *summary, const char *cpu,
		     const char *started)
{
	const char *kernel = text(machine, "kernel"), *rtt = experiment_text(x, "testbed.rtt");
	bool swept = experiment_axis_of(x, setting_find_name("testbed.rtt"));
	const char *arch = strrchr(kernel, ' '); /* "Linux 6.1.0-x x86_64": without the last word */
	char s[1200], stacks[160], load[128], runs[32];

	stack_names(stacks, sizeof stacks, summary);
	describe_load(load, sizeof load, x, summary);
	snprintf(s, sizeof s,
		 "Points are means of %s runs in randomised blocks, bars 95 %% confidence "
		 "intervals (Student t); hollow: the client was the limit. %sBC: buffer cache "
		 "ratio. "
		 "Measured %.10s: %s; %s (%s), %d of %d cores for the server, %.*s, disk %s, "
		 "virtual "
		 "network (veth)%s%s, congestion control %s, objects of %s, %s. The paper: "
		 "production "
		 "and specialised FreeBSD stacks on 8 cores (Xeon E5-2667 v3), 4 NVMe drives, 2 "
		 "dual-port 40 GbE, objects of about 300 KB, clients 10 to 40 ms away.",
		 runs_text(c, runs),
		 above_ceiling(summary) ? "Where more was read than the disk's ceiling, fio had "
					  "met a slower moment of the disk. "
					: "",
		 started, stacks, *cpu ? cpu : "unknown CPU", text(machine, "machine"),
		 c->server_cpus, (int)json_integer_value(json_object_get(machine, "cpus")),
		 arch ? (int)(arch - kernel) : (int)strlen(kernel), kernel, text(testbed, "disk"),
		 swept		    ? ", RTT as drawn"
		 : strcmp(rtt, "0") ? ", RTT "
				    : " without delay",
		 !swept && strcmp(rtt, "0") ? rtt : "", text(testbed, "congestion"),
		 experiment_text(x, "content.object_size"), load);
	wrap(c, s);
}

/* Figure 6 has a device instead of a network. */
static void describe_io(struct caption *c, const struct experiment *x, const json_t *machine,
			const json_t *testbed, const char *cpu, const char *started)
{
	const char *device = experiment_text(x, "load.device");
	bool sim = !strncmp(device, "sim:", 4);
	char s[900], runs[32];

	if (sim)
		snprintf(c->title + strlen(c->title), sizeof c->title - strlen(c->title),
			 " (simulated)");
	snprintf(s, sizeof s,
		 "Points are means of %s runs in randomised blocks, bars 95 %% confidence "
		 "intervals "
		 "(Student t). %s%s, closed loop of random reads of %s, direct I/O; each point "
		 "satisfies "
		 "Little's law within 5 %%. %s %.10s: %s (%s), %s%s%s. The paper: Intel P3700 800 "
		 "GB, "
		 "16 KB reads.",
		 runs_text(c, runs),
		 sim ? "SIMULATED device, a model with the data sheet's values: " : "Device: ",
		 sim	   ? device
		 : *device ? device
			   : "a file on the content disk",
		 experiment_text(x, "load.io_size"), sim ? "Computed" : "Measured", started,
		 *cpu ? cpu : "unknown CPU", text(machine, "machine"), text(machine, "kernel"),
		 *device ? "" : ", disk ", *device ? "" : text(testbed, "disk"));
	wrap(c, s);
}

/* Why a metric is missing, as meta.json has it: {metric: {reason: runs}}. */
static const char *first_reason(const json_t *missing, const char *metric)
{
	json_t *reasons = json_object_get(missing, metric);
	void *it = json_object_iter(reasons);

	return it ? json_object_iter_key(it) : "no collector membw";
}

void caption_make(struct caption *c, const char *dir, const struct experiment *x,
		  const struct csv *summary)
{
	const char *title = experiment_text(x, "experiment.title");
	const char *xname = experiment_text(x, "experiment.x");
	const json_t *machine, *testbed;
	char path[400], cpu[80];
	json_t *meta;

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

		if (!(n >= 1)) /* no point there */
			continue;
		if (!c->repetitions || n < c->repetitions)
			c->repetitions = (int)n;
		if (n > c->repetitions_most)
			c->repetitions_most = (int)n;
	}
	c->server_cpus = (int)json_integer_value(json_object_get(testbed, "server_cpu_count"));
	c->server_cpus = c->server_cpus ? c->server_cpus : 1;
	snprintf(cpu, sizeof cpu, "%s", text(machine, "cpu"));
	snprintf(c->cpu_why, sizeof c->cpu_why, "not measured: %.180s",
		 *text(testbed, "cpu_why") ? text(testbed, "cpu_why") : "no collector");
	snprintf(c->mem_why, sizeof c->mem_why, "%.300s",
		 first_reason(json_object_get(meta, "missing"), "mem_read_gbps"));
	if (!strcmp(experiment_text(x, "load.program"), "iowindow"))
		describe_io(c, x, machine, testbed, cpu, text(meta, "started"));
	else
		describe(c, x, machine, testbed, summary, cpu, text(meta, "started"));
	json_decref(meta);
}
