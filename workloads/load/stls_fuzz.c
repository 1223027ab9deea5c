/* stls, fuzzed in three ways: the input as wire bytes (headers, lengths, splits); the input as the
 * plaintext of records that are sealed properly first (what a hostile but authenticated server may
 * say); and the input as headers whose payload is discarded unread, one body after the other, which
 * is how runs of records come about. No crash, no more body counted than was expected. */
#include <stdlib.h>
#include <string.h>

#include "workloads/load/stls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct left {
	uint64_t n, again; /* the next body, 0: none */
};

static uint64_t on_data(void *arg, const uint8_t *p, size_t n)
{
	struct left *l = arg;

	if (n && p[0] == 'B') /* "a head": a body follows */
		l->n = 50000;
	return l->n;
}

static uint64_t on_count(void *arg, size_t n)
{
	struct left *l = arg;

	if (n > l->n)
		abort();
	l->n -= n;
	return l->n ? l->n : (l->n = l->again);
}

static void feed(struct stls *t, const uint8_t *p, size_t n, size_t step, struct stls_out *o)
{
	int res = 0;

	for (size_t at = 0; at < n && !res; at += step) {
		size_t k = n - at < step ? n - at : step;
		uint8_t *copy = malloc(k);

		if (!copy)
			abort();
		memcpy(copy, p + at, k);
		res = stls_feed(t, copy, k, o);
		free(copy);
	}
}

static void skip_payloads(struct stls *t, const uint8_t *p, size_t n, struct stls_out *o)
{
	uint8_t hdr[STLS_HDR];

	for (; n >= STLS_HDR; p += STLS_HDR, n -= STLS_HDR) {
		memcpy(hdr, p, STLS_HDR);
		if (stls_feed(t, hdr, STLS_HDR, o))
			return;
		if (!stls_skippable(t)) /* to be decrypted: nothing to give */
			return;
		for (size_t left; (left = stls_skippable(t)) > 0;)
			stls_skip(t, left / 3 + 1, o);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t a[STLS_SECRET] = {1}, b[STLS_SECRET] = {2};
	struct left l = {.n = 100000};
	struct stls_out o = {.arg = &l, .data = on_data, .count = on_count, .expect = 100000};
	uint8_t wire[STLS_SEAL_MAX + 64];
	struct stls c, s;

	if (size < 2 || stls_init(&c, 0x1301, a, b) != 0 || stls_init(&s, 0x1301, b, a) != 0)
		return 0;
	if (data[0] & 1) {
		feed(&c, data + 2, size - 2, 1 + data[1], &o);
	} else if (data[0] & 2) {
		o.expect = l.n = l.again = 20000 + 64ull * data[1];
		skip_payloads(&c, data + 2, size - 2, &o);
	} else {
		size_t at = 2;

		while (at + 2 <= size) { /* type, length, plaintext */
			size_t n = data[at + 1];
			int k;

			if (n > size - at - 2)
				n = size - at - 2;
			k = stls_seal(&s, data[at], data + at + 2, n, wire);
			if (k < 0)
				abort();
			feed(&c, wire, (size_t)k, 1 + data[1], &o);
			at += 2 + n;
		}
	}
	stls_clear(&c);
	stls_clear(&s);
	return 0;
}
