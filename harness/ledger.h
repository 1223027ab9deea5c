/* ledger: which runs of an experiment are done, so that it can be resumed.
 *
 * DIR/journal: one JSON object a line, appended and synced after the run's rows are on disk. A line
 * carries the sizes of runs.csv and samples.csv, so that rows of a run that was killed before its
 * line was written are cut off when resuming. Main thread.
 */
#ifndef HARNESS_LEDGER_H
#define HARNESS_LEDGER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

struct ledger_run {
	int block, cell;
};

struct ledger_ceiling {
	int block;
	char kind[16], key[96]; /* disk | client | crypto; what it depends on */
	double gbps;		/* NAN: missing */
	bool at_least;		/* something else was the limit: it lies higher */
	char why[200];
};

struct ledger {
	int fd;
	struct ledger_run *run; /* done */
	int runs, room;
	struct ledger_ceiling *ceiling;
	int ceilings, ceiling_room;
	int64_t runs_bytes, samples_bytes; /* of the files at the last line; -1 = no line yet */
};

int ledger_open(struct ledger *j, const char *dir, struct errbuf *e); /* reads what is there */
void ledger_close(struct ledger *j);
bool ledger_has(const struct ledger *j, int block, int cell);
int ledger_add_run(struct ledger *j, int block, int cell, const char *status, int64_t runs_bytes,
		   int64_t samples_bytes);
const struct ledger_ceiling *ledger_ceiling(const struct ledger *j, int block, const char *kind,
					    const char *key);
int ledger_add_ceiling(struct ledger *j, const struct ledger_ceiling *c);

#endif
