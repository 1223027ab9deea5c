/* stackstats: a stack with a TCP of its own is invisible to the kernel's counters, so its own
 * replace them; they cover the whole run, not only the window. Unknown statistics stay in raw/. */
#include "harness/stackstats.h"

static double sum(const json_t *workers, const char *group, const char *key)
{
	const json_t *w;
	double s = 0;
	size_t i;

	json_array_foreach(workers, i, w) s +=
		json_number_value(json_object_get(json_object_get(w, group), key));
	return s;
}

void stackstats_metrics(const json_t *stats, struct metrics *m)
{
	const json_t *workers = json_object_get(stats, "workers");
	const json_t *window = json_object_get(stats, "io_window");
	double bytes = sum(workers, "tcp", "bytes_out");

	if (json_is_number(window) && json_number_value(window) > 0)
		metrics_set(m, "io_window", json_number_value(window));
	if (bytes <= 0)
		return;
	/* by bytes: what the stack calls a segment is cut up below it */
	metrics_set(m, "retrans_pct", 100 * sum(workers, "tcp", "bytes_rexmit") / bytes);
	metrics_set(m, "copied_pct", 100 * sum(workers, "io", "tx_copied_bytes") / bytes);
}
