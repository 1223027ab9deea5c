/* launch: what every stack does to its server process: start it in its place, ask whether it
 * answers, end it with all it started. Main thread of the driver.
 */
#ifndef STACKS_LAUNCH_H
#define STACKS_LAUNCH_H

#include "harness/stack.h"

/* Start argv in the server's namespace, CPUs and cgroup, in a session (so a process group) of its
 * own, output to work_dir/stack.log; fills p->pid. 0, or -errno with a sentence. */
int launch_start(const struct stack_env *env, struct stack_proc *p, const char *const argv[],
		 struct errbuf *e);
/* "http://IP:80" or "https://IP:443" into p->url. */
void launch_url(const struct stack_env *env, struct stack_proc *p, const char *ip);

/* The ready hook: a child connects from the client's namespace to p->url, does a TLS handshake if
 * it says https, and asks for one byte of an object. 0, -EAGAIN (with what happened), -ECHILD (the
 * server is gone; the sentence quotes its log), -EPROTO (it answers, but not with the object).
 * Takes at most 2 s. */
int launch_ready(const struct stack_env *env, struct stack_proc *p, struct errbuf *e);

/* The same for our own servers, which print a line `ready`: asking before it would cost a lost SYN
 * and the second until its retransmission. */
int launch_ready_line(const struct stack_env *env, struct stack_proc *p, struct errbuf *e);

/* The stop hook: SIGTERM to the whole group, 5 s, SIGKILL; waits for all of it. */
void launch_stop(const struct stack_env *env, struct stack_proc *p);

/* Read one JSON object from the UNIX socket p->stats_path; NULL if nobody answers within a second.
 */
json_t *launch_stats(const struct stack_env *env, struct stack_proc *p);

#endif
