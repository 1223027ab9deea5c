/* sched: see sched.h. Poisson arrivals have exponential gaps; uniform ones a constant gap, so that
 * the n-th is at exactly n / rate. */
#include "workloads/load/sched.h"

#include <math.h>

static double gap(struct sched *s)
{
	if (s->arrival == ARRIVAL_UNIFORM)
		return s->mean_gap_ns;
	return -log1p(-rng_unit(&s->rng)) * s->mean_gap_ns;
}

void sched_init(struct sched *s, double rate, enum load_arrival a, uint64_t seed, uint64_t start_ns)
{
	rng_seed(&s->rng, rng_mix(seed ^ 0x7363686564));
	s->mean_gap_ns = 1e9 / rate;
	s->arrival = a;
	s->start = start_ns;
	s->next_ns = gap(s);
}

uint64_t sched_peek(const struct sched *s)
{
	return s->start + (uint64_t)s->next_ns;
}

void sched_pop(struct sched *s)
{
	s->next_ns += gap(s);
}
