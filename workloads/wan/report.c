/* report: the counters of the WAN box as JSON; README.md says what each means. */
#include "workloads/wan/report.h"

struct field {
	const char *name;
	uint64_t v;
};

json_t *wan_report_path(const struct wan_path *path, const struct wan_port *in,
			const struct wan_port *out)
{
	struct pktio_stats rx = {0};
	json_t *o = json_object();

	json_object_set_new(o, "taken", json_boolean(path != NULL));
	if (!path)
		return o;
	in->io->ops->stats(in->io, &rx);
	const struct wan_counts *c = &path->st;
	const struct field f[] = {
		{"frames_in", c->frames_in},
		{"packets_in", c->packets_in},
		{"bytes_in", c->bytes_in},
		{"packets_out", c->packets_out},
		{"bytes_out", c->bytes_out},
		{"lost_random", c->lost_random},
		{"lost_burst", c->lost_burst},
		{"queue_drops", c->queue_drops},
		{"queue_bytes_max", c->queue_bytes_max},
		{"reordered", c->reordered},
		{"duplicated", c->duplicated},
		{"bad", c->bad},
		{"ttl_expired", c->ttl_expired},
		{"unreachable", c->unreachable},
		{"no_memory", c->no_memory},
		{"rx_dropped", rx.rx_dropped},
		{"tx_dropped", out->tx_dropped},
		{"tx_waits", out->tx_waits},
		{"held_frames", wan_hold_frames(path->hold)},
		{"held_frames_max", c->held_max},
		{"late_us_p50", (uint64_t)hist_quantile(&path->late_us, 0.5)},
		{"late_us_p99", (uint64_t)hist_quantile(&path->late_us, 0.99)},
		{"late_us_max", path->late_us.n ? path->late_us.max : 0},
	};

	for (size_t i = 0; i < sizeof f / sizeof f[0]; i++)
		json_object_set_new(o, f[i].name, json_integer((json_int_t)f[i].v));
	return o;
}
