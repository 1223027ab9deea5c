/* stack: a web server under test, as the driver sees it.
 *
 * A stack is a const table with one line in harness/registry.c; variants ("nginx:aio") are names
 * within it. Main thread of the driver; hooks may block, within the time limits given.
 */
#ifndef HARNESS_STACK_H
#define HARNESS_STACK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"
#include "harness/testbed.h"

struct stack_env {
	const struct testbed *tb;
	const char *variant;	 /* "" or what follows the colon */
	const char *content_dir; /* served as the root: /hot/NNNNNN, /cold/NNNNNN */
	const char
		*work_dir; /* private, empty, for configurations, logs, pid files; removed later */
	const char *cert, *key; /* PEM files, made for the run; used if tls */
	bool tls;
	int connections;     /* what the load will open */
	int workers;	     /* CPUs of the server side */
	const char *bin_dir; /* where our own programs are */
	const char
		*cgroup_procs; /* write the pid here before exec (page-cache budget); NULL = none */
	int (*option)(const struct stack_env *env, const char *key, char *val, int size);
	void *option_ctx; /* [stack] keys of the experiment, e.g. "io_window"; 0 = found */
};

struct stack_proc {
	pid_t pid;
	char url[128];	      /* base URL the load uses: http://198.18.0.1:80 */
	char stats_path[256]; /* private to the stack, e.g. its statistics socket */
	void *priv;
};

struct stack_ops {
	const char *name;
	const char *const *variants; /* NULL-terminated, without ""; NULL if none */
	/* Does the kernel's page cache serve this variant (so that cache ratio means something)? */
	bool (*caches)(const char *variant);
	/* Can this machine run it? 0 or -errno with the reason and the fix. */
	int (*check)(const char *variant, struct errbuf *e);
	/* Bytes that the server needs for itself beside page cache, with env's connections all
	 * busy: the cache budget's cgroup is made that much larger. NULL: a default of the driver.
	 */
	uint64_t (*memory)(const struct stack_env *env);
	/* Write configuration files into work_dir. May be NULL. */
	int (*prepare)(const struct stack_env *env, struct errbuf *e);
	/* Start it, in the server's namespace and CPUs (testbed_enter in the child), stdout and
	 * stderr to work_dir/stack.log. Fills p. */
	int (*start)(const struct stack_env *env, struct stack_proc *p, struct errbuf *e);
	/* 0 when it answers, -EAGAIN not yet, -ECHILD it died (sentence quotes the log's last
	 * line). */
	int (*ready)(const struct stack_env *env, struct stack_proc *p, struct errbuf *e);
	/* The stack's own statistics as a JSON object (new reference), NULL if it has none. */
	json_t *(*stats)(const struct stack_env *env, struct stack_proc *p);
	/* End it and everything it started: SIGTERM, 5 s, SIGKILL; waits. */
	void (*stop)(const struct stack_env *env, struct stack_proc *p);
};

extern const struct stack_ops stack_atlas, stack_nginx, stack_external, stack_null;

#endif
