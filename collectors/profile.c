/* collector profile: where the server's CPUs were, by sampling: the program, encryption, the
 * kernel's network, its storage, the rest.
 *
 * The kernel's software clock (PERF_COUNT_SW_CPU_CLOCK: a timer on each CPU, no hardware counter)
 * notes every PERIOD_NS what a server CPU runs and the kernel's call chain. A sample stands for
 * PERIOD_NS of CPU; classes are told apart as profile.h says. Everything on these CPUs is seen:
 * interrupts and kernel threads too, which no per-process accounting has.
 *
 * Limits: a timer is held up where interrupts are off, so such code is booked to the line that
 * switches them on again. n samples of a class are known to about sqrt(n). The classes of kernel
 * functions are by name. Needs CAP_PERFMON and readable /proc/kallsyms.
 *
 * perf_event_open(2).
 */
#include "collectors/profile.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectors/perf.h"
#include "harness/collector.h"

#define PERIOD_NS  500000ull
#define RING_PAGES 256u /* 1 MiB a CPU: 0.1 s needs some 100 KiB */
#define CPUS_MAX   256
#define CHAIN_MAX  128
#define PIDS_MAX   256
#define MAPS_MAX   8 /* executable mappings of cipher libraries a process */
#define RECORD_MAX 4096

struct ring {
	int fd;
	struct perf_event_mmap_page *page;
	const uint8_t *data;
	uint64_t tail;
};

struct process {
	uint32_t pid;
	bool foreign;
	int maps;
	struct {
		uint64_t from, to;
	} map[MAPS_MAX];
};

struct collector {
	const struct collector_env *env;
	struct prof_symbols *syms;
	struct ring ring[CPUS_MAX];
	int rings;
	struct process proc[PIDS_MAX];
	int procs;
	uint64_t n[PROF_CLASSES], lost;
	bool on;
};

static const struct collector_metric metrics[] = {
	{"prof_user_s_per_gb", "s/GB", "CPU samples: in the stack's own code"},
	{"prof_crypto_s_per_gb", "s/GB", "CPU samples: encryption, in libraries or the kernel"},
	{"prof_net_s_per_gb", "s/GB", "CPU samples: the kernel's network"},
	{"prof_storage_s_per_gb", "s/GB", "CPU samples: the kernel's storage and page cache"},
	{"prof_kernel_s_per_gb", "s/GB", "CPU samples: the rest of the kernel"},
	{"prof_foreign_s_per_gb", "s/GB", "CPU samples: programs that are not of the stack"},
	{"prof_samples", "", "samples in the window, of what was not idle"},
	{NULL, NULL, NULL},
};

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int open_cpu(int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof attr,
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN,
		.exclude_callchain_user = 1,
		.disabled = 1,
		.wakeup_watermark = 0,
	};
	int fd = perf_calls.open(&attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int first_cpu(const struct collector_env *env)
{
	for (int cpu = 0; env->tb && cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &env->tb->server_cpus))
			return cpu;
	return 0;
}

static int probe(const struct collector_env *env, struct errbuf *e)
{
	const struct perf_spec s = {.name = "cpu-clock sampling"};
	int fd = open_cpu(first_cpu(env));

	if (fd < 0)
		return perf_explain(&s, fd, e);
	perf_calls.close(fd);
	return 0;
}

static void close_it(struct collector *c)
{
	for (int i = 0; i < c->rings; i++) {
		munmap(c->ring[i].page, (RING_PAGES + 1) * page_size());
		perf_calls.close(c->ring[i].fd);
	}
	prof_symbols_free(c->syms);
	free(c);
}

static int add_ring(struct collector *c, int cpu)
{
	struct ring *r = &c->ring[c->rings];
	int err;

	r->fd = open_cpu(cpu);
	if (r->fd < 0)
		return r->fd;
	r->page = mmap(NULL, (RING_PAGES + 1) * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
		       r->fd, 0);
	if (r->page == MAP_FAILED) {
		err = -errno;
		perf_calls.close(r->fd);
		return err;
	}
	r->data = (const uint8_t *)r->page + page_size();
	r->tail = 0;
	c->rings++;
	return 0;
}

static int open_it(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	const struct perf_spec s = {.name = "cpu-clock sampling"};
	struct collector *c = calloc(1, sizeof *c);
	char path[256];
	int err = 0;

	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->env = env;
	snprintf(path, sizeof path, "%s/kallsyms", env->proc_root);
	err = prof_symbols_load(&c->syms, path, e);
	for (int cpu = 0; !err && cpu < CPU_SETSIZE && c->rings < CPUS_MAX; cpu++) {
		if (env->tb ? !CPU_ISSET(cpu, &env->tb->server_cpus) : cpu > 0)
			continue;
		err = add_ring(c, cpu);
		if (err)
			perf_explain(&s, err, e);
	}
	if (err) {
		close_it(c);
		return err;
	}
	*out = c;
	return 0;
}

/* ---- whose user code ---- */

static void read_maps(const struct collector *c, struct process *p)
{
	char path[256], line[600], perms[8], file[400];
	unsigned long long from, to;
	FILE *f;

	snprintf(path, sizeof path, "%s/%u/maps", c->env->proc_root, p->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f) && p->maps < MAPS_MAX)
		if (sscanf(line, "%llx-%llx %7s %*s %*s %*s %399s", &from, &to, perms, file) == 4 &&
		    strchr(perms, 'x') && prof_crypto_file(file)) {
			p->map[p->maps].from = from;
			p->map[p->maps++].to = to;
		}
	if (f)
		fclose(f);
}

/* A stack is its process group (stacks/launch.c). */
static const struct process *process_of(struct collector *c, uint32_t pid)
{
	struct process *p;

	for (int i = 0; i < c->procs; i++)
		if (c->proc[i].pid == pid)
			return &c->proc[i];
	if (c->procs == PIDS_MAX)
		return &c->proc[0];
	p = &c->proc[c->procs++];
	*p = (struct process){.pid = pid};
	p->foreign = c->env->stack_pid > 0 && (pid_t)pid != c->env->stack_pid &&
		     getpgid((pid_t)pid) != c->env->stack_pid;
	read_maps(c, p);
	return p;
}

static enum prof_class user_class(struct collector *c, uint32_t pid, uint64_t ip)
{
	const struct process *p = process_of(c, pid);

	if (p->foreign)
		return PROF_FOREIGN;
	for (int i = 0; i < p->maps; i++)
		if (ip >= p->map[i].from && ip < p->map[i].to)
			return PROF_CRYPTO;
	return PROF_USER;
}

/* ---- samples ---- */

/* {header, ip, pid, tid, nr, ips[nr]} as sample_type asks for them. */
static void one_sample(struct collector *c, const uint8_t *rec, size_t len, bool user)
{
	uint64_t ip, nr, chain[CHAIN_MAX];
	enum prof_class k;
	uint32_t pid;
	int n = 0;

	if (len < 32)
		return;
	memcpy(&ip, rec + 8, 8);
	memcpy(&pid, rec + 16, 4);
	memcpy(&nr, rec + 24, 8);
	if (user) {
		c->n[user_class(c, pid, ip)]++;
		return;
	}
	nr = nr < (len - 32) / 8 ? nr : (len - 32) / 8;
	for (uint64_t i = 0; i < nr && n < CHAIN_MAX; i++) {
		memcpy(&chain[n], rec + 32 + 8 * i, 8);
		if (chain[n] < PERF_CONTEXT_MAX) /* marks between contexts are "addresses" above */
			n++;
	}
	if (!n)
		chain[n++] = ip;
	k = prof_kernel_class(c->syms, chain, n);
	c->n[k == PROF_KERNEL && pid == 0 ? PROF_IDLE : k]++;
}

static void take(struct ring *r, uint64_t at, void *out, size_t len)
{
	uint64_t size = (uint64_t)RING_PAGES * page_size(), from = at % size;
	size_t first = len < size - from ? len : (size_t)(size - from);

	memcpy(out, r->data + from, first);
	memcpy((uint8_t *)out + first, r->data, len - first);
}

static void drain(struct collector *c, struct ring *r, bool count)
{
	uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
	_Alignas(8) uint8_t rec[RECORD_MAX];

	while (r->tail + sizeof(struct perf_event_header) <= head) {
		struct perf_event_header h;
		uint64_t lost;

		take(r, r->tail, &h, sizeof h);
		if (h.size < sizeof h || r->tail + h.size > head)
			break;
		if (count && h.size <= sizeof rec) {
			take(r, r->tail, rec, h.size);
			if (h.type == PERF_RECORD_SAMPLE)
				one_sample(c, rec, h.size,
					   (h.misc & PERF_RECORD_MISC_CPUMODE_MASK) ==
						   PERF_RECORD_MISC_USER);
			else if (h.type == PERF_RECORD_LOST && h.size >= 24) {
				memcpy(&lost, rec + 16, 8);
				c->lost += lost;
			}
		}
		r->tail += h.size;
	}
	__atomic_store_n(&r->page->data_tail, r->tail, __ATOMIC_RELEASE);
}

static void drain_all(struct collector *c)
{
	for (int i = 0; i < c->rings; i++)
		drain(c, &c->ring[i], true);
}

static void mark(struct collector *c, int which, uint64_t t_ns)
{
	(void)t_ns;
	for (int i = 0; i < c->rings; i++)
		ioctl(c->ring[i].fd, which ? PERF_EVENT_IOC_DISABLE : PERF_EVENT_IOC_ENABLE, 0);
	c->on = !which;
	if (which)
		drain_all(c);
}

static void sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	(void)t_ns;
	(void)s;
	if (c->on)
		drain_all(c);
}

static void finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	static const struct {
		const char *name;
		enum prof_class k;
	} out[] = {{"prof_user_s_per_gb", PROF_USER},	  {"prof_crypto_s_per_gb", PROF_CRYPTO},
		   {"prof_net_s_per_gb", PROF_NET},	  {"prof_storage_s_per_gb", PROF_STORAGE},
		   {"prof_kernel_s_per_gb", PROF_KERNEL}, {"prof_foreign_s_per_gb", PROF_FOREIGN}};
	uint64_t all = 0;
	char why[96];

	for (size_t i = 0; i < sizeof out / sizeof *out; i++)
		all += c->n[out[i].k];
	snprintf(why, sizeof why, "%llu samples were lost beside %llu", (unsigned long long)c->lost,
		 (unsigned long long)all);
	for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
		if (c->lost * 50 > all)
			s->missing(s, out[i].name, why);
		else if (!net_bytes || !all)
			s->missing(s, out[i].name, "no sample, or no byte, in the window");
		else
			s->result(s, out[i].name,
				  (double)c->n[out[i].k] * PERIOD_NS / (double)net_bytes);
	}
	s->result(s, "prof_samples", (double)all);
}

const struct collector_ops collector_profile = {
	.name = "profile",
	.metrics = metrics,
	.probe = probe,
	.open = open_it,
	.mark = mark,
	.sample = sample,
	.finish = finish,
	.close = close_it,
};
