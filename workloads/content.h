/* content: deterministic objects. Seed, object id and offset give the byte, so that every reader
 * can check every byte without a copy of the file.
 *
 * Word w (8 bytes, little endian) of object `id` is rng_mix(key + w * golden) with
 * key = rng_mix(seed ^ rng_mix(id + 1)).
 *
 * On disk: DIR/hot/NNNNNN and DIR/cold/NNNNNN (six digits, from 0). Object id: hot i is i, cold i
 * is CONTENT_COLD + i. DIR/catalog.json says what there is and is written last.
 */
#ifndef WORKLOADS_CONTENT_H
#define WORKLOADS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"

#define CONTENT_COLD (1ull << 32)

struct content {
	uint64_t seed;
	uint64_t object_size; /* bytes, the same for all */
	uint32_t hot, cold;   /* counts */
};

/* Bytes [off, off + len) of object `id` into buf. About the speed of memory. */
void content_fill(uint64_t seed, uint64_t id, uint64_t off, void *buf, size_t len);
/* 0 if buf holds exactly these bytes, else 1 + index of the first wrong one. */
size_t content_check(uint64_t seed, uint64_t id, uint64_t off, const void *buf, size_t len);

/* Make, complete or reuse DIR for `c`. Refuses before writing when space is short (-ENOSPC), keeps
 * objects that are already right (size and sampled bytes), removes none. progress (may be NULL)
 * counts bytes; when it returns false the work stops with -EINTR, and a later call goes on. */
int content_make(const char *dir, const struct content *c,
		 bool (*progress)(void *arg, uint64_t done, uint64_t total), void *arg,
		 struct errbuf *e);
int content_load(const char *dir, struct content *out, struct errbuf *e); /* reads catalog.json */
/* "/hot/000123" or "/cold/000123" for an id, into buf (32 bytes). */
const char *content_path(uint64_t id, char buf[32]);
/* Drop the objects from the page cache (sync first, fadvise; checked by mincore/cachestat); on
 * tmpfs, whose pages are the content, there is nothing to drop. Returns the pages still resident,
 * or -errno. */
int64_t content_evict(const char *dir, const struct content *c, struct errbuf *e);

#endif
