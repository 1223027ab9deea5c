/* result: what a point of figure 6 says, as JSON. Keys are metric names with their unit
 * (results/README.md); what was not measured is null. */
#include <math.h>

#include "workloads/iowindow/iowindow.h"

double iowindow_little(const struct iowindow_opts *o, const struct iowindow_result *r)
{
	return (double)r->reads / r->span_s * (r->lat_mean * 1e-6) / (double)o->window;
}

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

json_t *iowindow_json(const struct iowindow_opts *o, const struct iowindow_result *r)
{
	double iops = (double)r->reads / r->span_s, little = iowindow_little(o, r);
	double n = (double)r->reads;
	bool little_ok = fabs(little - 1) <= LITTLE_TOLERANCE;
	const char *why = r->errors    ? "reads failed"
			  : !little_ok ? "throughput x latency is not the window (Little's law)"
				       : NULL;

	return json_pack(
		"{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:f, s:f,"
		" s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:f, s:b, s:b, s:s?}",
		"version", DCN_VERSION, "engine", o->fio ? "fio" : "native", "device", o->device,
		"model", r->model, "simulated", r->simulated, "io_size", (json_int_t)o->size,
		"io_window", (json_int_t)o->window, "threads", (json_int_t)o->threads, "batch",
		(json_int_t)o->batch, "seed", (json_int_t)o->seed, "window_s", r->span_s, "reads",
		(json_int_t)r->reads, "errors", (json_int_t)r->errors, "disk_iops", iops,
		"disk_read_gbps", iops * (double)o->size * 8e-9, "disk_lat_us_mean", r->lat_mean,
		"disk_lat_us_p50", r->lat_p50, "disk_lat_us_p99", r->lat_p99, "disk_lat_us_p999",
		r->lat_p999, "disk_lat_us_max", r->lat_max, "cpu_s", r->cpu_s, "cpu_us_per_io",
		real_or_null(n > 0 ? r->cpu_s * 1e6 / n : NAN), "syscalls_per_io",
		real_or_null(n > 0 && !o->fio ? (double)r->syscalls / n : NAN), "little_ratio",
		little, "little_ok", little_ok, "valid", why == NULL, "invalid_why", why);
}
