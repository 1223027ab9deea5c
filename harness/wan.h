/* wan: the box between server and client (workloads/ has the program), as the driver sees it. */
#ifndef HARNESS_WAN_H
#define HARNESS_WAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"
#include "harness/sweep.h"
#include "harness/testbed.h"

struct wan {
	pid_t pid;
	char counts[300]; /* file that it writes when it ends */
};

/* Does the cell shape the path at all? */
bool wan_wanted(const struct experiment *x, const struct cell *c);
int wan_start(struct wan *w, const struct experiment *x, const struct cell *c,
	      const struct testbed *tb, const char *bin_dir, const char *work_dir, uint64_t seed,
	      struct errbuf *e);
/* End it. Its counters per direction (new reference; workloads/wan/README.md says what they are),
 * NULL if there was none or it left no word. */
json_t *wan_stop(struct wan *w);
/* Was the box itself the limit? A sentence is appended to `buf`, one a line, if it was. */
void wan_warn(const json_t *counts, char *buf, size_t size);

#endif
