/* trace: see trace.h; perf_event_open(2).
 *
 * tracefs is often not mounted, and mounting it would change the host: the new mount calls give a
 * detached mount, a descriptor that only we see and that goes with us.
 */
#include "collectors/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_PAGES                                                                                 \
	128 /* of 4 KiB: about 5,000 records; with the page before, the unprivileged limit */
#define RECORD_MAX 1024
#define EVENTS_MAX 16 /* per CPU */
#define CPUS_MAX   1024

struct ring {
	int cpu, n;
	int fd[EVENTS_MAX];
	struct perf_event_mmap_page *page;
};

struct trace {
	int rings, events;
	size_t page_size;
	int group[EVENTS_MAX];
	uint64_t lost;
	struct ring ring[];
};

/* --- tracefs --- */

static int detached_tracefs(void)
{
	int fs = fsopen("tracefs", FSOPEN_CLOEXEC), mnt, err;

	if (fs < 0)
		return -errno;
	mnt = fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ? -1
							       : fsmount(fs, FSMOUNT_CLOEXEC, 0);
	err = errno;
	close(fs);
	return mnt < 0 ? -err : mnt;
}

int trace_dir(const char *sys_root, struct errbuf *e)
{
	static const char *const places[] = {"kernel/tracing", "kernel/debug/tracing"};
	int fd;

	for (int i = 0; i < 2; i++) {
		char path[512];

		snprintf(path, sizeof path, "%s/%s/events/block", sys_root, places[i]);
		if (access(path, R_OK))
			continue;
		snprintf(path, sizeof path, "%s/%s", sys_root, places[i]);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	fd = strcmp(sys_root, "/sys") == 0 ? detached_tracefs() : -ENOENT;
	if (fd == -EPERM || fd == -EACCES)
		return errf(e, fd, "tracepoints need root (tracefs can't be read)");
	if (fd < 0)
		return errf(e, fd,
			    "the kernel has no tracefs (CONFIG_FTRACE, CONFIG_EVENT_TRACING)");
	return fd;
}

int trace_point_get(int dir, const char *system, const char *name, struct trace_point *p,
		    struct errbuf *e)
{
	char path[256];
	const char *id;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "events/%s/%s/format", system, name);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errf(e, -errno, "the kernel has no tracepoint %s:%s that may be read: %s",
			    system, name, strerror(errno));
	n = read(fd, p->format, sizeof p->format - 1);
	close(fd);
	p->format[n > 0 ? n : 0] = '\0';
	id = strstr(p->format, "\nID: ");
	if (!id || sscanf(id, "\nID: %d", &p->id) != 1)
		return errf(e, -EPROTO, "tracefs describes %s:%s in an unknown way", system, name);
	return 0;
}

bool trace_point_field(const struct trace_point *p, const char *name, struct trace_field *f)
{
	size_t len = strlen(name);

	for (const char *line = strstr(p->format, "\tfield:"); line;
	     line = strstr(line + 1, "\tfield:")) {
		const char *semi = strchr(line, ';'), *end = semi, *at;

		if (!semi)
			return false;
		if (end[-1] == ']')
			while (end > line && *end != '[')
				end--;
		if ((size_t)(end - line) > len && strncmp(end - len, name, len) == 0 &&
		    end[-(ptrdiff_t)len - 1] == ' ') {
			at = strstr(semi, "offset:");
			return at && sscanf(at, "offset:%d;\tsize:%d;", &f->offset, &f->size) == 2;
		}
	}
	return false;
}

/* --- events --- */

static int perf_open(struct perf_event_attr *attr, int cpu)
{
	int fd = (int)syscall(SYS_perf_event_open, attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_error(int err, struct errbuf *e)
{
	if (err == -EACCES || err == -EPERM)
		return errf(e, err,
			    "tracing every process needs CAP_PERFMON (run as root) or "
			    "`sysctl kernel.perf_event_paranoid=-1`");
	if (err == -EMFILE)
		return errf(e, err, "too many open files: raise `ulimit -n`");
	return errf(e, err, "perf_event_open refuses a tracepoint: %s", strerror(-err));
}

static int add_event(struct trace *t, struct ring *r, const struct trace_event *ev)
{
	struct perf_event_attr attr = {
		.size = sizeof attr,
		.type = PERF_TYPE_TRACEPOINT,
		.config = (uint64_t)ev->id,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_RAW,
		.disabled = 1,
		.watermark = 1, /* nobody is to be woken */
		.wakeup_watermark = RING_PAGES * 4096u,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};
	int fd = perf_open(&attr, r->cpu);

	if (fd < 0)
		return fd;
	r->fd[r->n++] = fd;
	if (ev->filter && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, ev->filter))
		return -errno;
	if (r->n > 1)
		return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, r->fd[0]) ? -errno : 0;
	r->page = mmap(NULL, (1 + RING_PAGES) * t->page_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, 0);
	if (r->page == MAP_FAILED) {
		r->page = NULL;
		return -errno;
	}
	return 0;
}

int trace_open(struct trace **out, const struct trace_event *events, int n, struct errbuf *e)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	struct trace *t;

	if (n > EVENTS_MAX || cpus < 1 || cpus > CPUS_MAX)
		return errf(e, -E2BIG, "too many CPUs or events for tracing");
	t = calloc(1, sizeof *t + (size_t)cpus * sizeof t->ring[0]);
	if (!t)
		return errf(e, -ENOMEM, "out of memory");
	t->page_size = (size_t)sysconf(_SC_PAGESIZE);
	t->events = n;
	for (int cpu = 0; cpu < cpus; cpu++) {
		struct ring *r = &t->ring[t->rings++];
		int err = 0;

		r->cpu = cpu;
		for (int i = 0; i < n && !err; i++) {
			t->group[i] = events[i].group;
			err = add_event(t, r, &events[i]);
		}
		if (err == -ENODEV && r->n == 0) { /* this CPU is offline */
			t->rings--;
		} else if (err) {
			trace_close(t);
			return open_error(err, e);
		}
	}
	*out = t;
	return 0;
}

void trace_enable(struct trace *t, int group)
{
	for (int i = 0; i < t->rings; i++)
		for (int k = 0; k < t->ring[i].n; k++)
			ioctl(t->ring[i].fd[k],
			      t->group[k] == group ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE,
			      0);
}

/* Copy out of the ring, which may end in between. */
static void ring_copy(const uint8_t *data, uint64_t size, uint64_t at, void *to, uint64_t n)
{
	uint64_t off = at & (size - 1), first = size - off < n ? size - off : n;

	memcpy(to, data + off, first);
	memcpy((uint8_t *)to + first, data, n - first);
}

uint64_t trace_ring_read(const uint8_t *data, uint64_t size, uint64_t head, uint64_t tail,
			 void (*each)(void *arg, uint64_t t_ns, const uint8_t *raw, uint32_t len),
			 void *arg, uint64_t *lost)
{
	while (head - tail >= sizeof(struct perf_event_header)) {
		struct perf_event_header h;
		uint8_t rec[RECORD_MAX];
		uint64_t t_ns, n;
		uint32_t len;

		ring_copy(data, size, tail, &h, sizeof h);
		if (h.size < sizeof h || h.size > head - tail)
			return head; /* never seen: drop what is there rather than read nonsense */
		n = h.size < sizeof rec ? h.size : sizeof rec;
		ring_copy(data, size, tail, rec, n);
		tail += h.size;
		if (h.type == PERF_RECORD_LOST && n >= 24) {
			memcpy(&t_ns, rec + 16, 8); /* here: the count */
			*lost += t_ns;
		}
		if (h.type != PERF_RECORD_SAMPLE || n < 20)
			continue;
		memcpy(&t_ns, rec + 8, 8);
		memcpy(&len, rec + 16, 4);
		if (len <= n - 20)
			each(arg, t_ns, rec + 20, len);
	}
	return tail;
}

void trace_drain(struct trace *t,
		 void (*each)(void *arg, uint64_t t_ns, const uint8_t *raw, uint32_t len),
		 void *arg)
{
	for (int i = 0; i < t->rings; i++) {
		struct perf_event_mmap_page *page = t->ring[i].page;
		uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), tail;

		tail = trace_ring_read((const uint8_t *)page + t->page_size,
				       RING_PAGES * t->page_size, head, page->data_tail, each, arg,
				       &t->lost);
		__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
	}
}

uint64_t trace_lost(const struct trace *t)
{
	return t->lost;
}

void trace_close(struct trace *t)
{
	for (int i = t->rings - 1; i >= 0; i--) {
		struct ring *r = &t->ring[i];

		if (r->page)
			munmap(r->page, (1 + RING_PAGES) * t->page_size);
		while (r->n)
			close(r->fd[--r->n]);
	}
	free(t);
}
