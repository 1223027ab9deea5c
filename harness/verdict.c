/* verdict: is this run worth a row, and what was the limit?
 *
 * One idea: a number is believed only after independent counts agree (DESIGN.md section 8). Each
 * check below is one paragraph and one sentence; a run that fails any is kept, marked invalid.
 */
#include <math.h>
#include <string.h>

#include "harness/bench.h"
#include "harness/wan.h"

#define RATIO_TOLERANCE	      5.0  /* points, DESIGN.md section 3 */
#define STEAL_MAX	      10.0 /* per cent of the server's CPUs */
#define IRQ_MAX		      0.01
#define LATE_MAX	      0.03 /* of the window */
#define CALIBRATION_TOLERANCE 10.0 /* per cent */
#define POLLS		      50.0 /* per cent of turns that found nothing to do */
#define NEAR		      0.90 /* of a ceiling counts as bound by it */
#define ABOVE		      1.25 /* times a ceiling: the ceiling is wrong */

static double num(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

static void note(struct outcome *o, const char *s)
{
	size_t n = strlen(o->warning);

	if (!strstr(o->warning, s))
		snprintf(o->warning + n, sizeof o->warning - n, "%s%s", n ? "\n" : "", s);
}

static void check_load(struct outcome *o)
{
	double errors = num(o->load, "errors_total"), bad = num(o->load, "verify_failures");
	double responses = num(o->load, "responses");

	if (bad > 0)
		outcome_invalid(o, "%.0f responses had wrong bytes", bad);
	if (!(responses > 0))
		outcome_invalid(o, "no response in the window");
	else if (errors > 0.001 * responses)
		outcome_invalid(o, "%.0f errors beside %.0f responses", errors, responses);
}

/* Device and server should have read the same; more on the device is somebody else. */
static void check_disk(const struct verdict_in *in, struct outcome *o, double window)
{
	double device = metrics_get(&o->m, "disk_read_gbps") * 1e9 / 8 * window;

	if (isfinite(device) && isfinite(in->read_bytes) && device > 1.1 * in->read_bytes + 50e6)
		note(o, "something else read the disk during some runs");
}

/* Achieved cache ratio: by residency of sampled objects, and by bytes from the disk. */
static void check_ratio(const struct verdict_in *in, struct outcome *o)
{
	const struct experiment *x = in->b->x;
	double asked = cell_number(x, in->cell, "load.cache_ratio");
	double body = num(o->load, "body_bytes"), window = (double)(o->t_end - o->t_start) / 1e9;
	double flight = 100 * (double)cell_count(x, in->cell, "load.connections") *
			(double)in->b->content.object_size / (body > 0 ? body : 1);
	double slack = RATIO_TOLERANCE + (flight < 100 ? flight : 100);
	double seen = metrics_get(&o->m, "cache_hit_pct");

	if (isfinite(in->read_bytes) && body > 0)
		metrics_set(&o->m, "cache_hit_bytes_pct",
			    in->read_bytes < body ? 100 * (1 - in->read_bytes / body) : 0);
	else
		metrics_missing(&o->m, "cache_hit_bytes_pct",
				"/proc/PID/io of the server can't be read");
	check_disk(in, o, window);
	if (!in->caches) {
		metrics_missing(&o->m, "cache_hit_pct", "the stack does not use the page cache");
		return;
	}
	if (isfinite(seen) && fabs(seen - asked) > slack)
		outcome_invalid(o, "cache ratio by residency is %.1f %%, asked %.0f (slack %.1f)",
				seen, asked, slack);
	seen = metrics_get(&o->m, "cache_hit_bytes_pct");
	if (isfinite(seen) && fabs(seen - asked) > slack)
		outcome_invalid(o, "cache ratio by disk bytes is %.1f %%, asked %.0f (slack %.1f)",
				seen, asked, slack);
}

static void check_bytes(struct outcome *o)
{
	double net = metrics_get(&o->m, "net_gbps"), wire = metrics_get(&o->m, "net_tx_gbps");

	/* Headers and TLS add 1 to 6 %, retransmissions more; the window's edges cut objects. */
	if (isfinite(net) && isfinite(wire) && net > 0 &&
	    (wire < 0.97 * net || wire > 1.5 * net + 0.1))
		outcome_invalid(o, "both ends disagree: %.3f Gb/s of bodies, %.3f Gb/s on the wire",
				net, wire);
}

static void check_host(const struct verdict_in *in, struct outcome *o)
{
	double steal = metrics_get(&o->m, "steal_pct");
	char s[160];

	if (isfinite(steal) && steal > STEAL_MAX) {
		snprintf(s, sizeof s, "the hypervisor took %.0f %% of the server's CPUs", steal);
		note(o, s);
	}
	if (in->irq_client_share > IRQ_MAX) {
		snprintf(s, sizeof s, "%.0f %% of the disk's interrupts came to the client's CPUs",
			 100 * in->irq_client_share);
		note(o, s);
	}
	if (o->obs && observe_late(o->obs) > 0) {
		int n;

		observe_samples(o->obs, &n);
		if (observe_late(o->obs) > n / 20 + 2)
			note(o, "more than 5 % of the samples came late");
	}
}

/* A drive that slowed down for heat is another drive. */
static void check_drive(struct outcome *o)
{
	double n = metrics_get(&o->m, "nvme_throttle_n"), s = metrics_get(&o->m, "nvme_throttle_s");

	if (n > 0 || s > 0)
		outcome_invalid(o,
				"the NVMe drive slowed down for heat (%.0f times, %.0f s): cool "
				"it, or let it rest between runs",
				n > 0 ? n : 0, s > 0 ? s : 0);
}

/* Memory counters that do not see a known walk are not believed without a word. */
static void check_memory(struct outcome *o)
{
	double pct = metrics_get(&o->m, "mem_calibration_pct");
	char s[160];

	if (!isfinite(pct) || fabs(pct - 100) <= CALIBRATION_TOLERANCE)
		return;
	snprintf(s, sizeof s, "memory counters saw %.0f %% of a known walk in some runs", pct);
	if (!strstr(o->warning, "of a known walk"))
		note(o, s);
}

/* Readings at the window's ends that came late describe another window. */
static void check_marks(struct outcome *o)
{
	double window = (double)(o->t_end - o->t_start);

	if ((double)o->mark_late_ns > LATE_MAX * window)
		outcome_invalid(o, "counters were read %.0f ms late: the machine is too busy",
				(double)o->mark_late_ns / 1e6);
}

void verdict(const struct verdict_in *in, struct outcome *o)
{
	check_marks(o);
	check_load(o);
	check_ratio(in, o);
	check_bytes(o);
	check_host(in, o);
	check_drive(o);
	check_memory(o);
}

static bool is_near(double v, double ceiling)
{
	return v >= NEAR * ceiling && v <= ABOVE * ceiling;
}

void verdict_bound(const struct bench *b, const struct cell *c, int server_cpus, struct outcome *o)
{
	double net = metrics_get(&o->m, "net_gbps");
	/* What this server read; the device may have served others too. */
	double disk = net * (1 - metrics_get(&o->m, "cache_hit_bytes_pct") / 100);
	double ceil_disk = metrics_get(&o->m, "ceil_disk_gbps");
	double ceil_client = metrics_get(&o->m, "ceil_client_gbps");
	double cpu = metrics_get(&o->m, "cpu_pct"), rate = bench_rate(b, c);
	/* a null server that was the limit itself says nothing of the client */
	bool at_least = metrics_get(&o->m, "ceil_client_at_least") > 0, wan = wan_wanted(b->x, c);
	/* a server that polls is always busy */
	bool polls = metrics_get(&o->m, "turns_empty_pct") > POLLS;
	const char *bound = "";

	if ((!at_least && net > ABOVE * ceil_client) || disk > ABOVE * ceil_disk)
		note(o, "a ceiling was lower than what a run reached: take it as an estimate");
	if (rate > 0 && metrics_get(&o->m, "req_per_s") >= 0.98 * rate)
		bound = "load";
	else if (metrics_get(&o->m, "client_limited") > 0)
		bound = "client";
	else if (cpu >= 95.0 * server_cpus && !polls)
		bound = "server_cpu";
	else if (is_near(net, ceil_client) && (wan || !at_least)) /* it took the same path */
		bound = wan ? "network" : "client";
	else if (is_near(disk, ceil_disk))
		bound = "disk";
	else if (wan)
		bound = "network";
	snprintf(o->bound, sizeof o->bound, "%s", bound);
}
