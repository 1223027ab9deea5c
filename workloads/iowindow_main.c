/* iowindow: latency and throughput of a device against the I/O window (figure 6). Options and
 * output; the work is in workloads/iowindow/. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "workloads/iowindow/iowindow.h"

static void print_text(const struct iowindow_opts *o, const struct iowindow_result *r)
{
	double iops = (double)r->reads / r->span_s;

	printf("%s%s  size %llu  window %llu  threads %llu\n", r->model,
	       r->simulated ? " (SIMULATED, not measured)" : "", (unsigned long long)o->size,
	       (unsigned long long)o->window, (unsigned long long)o->threads);
	printf("  throughput  %.2f Gb/s  %.0f reads/s\n", iops * (double)o->size * 8e-9, iops);
	printf("  latency us  mean %.1f  p50 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n", r->lat_mean,
	       r->lat_p50, r->lat_p99, r->lat_p999, r->lat_max);
	printf("  cost a read %.2f us CPU", r->cpu_s * 1e6 / (double)r->reads);
	if (!o->fio)
		printf("  %.3f system calls", (double)r->syscalls / (double)r->reads);
	printf("\n  Little's law: throughput x latency / window = %.3f  errors %llu\n",
	       iowindow_little(o, r), (unsigned long long)r->errors);
}

static int print_json(const struct iowindow_opts *o, const struct iowindow_result *r)
{
	json_t *j = iowindow_json(o, r);
	int err = !j || json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) ||
		  putchar('\n') == EOF;

	json_decref(j);
	return err;
}

int main(int argc, char **argv)
{
	static struct iowindow_result r;
	struct iowindow_opts o;
	struct errbuf e = {""};
	int err = iowindow_parse(argc, argv, &o, &e);

	log_init("iowindow", LOG_INFO);
	if (err > 0)
		return 0;
	if (err) {
		log_err("%s", e.s);
		return 2;
	}
	if (o.create)
		err = iowindow_create(&o, &e);
	if (!err)
		err = o.fio ? iowindow_fio(&o, &r, &e) : iowindow_run(&o, &r, &e);
	if (!err && r.reads == 0)
		err = errf(&e, -EIO, "%s completed no read in the measured time", o.device);
	if (err) {
		log_err("%s", e.s);
		return 1;
	}
	if (*r.note)
		log_warn("%s", r.note);
	if (o.json)
		err = print_json(&o, &r);
	else
		print_text(&o, &r);
	if (err || fflush(stdout)) {
		log_err("cannot write the result to stdout");
		return 1;
	}
	return 0;
}
