/* Seeded randomness. Everything random in the project comes from a seed that is recorded.
 *
 * SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): passes BigCrush, one word of state, and its output
 * function serves as a hash.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s;
};

/* The SplitMix64 output function: a bijection of 64 bits that mixes well. */
static inline uint64_t rng_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline void rng_seed(struct rng *r, uint64_t seed)
{
	r->s = seed;
}

static inline uint64_t rng_u64(struct rng *r)
{
	return rng_mix(r->s += 0x9e3779b97f4a7c15ull);
}

/* Uniform in [0, n), n > 0, without modulo bias worth mentioning (n << 2^64). */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)rng_u64(r) * n) >> 64);
}

/* Uniform in [0, 1). */
static inline double rng_unit(struct rng *r)
{
	return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

#endif
