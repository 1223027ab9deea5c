/* hist: see hist.h. The index of a bucket is arithmetic on the value's leading bits, so adding is a
 * few instructions and merging is addition; nothing is ever rescaled.
 *
 * Quantiles follow the nearest-rank definition: the smallest recorded value with at least q * n
 * values at or below it, reported as its bucket's midpoint and never outside [min, max].
 */
#include "base/hist.h"

#include <math.h>
#include <string.h>

#define LINEAR	128u /* values below have a bucket each */
#define PER_OCT 64u  /* buckets an octave above */
#define LIN_BIT 7u   /* log2(LINEAR): the first octave's top bit */

_Static_assert(HIST_BUCKETS == LINEAR + PER_OCT * (64 - LIN_BIT),
	       "every 64-bit value has a bucket");

static unsigned int bucket_of(uint64_t v)
{
	unsigned int top, shift;

	if (v < LINEAR)
		return (unsigned int)v;
	top = 63u - (unsigned int)__builtin_clzll(v);
	shift = top - (LIN_BIT - 1);
	return LINEAR + (top - LIN_BIT) * PER_OCT + (unsigned int)(v >> shift) - PER_OCT;
}

void hist_bucket(unsigned int i, uint64_t *lo, uint64_t *hi)
{
	unsigned int oct, shift;
	uint64_t lead;

	if (i < LINEAR) {
		*lo = i;
		*hi = (uint64_t)i + 1;
		return;
	}
	oct = (i - LINEAR) / PER_OCT;
	shift = oct + 1;
	lead = (i - LINEAR) % PER_OCT + PER_OCT;
	*lo = lead << shift;
	*hi = *lo + (1ull << shift);
	if (*hi < *lo) /* the last bucket ends at 2^64, which does not fit */
		*hi = UINT64_MAX;
}

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof *h);
}

void hist_add(struct hist *h, uint64_t v)
{
	if (!h->n || v < h->min)
		h->min = v;
	if (v > h->max)
		h->max = v;
	h->n++;
	h->sum += v;
	h->b[bucket_of(v)]++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	if (!from->n)
		return;
	if (!into->n || from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	into->n += from->n;
	into->sum += from->sum;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		into->b[i] += from->b[i];
}

static double clamp(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

double hist_quantile(const struct hist *h, double q)
{
	uint64_t rank, seen = 0, lo, hi;
	double want;

	if (!h->n)
		return 0;
	want = ceil(clamp(q, 0, 1) * (double)h->n);
	rank = want < 1 ? 1 : (uint64_t)want;
	if (rank >= h->n)
		return (double)h->max;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		seen += h->b[i];
		if (seen >= rank) {
			hist_bucket(i, &lo, &hi);
			return clamp((double)lo + (double)(hi - lo - 1) / 2, (double)h->min,
				     (double)h->max);
		}
	}
	return (double)h->max;
}

double hist_mean(const struct hist *h)
{
	return h->n ? (double)(h->sum / h->n) : 0;
}
