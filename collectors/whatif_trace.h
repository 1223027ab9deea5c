/* whatif_trace: replay what `atlas --trace` recorded into the simulated cache. */
#ifndef COLLECTORS_WHATIF_TRACE_H
#define COLLECTORS_WHATIF_TRACE_H

#include "collectors/whatif.h"

#define WHATIF_TRACES_MAX 64 /* files: one a worker */

struct whatif_replay {
	const char *const *path;
	int paths;
	/* When a disk's data reaches memory lies between the issue of its read and the moment its
	 * completion was seen; the trace has both. false: at the completion. */
	bool dma_at_issue;
	double warm_pct; /* per cent of the touches that only warm the cache */
};

/* Of c only the cache is used. Workers' traces are merged by time. 0, or -errno with a sentence: a
 * file that is no trace, or cut short. Reads files. */
int whatif_replay(const struct whatif_cfg *c, const struct whatif_replay *t,
		  struct whatif_result *r, struct errbuf *e);

#endif
