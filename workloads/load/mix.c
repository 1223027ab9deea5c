/* mix: see mix.h. The permutation is a Feistel network on the smallest even number of bits that
 * holds n, walked until it lands inside [0, n) (cycle walking, Black and Rogaway, CT-RSA 2002):
 * less than 4 steps on average, no table, any n. */
#include "workloads/load/mix.h"

#include <errno.h>
#include <string.h>

#define ROUNDS 4

int mix_init(struct mix *m, const struct content *c, double cache_ratio, uint64_t seed,
	     struct errbuf *e)
{
	memset(m, 0, sizeof *m);
	if (cache_ratio > 0 && !c->hot)
		return errf(e, -EINVAL,
			    "--cache-ratio %g needs hot objects; the catalogue has none",
			    cache_ratio);
	if (cache_ratio < 100 && !c->cold)
		return errf(e, -EINVAL,
			    "--cache-ratio %g needs cold objects; the catalogue has none",
			    cache_ratio);
	m->seed = rng_mix(seed ^ 0x6d6978);
	rng_seed(&m->rng, m->seed);
	m->hot = c->hot;
	m->cold = c->cold;
	m->ratio = cache_ratio / 100;
	return 0;
}

static uint64_t feistel(uint64_t key, unsigned int half_bits, uint64_t i)
{
	uint64_t mask = (1ull << half_bits) - 1;
	uint64_t l = i >> half_bits, r = i & mask, t;

	for (uint64_t k = 0; k < ROUNDS; k++) {
		t = l ^ (rng_mix(key + k * 0x9e3779b97f4a7c15ull + r) & mask);
		l = r;
		r = t;
	}
	return l << half_bits | r;
}

uint64_t mix_permute(uint64_t key, uint64_t n, uint64_t i)
{
	unsigned int half = 1;

	while (n > 1ull << (2 * half))
		half++;
	do
		i = feistel(key, half, i);
	while (i >= n);
	return i;
}

uint64_t mix_next(struct mix *m)
{
	if (m->ratio >= 1 || (m->ratio > 0 && rng_unit(&m->rng) < m->ratio))
		return rng_below(&m->rng, m->hot);
	if (m->pos == m->cold) {
		m->pos = 0;
		m->cycle++;
	}
	return CONTENT_COLD + mix_permute(rng_mix(m->seed + m->cycle), m->cold, m->pos++);
}
