/* store: paths to files, descriptors cached, opened without blocking the loop.
 *
 * `files`: a directory of ordinary files, each opened O_DIRECT beneath the root (openat2
 * RESOLVE_BENEATH: neither ".." nor a symlink leads out) and attached to the device as a namespace.
 * At most `max_files` are open; the least recently used one that nobody reads makes room. An entry
 * older than STORE_FRESH_NS is served once more while its path is opened anew beside it, so that a
 * replaced or removed file is noticed without anyone waiting for it.
 *
 * One store a worker, used by its thread only; nothing blocks after store_open().
 */
#ifndef ATLAS_STORE_H
#define ATLAS_STORE_H

#include <stdint.h>

#include "base/errbuf.h"
#include "stacks/atlas/http/http.h"

#define STORE_FRESH_NS (30ull * 1000000000)

struct store;
struct file;
struct conn;
struct worker;

/* Opens the root and the files found beneath it, up to the limit (blocking: before "ready"). A
 * device that knows its files by name (extents) needs none: root is NULL. */
int store_open(struct store **out, struct worker *w, const char *root, unsigned int max_files,
	       struct errbuf *e);
void store_close(struct store *s);
/* Once a turn: opens and closes that found no room in the ring are tried again. */
void store_turn(struct store *s);

/* 0: *out is open, with a reference for the caller. -EINPROGRESS: being opened, conn_opened(c) will
 * be called. -ENOENT, -EACCES, -EISDIR ...; -ENFILE: no descriptor can be freed now. */
int store_lookup(struct store *s, const char *path, struct conn *c, struct file **out);
void store_cancel(struct store *s, struct conn *c); /* c no longer waits */
void store_get(struct file *f);
void store_put(struct store *s, struct file *f);

void store_obj(const struct file *f, struct http_obj *o); /* what http needs to know */
uint32_t store_nsid(const struct file *f);
uint32_t store_block(const struct file *f); /* read granularity, bytes */
struct worker *store_worker(const struct file *f);
unsigned int store_count(const struct store *s); /* entries, for statistics */

#endif
