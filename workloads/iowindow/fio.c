/* fio: the same point by fio, the baseline of figure 6.
 *
 * fio's io_uring engine with what ours uses: direct I/O, registered buffers and file, one job a
 * thread, random offsets that are multiples of the read's size, submission in batches, and buffers
 * in huge pages, which are what a virtual disk is fast with (16 KiB reads, window 64: 7.7 Gb/s from
 * fio's own 4 KiB pages, 9.2 to 12.3 from huge ones). For those glibc is asked (GLIBC_TUNABLES):
 * fio's own ways need pages that the administrator has reserved. Its JSON is turned into our
 * result.
 *
 * Limits: fio doesn't count its system calls; its CPU is usr + sys of its jobs in the measured
 * span. Source: fio 3.33, HOWTO.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workloads/iowindow/iowindow.h"

#define ARGS_MAX   40
#define ROOM_LEAST (4ull << 20) /* all buffers together, so that huge pages fit in */

struct args {
	char text[ARGS_MAX][300];
	char *v[ARGS_MAX + 1];
	int n;
};

static void __attribute__((format(printf, 2, 3))) add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->text[a->n], sizeof a->text[0], fmt, ap);
	va_end(ap);
	a->v[a->n] = a->text[a->n];
	a->v[++a->n] = NULL;
}

static void command(struct args *a, const struct iowindow_opts *o)
{
	uint64_t depth = o->window / o->threads, stride = o->size;

	while (stride * depth < ROOM_LEAST)
		stride += 4096;
	add(a, "fio");
	add(a, "--name=window");
	add(a, "--filename=%s", o->device + strlen("uring:"));
	add(a, "--ioengine=io_uring");
	add(a, "--direct=1");
	add(a, "--fixedbufs=1");
	add(a, "--registerfiles=1");
	add(a, "--rw=randread");
	add(a, "--norandommap=1");
	add(a, "--random_generator=tausworthe64");
	add(a, "--randseed=%llu", (unsigned long long)o->seed);
	/* reads, and writes that never happen: the larger of both is the distance of the buffers */
	add(a, "--bs=%llu,%llu", (unsigned long long)o->size, (unsigned long long)stride);
	add(a, "--mem=malloc");
	add(a, "--iodepth=%llu", (unsigned long long)(o->window / o->threads));
	add(a, "--iodepth_batch_submit=%llu", (unsigned long long)(o->window / o->threads));
	add(a, "--iodepth_batch_complete_min=%llu", (unsigned long long)o->batch);
	add(a, "--iodepth_batch_complete_max=%llu", (unsigned long long)(o->window / o->threads));
	add(a, "--thread");
	add(a, "--numjobs=%llu", (unsigned long long)o->threads);
	add(a, "--group_reporting");
	add(a, "--time_based");
	add(a, "--runtime=%llums", (unsigned long long)(o->duration_ns / 1000000));
	add(a, "--ramp_time=%llums", (unsigned long long)(o->warmup_ns / 1000000));
	add(a, "--percentile_list=50:99:99.9");
	add(a, "--clat_percentiles=0");
	add(a, "--lat_percentiles=1");
	add(a, "--output-format=json");
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec * 1e-6;
}

/* Run it and parse its stdout; *cpu_s: of the whole process, the kernel's workers for it included.
 */
static json_t *run_fio(struct args *a, double *cpu_s, struct errbuf *e)
{
	json_error_t je;
	json_t *j;
	FILE *f;
	pid_t pid;
	struct rusage ru = {0};
	int p[2], status;

	if (pipe(p))
		return errf(e, -errno, "no pipe: %s", strerror(errno)), NULL;
	pid = fork();
	if (pid == 0) {
		dup2(p[1], STDOUT_FILENO);
		close(p[0]);
		close(p[1]);
		setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
		execvp("fio", a->v);
		_exit(127);
	}
	close(p[1]);
	f = fdopen(p[0], "r");
	j = pid > 0 && f ? json_loadf(f, JSON_DISABLE_EOF_CHECK, &je) : NULL;
	if (f)
		fclose(f);
	if (pid < 0 || wait4(pid, &status, 0, &ru) != pid) {
		errf(e, -ECHILD, "cannot run fio: %s", strerror(errno));
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		errf(e, -ENOENT, "fio is not installed: apt-get install fio");
	} else if (!WIFEXITED(status) || WEXITSTATUS(status) || !j) {
		errf(e, -EIO, "fio failed; its message is above");
	} else {
		*cpu_s = seconds(&ru.ru_utime) + seconds(&ru.ru_stime);
		return j;
	}
	json_decref(j);
	return NULL;
}

static double number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* Where the kernel hands reads to worker threads, fio's own figure misses their time: then take the
 * whole process's (`all`), less what a fio that hardly reads needs, less the warm-up's share. */
static void workers_cpu(const struct iowindow_opts *o, double all, struct iowindow_result *r)
{
	struct iowindow_opts idle = *o;
	double share = r->span_s / (r->span_s + (double)o->warmup_ns / 1e9), start = 0;
	struct args a = {.n = 0};
	struct errbuf e;

	if (all * share < 1.1 * r->cpu_s)
		return;
	idle.duration_ns = 1000000;
	idle.warmup_ns = 0;
	command(&a, &idle);
	json_decref(run_fio(&a, &start, &e));
	if ((all - start) * share > r->cpu_s)
		r->cpu_s = (all - start) * share;
}

int iowindow_fio(const struct iowindow_opts *o, struct iowindow_result *r, struct errbuf *e)
{
	struct args a = {.n = 0};
	json_t *top, *job, *rd, *lat, *pct;
	double all = 0;

	memset(r, 0, sizeof *r);
	command(&a, o);
	top = run_fio(&a, &all, e);
	if (!top)
		return -EIO;
	job = json_array_get(json_object_get(top, "jobs"), 0);
	rd = json_object_get(job, "read");
	lat = json_object_get(rd, "lat_ns");
	pct = json_object_get(lat, "percentile");
	snprintf(r->model, sizeof r->model, "fio");
	r->reads = (uint64_t)number(rd, "total_ios");
	r->errors = (uint64_t)number(job, "error");
	r->span_s = number(rd, "runtime") / 1e3;
	/* per cent of the jobs' run time; several jobs are averaged */
	r->cpu_s = (number(job, "usr_cpu") + number(job, "sys_cpu")) / 100 * r->span_s *
		   (double)o->threads;
	workers_cpu(o, all, r);
	r->lat_mean = number(lat, "mean") / 1e3;
	r->lat_p50 = number(pct, "50.000000") / 1e3;
	r->lat_p99 = number(pct, "99.000000") / 1e3;
	r->lat_p999 = number(pct, "99.900000") / 1e3;
	r->lat_max = number(lat, "max") / 1e3;
	json_decref(top);
	return r->reads ? 0 : errf(e, -EIO, "fio read nothing from %s", o->device);
}
