/* stackstats: a stack with a TCP of its own is invisible to the kernel's counters, so its own
 * replace them. Readings at both ends of the window are subtracted; within a reading all counters
 * of a worker are of one instant (at most 0.1 s before it was asked), so that ratios of differences
 * are exact, whatever the instant. Unknown statistics stay in raw/. */
#include "harness/stackstats.h"

#include <stdio.h>
#include <string.h>

static double sum(const json_t *stats, const char *group, const char *key)
{
	const json_t *w;
	double s = 0;
	size_t i;

	json_array_foreach(json_object_get(stats, "workers"), i, w) s +=
		json_number_value(json_object_get(json_object_get(w, group), key));
	return s;
}

struct window {
	const json_t *start, *end; /* start may be NULL: since the stack began */
	double body;
	struct metrics *m;
};

static double grown(const struct window *w, const char *group, const char *key)
{
	return sum(w->end, group, key) - sum(w->start, group, key);
}

static void ratio(const struct window *w, const char *name, double a, double b)
{
	if (b > 0)
		metrics_set(w->m, name, a / b);
	else
		metrics_missing(w->m, name, "nothing to divide by in the window");
}

static double cycles_grown(const struct window *w, const char *stage)
{
	double n[2] = {0, 0};
	const json_t *side[2] = {w->start, w->end}, *worker;
	size_t i;

	for (int k = 0; k < 2; k++)
		json_array_foreach(json_object_get(side[k], "workers"), i, worker) n[k] +=
			json_number_value(json_object_get(
				json_object_get(json_object_get(worker, "stages"), "cycles"),
				stage));
	return n[1] - n[0];
}

/* Cycles by stage, per body byte; only if the stack counted them. */
static void stages(const struct window *w)
{
	const json_t *first = json_array_get(json_object_get(w->end, "workers"), 0);
	const json_t *st = json_object_get(first, "stages"), *v;
	double busy = 0, cost = json_number_value(json_object_get(st, "border_cycles")) *
				grown(w, "stages", "borders");
	const char *stage;
	char name[48];

	if (!(json_number_value(json_object_get(st, "on")) > 0))
		return;
	metrics_set(w->m, "tsc_ghz", json_number_value(json_object_get(st, "hz")) / 1e9);
	json_object_foreach((json_t *)json_object_get(st, "cycles"), stage, v)
	{
		double n = cycles_grown(w, stage);

		snprintf(name, sizeof name, "stage_%.16s_cyc_per_byte", stage);
		ratio(w, name, n, w->body);
		busy += strcmp(stage, "idle") ? n : 0;
	}
	ratio(w, "stages_cost_pct", 100 * cost, busy);
}

static void all_missing(struct metrics *m, const char *why)
{
	for (int i = 0; metric_columns[i].name; i++)
		if (metric_from_stack(metric_columns[i].name))
			metrics_missing(m, metric_columns[i].name, why);
}

void stackstats_metrics(const json_t *start, const json_t *end, struct metrics *m)
{
	struct window w = {.start = start, .end = end, .m = m};
	const json_t *window = json_object_get(end, "io_window");
	double bytes = grown(&w, "tcp", "bytes_out"), useful, empty;

	if (json_is_number(window) && json_number_value(window) > 0)
		metrics_set(m, "io_window", json_number_value(window));
	if (bytes <= 0) {
		all_missing(m, "the stack has no statistics of its own");
		return;
	}
	w.body = grown(&w, "copied", "at_bytes_body");
	/* by bytes: what the stack calls a segment is cut up below it */
	metrics_set(m, "retrans_pct", 100 * grown(&w, "tcp", "bytes_rexmit") / bytes);
	metrics_set(m, "copied_pct", 100 * grown(&w, "io", "tx_copied_bytes") / bytes);
	ratio(&w, "syscalls_per_mb",
	      1e6 * (grown(&w, "nvme", "syscalls") + grown(&w, "io", "tx_calls") +
		     grown(&w, "io", "rx_calls") + grown(&w, "copied", "at_sleeps")),
	      w.body);
	ratio(&w, "copied_per_body_byte",
	      grown(&w, "io", "tx_copied_bytes") + grown(&w, "copied", "at_bytes_copied"), w.body);
	ratio(&w, "tx_burst", grown(&w, "io", "tx_frames"), grown(&w, "io", "tx_calls"));
	ratio(&w, "rx_burst", grown(&w, "io", "rx_frames"), grown(&w, "copied", "at_rx_bursts"));
	ratio(&w, "submit_batch", grown(&w, "copied", "at_reads"), grown(&w, "nvme", "submits"));
	ratio(&w, "completion_batch", grown(&w, "copied", "at_completions"),
	      grown(&w, "copied", "at_reaps"));
	ratio(&w, "tx_frame_bytes", grown(&w, "io", "tx_bytes"), grown(&w, "io", "tx_frames"));
	ratio(&w, "read_bytes", grown(&w, "copied", "at_bytes_read"),
	      grown(&w, "copied", "at_reads"));
	useful = grown(&w, "copied", "at_turns_useful");
	empty = grown(&w, "copied", "at_turns_empty");
	ratio(&w, "turns_useful_per_mb", 1e6 * useful, w.body);
	ratio(&w, "turns_empty_pct", 100 * empty, useful + empty);
	stages(&w);
	all_missing(m, "not counted: stack.stages = on counts cycles by stage");
}
