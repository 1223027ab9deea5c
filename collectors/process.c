/* collector process: the process trees of the stack and of the load generator.
 *
 * CPU time of each process comes from its CPU-time clock (clock_getcpuclockid(3)), exact to the
 * nanosecond, where /proc counts ticks. At the start of the window the trees are walked; a process
 * that is born later is found at the end and counted from 0, one that dies keeps its last reading.
 * A load generator may be gone before its end is noticed: its CPU is then taken up to the last
 * sample.
 *
 * Limits: at most TREE_MAX processes a tree. Threads' context switches are summed at the marks
 * only. Kernel threads that work for a stack (io_uring's workers are its own threads, kblockd is
 * not) are not in its tree: collector cpu sees them.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "collectors/procfs.h"
#include "harness/collector.h"

#define TREE_MAX    256
#define THREADS_MAX 1024

struct proc {
	pid_t pid;
	uint64_t cpu_ns;
	uint64_t since_ns; /* its reading when the window began */
};

struct thread {
	pid_t tid;
	uint64_t cpu_ns; /* at the first mark */
};

struct tree {
	const char *what; /* "stack", "load" */
	struct proc p[TREE_MAX];
	int n;
	uint64_t t_ns[2];
	bool marked[2];
	uint64_t rss_max, threads, switches[2];
	uint64_t sampled_ns; /* when cpu_ns were read last */
	struct thread thread[THREADS_MAX];
	int threads_known;
	uint64_t busiest_ns; /* most CPU that one thread used in the window */
};

/* The page cache of the stack's memory cgroup. */
struct cache {
	bool have;
	uint64_t bytes, stolen_pages, refaults;
};

struct collector {
	const struct collector_env *env;
	struct tree tree[2];
	struct cache cache[2];
	uint64_t page;
	struct procfs_text text;
};

static const struct collector_metric metrics[] = {
	{"stack_cpu_pct", "%", "CPU time of the stack's processes; 100 % is one core"},
	{"stack_rss_mb", "MB", "largest sum of their resident memory seen"},
	{"stack_threads", "", "threads at the end of the window"},
	{"stack_switches_per_s", "1/s", "context switches of these threads"},
	{"stack_thread_max_pct", "%", "CPU time of its busiest thread"},
	{"stack_cache_mb", "MB", "page cache charged to its memory cgroup at the end"},
	{"stack_reclaim_mb_per_s", "MB/s",
	 "pages taken back from that cgroup (cgroup v1: pages given back for any reason)"},
	{"stack_refault_per_s", "1/s", "file pages read again soon after they were taken back"},
	{"load_cpu_pct", "%", "the same of the load generator"},
	{"load_rss_mb", "MB", ""},
	{"load_threads", "", ""},
	{"load_switches_per_s", "1/s", ""},
	{"load_thread_max_pct", "%", ""},
	{NULL, NULL, NULL},
};

/* --- one process --- */

/* Field `field` (3 and up, proc(5)) of /proc/PID/stat. The name before may hold anything, even
 * parentheses: fields are counted from the last ')'. */
static bool stat_fields(const char *root, pid_t pid, uint64_t *out, int from, int n)
{
	char path[64], text[1024], *p;

	snprintf(path, sizeof path, "%d/stat", pid);
	if (procfs_slurp(root, path, text, sizeof text) < 0)
		return false;
	p = strrchr(text, ')');
	for (int field = 3; p && field <= from; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return false;
	return procfs_numbers(p, out, n) == n;
}

static bool cpu_ns(const struct collector_env *env, pid_t pid, uint64_t *out)
{
	struct timespec ts;
	uint64_t ticks[2];
	clockid_t id;

	if (strcmp(env->proc_root, "/proc") == 0 && clock_getcpuclockid(pid, &id) == 0 &&
	    clock_gettime(id, &ts) == 0) {
		*out = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
		return true;
	}
	if (!stat_fields(env->proc_root, pid, ticks, 14, 2))
		return false;
	*out = (ticks[0] + ticks[1]) * NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	return true;
}

static uint64_t rss_pages(const char *root, pid_t pid)
{
	char path[64], text[128];
	uint64_t v[2];

	snprintf(path, sizeof path, "%d/statm", pid);
	if (procfs_slurp(root, path, text, sizeof text) < 0 || procfs_numbers(text, v, 2) < 2)
		return 0;
	return v[1];
}

/* Call `each` for every thread of `pid`. */
static void for_threads(const char *root, pid_t pid, void (*each)(void *arg, const char *dir),
			void *arg)
{
	char path[512];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof path, "%s/%d/task", root, pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((d = readdir(dir)))
		if (isdigit((unsigned char)d->d_name[0])) {
			snprintf(path, sizeof path, "%d/task/%.20s", pid, d->d_name);
			each(arg, path);
		}
	closedir(dir);
}

/* --- the tree --- */

struct walk {
	const struct collector_env *env;
	struct tree *t;
};

static void add(struct tree *t, pid_t pid)
{
	for (int i = 0; i < t->n; i++)
		if (t->p[i].pid == pid)
			return;
	if (t->n < TREE_MAX)
		t->p[t->n++] = (struct proc){.pid = pid};
}

static void add_children(void *arg, const char *dir)
{
	struct walk *w = arg;
	char path[64], text[4096];
	uint64_t v[256];
	int n;

	snprintf(path, sizeof path, "%.50s/children", dir);
	if (procfs_slurp(w->env->proc_root, path, text, sizeof text) < 0)
		return;
	n = procfs_numbers(text, v, 256);
	for (int i = 0; i < n; i++)
		add(w->t, (pid_t)v[i]);
}

static void walk(const struct collector_env *env, struct tree *t, pid_t root)
{
	struct walk w = {env, t};

	if (root <= 0)
		return;
	add(t, root);
	for (int i = 0; i < t->n; i++) /* grows while it is walked */
		for_threads(env->proc_root, t->p[i].pid, add_children, &w);
}

static void read_cpu(const struct collector_env *env, struct tree *t, uint64_t t_ns)
{
	t->sampled_ns = t_ns;
	for (int i = 0; i < t->n; i++)
		cpu_ns(env, t->p[i].pid, &t->p[i].cpu_ns); /* the last value of the dead stays */
}

static uint64_t total_cpu(const struct tree *t)
{
	uint64_t sum = 0;

	for (int i = 0; i < t->n; i++)
		sum += t->p[i].cpu_ns;
	return sum;
}

static void read_memory(const struct collector *c, struct tree *t)
{
	uint64_t pages = 0;

	for (int i = 0; i < t->n; i++)
		pages += rss_pages(c->env->proc_root, t->p[i].pid);
	if (pages * c->page > t->rss_max)
		t->rss_max = pages * c->page;
}

struct threads {
	const char *root;
	struct tree *t;
	int which;
	uint64_t threads, switches;
};

/* Voluntary and other switches of one thread. */
static bool read_switches(const char *root, const char *dir, uint64_t *sum)
{
	static const char *const keys[] = {"\nvoluntary_ctxt_switches:",
					   "\nnonvoluntary_ctxt_switches:"};
	char path[64], text[4096] = "\n";

	snprintf(path, sizeof path, "%.50s/status", dir);
	if (procfs_slurp(root, path, text + 1, sizeof text - 1) < 0)
		return false;
	for (int i = 0; i < 2; i++) {
		char *p = strstr(text, keys[i]);
		uint64_t v;

		if (p && procfs_numbers(p + strlen(keys[i]), &v, 1) == 1)
			*sum += v;
	}
	return true;
}

/* The scheduler's own account of a thread's time on a CPU, in nanoseconds. */
static void note_thread_cpu(struct threads *th, const char *dir)
{
	struct tree *t = th->t;
	pid_t tid = (pid_t)atoi(strrchr(dir, '/') + 1);
	char path[64], text[128];
	uint64_t ns;

	snprintf(path, sizeof path, "%.50s/schedstat", dir);
	if (procfs_slurp(th->root, path, text, sizeof text) < 0 || !procfs_numbers(text, &ns, 1))
		return;
	if (th->which == 0) {
		if (t->threads_known < THREADS_MAX)
			t->thread[t->threads_known++] = (struct thread){tid, ns};
		return;
	}
	for (int i = 0; i < t->threads_known; i++)
		if (t->thread[i].tid == tid)
			ns -= t->thread[i].cpu_ns;
	if (ns > t->busiest_ns)
		t->busiest_ns = ns;
}

static void note_thread(void *arg, const char *dir)
{
	struct threads *th = arg;

	if (!read_switches(th->root, dir, &th->switches))
		return;
	th->threads++;
	note_thread_cpu(th, dir);
}

static void mark_tree(struct collector *c, struct tree *t, pid_t root, int which, uint64_t t_ns)
{
	struct threads th = {.root = c->env->proc_root, .t = t, .which = which};
	uint64_t last = t->sampled_ns;

	if (which == 0)
		t->n = t->threads_known = 0;
	walk(c->env, t, root);
	t->t_ns[which] = collector_now(c->env, t_ns);
	read_cpu(c->env, t, t->t_ns[which]);
	if (which == 0)
		for (int i = 0; i < t->n; i++)
			t->p[i].since_ns = t->p[i].cpu_ns;
	read_memory(c, t);
	for (int i = 0; i < t->n; i++)
		for_threads(th.root, t->p[i].pid, note_thread, &th);
	t->threads = th.threads;
	t->switches[which] = th.switches;
	t->marked[which] = th.threads > 0;
	if (which == 1 && !t->marked[1]) /* gone: what was read last stands for the window */
		t->t_ns[1] = last;
}

/* --- the cgroup --- */

static uint64_t stat_line(const struct procfs_text *t, const char *v2, const char *v1)
{
	const char *p = procfs_line(t, v2);
	uint64_t v = 0;

	if (!p)
		p = procfs_line(t, v1);
	if (p)
		procfs_numbers(p, &v, 1);
	return v;
}

static void read_cache(struct collector *c, struct cache *out)
{
	int fd;

	*out = (struct cache){.have = false};
	if (!c->env->cgroup_dir)
		return;
	fd = procfs_open(c->env->cgroup_dir, "memory.stat", NULL);
	if (fd < 0)
		return;
	if (procfs_read(fd, &c->text) > 0) {
		out->have = true;
		out->bytes = stat_line(&c->text, "file", "total_cache");
		out->stolen_pages = stat_line(&c->text, "pgsteal", "total_pgpgout");
		out->refaults = stat_line(&c->text, "workingset_refault_file",
					  "total_workingset_refault_file");
	}
	close(fd);
}

/* --- the hooks --- */

static int process_probe(const struct collector_env *env, struct errbuf *e)
{
	int fd = procfs_open(env->proc_root, "self/statm", e);

	if (fd < 0 && strcmp(env->proc_root, "/proc") == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return 0;
}

static int process_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	struct collector *c = calloc(1, sizeof *c);

	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->env = env;
	c->page = (uint64_t)sysconf(_SC_PAGESIZE);
	c->tree[0].what = "stack";
	c->tree[1].what = "load";
	*out = c;
	return 0;
}

static void process_mark(struct collector *c, int which, uint64_t t_ns)
{
	mark_tree(c, &c->tree[0], c->env->stack_pid, which, t_ns);
	mark_tree(c, &c->tree[1], c->env->load_pid, which, t_ns);
	read_cache(c, &c->cache[which]);
}

static void emit(struct collector_sink *s, uint64_t t_ns, const char *what, const char *metric,
		 double value)
{
	char name[48];

	snprintf(name, sizeof name, "%s_%s", what, metric);
	s->emit(s, t_ns, name, value);
}

/* Between the marks: memory, and CPU of the processes known since the first. */
static void process_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	for (int k = 0; k < 2; k++) {
		struct tree *t = &c->tree[k];
		uint64_t before = total_cpu(t), last = t->sampled_ns;

		if (!t->marked[0] || t->marked[1])
			continue;
		read_cpu(c->env, t, collector_now(c->env, t_ns));
		read_memory(c, t);
		if (t->sampled_ns > last)
			emit(s, t_ns, t->what, "cpu_pct",
			     100 * (double)(total_cpu(t) - before) /
				     (double)(t->sampled_ns - last));
	}
}

static void result(struct collector_sink *s, const char *what, const char *metric, double value)
{
	char name[48];

	snprintf(name, sizeof name, "%s_%s", what, metric);
	s->result(s, name, value);
}

static void tree_missing(const char *what, const char *why, struct collector_sink *s)
{
	static const char *const of_tree[] = {"cpu_pct", "rss_mb", "threads", "switches_per_s",
					      "thread_max_pct"};
	char name[48];

	for (size_t i = 0; i < sizeof of_tree / sizeof *of_tree; i++) {
		snprintf(name, sizeof name, "%s_%s", what, of_tree[i]);
		s->missing(s, name, why);
	}
}

static void finish_tree(const struct tree *t, struct collector_sink *s)
{
	double ns = (double)(t->t_ns[1] - t->t_ns[0]);
	uint64_t cpu = 0;

	if (!t->marked[0]) {
		tree_missing(t->what, "the process was not running when the window began", s);
		return;
	}
	if (t->t_ns[1] <= t->t_ns[0]) {
		tree_missing(t->what, "the process ended within the window", s);
		return;
	}
	for (int i = 0; i < t->n; i++)
		cpu += t->p[i].cpu_ns - t->p[i].since_ns;
	result(s, t->what, "cpu_pct", 100 * (double)cpu / ns);
	result(s, t->what, "rss_mb", (double)t->rss_max / 1e6);
	if (!t->marked[1]) { /* these are read at the marks only */
		tree_missing(t->what, "the process ended before the window's end was read", s);
		return;
	}
	result(s, t->what, "threads", (double)t->threads);
	result(s, t->what, "thread_max_pct", 100 * (double)t->busiest_ns / ns);
	if (t->switches[1] >= t->switches[0])
		result(s, t->what, "switches_per_s",
		       (double)(t->switches[1] - t->switches[0]) * 1e9 / ns);
	else /* threads that ended took theirs with them */
		s->missing(s, *t->what == 's' ? "stack_switches_per_s" : "load_switches_per_s",
			   "threads ended within the window");
}

static void finish_cache(const struct collector *c, struct collector_sink *s)
{
	const struct cache *a = &c->cache[0], *b = &c->cache[1];
	double ns = (double)(c->tree[0].t_ns[1] - c->tree[0].t_ns[0]);

	if (!a->have || !b->have || ns <= 0 || b->stolen_pages < a->stolen_pages) {
		const char *why = c->env->cgroup_dir ? "the cgroup's memory.stat can't be read"
						     : "the stack is in no memory cgroup";

		s->missing(s, "stack_cache_mb", why);
		s->missing(s, "stack_reclaim_mb_per_s", why);
		s->missing(s, "stack_refault_per_s", why);
		return;
	}
	s->result(s, "stack_cache_mb", (double)b->bytes / 1e6);
	s->result(s, "stack_reclaim_mb_per_s",
		  (double)((b->stolen_pages - a->stolen_pages) * c->page) / 1e6 * 1e9 / ns);
	s->result(s, "stack_refault_per_s", (double)(b->refaults - a->refaults) * 1e9 / ns);
}

static void process_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	(void)net_bytes;
	for (int k = 0; k < 2; k++)
		finish_tree(&c->tree[k], s);
	finish_cache(c, s);
}

static void process_close(struct collector *c)
{
	free(c);
}

const struct collector_ops collector_process = {
	.name = "process",
	.metrics = metrics,
	.probe = process_probe,
	.open = process_open,
	.mark = process_mark,
	.sample = process_sample,
	.finish = process_finish,
	.close = process_close,
};
