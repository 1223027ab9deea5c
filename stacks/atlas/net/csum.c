/* csum: the internet checksum, eight bytes at a time.
 *
 * One's-complement addition does not care how wide the words are as long as carries come back in at
 * the bottom (RFC 1071 2(C)), so 64-bit words are added with the carry caught, and folded at the
 * end. No vector instructions: with offload, only short control packets come here.
 */
#include "stacks/atlas/net/csum.h"

#include <string.h>

static uint16_t fold64(uint64_t s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffffffff) + (s >> 32);
	return csum_fold((uint32_t)s);
}

static uint64_t add_carry(uint64_t s, uint64_t w)
{
	s += w;
	return s + (s < w);
}

uint16_t csum_add(const void *p, size_t len, uint32_t sum)
{
	const uint8_t *b = p;
	uint64_t s = sum, w[4], tail = 0;

	for (; len >= sizeof w; b += sizeof w, len -= sizeof w) {
		memcpy(w, b, sizeof w);
		s = add_carry(add_carry(s, w[0]), w[1]);
		s = add_carry(add_carry(s, w[2]), w[3]);
	}
	for (; len >= 8; b += 8, len -= 8) {
		memcpy(w, b, 8);
		s = add_carry(s, w[0]);
	}
	if (len) {
		memcpy(&tail, b, len); /* the rest of `tail` is 0: the padding of an odd byte */
		s = add_carry(s, tail);
	}
	return fold64(s);
}

uint16_t csum_iov(const struct iovec *iov, int n, uint32_t sum)
{
	unsigned int odd = 0;

	for (int i = 0; i < n; i++) {
		uint16_t s = csum_add(iov[i].iov_base, iov[i].iov_len, 0);

		/* Behind an odd number of bytes every byte is in the other half of its word. */
		if (odd)
			s = (uint16_t)(s << 8 | s >> 8);
		sum = csum_fold(sum) + (uint32_t)s;
		odd ^= iov[i].iov_len & 1;
	}
	return csum_fold(sum);
}
