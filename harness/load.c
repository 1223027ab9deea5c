/* load: run the load generator in the client's namespace.
 *
 * One idea: nothing about the measured window is guessed. The load says on a pipe when its window
 * starts and ends, on the common clock; stdout is a file, so that neither side can block the other.
 */
#include "harness/load.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/child.h"

#define ARGS_MAX 64
#define ARG_TEXT 4096

struct args {
	const char *v[ARGS_MAX];
	int n;
	char text[ARG_TEXT];
	size_t at;
};

static void arg(struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void arg(struct args *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (a->n == ARGS_MAX - 1 || a->at >= ARG_TEXT - 1)
		return;
	va_start(ap, fmt);
	n = vsnprintf(a->text + a->at, ARG_TEXT - a->at, fmt, ap);
	va_end(ap);
	a->v[a->n++] = a->text + a->at;
	a->at += (size_t)n + 1;
	a->v[a->n] = NULL;
}

static void pass(struct args *a, const struct load_spec *s, const char *option, const char *key)
{
	const char *text = cell_text(s->x, s->cell, key);

	if (!*text)
		return;
	arg(a, "%s", option);
	arg(a, "%s", text);
}

static void build_args(struct args *a, const struct load_spec *s, int events_fd)
{
	const char *tls = cell_text(s->x, s->cell, "load.tls");

	arg(a, "%s/dcn-load", s->bin_dir);
	arg(a, "--url");
	arg(a, "%s", s->url);
	arg(a, "--content");
	arg(a, "%s", s->content_dir);
	pass(a, s, "--connections", "load.connections");
	pass(a, s, "--duration", "run.duration");
	pass(a, s, "--warmup", "run.warmup");
	pass(a, s, "--ramp", "load.ramp");
	arg(a, "--mode");
	arg(a, "%s", s->rate > 0 ? "open" : "closed");
	if (s->rate > 0) {
		arg(a, "--rate");
		arg(a, "%.9g", s->rate);
	}
	arg(a, "--cache-ratio");
	arg(a, "%.12g", s->cache_ratio);
	pass(a, s, "--verify", "load.verify");
	pass(a, s, "--engine", "load.engine");
	pass(a, s, "--timeout", "load.timeout");
	pass(a, s, "--interval", "collect.interval");
	arg(a, "--seed");
	arg(a, "%llu", (unsigned long long)s->seed);
	if (!strcmp(tls, "on")) {
		arg(a, "--cacert");
		arg(a, "%s", s->cacert);
	}
	if (s->cache_ratio > 0)
		arg(a, "--warm-hot");
	if (s->residency && cell_count(s->x, s->cell, "load.residency"))
		pass(a, s, "--residency", "load.residency");
	arg(a, "--events-fd");
	arg(a, "%d", events_fd);
}

int load_start(struct load_run *l, const struct load_spec *s, struct errbuf *e)
{
	struct args a = {.n = 0};
	struct child_spec c = {.tb = s->tb, .side = TESTBED_CLIENT};
	int p[2], err;

	memset(l, 0, sizeof *l);
	l->events = -1;
	if (pipe2(p, O_CLOEXEC))
		return errf(e, -errno, "pipe: %s", strerror(errno));
	build_args(&a, s, p[1]);
	snprintf(l->out, sizeof l->out, "%s/load.json", s->work_dir);
	snprintf(l->err, sizeof l->err, "%s/load.log", s->work_dir);
	c.argv = a.v;
	c.out_path = l->out;
	c.err_path = l->err;
	c.keep_fd = p[1];
	err = child_start(&l->pid, &c, e);
	close(p[1]);
	if (err) {
		close(p[0]);
		l->pid = 0;
		return err;
	}
	l->events = p[0];
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	return 0;
}

/* One complete line out of the pipe, or nothing yet. */
static enum load_event next_line(struct load_run *l, uint64_t *t_ns)
{
	unsigned long long t;
	char c;

	while (l->events >= 0) {
		ssize_t n = read(l->events, &c, 1); /* a handful of bytes a run */

		if (n < 0)
			return LOAD_NOTHING;
		if (n == 0) {
			close(l->events);
			l->events = -1;
			return LOAD_NOTHING;
		}
		if (c != '\n') {
			if (l->len < (int)sizeof l->line - 1)
				l->line[l->len++] = c;
			continue;
		}
		l->line[l->len] = 0;
		l->len = 0;
		if (!strcmp(l->line, "ready"))
			return LOAD_READY;
		if (sscanf(l->line, "start %llu", &t) == 1) {
			*t_ns = t;
			return LOAD_START;
		}
		if (sscanf(l->line, "end %llu", &t) == 1) {
			*t_ns = t;
			return LOAD_END;
		}
	}
	return LOAD_NOTHING;
}

enum load_event load_wait(struct load_run *l, uint64_t timeout_ns, uint64_t *t_ns, int *status)
{
	uint64_t end = clock_ns() + timeout_ns;

	for (;;) {
		struct pollfd p = {.fd = l->events, .events = POLLIN};
		enum load_event ev;
		uint64_t now;

		if (!l->gone && child_wait(l->pid, 0, &l->status) == 1)
			l->gone = true; /* what it said before comes first */
		ev = next_line(l, t_ns);
		if (ev != LOAD_NOTHING)
			return ev;
		if (l->gone) {
			l->pid = 0;
			*status = l->status;
			return LOAD_EXITED;
		}
		now = clock_ns();
		if (now >= end)
			return LOAD_NOTHING;
		poll(&p, 1, l->events >= 0 ? (int)((end - now) / NSEC_PER_MSEC) + 1 : 10);
	}
}

void load_stop(struct load_run *l)
{
	if (l->pid > 0 && !l->gone)
		child_stop(l->pid, NSEC_PER_SEC);
	if (l->events >= 0)
		close(l->events);
	l->pid = 0;
	l->events = -1;
}

static void last_line_of(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "r");
	char line[400];

	snprintf(buf, len, "it said nothing");
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (*line)
			snprintf(buf, len, "%.250s", line);
	}
	if (f)
		fclose(f);
}

json_t *load_result(const struct load_run *l, int status, struct errbuf *e)
{
	char last[300], how[96];
	json_error_t je;
	json_t *j;

	if (status) {
		last_line_of(l->err, last, sizeof last);
		errf(e, -EPROTO, "dcn-load %s: %s", child_status_text(status, how, sizeof how),
		     last);
		return NULL;
	}
	j = json_load_file(l->out, 0, &je);
	if (!j || !json_is_object(j)) {
		errf(e, -EPROTO, "dcn-load: its result is not JSON: %s", je.text);
		json_decref(j);
		return NULL;
	}
	return j;
}

static void number(const json_t *j, const char *key, struct metrics *m, const char *name)
{
	const json_t *v = json_object_get(j, key);

	if (json_is_number(v))
		metrics_set(m, name, json_number_value(v));
	else if (json_is_boolean(v))
		metrics_set(m, name, json_is_true(v));
	else
		metrics_missing(m, name, "dcn-load does not report it");
}

static void latency(const json_t *j, const char *key, struct metrics *m, const char *prefix,
		    const char *why)
{
	static const char *const q[] = {"p50", "p90", "p99", "p999", "mean"};
	const json_t *o = json_object_get(j, key);
	char name[48];

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "%s_%s", prefix, q[i]);
		if (json_is_object(o))
			number(o, q[i], m, name);
		else
			metrics_missing(m, name, why);
	}
}

void load_metrics(const json_t *j, struct metrics *m)
{
	const json_t *r = json_object_get(j, "residency");
	double hot = json_number_value(json_object_get(r, "hot_samples"));
	double cold = json_number_value(json_object_get(r, "cold_samples"));
	double hr = json_number_value(json_object_get(r, "hot_resident"));
	double cr = json_number_value(json_object_get(r, "cold_resident"));
	double nh = json_number_value(json_object_get(j, "hot_requests"));
	double nc = json_number_value(json_object_get(j, "cold_requests"));
	double bytes = json_number_value(json_object_get(j, "body_bytes"));
	const json_t *cpu = json_object_get(j, "cpu_s");

	number(j, "net_gbps", m, "net_gbps");
	number(j, "req_per_s", m, "req_per_s");
	number(j, "errors_total", m, "errors");
	number(j, "cpu_pct", m, "client_cpu_pct");
	if (!json_is_number(cpu))
		metrics_missing(m, "client_cpu_s_per_gb", "the load generator did not say");
	else if (!(bytes > 0))
		metrics_missing(m, "client_cpu_s_per_gb", "no response in the window");
	else
		metrics_set(m, "client_cpu_s_per_gb", json_number_value(cpu) * 1e9 / bytes);
	number(j, "client_limited", m, "client_limited");
	number(j, "verified_share", m, "verified_share");
	latency(j, "latency_ms", m, "latency_ms", "no response in the window");
	latency(j, "ttfb_ms", m, "ttfb_ms", "no response in the window");
	latency(j, "planned_latency_ms", m, "planned_latency_ms",
		"closed loop: nothing is planned");
	/* Of each kind of request the share found resident, weighted by how many there were. */
	if (hot + cold >= 20 && nh + nc > 0 && (hot > 0 || nh == 0) && (cold > 0 || nc == 0))
		metrics_set(
			m, "cache_hit_pct",
			100 * (nh * (hot > 0 ? hr / hot : 0) + nc * (cold > 0 ? cr / cold : 0)) /
				(nh + nc));
	else
		metrics_missing(m, "cache_hit_pct",
				"too few objects were looked up in the page cache");
}
