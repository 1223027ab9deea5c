/* observe: collectors on one clock.
 *
 * One idea: one thread wakes at t0 + k * interval and asks each open collector in turn; ticks that
 * passed while it was away are skipped and counted, so that a slow collector shows as late ticks
 * rather than as a burst of samples with wrong times. A collector that does not come back within
 * observe_patience_ms from a sample, a mark, its results or its end is abandoned with its thread
 * and memory, and everything that was to be measured says so.
 *
 * Limits: probe and open are called as they are: what they start may be bound to this thread's
 * life (pcm-memory is), and they have time limits of their own.
 */
#include "harness/observe.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "harness/registry.h"

#define COLLECTORS_MAX 16
#define SAMPLES_MAX    500000

struct one {
	const struct collector_ops *ops;
	struct collector *c;
};

struct observe {
	struct collector_sink sink; /* first: sinks are cast back */
	struct one one[COLLECTORS_MAX];
	int n;
	uint64_t interval;
	cpu_set_t cpus; /* where the sampler runs: the client's side */
	bool have_cpus;
	pthread_t thread;
	pthread_mutex_t lock;
	bool started, stop;
	_Atomic bool hung;
	const char *_Atomic at; /* who is being asked; NULL = nobody */
	struct metrics *m;	/* during finish: the call's */
	struct sample *s;
	int samples, room, late;
	uint64_t mark_ns[2], cpu_ns[2]; /* of the sampler, at the marks */
	struct observe *next;		/* of those abandoned */
	struct call *late_call;		/* what it was abandoned in */
};

static struct observe *abandoned;
int observe_patience_ms = 3000;

/* Something that is asked of all collectors, in a thread of its own so that it can be abandoned. */
struct call {
	struct observe *o;
	void (*fn)(struct call *c);
	int which;	    /* mark */
	uint64_t net_bytes; /* finish */
	struct metrics m; /* finish: nothing of the caller's is touched by a thread that is late */
	uint64_t cpu_ns;  /* it took */
};

static void on_emit(struct collector_sink *sink, uint64_t t_ns, const char *metric, double value)
{
	struct observe *o = (struct observe *)sink;
	struct sample *s;

	if (o->samples == o->room) {
		int room = o->room ? 2 * o->room : 1024;

		s = room <= SAMPLES_MAX ? realloc(o->s, (size_t)room * sizeof *s) : NULL;
		if (!s)
			return;
		o->s = s;
		o->room = room;
	}
	s = &o->s[o->samples++];
	s->t_ns = t_ns;
	s->value = value;
	snprintf(s->metric, sizeof s->metric, "%s", metric);
}

static void on_result(struct collector_sink *sink, const char *metric, double value)
{
	struct observe *o = (struct observe *)sink;

	if (o->m)
		metrics_set(o->m, metric, value);
}

static void on_missing(struct collector_sink *sink, const char *metric, const char *why)
{
	struct observe *o = (struct observe *)sink;

	if (o->m)
		metrics_missing(o->m, metric, why);
}

static void *sampler(void *arg)
{
	struct observe *o = arg;
	uint64_t next = clock_ns();

	setpriority(PRIO_PROCESS, 0, -15); /* of this thread: its ticks should not be late */
	if (o->have_cpus)
		pthread_setaffinity_np(pthread_self(), sizeof o->cpus, &o->cpus);
	for (;;) {
		struct timespec ts;
		uint64_t now;

		next += o->interval;
		ts.tv_sec = (time_t)(next / NSEC_PER_SEC);
		ts.tv_nsec = (long)(next % NSEC_PER_SEC);
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
		now = clock_ns();
		pthread_mutex_lock(&o->lock);
		if (o->stop || o->hung)
			break;
		if (now > next + o->interval / 2)
			o->late++;
		while (now > next + o->interval)
			next += o->interval;
		for (int i = 0; i < o->n && !o->hung; i++) {
			o->at = o->one[i].ops->name;
			if (o->one[i].ops->sample)
				o->one[i].ops->sample(o->one[i].c, clock_ns(), &o->sink);
		}
		if (!o->hung)
			o->at = NULL;
		pthread_mutex_unlock(&o->lock);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

static void all_missing(const struct collector_ops *ops, struct metrics *m, const char *why)
{
	char s[320];

	snprintf(s, sizeof s, "%.319s", why);
	for (int i = 0; ops->metrics && ops->metrics[i].name; i++)
		metrics_missing(m, ops->metrics[i].name, s);
}

static int open_one(struct observe *o, const char *name, const struct collector_env *env,
		    struct metrics *m, int *missing, struct errbuf *e)
{
	const struct collector_ops *ops = registry_collector(name, e);
	struct errbuf why = {""};

	if (!ops)
		return -EINVAL;
	if (o->n == COLLECTORS_MAX)
		return errf(e, -E2BIG, "more than %d collectors", COLLECTORS_MAX);
	if ((ops->probe && ops->probe(env, &why)) || ops->open(&o->one[o->n].c, env, &why)) {
		all_missing(ops, m, why.s);
		++*missing;
		return 0;
	}
	o->one[o->n++].ops = ops;
	return 0;
}

int observe_open(struct observe **out, const char *names, const struct collector_env *env,
		 struct metrics *m, int *missing, struct errbuf *e)
{
	struct observe *o = calloc(1, sizeof *o);
	int err = 0;

	if (!o)
		return errf(e, -ENOMEM, "out of memory");
	o->sink = (struct collector_sink){on_emit, on_result, on_missing};
	o->interval = env->interval_ns ? env->interval_ns : 100 * NSEC_PER_MSEC;
	pthread_mutex_init(&o->lock, NULL);
	if (env->tb) {
		o->cpus = env->tb->client_cpus;
		o->have_cpus = CPU_COUNT(&o->cpus) > 0;
	}
	for (const char *p = names; *p && !err;) {
		size_t n = strcspn(p, ", \t");
		char name[48];

		snprintf(name, sizeof name, "%.*s", (int)n, p);
		if (n)
			err = open_one(o, name, env, m, missing, e);
		p += n;
		p += strspn(p, ", \t");
	}
	if (!err && o->interval != OBSERVE_NEVER) {
		if (pthread_create(&o->thread, NULL, sampler, o))
			err = errf(e, -EAGAIN, "the sampler thread can't be started");
		else
			o->started = true;
	}
	if (err) {
		observe_close(o);
		return err;
	}
	*out = o;
	return 0;
}

static struct timespec patience(void)
{
	struct timespec ts;
	uint64_t ns;

	clock_gettime(CLOCK_REALTIME, &ts);
	ns = (uint64_t)ts.tv_nsec + (uint64_t)observe_patience_ms * NSEC_PER_MSEC;
	ts.tv_sec += (time_t)(ns / NSEC_PER_SEC);
	ts.tv_nsec = (long)(ns % NSEC_PER_SEC);
	return ts;
}

static void give_up(struct observe *o)
{
	o->hung = true;
	log_err("collector %s hangs; it is abandoned", o->at ? o->at : "?");
}

/* Take the lock, or give the collector up that holds it. */
static bool take(struct observe *o)
{
	struct timespec ts = patience();

	if (o->hung)
		return false;
	if (pthread_mutex_timedlock(&o->lock, &ts))
		give_up(o);
	return !o->hung;
}

static uint64_t cpu_of(clockid_t id)
{
	struct timespec ts = {0, 0};

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void *run_call(void *arg)
{
	struct call *c = arg;

	c->fn(c);
	c->cpu_ns = cpu_of(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

/* The call when it is done, for the caller to free; NULL if it is not: it is abandoned with all it
 * uses, for it may still come back. */
static struct call *ask_all(struct observe *o, void (*fn)(struct call *), int which,
			    uint64_t net_bytes)
{
	struct call *c = calloc(1, sizeof *c);
	struct timespec ts;
	pthread_t thread;

	if (!c)
		return NULL;
	c->o = o;
	c->fn = fn;
	c->which = which;
	c->net_bytes = net_bytes;
	if (pthread_create(&thread, NULL, run_call, c)) {
		fn(c); /* better unguarded than not at all */
		return c;
	}
	ts = patience();
	if (!pthread_timedjoin_np(thread, NULL, &ts))
		return c;
	give_up(o);
	pthread_detach(thread);
	o->late_call = c;
	return NULL;
}

static void call_mark(struct call *c)
{
	struct observe *o = c->o;

	for (int i = 0; i < o->n && !o->hung; i++) {
		o->at = o->one[i].ops->name;
		if (o->one[i].ops->mark)
			o->one[i].ops->mark(o->one[i].c, c->which, clock_ns());
	}
}

static void call_finish(struct call *c)
{
	struct observe *o = c->o;

	o->m = &c->m;
	for (int i = 0; i < o->n && !o->hung; i++) {
		o->at = o->one[i].ops->name;
		if (o->one[i].ops->finish)
			o->one[i].ops->finish(o->one[i].c, c->net_bytes, &o->sink);
	}
}

static void call_close(struct call *c)
{
	struct observe *o = c->o;

	while (o->n && !o->hung) {
		o->at = o->one[o->n - 1].ops->name;
		o->one[o->n - 1].ops->close(o->one[o->n - 1].c);
		o->n--;
	}
}

/* What the sampler has used so far; the lock is held. */
static uint64_t sampler_cpu(const struct observe *o)
{
	clockid_t id;

	return o->started && !pthread_getcpuclockid(o->thread, &id) ? cpu_of(id) : 0;
}

void observe_mark(struct observe *o, int which)
{
	struct call *c;

	if (!take(o))
		return;
	o->mark_ns[which] = clock_ns();
	o->cpu_ns[which] = sampler_cpu(o);
	c = ask_all(o, call_mark, which, 0);
	if (c && !which) /* the second marks are made when the window is over */
		o->cpu_ns[0] -= c->cpu_ns;
	if (c)
		o->at = NULL;
	free(c);
	pthread_mutex_unlock(&o->lock);
}

static void stop_sampler(struct observe *o)
{
	if (!o->started)
		return;
	o->started = false;
	if (!take(o)) {
		pthread_detach(o->thread);
		return;
	}
	o->stop = true;
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
}

static void hung_missing(const struct observe *o, struct metrics *m)
{
	char why[160];

	snprintf(why, sizeof why, "collector %.40s hung", o->at ? o->at : "?");
	for (int i = 0; i < o->n; i++)
		all_missing(o->one[i].ops, m, why);
}

void observe_finish(struct observe *o, uint64_t net_bytes, struct metrics *m)
{
	struct call *c;

	stop_sampler(o);
	c = o->hung ? NULL : ask_all(o, call_finish, 0, net_bytes);
	if (!c) {
		hung_missing(o, m);
		return;
	}
	for (int i = 0; i < c->m.n; i++)
		if (c->m.m[i].has)
			metrics_set(m, c->m.m[i].name, c->m.m[i].value);
		else
			metrics_missing(m, c->m.m[i].name, c->m.m[i].why);
	free(c);
	o->m = NULL;
	if (o->mark_ns[0] && o->mark_ns[1] > o->mark_ns[0])
		metrics_set(m, "collect_cpu_pct",
			    100 * (double)(o->cpu_ns[1] - o->cpu_ns[0]) /
				    (double)(o->mark_ns[1] - o->mark_ns[0]));
}

const struct sample *observe_samples(const struct observe *o, int *n)
{
	*n = o->hung ? 0 : o->samples;
	return o->s;
}

bool observe_hung(const struct observe *o)
{
	return o->hung;
}

int observe_late(const struct observe *o)
{
	return o->late;
}

void observe_stop(struct observe *o)
{
	if (!o)
		return;
	stop_sampler(o);
	if (o->n && !o->hung)
		free(ask_all(o, call_close, 0, 0));
}

void observe_close(struct observe *o)
{
	if (!o)
		return;
	observe_stop(o);
	if (o->hung) { /* its thread may still come back to it */
		o->next = abandoned;
		abandoned = o;
		return;
	}
	pthread_mutex_destroy(&o->lock);
	free(o->s);
	free(o);
}
