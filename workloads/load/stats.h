/* stats: what a run counts, and the JSON object it becomes. Plain memory, one writer. */
#ifndef LOAD_STATS_H
#define LOAD_STATS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hist.h"

enum load_error {
	LE_CONNECT,
	LE_TLS,
	LE_TIMEOUT,
	LE_RESET,
	LE_HTTP_STATUS,
	LE_SHORT_BODY,
	LE_BAD_CONTENT,
	LE_OTHER,
	LE_KINDS
};

extern const char *const load_error_names[LE_KINDS];

struct load_sample {
	uint64_t t_ns, body_bytes, responses;
};

/* What the client itself used, read at both ends of the window. */
struct self_usage {
	uint64_t t_ns, cpu_ns; /* of this process */
	uint64_t wait_ns;      /* runnable but not running (schedstat), 0 if unknown */
	uint64_t cpus_busy,
		cpus_total; /* ticks of the CPUs it may run on; 0 if that is all of them */
};

struct load_stats {
	uint64_t t_start, t_end;
	uint64_t responses, body_bytes, hot_requests, cold_requests;
	uint64_t verified_responses, verified_bytes, verify_failures;
	uint64_t errors[LE_KINDS];
	uint64_t reconnects;
	uint64_t backlog_max, backlog_lost;	 /* open loop */
	uint64_t blocked_ns;			 /* in epoll_wait, window only */
	struct hist latency, ttfb, planned, lag; /* ns */
	struct self_usage use0, use1;
	struct load_sample *samples;
	uint32_t n_samples, max_samples;
	bool interrupted;
};

int stats_init(struct load_stats *st, uint32_t max_samples);
void stats_free(struct load_stats *st);
void stats_sample(struct load_stats *st, uint64_t now);
uint64_t stats_errors_total(const struct load_stats *st);
void self_usage_read(struct self_usage *u);
/* Was the client itself the limit? The reason into why[0, size), empty if not. */
bool stats_client_limited(const struct load_stats *st, char *why, int size);

/* [[lower_bound, count], ...] of the buckets in use, bounds in units of `unit` (1000: us from ns).
 */
json_t *stats_hist_json(const struct hist *h, double unit);
/* {mean, p50, ...} in ms from ns. */
json_t *stats_quantiles_json(const struct hist *h);

#endif
