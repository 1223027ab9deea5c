/* cell: one run of one cell, from an empty host back to an empty host.
 *
 * One idea: set-up is a list of steps, each undone in reverse by one tear-down function that may be
 * called at any point; so an error, a dead server, a time-out and a signal all leave by the same
 * door. The testbed is made anew for each run: no TIME_WAIT sockets, ARP entries or counters of
 * the run before.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "harness/bench.h"
#include "harness/cert.h"
#include "harness/cgroup.h"
#include "harness/child.h"
#include "harness/interrupt.h"
#include "harness/load.h"
#include "harness/registry.h"
#include "harness/stackstats.h"
#include "harness/testbed_cpu.h"
#include "harness/treeio.h"
#include "harness/undo.h"
#include "harness/wan.h"

#define CPUS_MAX 1024
/* The server's own memory a connection, inside the budget: OpenSSL and its output buffers, or
 * little. */
#define CONN_TLS   (64u << 10)
#define CONN_PLAIN (8u << 10)

struct evictor { /* stands in for a memory cgroup */
	pthread_t thread;
	_Atomic bool stop;
	bool running;
	const char *dir;
	struct content cold;
};

struct stage {
	struct bench *b;
	const struct cell *cell;
	struct outcome *out;
	const struct stack_ops *ops;
	const char *stack; /* full name */
	struct stack_env env;
	struct stack_proc proc;
	struct testbed_cfg cfg;
	struct testbed tb;
	struct cgroup cg;
	struct collector_env cenv;
	struct load_run load;
	struct wan wan;
	struct evictor evictor;
	char work[64], stack_dir[80], cert[96], key[96];
	char cgroup_procs[288], options[640]; /* [collect] keys of single collectors */
	bool tb_up, caches, ceiling; /* ceiling: in place of the cell's stack, always saturated */
	uint64_t irq0[CPUS_MAX], irq1[CPUS_MAX];
	int irqs;	      /* CPUs counted, < 0 unknown */
	int64_t read0, read1; /* bytes the stack had read from storage; < 0 unknown */
};

static const char *text(const struct stage *s, const char *key)
{
	return cell_text(s->b->x, s->cell, key);
}

/* --- without a memory cgroup --- */

static void *evict_loop(void *arg)
{
	struct evictor *v = arg;
	struct errbuf e;

	while (!v->stop) {
		content_evict(v->dir, &v->cold, &e);
		usleep(200000);
	}
	return NULL;
}

static void start_evictor(struct stage *s)
{
	struct evictor *v = &s->evictor;

	v->dir = s->b->content_dir;
	v->cold = s->b->content;
	v->cold.hot = 0;
	v->running = !pthread_create(&v->thread, NULL, evict_loop, v);
}

/* --- set-up -------------------------------------------------------------------------------- */

static int option(const struct stack_env *env, const char *key, char *val, int size)
{
	const struct stage *s = env->option_ctx;
	char name[64];
	const char *t;

	snprintf(name, sizeof name, "stack.%s", key);
	t = text(s, name);
	if (!*t)
		return -ENOENT;
	snprintf(val, (size_t)size, "%s", t);
	return 0;
}

static int make_dirs(struct stage *s, struct errbuf *e)
{
	strcpy(s->work, "/tmp/dcn-run-XXXXXX");
	if (!mkdtemp(s->work))
		return errf(e, -errno, "%s: %s", s->work, strerror(errno));
	undo_dir(s->work);
	chmod(s->work, 0755); /* a server's workers may run as another user */
	snprintf(s->stack_dir, sizeof s->stack_dir, "%s/stack", s->work);
	if (mkdir(s->stack_dir, 0755))
		return errf(e, -errno, "%s: %s", s->stack_dir, strerror(errno));
	return 0;
}

static json_t *describe_testbed(const struct testbed *tb)
{
	char server[256], client[256];

	cpulist_text(&tb->server_cpus, server, sizeof server);
	cpulist_text(&tb->client_cpus, client, sizeof client);
	return json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:s, s:s, s:s}", "kind", "netns",
			 "server_cpus", server, "client_cpus", client, "server_cpu_count",
			 CPU_COUNT(&tb->server_cpus), "client_cpu_count",
			 CPU_COUNT(&tb->client_cpus), "steering", tb->steering, "disk", tb->disk,
			 "congestion", tb->cfg.congestion, "cpu_why", tb->cpu_why);
}

static int make_testbed(struct stage *s, struct errbuf *e)
{
	struct testbed_cfg *c = &s->cfg;
	int err;

	snprintf(c->server_cpus, sizeof c->server_cpus, "%s", text(s, "testbed.server_cpus"));
	snprintf(c->client_cpus, sizeof c->client_cpus, "%s", text(s, "testbed.client_cpus"));
	snprintf(c->congestion, sizeof c->congestion, "%.15s", text(s, "testbed.congestion"));
	c->steering = !strcmp(text(s, "testbed.steering"), "rps");
	c->wan = wan_wanted(s->b->x, s->cell);
	c->content_dir = s->b->content_dir;
	err = testbed_up(&s->tb, c, e);
	s->tb_up = !err;
	s->out->server_cpus = err ? 0 : CPU_COUNT(&s->tb.server_cpus);
	if (!err)
		s->out->testbed = describe_testbed(&s->tb);
	if (!err && s->tb.warning[0])
		snprintf(s->out->warning, sizeof s->out->warning, "%s", s->tb.warning);
	return err;
}

/* What the server needs for itself inside the budget's cgroup. */
static uint64_t own_memory(const struct stage *s)
{
	if (s->ops->memory)
		return s->ops->memory(&s->env);
	return (uint64_t)s->env.connections * (s->env.tls ? CONN_TLS : CONN_PLAIN);
}

/* The page-cache budget of a stock server, or what stands in for it. */
static int make_budget(struct stage *s, struct errbuf *e)
{
	uint64_t budget = cell_size(s->b->x, s->cell, "content.cache_budget");
	const char *t = text(s, "content.cache_budget");
	char name[32];
	int err;

	if (!s->caches || !strcmp(t, "none"))
		return 0;
	if (!budget)
		budget = bench_hot_bytes(s->b, s->cell) + (256ull << 20);
	if (!s->b->no_cgroup) {
		snprintf(name, sizeof name, "%d", (int)getpid());
		err = cgroup_make(&s->cg, name, budget + own_memory(s), e);
		if (!err) {
			snprintf(s->cgroup_procs, sizeof s->cgroup_procs, "%s", s->cg.procs);
			s->env.cgroup_procs = s->cgroup_procs;
			return 0;
		}
		s->b->no_cgroup = true;
		snprintf(s->b->no_cgroup_why, sizeof s->b->no_cgroup_why, "%.199s", e->s);
		log_warn("%s; objects are evicted after use instead", e->s);
	}
	start_evictor(s);
	return 0;
}

static int make_cert(struct stage *s, struct errbuf *e)
{
	const char *ips[] = {s->tb.server_ip, s->tb.atlas_ip, NULL};

	if (!s->env.tls)
		return 0;
	snprintf(s->cert, sizeof s->cert, "%s/cert.pem", s->work);
	snprintf(s->key, sizeof s->key, "%s/key.pem", s->work);
	s->env.cert = s->cert;
	s->env.key = s->key;
	return cert_make(s->work, text(s, "load.certificate"), ips, e);
}

static void fill_env(struct stage *s)
{
	struct stack_env *env = &s->env;
	uint64_t workers = cell_count(s->b->x, s->cell, "stack.workers");

	env->tb = &s->tb;
	env->content_dir = s->b->content_dir;
	env->work_dir = s->stack_dir;
	env->tls = cell_on(s->b->x, s->cell, "load.tls");
	env->connections = (int)cell_count(s->b->x, s->cell, "load.connections");
	env->workers = workers ? (int)workers : CPU_COUNT(&s->tb.server_cpus);
	env->bin_dir = s->b->bin_dir;
	env->option = option;
	env->option_ctx = s;
}

static int evict(struct stage *s, struct errbuf *e)
{
	int64_t left;

	if (!strcmp(s->ops->name, "null"))
		return 0;
	left = content_evict(s->b->content_dir, &s->b->content, e);
	if (left < 0)
		return (int)left;
	if (left * 4096 > (int64_t)(s->b->content.object_size * 64))
		log_warn("%lld pages of the content stayed in the page cache", (long long)left);
	return 0;
}

/* Gone without having been asked? Leaves the zombie to the stack's own stop hook. */
static bool stack_died(const struct stage *s)
{
	siginfo_t si = {.si_pid = 0};

	return s->proc.pid > 0 &&
	       !waitid(P_PID, (id_t)s->proc.pid, &si, WEXITED | WNOHANG | WNOWAIT) &&
	       si.si_pid == s->proc.pid;
}

static int start_stack(struct stage *s, struct errbuf *e)
{
	uint64_t end = clock_ns() + cell_ns(s->b->x, s->cell, "run.ready_timeout");
	struct errbuf why = {""};
	int err;

	err = s->ops->prepare ? s->ops->prepare(&s->env, e) : 0;
	if (!err)
		err = s->ops->start(&s->env, &s->proc, e);
	if (err)
		return err;
	undo_pid(s->proc.pid);
	s->cenv.stack_pid = s->proc.pid;
	for (;;) {
		err = s->ops->ready(&s->env, &s->proc, &why);
		if (err != -EAGAIN)
			return err ? errf(e, err, "%s: %s", s->stack, why.s) : 0;
		if (interrupt_now())
			return errf(e, -EINTR, "interrupted");
		if (clock_ns() >= end)
			return errf(e, -ETIME, "%s did not get ready within %s: %s", s->stack,
				    text(s, "run.ready_timeout"), why.s);
		usleep(10000);
	}
}

static int start_load(struct stage *s, uint64_t seed, struct errbuf *e)
{
	struct load_spec l = {
		.x = s->b->x,
		.cell = s->cell,
		.tb = &s->tb,
		.bin_dir = s->b->bin_dir,
		.content_dir = s->b->content_dir,
		.work_dir = s->work,
		.url = s->proc.url,
		.cacert = s->cert,
		.seed = seed,
		.residency = s->caches,
		.rate = s->ceiling ? 0 : bench_rate(s->b, s->cell),
		.cache_ratio = s->caches ? cell_number(s->b->x, s->cell, "load.cache_ratio") : 0,
	};
	int err = load_start(&s->load, &l, e);

	s->cenv.load_pid = s->load.pid;
	return err;
}

/* --- the run ------------------------------------------------------------------------------- */

static void read_irqs(struct stage *s, uint64_t *per_cpu)
{
	int n = (int)sysconf(_SC_NPROCESSORS_CONF);

	n = n < CPUS_MAX ? n : CPUS_MAX;
	s->irqs = testbed_disk_irqs(&s->tb, per_cpu, n) ? -1 : n;
}

static double irq_client_share(const struct stage *s)
{
	double all = 0, client = 0;

	for (int i = 0; i < s->irqs; i++) {
		double d = (double)(s->irq1[i] - s->irq0[i]);

		all += d;
		if (CPU_ISSET(i, &s->tb.client_cpus) && !CPU_ISSET(i, &s->tb.server_cpus))
			client += d;
	}
	return s->irqs > 0 && all > 0 ? client / all : NAN;
}

static void take_stats(struct stage *s, json_t **out)
{
	if (s->ops->stats && !*out)
		*out = s->ops->stats(&s->env, &s->proc);
}

static void mark(struct stage *s, int which, uint64_t t_ns)
{
	uint64_t late = clock_ns() - t_ns;

	if (s->out->obs)
		observe_mark(s->out->obs, which);
	read_irqs(s, which ? s->irq1 : s->irq0);
	*(which ? &s->read1 : &s->read0) = treeio_read_bytes("/proc", s->proc.pid);
	*(which ? &s->out->t_end : &s->out->t_start) = t_ns;
	take_stats(s, which ? &s->out->stats : &s->out->stats_start);
	if (late > s->out->mark_late_ns)
		s->out->mark_late_ns = late;
}

/* Longest that a load may take before it must be stuck. */
static uint64_t patience(const struct stage *s)
{
	const struct experiment *x = s->b->x;
	uint64_t conns = cell_count(x, s->cell, "load.connections");

	return cell_ns(x, s->cell, "run.warmup") + cell_ns(x, s->cell, "run.duration") +
	       cell_ns(x, s->cell, "load.ramp") + 2 * cell_ns(x, s->cell, "load.timeout") +
	       30 * NSEC_PER_SEC + conns * 10 * NSEC_PER_MSEC;
}

/* The load's CPU is busy: without priority the window's marks would be taken milliseconds late.
 * Only while nothing is started from here, because children inherit it. */
static void hurry(bool on)
{
	setpriority(PRIO_PROCESS, 0, on ? -15 : 0);
}

static int watch(struct stage *s, int *status, struct errbuf *e)
{
	uint64_t end = clock_ns() + patience(s), t = 0;

	for (;;) {
		switch (load_wait(&s->load, 100 * NSEC_PER_MSEC, &t, status)) {
		case LOAD_START:
			mark(s, 0, t);
			break;
		case LOAD_END:
			mark(s, 1, t);
			break;
		case LOAD_EXITED:
			return 0;
		case LOAD_READY:
		case LOAD_NOTHING:
			break;
		}
		if (interrupt_now())
			return errf(e, -EINTR, "interrupted");
		if (stack_died(s)) {
			s->ops->ready(&s->env, &s->proc, e); /* the stack's own words */
			outcome_invalid(s->out, "the server died during the run: %.120s", e->s);
			return -ECHILD;
		}
		if (clock_ns() > end)
			return errf(e, -ETIME, "the load did not end in time");
	}
}

static void take_results(struct stage *s, int status)
{
	struct outcome *o = s->out;
	struct verdict_in in = {s->b, s->cell, s->caches, &s->tb, irq_client_share(s), NAN};
	uint64_t bytes;
	struct errbuf e;

	o->load = load_result(&s->load, status, &e);
	if (!o->load) {
		outcome_invalid(o, "%s", e.s);
		return;
	}
	if (!o->t_start || !o->t_end) {
		outcome_invalid(o, "the load never reported its window");
		return;
	}
	o->ran = true;
	if (s->read0 >= 0 && s->read1 >= s->read0)
		in.read_bytes = (double)(s->read1 - s->read0);
	bytes = (uint64_t)json_number_value(json_object_get(o->load, "body_bytes"));
	load_metrics(o->load, &o->m);
	if (o->obs)
		observe_finish(o->obs, bytes, &o->m);
	if (s->tb.cpu_why[0])
		metrics_missing(&o->m, "cpu_pct", s->tb.cpu_why);
	stackstats_metrics(o->stats_start, o->stats, &o->m);
	if (bench_rate(s->b, s->cell) > 0)
		metrics_set(&o->m, "rate_req_per_s", bench_rate(s->b, s->cell));
	else
		metrics_missing(&o->m, "rate_req_per_s", "closed loop: nothing is planned");
	o->valid = true;
	verdict(&in, o);
}

static void tear_down(struct stage *s)
{
	load_stop(&s->load);
	if (s->proc.pid > 0)
		s->ops->stop(&s->env, &s->proc);
	s->out->wan = wan_stop(&s->wan);
	wan_warn(s->out->wan, s->out->warning, sizeof s->out->warning);
	observe_stop(s->out->obs);
	if (s->evictor.running) {
		s->evictor.stop = true;
		pthread_join(s->evictor.thread, NULL);
	}
	child_reap_strays();
	cgroup_drop(&s->cg);
	if (s->tb_up)
		testbed_down(&s->tb);
	if (!getenv("DCN_KEEP"))
		undo_remove_dir(s->work);
}

/* "llc.events=a,b;membw.source=imc": every key of [collect] that names its collector. */
static void collect_options(struct stage *s)
{
	size_t at = 0;

	for (int i = 0; i < settings_n && at < sizeof s->options; i++) {
		const char *t = cell_setting(s->b->x, s->cell, i);

		if (!strcmp(settings[i].section, "collect") && strchr(settings[i].key, '.') && *t)
			at += (size_t)snprintf(s->options + at, sizeof s->options - at, "%s%s=%s",
					       at ? ";" : "", settings[i].key, t);
	}
}

static int set_up(struct stage *s, bool observe, uint64_t seed, struct errbuf *e)
{
	int err = bench_content(s->b, s->cell, e);

	if (!err)
		err = make_dirs(s, e);
	if (!err)
		err = make_testbed(s, e);
	if (err)
		return err;
	fill_env(s);
	err = make_cert(s, e);
	if (!err)
		err = evict(s, e);
	if (!err)
		err = make_budget(s, e);
	if (err)
		return err;
	collect_options(s);
	s->cenv = (struct collector_env){
		.tb = &s->tb,
		.proc_root = "/proc",
		.sys_root = "/sys",
		.cgroup_dir = s->cg.dir[0] ? s->cg.dir : NULL,
		.options = s->options,
		.interval_ns = cell_ns(s->b->x, s->cell, "collect.interval"),
		.remember = undo_file,
		.started = undo_pid,
	};
	if (observe) {
		bool active = cell_on(s->b->x, s->cell, "collect.active");

		s->cenv.interval_ns = active ? s->cenv.interval_ns : OBSERVE_NEVER;
		err = observe_open(&s->out->obs, active ? text(s, "collect.collectors") : "cpu",
				   &s->cenv, &s->out->m, &s->out->missing, e);
		if (err)
			return err;
	}
	if (s->cfg.wan)
		err = wan_start(&s->wan, s->b->x, s->cell, &s->tb, s->b->bin_dir, s->work, seed, e);
	return err;
}

int cell_run(struct bench *b, const struct cell *c, const char *stack, bool observe, uint64_t seed,
	     struct outcome *out, struct errbuf *e)
{
	struct stage *s = calloc(1, sizeof *s);
	uint64_t t0 = clock_ns();
	int err, status = 0;

	memset(out, 0, sizeof *out);
	if (!s)
		return errf(e, -ENOMEM, "out of memory");
	s->b = b;
	s->cell = c;
	s->out = out;
	s->stack = stack ? stack : cell_text(b->x, c, "stack");
	s->ceiling = stack != NULL;
	s->load.events = -1;
	s->ops = registry_stack(s->stack, &s->env.variant, e);
	err = s->ops ? 0 : -EINVAL;
	if (!err) {
		s->caches = registry_caches(s->stack) && strcmp(text(s, "stack.caches"), "off");
		err = set_up(s, observe, seed, e);
	}
	if (!err) { /* from here on a failure is this cell's, not the experiment's */
		err = start_stack(s, e);
		if (!err)
			err = start_load(s, seed, e);
		if (!err) {
			hurry(true);
			err = watch(s, &status, e);
			hurry(false);
		}
		if (!err)
			take_results(s, status);
		else if (err != -EINTR && !out->whys)
			outcome_invalid(out, "%s", e->s);
		if (err != -EINTR)
			err = 0;
	}
	tear_down(s);
	out->wall_s = (double)(clock_ns() - t0) / 1e9;
	if (!out->obs || !observe_hung(out->obs))
		free(s);
	return err;
}

double bench_rate(const struct bench *b, const struct cell *c)
{
	if (strcmp(cell_text(b->x, c, "load.mode"), "open"))
		return 0;
	return b->rate > 0 ? b->rate : cell_number(b->x, c, "load.rate");
}

void outcome_invalid(struct outcome *o, const char *fmt, ...)
{
	va_list ap;

	o->valid = false;
	if (o->whys == VERDICTS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(o->why[o->whys], sizeof o->why[0], fmt, ap);
	va_end(ap);
	o->whys++;
}

void outcome_free(struct outcome *o)
{
	observe_close(o->obs);
	json_decref(o->load);
	json_decref(o->stats);
	json_decref(o->stats_start);
	json_decref(o->wan);
	json_decref(o->testbed);
	o->obs = NULL;
	o->load = o->stats = o->stats_start = o->testbed = NULL;
}
