/* cgroup: the page-cache budget of a stock server (DESIGN.md section 3).
 *
 * A memory cgroup, v1 or v2, around the whole process tree. Written to the undo journal before it
 * is made. Main thread; removal may wait for the kernel, at most 2 s.
 */
#ifndef HARNESS_CGROUP_H
#define HARNESS_CGROUP_H

#include <stdint.h>

#include "base/errbuf.h"

struct cgroup {
	char dir[256];	 /* empty: none */
	char procs[288]; /* write a pid here */
	int version;	 /* 1 or 2 */
};

/* Can this machine do it? 0 or -errno with reason and fix. */
int cgroup_check(struct errbuf *e);
/* Make one named `name` limited to `bytes`. */
int cgroup_make(struct cgroup *cg, const char *name, uint64_t bytes, struct errbuf *e);
/* Kill what is left inside and remove it. Idempotent. */
void cgroup_drop(struct cgroup *cg);
int cgroup_remove(const char *dir); /* the same by path; refuses what dcn did not make */
/* Bytes it holds now; -errno. */
int64_t cgroup_usage(const struct cgroup *cg);

#endif
