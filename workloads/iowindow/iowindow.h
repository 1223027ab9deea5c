/* iowindow: a fixed window of outstanding random reads on one device; the load of figure 6.
 *
 * Closed loop: each completion starts the next read, so exactly `window` reads are outstanding,
 * spread evenly over the threads (a queue pair each). One measured span after a warm-up; what comes
 * out is checked by Little's law.
 */
#ifndef WORKLOADS_IOWINDOW_H
#define WORKLOADS_IOWINDOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "base/hist.h"

#define IOWINDOW_THREADS_MAX 64
#define IOWINDOW_MAX	     4096
/* A point that breaks Little's law by more is no measurement of a closed loop. */
#define LITTLE_TOLERANCE 0.05

struct iowindow_opts {
	const char *device; /* "uring:/path", "sim:p3700" ... */
	uint64_t size;	    /* bytes of a read */
	uint64_t window, threads, batch, seed;
	uint64_t duration_ns, warmup_ns;
	uint64_t create; /* make the file of uring:/path with so many bytes if it is not there */
	bool fio, json, poll;
};

struct iowindow_result {
	char model[96];
	char note[512]; /* what was asked for and could not be had; "" */
	bool simulated;
	uint64_t reads, errors, syscalls;
	double span_s, cpu_s; /* cpu_s < 0: not known */
	struct hist lat;      /* ns; of fio only the fields below are known */
	double lat_mean, lat_p50, lat_p99, lat_p999, lat_max; /* us */
};

/* 0; 1: help was printed; -EINVAL with a sentence. */
int iowindow_parse(int argc, char **argv, struct iowindow_opts *o, struct errbuf *e);
/* Make o->create bytes of seeded data in the file, unless it has them. */
int iowindow_create(const struct iowindow_opts *o, struct errbuf *e);
/* Our own library; blocks for warm-up and duration. */
int iowindow_run(const struct iowindow_opts *o, struct iowindow_result *r, struct errbuf *e);
/* The same point by fio (io_uring, same flags): the baseline. */
int iowindow_fio(const struct iowindow_opts *o, struct iowindow_result *r, struct errbuf *e);
/* Throughput x latency / window: 1 by Little's law. */
double iowindow_little(const struct iowindow_opts *o, const struct iowindow_result *r);
json_t *iowindow_json(const struct iowindow_opts *o, const struct iowindow_result *r);

#endif
