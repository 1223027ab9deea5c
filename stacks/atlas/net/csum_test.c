/* csum against the plain definition of RFC 1071, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/net/csum.h"

#define BUF 4096

static uint8_t buf[BUF + 8];

/* Sum of big-endian words, folded, in memory order at the end. */
static uint16_t oracle(const uint8_t *p, size_t len)
{
	uint64_t s = 0;

	for (size_t i = 0; i < len; i++)
		s += (uint64_t)p[i] << (i & 1 ? 0 : 8);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return htons((uint16_t)s);
}

/* 0 and 0xffff are the same number in one's complement. */
static int same(uint16_t a, uint16_t b)
{
	return a % 0xffff == b % 0xffff;
}

static void fill(struct rng *r, int kind)
{
	for (size_t i = 0; i < sizeof buf; i++)
		buf[i] = kind == 0 ? (uint8_t)rng_u64(r) : kind == 1 ? 0xff : 0;
}

static void test_every_length_and_alignment(void **state)
{
	struct rng r = {1};

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		fill(&r, kind);
		for (size_t len = 0; len < 200; len++)
			for (size_t at = 0; at < 8; at++)
				assert_true(
					same(csum_add(buf + at, len, 0), oracle(buf + at, len)));
		assert_true(same(csum_add(buf, BUF, 0), oracle(buf, BUF)));
	}
}

static void test_pieces(void **state)
{
	struct rng r = {2};

	(void)state;
	fill(&r, 0);
	for (int round = 0; round < 5000; round++) {
		struct iovec iov[8];
		size_t at = 0;
		int n;

		for (n = 0; n < 8; n++) {
			size_t len = rng_below(&r, round % 2 ? 4 : 400);

			iov[n] = (struct iovec){buf + at, len};
			at += len;
		}
		assert_true(same(csum_iov(iov, n, 0), oracle(buf, at)));
	}
}

static void test_initial_sum_adds(void **state)
{
	struct rng r = {3};

	(void)state;
	fill(&r, 0);
	for (size_t cut = 0; cut < 300; cut += 2)
		assert_true(same(csum_add(buf + cut, 300 - cut, csum_add(buf, cut, 0)),
				 oracle(buf, 300)));
}

static void test_update(void **state)
{
	struct rng r = {4};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint16_t old, now = (uint16_t)rng_u64(&r), check,
			      at = (uint16_t)(rng_below(&r, 10) * 2);

		fill(&r, i % 3);
		memcpy(&old, buf + at, 2);
		check = (uint16_t)~csum_add(buf, 20, 0);
		memcpy(buf + at, &now, 2);
		check = csum_update(check, old, now);
		assert_true(same((uint16_t)~check, csum_add(buf, 20, 0)));
	}
}

static void test_pseudo_header(void **state)
{
	static const uint8_t src[4] = {192, 0, 2, 1}, dst[4] = {198, 51, 100, 255};
	uint8_t pseudo[12] = {192, 0, 2, 1, 198, 51, 100, 255, 0, 6, 0x12, 0x35};

	(void)state;
	assert_true(same(csum_pseudo4(src, dst, 6, 0x1235), oracle(pseudo, sizeof pseudo)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_length_and_alignment),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_initial_sum_adds),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_pseudo_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
