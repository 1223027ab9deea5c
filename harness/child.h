/* child: a program the driver starts, and its end.
 *
 * Every child is in a session of its own, so that a Ctrl-C at the terminal reaches the driver alone
 * and the driver decides; it dies with the driver (PR_SET_PDEATHSIG) and is journalled, so that
 * `dcn restore` finds what kill -9 left. Main thread of the driver.
 */
#ifndef HARNESS_CHILD_H
#define HARNESS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"
#include "harness/testbed.h"

struct child_spec {
	const char *const *argv;  /* argv[0] is a path, or looked up in PATH */
	const struct testbed *tb; /* NULL: the host's namespace and all CPUs */
	enum testbed_side side;
	const char *out_path, *err_path; /* files, made anew; NULL = /dev/null */
	int keep_fd;			 /* inherited under the same number; -1 = none */
	const char *env;		 /* "NAME=VALUE", set for it; NULL = nothing */
	const char *cgroup_procs;	 /* its pid is written here before exec; NULL = none */
};

/* Start it; *pid is its process. 0 or -errno (-ENOENT: no such program) with a sentence. */
int child_start(pid_t *pid, const struct child_spec *spec, struct errbuf *e);
/* Has it ended? 1 and *status (as of waitpid), 0 not yet, -errno. timeout 0 = look once. */
int child_wait(pid_t pid, uint64_t timeout_ns, int *status);
/* SIGTERM, `grace_ns`, SIGKILL; waits. Returns its status, -1 if it was no child. */
int child_stop(pid_t pid, uint64_t grace_ns);
/* Run to the end and return what it wrote to stdout (malloc'ed, at most 16 MiB, NUL-terminated).
 * 0, or -errno, -ETIME, or -EPROTO when it failed: then the sentence quotes its last stderr line.
 */
int child_capture(const struct child_spec *spec, uint64_t timeout_ns, char **out, struct errbuf *e);
/* End whatever is left below this process (orphans come back to us: see child_adopt). */
void child_reap_strays(void);
/* Become the one that orphans of our children are handed to. */
void child_adopt(void);
/* "exited with 1", "killed by signal 9" into buf. */
const char *child_status_text(int status, char *buf, int len);

/* First directory of PATH that has `prog`; NULL if none. buf at least 256 bytes. */
const char *child_which(const char *prog, char *buf, int len);

#endif
