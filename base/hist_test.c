/* hist against a sorted array (the oracle), over values that span all 64 bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/hist.h"
#include "base/rng.h"

#define N	20000
#define REL_ERR 0.01 /* what hist.h promises */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Values of every magnitude: a random number of random low bits. */
static void draw(uint64_t *v, size_t n, uint64_t seed)
{
	struct rng r;

	rng_seed(&r, seed);
	for (size_t i = 0; i < n; i++)
		v[i] = rng_u64(&r) >> rng_below(&r, 64);
}

static void buckets_tile_the_numbers(void **state)
{
	uint64_t lo, hi, expect = 0;

	(void)state;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		hist_bucket(i, &lo, &hi);
		assert_int_equal(lo, expect);
		assert_true(hi > lo);
		if (lo >= 128) /* width <= lower bound / 64, exactly */
			assert_true(hi - lo <= lo / 64);
		expect = hi;
	}
	assert_int_equal(expect, UINT64_MAX);
}

static void values_land_in_their_bucket(void **state)
{
	static struct hist h;
	uint64_t v[N], lo, hi;

	(void)state;
	draw(v, N, 1);
	v[0] = 0;
	v[1] = 127;
	v[2] = 128;
	v[3] = UINT64_MAX;
	v[4] = 255;
	v[5] = 256;
	for (size_t k = 0; k < N; k++) {
		unsigned int found = 0, i = 0;

		hist_init(&h);
		hist_add(&h, v[k]);
		for (unsigned int j = 0; j < HIST_BUCKETS; j++)
			if (h.b[j]) {
				i = j;
				found++;
			}
		hist_bucket(i, &lo, &hi);
		assert_int_equal(found, 1);
		assert_true(v[k] >= lo && (v[k] < hi || hi == UINT64_MAX));
		if (k > 300)
			k += 50; /* the loop over buckets is slow; the first 300 and a sample will
				    do */
	}
}

static void quantiles_match_the_sorted_oracle(void **state)
{
	static const double qs[] = {0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
	static struct hist h;
	static uint64_t v[N];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		size_t n = seed * 37 % 19 ? N : 3;
		long double sum = 0;

		draw(v, n, seed);
		hist_init(&h);
		for (size_t i = 0; i < n; i++) {
			hist_add(&h, v[i]);
			sum += v[i];
		}
		qsort(v, n, sizeof v[0], by_value);
		for (size_t k = 0; k < sizeof qs / sizeof qs[0]; k++) {
			size_t rank = (size_t)ceil(qs[k] * (double)n);
			double want = (double)v[rank ? rank - 1 : 0];
			double got = hist_quantile(&h, qs[k]);

			if (fabs(got - want) > REL_ERR * want)
				fail_msg("seed %d q %g: got %g, want %g", (int)seed, qs[k], got,
					 want);
			if (want < 128)
				assert_true(got == want); /* linear buckets are exact */
		}
		assert_true(h.min == v[0] && h.max == v[n - 1] && h.n == n);
		assert_true(fabs(hist_mean(&h) - (double)(sum / n)) <= 1e-9 * (double)(sum / n));
	}
}

static void merge_is_adding(void **state)
{
	static struct hist a, b, both;
	static uint64_t v[N];

	(void)state;
	draw(v, N, 99);
	hist_init(&a);
	hist_init(&b);
	hist_init(&both);
	for (size_t i = 0; i < N; i++) {
		hist_add(i % 3 ? &a : &b, v[i]);
		hist_add(&both, v[i]);
	}
	hist_merge(&a, &b);
	assert_true(a.n == both.n && a.min == both.min && a.max == both.max);
	assert_memory_equal(a.b, both.b, sizeof a.b);
	assert_true(fabsl(a.sum - both.sum) <= 1e-12L * both.sum); /* rounding, other order */
}

static void empty_is_harmless(void **state)
{
	static struct hist a, b;

	(void)state;
	hist_init(&a);
	hist_init(&b);
	assert_true(hist_quantile(&a, 0.5) == 0 && hist_mean(&a) == 0);
	hist_add(&b, 7);
	hist_merge(&b, &a);
	assert_true(b.min == 7 && b.max == 7 && b.n == 1);
	hist_merge(&a, &b);
	assert_true(a.min == 7 && a.max == 7 && a.n == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_tile_the_numbers),
		cmocka_unit_test(values_land_in_their_bucket),
		cmocka_unit_test(quantiles_match_the_sorted_oracle),
		cmocka_unit_test(merge_is_adding),
		cmocka_unit_test(empty_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
