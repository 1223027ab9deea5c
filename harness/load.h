/* load: dcn-load as the driver sees it: its command line, its event pipe, its JSON.
 *
 * Main thread. load_wait() blocks for as long as the load runs, and looks at the stack meanwhile.
 */
#ifndef HARNESS_LOAD_H
#define HARNESS_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"
#include "harness/metrics.h"
#include "harness/sweep.h"
#include "harness/testbed.h"

struct load_spec {
	const struct experiment *x;
	const struct cell *cell;
	const struct testbed *tb;
	const char *bin_dir, *content_dir, *work_dir, *url, *cacert;
	uint64_t seed;
	bool residency; /* look objects up in the page cache */
	double cache_ratio;
	double rate; /* requests per second, open loop; 0: closed loop */
};

struct load_run {
	pid_t pid;
	int events;	/* read end */
	char line[128]; /* what has come of a line */
	int len;
	bool gone; /* reaped, with this status */
	int status;
	char out[300], err[300]; /* its JSON and messages */
};

enum load_event { LOAD_NOTHING, LOAD_READY, LOAD_START, LOAD_END, LOAD_EXITED };

int load_start(struct load_run *l, const struct load_spec *s, struct errbuf *e);
/* The next event within timeout_ns; *t_ns its time (start and end), *status its exit status. */
enum load_event load_wait(struct load_run *l, uint64_t timeout_ns, uint64_t *t_ns, int *status);
void load_stop(struct load_run *l); /* ends it if it runs; idempotent */
/* Its JSON (new reference); NULL and a sentence from its messages if there is none. */
json_t *load_result(const struct load_run *l, int status, struct errbuf *e);
/* From the JSON into metrics. */
void load_metrics(const json_t *j, struct metrics *m);

#endif
