/* csum: the internet checksum (RFC 1071), and its incremental update (RFC 1624).
 *
 * A sum here is the folded one's-complement sum of 16-bit words *as they lie in memory*, so it can
 * be copied into a packet with memcpy on any byte order. It is not complemented: a header that is
 * right sums to 0xffff. Pure functions, any thread.
 */
#ifndef ATLAS_NET_CSUM_H
#define ATLAS_NET_CSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Sum of `len` bytes at `p`, at any alignment, added to `sum`. An odd last byte is padded with 0,
 * so only the last piece of several may be odd: csum_iov() takes any. */
uint16_t csum_add(const void *p, size_t len, uint32_t sum);
/* Sum over pieces of any lengths, in order, added to `sum`. */
uint16_t csum_iov(const struct iovec *iov, int n, uint32_t sum);

static inline uint16_t csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/* Sum of the IPv4 pseudo-header (RFC 9293 3.1); addresses in network byte order. */
static inline uint16_t csum_pseudo4(const uint8_t src[4], const uint8_t dst[4], uint8_t proto,
				    uint32_t l4_len)
{
	uint32_t s = csum_add(src, 4, csum_add(dst, 4, 0));

	return csum_fold(s + htons(proto) + htons((uint16_t)l4_len));
}

/* The checksum field after one 16-bit word (as in memory) changed from `old` to `now`. */
static inline uint16_t csum_update(uint16_t check, uint16_t old, uint16_t now)
{
	return (uint16_t)~csum_fold((uint32_t)(uint16_t)~check + (uint16_t)~old + now);
}

#endif
