/* resolve: "auto" becomes what it means on this machine, and what only the machine can tell is
 * checked. */
#ifndef HARNESS_RESOLVE_H
#define HARNESS_RESOLVE_H

#include "harness/experiment.h"
#include "harness/machine.h"

/* content.hot = auto: max(1 GiB, 16 x LLC), with --quick max(256 MiB, 8 x LLC); cache_budget =
 * auto: hot + 256 MiB. -EINVAL with file, line and fix when the cold set is smaller than 4 x the
 * budget. */
int resolve(struct experiment *x, const struct machine *m, struct errbuf *e);

#endif
