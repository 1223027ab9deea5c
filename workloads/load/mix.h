/* mix: which object is asked for next.
 *
 * With probability cache_ratio a random object of the hot set, else the next one of the cold set,
 * which is walked in a fresh seeded permutation each cycle, so that every cold object comes once
 * before any comes again. One struct for the whole process; plain memory, no allocation.
 */
#ifndef LOAD_MIX_H
#define LOAD_MIX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "base/rng.h"
#include "workloads/content.h"

struct mix {
	struct rng rng;
	uint64_t seed;
	uint32_t hot, cold;
	double ratio; /* 0..1 */
	uint64_t cycle, pos;
};

/* cache_ratio in per cent. -EINVAL with a sentence if a set it needs is empty. */
int mix_init(struct mix *m, const struct content *c, double cache_ratio, uint64_t seed,
	     struct errbuf *e);
/* Object id as in content.h. */
uint64_t mix_next(struct mix *m);

static inline bool mix_is_hot(uint64_t id)
{
	return id < CONTENT_COLD;
}

/* Position i of [0, n) under the permutation `key`: a bijection of [0, n). */
uint64_t mix_permute(uint64_t key, uint64_t n, uint64_t i);

#endif
