/* cell_io: one run of a cell whose load is iowindow: a disk and a window, no network, no server. */
#ifndef HARNESS_CELL_IO_H
#define HARNESS_CELL_IO_H

#include "harness/bench.h"

/* Does the experiment's load work on a device alone? */
bool cell_io_wanted(const struct experiment *x);
/* As cell_run(). */
int cell_io_run(struct bench *b, const struct cell *c, uint64_t seed, struct outcome *out,
		struct errbuf *e);
/* A testbed for a program that needs the server's CPUs but no network. */
int bench_server_side(struct bench *b, const struct cell *c, const char *content_dir,
		      struct testbed *tb, struct errbuf *e);

#endif
