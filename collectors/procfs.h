/* procfs: read kernel text files again and again, without blocking and without allocation.
 *
 * A file is opened once and read by pread from 0: the kernel writes its text afresh each time.
 * "proc" and "sys" roots come from struct collector_env, so that tests can put recorded trees
 * there. Plain values, any thread that owns them.
 */
#ifndef COLLECTORS_PROCFS_H
#define COLLECTORS_PROCFS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "harness/collector.h"

#define PROCFS_TEXT 65536 /* longest text read; what follows is not seen */

struct procfs_text {
	int n;
	char s[PROCFS_TEXT]; /* terminated */
};

/* Open root/path for reading. The descriptor, or -errno with a sentence. */
int procfs_open(const char *root, const char *path, struct errbuf *e);
/* Read all of it. The length, or -errno. */
int procfs_read(int fd, struct procfs_text *t);
/* Open, read one small file and close. The length (a final newline is cut), or -errno. */
int procfs_slurp(const char *root, const char *path, char *buf, int cap);
/* A number from a file. 0 or -errno. */
int procfs_u64(const char *root, const char *path, uint64_t *out);

/* The rest of the line that begins (after blanks) with `key` and a blank or ':'; NULL if none. */
const char *procfs_line(const struct procfs_text *t, const char *key);
/* Up to `max` numbers from the front of `p`, ending at the line's end or the first word that is not
 * one. How many. */
int procfs_numbers(const char *p, uint64_t *out, int max);

/* now - before of a counter that may have wrapped at 2^32. False if it went backwards otherwise
 * (the device or CPU went away and came back). */
bool procfs_delta(uint64_t before, uint64_t now, uint64_t *delta);

/* A list of CPUs as in cpuset(7), "0-3,8". False if malformed. */
bool procfs_cpus(const char *list, cpu_set_t *out);

/* When a reading just taken was taken: now by the clock for the live kernel, t_ns for a recorded
 * tree (any other proc_root). */
uint64_t collector_now(const struct collector_env *env, uint64_t t_ns);

/* The value of `key` in "key=value;key=value". False if absent. */
bool collector_option(const char *options, const char *key, char *buf, int cap);

#endif
