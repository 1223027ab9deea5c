/* stats: see stats.h. The verdict about the client looks at four signs, because each can hide: its
 * own CPU time does not see softirqs charged to nobody, its loop's busy share does, and the CPUs it
 * is bound to tell when something else took them. */
#include "workloads/load/stats.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define BUSY_LIMIT_PCT 95.0 /* of its loop's or its core's time */
#define CPUS_LIMIT_PCT 97.0 /* of the CPUs it is bound to */
#define LAG_LIMIT_MS   50.0 /* p99 */
#define WAIT_TELL_PCT  10.0 /* of the window runnable but not running: worth saying */

const char *const load_error_names[LE_KINDS] = {
	[LE_CONNECT] = "connect",	  [LE_TLS] = "tls",
	[LE_TIMEOUT] = "timeout",	  [LE_RESET] = "reset",
	[LE_HTTP_STATUS] = "http_status", [LE_SHORT_BODY] = "short_body",
	[LE_BAD_CONTENT] = "bad_content", [LE_OTHER] = "other",
};

int stats_init(struct load_stats *st, uint32_t max_samples)
{
	memset(st, 0, sizeof *st);
	st->samples = calloc(max_samples, sizeof st->samples[0]);
	st->max_samples = max_samples;
	return st->samples ? 0 : -ENOMEM;
}

void stats_free(struct load_stats *st)
{
	free(st->samples);
	st->samples = NULL;
}

void stats_sample(struct load_stats *st, uint64_t now)
{
	if (st->n_samples < st->max_samples)
		st->samples[st->n_samples++] =
			(struct load_sample){now, st->body_bytes, st->responses};
}

uint64_t stats_errors_total(const struct load_stats *st)
{
	uint64_t n = 0;

	for (int i = 0; i < LE_KINDS; i++)
		n += st->errors[i];
	return n;
}

static void read_schedstat(struct self_usage *u)
{
	FILE *f = fopen("/proc/self/schedstat", "re");
	unsigned long long run, wait;

	if (!f)
		return;
	if (fscanf(f, "%llu %llu", &run, &wait) == 2)
		u->wait_ns = wait;
	fclose(f);
}

/* Busy and total ticks of the CPUs this process is bound to, if they are not all. */
static void read_cpus(struct self_usage *u)
{
	char line[512];
	cpu_set_t set;
	FILE *f;

	if (sched_getaffinity(0, sizeof set, &set) != 0 ||
	    CPU_COUNT(&set) >= sysconf(_SC_NPROCESSORS_ONLN))
		return;
	f = fopen("/proc/stat", "re");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		unsigned long long v[8] = {0}, total = 0;
		int cpu;

		if (sscanf(line, "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &v[0],
			   &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) < 8 ||
		    cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &set))
			continue;
		for (int i = 0; i < 8; i++)
			total += v[i];
		u->cpus_total += total;
		u->cpus_busy += total - v[3] - v[4]; /* idle, iowait */
	}
	fclose(f);
}

void self_usage_read(struct self_usage *u)
{
	struct timespec ts = {0, 0};

	memset(u, 0, sizeof *u);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	u->cpu_ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	u->t_ns = clock_ns();
	read_schedstat(u);
	read_cpus(u);
}

bool stats_client_limited(const struct load_stats *st, char *why, int size)
{
	double wall = (double)(st->use1.t_ns - st->use0.t_ns);
	double busy, cpu, wait, cpus = 0, lag = hist_quantile(&st->lag, 0.99) / 1e6;
	uint64_t total = st->use1.cpus_total - st->use0.cpus_total;

	why[0] = '\0';
	if (wall <= 0)
		return false;
	busy = 100 * (1 - (double)st->blocked_ns / wall);
	cpu = 100 * (double)(st->use1.cpu_ns - st->use0.cpu_ns) / wall;
	wait = 100 * (double)(st->use1.wait_ns - st->use0.wait_ns) / wall;
	if (total)
		cpus = 100 * (double)(st->use1.cpus_busy - st->use0.cpus_busy) / (double)total;
	if (cpu >= BUSY_LIMIT_PCT)
		snprintf(why, (size_t)size, "the client used %.0f %% of a core", cpu);
	else if (cpus >= CPUS_LIMIT_PCT)
		snprintf(why, (size_t)size, "the client's CPUs were busy %.0f %% of the window",
			 cpus);
	else if (busy >= BUSY_LIMIT_PCT && wait >= WAIT_TELL_PCT)
		snprintf(why, (size_t)size,
			 "the client's loop was busy %.0f %% of the window; others had its CPU for "
			 "%.0f %%",
			 busy, wait);
	else if (busy >= BUSY_LIMIT_PCT)
		snprintf(why, (size_t)size, "the client's loop was busy %.0f %% of the window",
			 busy);
	else if (lag >= LAG_LIMIT_MS)
		snprintf(why, (size_t)size, "the client's loop was late by %.0f ms (p99)", lag);
	return why[0] != '\0';
}

json_t *stats_hist_json(const struct hist *h, double unit)
{
	json_t *a = json_array();
	uint64_t lo, hi;

	for (unsigned int i = 0; h->n && i < HIST_BUCKETS; i++) {
		if (!h->b[i])
			continue;
		hist_bucket(i, &lo, &hi);
		json_array_append_new(a,
				      json_pack("[f, I]", (double)lo / unit, (json_int_t)h->b[i]));
	}
	return a;
}

json_t *stats_quantiles_json(const struct hist *h)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "mean", hist_mean(h) / 1e6, "p50",
			 hist_quantile(h, 0.5) / 1e6, "p90", hist_quantile(h, 0.9) / 1e6, "p99",
			 hist_quantile(h, 0.99) / 1e6, "p999", hist_quantile(h, 0.999) / 1e6, "max",
			 (double)h->max / 1e6);
}
