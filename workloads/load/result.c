/* result: see result.h. The keys and units are described in workloads/load/README.md; what could
 * not be measured is null, never 0. */
#include "workloads/load/result.h"

#include "base/clock.h"

#ifndef DCN_VERSION
#define DCN_VERSION "unknown"
#endif

static json_t *errors_json(const struct load_stats *st)
{
	json_t *o = json_object();

	for (int i = 0; i < LE_KINDS; i++)
		json_object_set_new(o, load_error_names[i],
				    json_integer((json_int_t)st->errors[i]));
	return o;
}

static json_t *samples_json(const struct load_stats *st)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < st->n_samples; i++)
		json_array_append_new(a, json_pack("[I, I, I]", (json_int_t)st->samples[i].t_ns,
						   (json_int_t)st->samples[i].body_bytes,
						   (json_int_t)st->samples[i].responses));
	return a;
}

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_real(json_t *o, const char *key, double v)
{
	json_object_set_new(o, key, json_real(v));
}

static void add_setting(json_t *o, const struct run *r)
{
	const struct load_opts *op = &r->opts;

	json_object_set_new(o, "version", json_string(DCN_VERSION));
	json_object_set_new(o, "engine", json_string(load_engine_names[op->engine]));
	json_object_set_new(o, "url", json_string(op->url.base));
	json_object_set_new(o, "tls", json_boolean(op->url.tls));
	json_object_set_new(o, "tls_suite",
			    op->url.tls && r->tls_suite[0] ? json_string(r->tls_suite)
							   : json_null());
	json_object_set_new(o, "mode", json_string(op->open_loop ? "open" : "closed"));
	json_object_set_new(o, "rate", op->open_loop ? json_real(op->rate) : json_null());
	set_int(o, "connections", op->connections);
	set_int(o, "seed", op->seed);
	set_real(o, "cache_ratio", op->cache_ratio);
	json_object_set_new(o, "verify", json_string(load_verify_names[op->verify]));
}

static void add_counts(json_t *o, const struct load_stats *st, double window_s)
{
	set_int(o, "t_start_ns", st->t_start);
	set_int(o, "t_end_ns", st->t_end);
	set_real(o, "window_s", window_s);
	json_object_set_new(o, "interrupted", json_boolean(st->interrupted));
	set_int(o, "responses", st->responses);
	set_int(o, "body_bytes", st->body_bytes);
	set_real(o, "net_gbps", (double)st->body_bytes * 8 / 1e9 / window_s);
	set_real(o, "req_per_s", (double)st->responses / window_s);
	json_object_set_new(o, "errors", errors_json(st));
	set_int(o, "errors_total", stats_errors_total(st));
	set_int(o, "reconnects", st->reconnects);
	set_int(o, "verified_responses", st->verified_responses);
	set_int(o, "verified_bytes", st->verified_bytes);
	set_int(o, "verify_failures", st->verify_failures);
	set_real(o, "verified_share",
		 st->body_bytes ? (double)st->verified_bytes / (double)st->body_bytes : 0);
	set_int(o, "hot_requests", st->hot_requests);
	set_int(o, "cold_requests", st->cold_requests);
}

static void add_latency(json_t *o, const struct load_stats *st, bool open_loop)
{
	json_object_set_new(o, "latency_ms", stats_quantiles_json(&st->latency));
	json_object_set_new(o, "ttfb_ms", stats_quantiles_json(&st->ttfb));
	json_object_set_new(o, "planned_latency_ms",
			    open_loop ? stats_quantiles_json(&st->planned) : json_null());
	json_object_set_new(o, "hist",
			    json_pack("{s:o, s:o}", "latency_us",
				      stats_hist_json(&st->latency, NSEC_PER_USEC), "ttfb_us",
				      stats_hist_json(&st->ttfb, NSEC_PER_USEC)));
}

static void add_client(json_t *o, const struct load_stats *st)
{
	double wall = (double)(st->use1.t_ns - st->use0.t_ns);
	double cpu = (double)(st->use1.cpu_ns - st->use0.cpu_ns);
	char why[160];
	bool limited = stats_client_limited(st, why, sizeof why);

	set_real(o, "cpu_s", cpu / 1e9);
	set_real(o, "cpu_pct", wall > 0 ? 100 * cpu / wall : 0);
	set_real(o, "loop_busy_pct", wall > 0 ? 100 * (1 - (double)st->blocked_ns / wall) : 0);
	set_real(o, "runqueue_wait_s", (double)(st->use1.wait_ns - st->use0.wait_ns) / 1e9);
	json_object_set_new(o, "loop_lag_ms",
			    json_pack("{s:f, s:f, s:f}", "p50", hist_quantile(&st->lag, 0.5) / 1e6,
				      "p99", hist_quantile(&st->lag, 0.99) / 1e6, "max",
				      (double)st->lag.max / 1e6));
	json_object_set_new(o, "client_limited", json_boolean(limited));
	json_object_set_new(o, "client_limited_why", limited ? json_string(why) : json_null());
}

static void add_open_loop(json_t *o, const struct run *r)
{
	if (!r->opts.open_loop)
		return;
	set_int(o, "backlog_max", r->st.backlog_max);
	set_int(o, "backlog_at_end", r->backlog_n);
	set_int(o, "backlog_lost", r->st.backlog_lost);
}

json_t *result_json(const struct run *r)
{
	const struct load_stats *st = &r->st;
	json_t *o = json_object();

	add_setting(o, r);
	add_counts(o, st, (double)(st->t_end - st->t_start) / 1e9);
	add_latency(o, st, r->opts.open_loop);
	add_open_loop(o, r);
	json_object_set_new(o, "residency",
			    r->opts.residency
				    ? json_pack("{s:I, s:I, s:I, s:I, s:I}", "hot_samples",
						(json_int_t)r->resid.hot_samples, "hot_resident",
						(json_int_t)r->resid.hot_resident, "cold_samples",
						(json_int_t)r->resid.cold_samples, "cold_resident",
						(json_int_t)r->resid.cold_resident, "failures",
						(json_int_t)r->resid.failures)
				    : json_null());
	add_client(o, st);
	json_object_set_new(o, "samples", samples_json(st));
	return o;
}
