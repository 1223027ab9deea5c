/* wan: the box between server and client (workloads/ has the program), as the driver sees it. */
#ifndef HARNESS_WAN_H
#define HARNESS_WAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"
#include "harness/sweep.h"
#include "harness/testbed.h"

struct wan {
	pid_t pid;
};

/* Does the cell shape the path at all? */
bool wan_wanted(const struct experiment *x, const struct cell *c);
int wan_start(struct wan *w, const struct experiment *x, const struct cell *c,
	      const struct testbed *tb, const char *bin_dir, const char *work_dir, uint64_t seed,
	      struct errbuf *e);
void wan_stop(struct wan *w);

#endif
