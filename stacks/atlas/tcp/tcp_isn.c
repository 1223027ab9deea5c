/* tcp_isn: initial sequence numbers nobody can guess (RFC 6528), SipHash-2-4 as the hash
 * (Aumasson, Bernstein, INDOCRYPT 2012).
 *
 * ISN = M + F(tuple, secret), M a clock of 4 us. The same hash gives the timestamp offset, so that
 * an incarnation of the same tuple continues the clock of the last one (RFC 7323 5.4 and 6191).
 */
#include <string.h>

#include "stacks/atlas/tcp/tcp_priv.h"

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline void round_(uint64_t v[4])
{
	v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);
	v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];
	v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];
	v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);
}

/* Words are read in the machine's order: x86 and arm64 are little-endian, as the paper wants. */
uint64_t tcp_siphash(const uint64_t key[2], const void *p, size_t len)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
			 key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
	uint64_t m, last = (uint64_t)len << 56;
	const uint8_t *b = p;

	for (; len >= 8; b += 8, len -= 8) {
		memcpy(&m, b, 8);
		v[3] ^= m;
		round_(v), round_(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)b[i] << (8 * i);
	v[3] ^= last;
	round_(v), round_(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	round_(v), round_(v), round_(v), round_(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void tcp_isn(struct tcp_conn *c)
{
	uint8_t b[36];
	uint64_t h;

	memcpy(b, c->t.local.b, 16);
	memcpy(b + 16, c->t.remote.b, 16);
	memcpy(b + 32, &c->t.lport, 2);
	memcpy(b + 34, &c->t.rport, 2);
	h = tcp_siphash(c->s->cfg.isn_secret, b, sizeof b);
	c->iss = (uint32_t)h + (uint32_t)(c->s->now / 4000);
	c->ts_off = (uint32_t)(h >> 32);
}
