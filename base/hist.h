/* hist: a log-linear histogram of 64-bit values, at most 1 % relative error, mergeable by adding
 * buckets (as HdrHistogram and IOR's do).
 *
 * 128 linear buckets, then 64 buckets an octave: value v >= 128 with top bit b lies in the bucket
 * of its 7 leading bits, whose width is at most 1/64 of its lower bound; the midpoint is reported,
 * so the error is below 0.8 %. One writer; plain memory.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include <stdint.h>

#define HIST_BUCKETS (128 + 64 * 57)

struct hist {
	uint64_t n, min, max;
	long double sum;
	uint64_t b[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t v);
void hist_merge(struct hist *into, const struct hist *from);
/* q in [0, 1]; 0 if empty. */
double hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);
/* Bounds of bucket i: lower inclusive, upper exclusive. */
void hist_bucket(unsigned int i, uint64_t *lo, uint64_t *hi);

#endif
