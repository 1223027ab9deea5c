/* undo: what a run has put on the system, written down before it is there.
 *
 * /run/dcn-runs/run-PID.undo holds one line a thing: "pid P STARTTIME", "cgroup DIR", "dir DIR",
 * "file PATH TEXT". A run that ends well empties and removes it; `dcn restore` plays those whose
 * owner is gone. (The testbed keeps journals of its own, see harness/testbed.h.) One process at a
 * time measures: the directory itself is locked from undo_open() to undo_close(). Main thread.
 */
#ifndef HARNESS_UNDO_H
#define HARNESS_UNDO_H

#include <sys/types.h>

#include "base/errbuf.h"

#define UNDO_DIR "/run/dcn-runs"

/* Starts this process's journal; without it the rest is silent. An ordinary user gets none: what is
 * made in a user namespace ends with the process. -EBUSY: another process measures; e names it. */
int undo_open(struct errbuf *e);
void undo_pid(pid_t pid); /* a process was started */
void undo_cgroup(const char *dir);
void undo_dir(const char *dir); /* a scratch directory (below /tmp/dcn- only) */
/* A setting of the system may be changed: its text now. The first call counts; only those settings
 * that collectors are known to change are taken (see undo.c). */
void undo_file(const char *path, const char *text);
void undo_close(void); /* all is undone */
/* Undo what dead runs left. Returns how many things, or -errno. */
int undo_restore(struct errbuf *e);
/* Remove a scratch directory and what is in it; refuses what is not ours. */
int undo_remove_dir(const char *dir);

#endif
