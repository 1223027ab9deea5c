/* run: the closed loop over our own library.
 *
 * The one idea: one call a turn. nvme_wait submits what the callbacks of the last turn queued and
 * blocks for the next completions. Each thread has its queue pair, its buffers and its random
 * numbers; nothing is shared but the result, added up after the threads have ended.
 *
 * Limits: latency counts from the submission to the turn that reaped it. Issue to NVMe and file
 * systems is by namespace 1 only.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "stacks/atlas/nvme/nvme.h"
#include "workloads/content.h"
#include "workloads/iowindow/iowindow.h"

#define WAIT_NS (2 * NSEC_PER_SEC) /* longer than any read should take */

struct worker {
	const struct iowindow_opts *o;
	struct nvme *n;
	struct iodesc *io;
	unsigned int window;
	uint64_t positions; /* possible offsets */
	uint32_t step;	    /* between them */
	struct rng rng;
	pthread_t thread;
	int err;
	bool measuring, stopping;
	uint64_t reads, errors, syscalls;
	double span_s, cpu_s;
};

static double thread_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void issue(struct worker *w, struct iodesc *d)
{
	int err;

	d->off = rng_below(&w->rng, w->positions) * w->step;
	err = nvme_read(w->n, d);
	if (err)
		w->err = err;
}

static void on_read(struct iodesc *d, int res)
{
	struct worker *w = d->cookie;

	if (w->measuring) {
		w->reads++;
		w->errors += res != (int)d->len;
	}
	if (!w->stopping)
		issue(w, d);
}

static int turn(struct worker *w)
{
	int err = w->o->poll && w->o->batch == 1
			  ? nvme_sqsync(w->n)
			  : nvme_wait(w->n, (unsigned int)w->o->batch, WAIT_NS);

	if (err >= 0)
		err = nvme_consume_completions(w->n, (int)w->window);
	if (err == -EINTR || err == -EBUSY || err == -EAGAIN)
		err = 0;
	if (err < 0)
		w->err = err;
	return w->err;
}

static int until(struct worker *w, uint64_t end)
{
	while (nvme_clock(w->n) < end)
		if (turn(w))
			return w->err;
	return 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct nvme_stats a, b;
	uint64_t t0;
	double cpu0;

	for (unsigned int i = 0; i < w->window; i++)
		issue(w, &w->io[i]);
	if (w->err || until(w, nvme_clock(w->n) + w->o->warmup_ns))
		return NULL;
	nvme_latency_reset(w->n);
	nvme_get_stats(w->n, &a);
	w->measuring = true;
	t0 = nvme_clock(w->n);
	cpu0 = thread_cpu_s();
	until(w, t0 + w->o->duration_ns);
	w->measuring = false;
	w->cpu_s = thread_cpu_s() - cpu0;
	w->span_s = (double)(nvme_clock(w->n) - t0) / 1e9;
	nvme_get_stats(w->n, &b);
	w->syscalls = b.syscalls - a.syscalls;
	w->stopping = true;
	return NULL;
}

static int open_worker(struct worker *w, unsigned int window, struct errbuf *e)
{
	const struct iowindow_opts *o = w->o;
	uint64_t slot = (o->size + 4095) & ~4095ull;
	struct nvme_cfg cfg = {
		.device = o->device,
		.region_bytes = window * slot,
		.depth = window,
		.max_ns = 1,
		.flags = NVME_STAMP | NVME_NOFD | (o->poll ? NVME_POLL : 0),
	};
	struct nvme_ns_info ns;
	char *region;
	int err;

	w->window = window;
	w->io = calloc(window, sizeof *w->io);
	if (!w->io)
		return errf(e, -ENOMEM, "no memory");
	err = nvme_open(&w->n, &cfg, e);
	if (err)
		return err;
	err = nvme_ns(w->n, 1, &ns);
	if (err)
		return errf(e, err, "%s has no namespace 1", o->device);
	if (o->size % ns.block)
		return errf(e, -EINVAL,
			    "--size %llu is no multiple of the device's block, %u bytes",
			    (unsigned long long)o->size, ns.block);
	if (ns.bytes < o->size)
		return errf(e, -EINVAL, "%s holds %llu bytes, less than one read (see --create)",
			    o->device, (unsigned long long)ns.bytes);
	/* Aligned to their own size, as fio does it, so that no read touches more blocks than
	 * needed. */
	w->step = (uint32_t)o->size;
	w->positions = ns.bytes / o->size;
	region = nvme_region(w->n, NULL);
	for (unsigned int i = 0; i < window; i++)
		w->io[i] = (struct iodesc){.nsid = 1,
					   .len = (uint32_t)o->size,
					   .buf = region + i * slot,
					   .cb = on_read,
					   .cookie = w};
	return 0;
}

static void add_up(struct iowindow_result *r, const struct worker *w)
{
	r->reads += w->reads;
	r->errors += w->errors;
	r->syscalls += w->syscalls;
	r->cpu_s += w->cpu_s;
	if (w->span_s > r->span_s)
		r->span_s = w->span_s;
	hist_merge(&r->lat, nvme_latency(w->n));
}

static void summarise(struct iowindow_result *r, const struct nvme *n)
{
	snprintf(r->model, sizeof r->model, "%s", nvme_model(n));
	snprintf(r->note, sizeof r->note, "%s", nvme_note(n));
	r->simulated = nvme_simulated(n);
	r->lat_mean = hist_mean(&r->lat) / 1e3;
	r->lat_p50 = hist_quantile(&r->lat, 0.5) / 1e3;
	r->lat_p99 = hist_quantile(&r->lat, 0.99) / 1e3;
	r->lat_p999 = hist_quantile(&r->lat, 0.999) / 1e3;
	r->lat_max = (double)r->lat.max / 1e3;
}

int iowindow_run(const struct iowindow_opts *o, struct iowindow_result *r, struct errbuf *e)
{
	static struct worker w[IOWINDOW_THREADS_MAX];
	unsigned int nw = (unsigned int)o->threads, started = 0;
	int err = 0;

	memset(w, 0, sizeof w);
	memset(r, 0, sizeof *r);
	hist_init(&r->lat);
	for (unsigned int i = 0; i < nw && !err; i++) {
		w[i].o = o;
		rng_seed(&w[i].rng, rng_mix(o->seed + i));
		err = open_worker(&w[i], (unsigned int)(o->window / nw + (i < o->window % nw)), e);
	}
	while (!err && started < nw) {
		err = -pthread_create(&w[started].thread, NULL, work, &w[started]);
		if (err)
			errf(e, err, "cannot start a thread: %s", strerror(-err));
		else
			started++;
	}
	for (unsigned int i = 0; i < started; i++) {
		pthread_join(w[i].thread, NULL);
		if (w[i].err && !err)
			err = errf(e, w[i].err, "reading %s failed: %s", o->device,
				   strerror(-w[i].err));
		add_up(r, &w[i]);
	}
	if (!err)
		summarise(r, w[0].n);
	for (unsigned int i = 0; i < nw; i++) {
		nvme_close(w[i].n);
		free(w[i].io);
	}
	return err;
}

int iowindow_create(const struct iowindow_opts *o, struct errbuf *e)
{
	static char buf[1 << 20];
	const char *path = o->device + strlen("uring:");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644), err = 0;
	off_t have = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (fd < 0)
		return errf(e, -errno, "cannot make %s: %s", path, strerror(errno));
	/* A file cut short by a full disk is completed, not trusted. */
	for (uint64_t at = (uint64_t)have / sizeof buf * sizeof buf; at < o->create && !err;
	     at += sizeof buf) {
		size_t len = o->create - at < sizeof buf ? o->create - at : sizeof buf;

		content_fill(o->seed, 0, at, buf, len);
		if (pwrite(fd, buf, len, (off_t)at) != (ssize_t)len)
			err = errf(e, -errno ?: -EIO, "cannot write %s: %s", path, strerror(errno));
	}
	if (!err && fsync(fd))
		err = errf(e, -errno, "cannot write %s: %s", path, strerror(errno));
	close(fd);
	return err;
}
