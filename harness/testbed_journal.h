/* testbed_journal: what a run is about to change on the host, written down before it is changed, so
 * that it can be undone when the run can no longer do it itself.
 *
 * One text file a testbed, JOURNAL_DIR/ID, on /run: gone after a reboot like everything it names.
 * Lines: owner PID STARTTIME     the driver, and its start time in ticks (proc(5)), against reused
 * pids netns NAME              a file in NETNS_DIR cgroup DIR              a cgroup directory file
 * PATH\tVALUE        a setting and what it was done PATH               that setting has been put
 * back already
 *
 * Main thread. The functions that change anything want the lock held.
 */
#ifndef HARNESS_TESTBED_JOURNAL_H
#define HARNESS_TESTBED_JOURNAL_H

#include <stdbool.h>

#include "base/errbuf.h"

#define JOURNAL_DIR "/run/dcn"

/* Make JOURNAL_DIR and lock it against other runs that set up, take down or restore; waits. Returns
 * a descriptor for journal_unlock(), which also removes what is empty again, or -errno. */
int journal_lock(struct errbuf *e);
void journal_unlock(int fd);

int journal_begin(const char *id, struct errbuf *e);
int journal_add(const char *id, const char *kind, const char *text, struct errbuf *e);
/* Note a setting's present value; the one before any other live run's change, if there was one. */
int journal_add_file(const char *id, const char *path, struct errbuf *e);
/* Another live run has changed it, and will put it back. */
bool journal_others_have(const char *id, const char *path);
/* Put the setting back now rather than at the end. */
void journal_file_back(const char *id, const char *path);

/* Undo everything in reverse order and remove the journal. `kill_first`: end the processes that
 * live in its namespaces and cgroups. A missing journal is nothing to do. */
void journal_undo(const char *id, bool kill_first);
/* Undo the journals whose owner is gone; how many. */
int journal_undo_dead(void);

#endif
