/* metrics: a small name -> value table, and the list of columns every results file has.
 *
 * One idea: a missing value is a fact with a reason, never 0. The first reason stays.
 */
#include "harness/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const struct metric_info metric_columns[] = {
	{"net_gbps", "Gb/s", "response body bits per second, counted by the client"},
	{"req_per_s", "1/s", "responses per second"},
	{"rate_req_per_s", "1/s", "open loop: requests planned per second"},
	{"latency_ms_p50", "ms", "request sent to last byte, median"},
	{"latency_ms_p90", "ms", "the same, 90th percentile"},
	{"latency_ms_p99", "ms", "the same, 99th percentile"},
	{"latency_ms_p999", "ms", "the same, 99.9th percentile"},
	{"latency_ms_mean", "ms", "the same, mean"},
	{"ttfb_ms_p50", "ms", "request sent to first byte, median"},
	{"ttfb_ms_p99", "ms", "the same, 99th percentile"},
	{"planned_latency_ms_p50", "ms", "open loop: planned send time to last byte, median"},
	{"planned_latency_ms_p99", "ms", "the same, 99th percentile"},
	{"errors", "", "failed requests in the window"},
	{"cpu_pct", "%", "busy time of the server's CPUs; 100 % is one core"},
	{"cpu_user_pct", "%", "of it user"},
	{"cpu_sys_pct", "%", "of it system, without softirq"},
	{"cpu_softirq_pct", "%", "of it softirq and irq"},
	{"steal_pct", "%", "time the hypervisor took from the server's CPUs"},
	{"cpu_s_per_gb", "s/GB", "busy seconds of the server's CPUs per body gigabyte (1e9 bytes)"},
	{"host_cpu_s_per_gb", "s/GB", "the same, server's and client's CPUs together"},
	{"client_cpu_pct", "%", "CPU of the load generator, of one core"},
	{"client_cpu_s_per_gb", "s/GB", "CPU of the load generator per body gigabyte"},
	{"client_limited", "", "1: the client was the limit, throughput is a lower bound"},
	{"mem_read_gbps", "Gb/s", "memory read"},
	{"mem_write_gbps", "Gb/s", "memory written"},
	{"mem_read_per_net_byte", "", "memory bytes read per body byte"},
	{"llc_miss_per_s", "1/s", "last-level cache misses of the server's CPUs"},
	{"disk_read_gbps", "Gb/s", "read from the content's disk"},
	{"disk_lat_us_mean", "us", "a disk read, mean"},
	{"disk_lat_us_p50", "us", "the same, median"},
	{"disk_lat_us_p99", "us", "the same, 99th percentile"},
	{"io_window", "", "reads in flight the stack was allowed"},
	{"cache_hit_pct", "%", "achieved cache ratio: requests that found their object resident"},
	{"cache_hit_bytes_pct", "%", "the same by bytes: body bytes not read from the disk"},
	{"retrans_pct", "%", "TCP segments sent again, of those sent first"},
	{"copied_pct", "%",
	 "bytes that the stack knows to be copied on transmission, of those sent"},
	{"syscalls_per_mb", "", "system calls of the stack per body megabyte (atlas)"},
	{"copied_per_body_byte", "",
	 "bytes that the stack knows to be copied per body byte (atlas)"},
	{"tx_burst", "", "frames per transmit call, mean (atlas)"},
	{"rx_burst", "", "frames per receive burst, mean (atlas)"},
	{"submit_batch", "", "reads per submission, mean (atlas)"},
	{"completion_batch", "", "completions per fetch, mean (atlas)"},
	{"tx_frame_bytes", "", "bytes of a transmitted frame, mean (atlas)"},
	{"read_bytes", "", "bytes of a read, mean (atlas)"},
	{"tsc_ghz", "GHz", "rate of the counter that the stages are counted by"},
	{"stage_receive_cyc_per_byte", "cycles", "stages: frames from the ring, headers checked"},
	{"stage_tcp_cyc_per_byte", "cycles", "stages: segments in, timers, segments built"},
	{"stage_request_cyc_per_byte", "cycles", "stages: requests and TLS records in"},
	{"stage_submit_cyc_per_byte", "cycles", "stages: reads chosen, queued, submitted"},
	{"stage_complete_cyc_per_byte", "cycles", "stages: completions fetched"},
	{"stage_seal_cyc_per_byte", "cycles", "stages: encryption in place, tag guard"},
	{"stage_transmit_cyc_per_byte", "cycles", "stages: frames handed to the interface"},
	{"stage_other_cyc_per_byte", "cycles", "stages: clock, files opened, statistics"},
	{"stage_empty_cyc_per_byte", "cycles", "stages: turns that found nothing to do"},
	{"stage_idle_cyc_per_byte", "cycles", "stages: blocked"},
	{"stages_cost_pct", "%", "of the stages' busy cycles, spent on counting them"},
	{"turns_useful_per_mb", "",
	 "turns of the stack's loop that found work, per body MB (atlas)"},
	{"turns_empty_pct", "%", "turns that found none, of all: what polling costs (atlas)"},
	{"collect_cpu_pct", "%",
	 "CPU of the collectors in the window, of one core; without programs they start"},
	{"verified_share", "", "share of responses compared byte by byte"},
	{"ceil_disk_gbps", "Gb/s", "fio on the same files, same block"},
	{"ceil_client_gbps", "Gb/s", "the null stack, same TLS and connections, same block"},
	{"ceil_client_at_least", "",
	 "1: there the null server was the limit, so the client's ceiling lies higher"},
	{"ceil_crypto_gbps", "Gb/s", "the AEAD alone, on the server's CPUs"},
	{NULL, NULL, NULL},
};

const struct metric_info metric_io_columns[] = {
	{"disk_read_gbps", "Gb/s", "read from the device"},
	{"disk_iops", "1/s", "reads per second"},
	{"disk_lat_us_mean", "us", "a read, from its submission to its reaping, mean"},
	{"disk_lat_us_p50", "us", "the same, median"},
	{"disk_lat_us_p99", "us", "the same, 99th percentile"},
	{"disk_lat_us_p999", "us", "the same, 99.9th percentile"},
	{"cpu_us_per_io", "us", "CPU a read"},
	{"syscalls_per_io", "", "system calls a read"},
	{"little_ratio", "", "throughput x latency / window: 1 by Little's law"},
	{NULL, NULL, NULL},
};

static struct metric *slot(struct metrics *m, const char *name)
{
	for (int i = 0; i < m->n; i++)
		if (!strcmp(m->m[i].name, name))
			return &m->m[i];
	if (m->n == METRICS_MAX)
		return NULL;
	snprintf(m->m[m->n].name, sizeof m->m[0].name, "%s", name);
	m->m[m->n].has = false;
	m->m[m->n].why[0] = 0;
	return &m->m[m->n++];
}

void metrics_set(struct metrics *m, const char *name, double value)
{
	struct metric *s;

	if (!isfinite(value)) {
		metrics_missing(m, name, "not a number");
		return;
	}
	s = slot(m, name);
	if (s) {
		s->value = value;
		s->has = true;
	}
}

void metrics_missing(struct metrics *m, const char *name, const char *why)
{
	struct metric *s = slot(m, name);

	if (s && !s->has && !s->why[0])
		snprintf(s->why, sizeof s->why, "%s", why);
}

const struct metric *metrics_find(const struct metrics *m, const char *name)
{
	for (int i = 0; i < m->n; i++)
		if (!strcmp(m->m[i].name, name))
			return &m->m[i];
	return NULL;
}

double metrics_get(const struct metrics *m, const char *name)
{
	const struct metric *s = metrics_find(m, name);

	return s && s->has ? s->value : NAN;
}

const struct metric_info *metric_info(const char *name)
{
	for (int i = 0; metric_columns[i].name; i++)
		if (!strcmp(metric_columns[i].name, name))
			return &metric_columns[i];
	return NULL;
}

bool metric_from_stack(const char *name)
{
	static const char *const own[] = {"syscalls_per_mb",  "copied_per_body_byte",
					  "copied_pct",	      "tx_burst",
					  "rx_burst",	      "submit_batch",
					  "completion_batch", "tx_frame_bytes",
					  "read_bytes",	      "tsc_ghz",
					  "stages_cost_pct",  "turns_useful_per_mb",
					  "turns_empty_pct"};

	for (unsigned int i = 0; i < sizeof own / sizeof *own; i++)
		if (!strcmp(name, own[i]))
			return true;
	return !strncmp(name, "stage_", 6);
}
