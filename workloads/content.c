/* content: the bytes of an object, and its name.
 *
 * One idea: a word of an object is a hash of (seed, id, word index), so any range can be made or
 * checked on its own, by the client as well as by the maker of the files. Two multiplications a
 * word: 8 GB/s and more on one core, so checking costs the client little.
 *
 * Limits: the bytes are not secret and not cryptographic; they don't compress, which is what video
 * is like. DESIGN.md section 3 ("content"), rng_mix() in base/rng.h.
 */
#include "workloads/content.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

#define GOLDEN 0x9e3779b97f4a7c15ull
#define WORD   8
#define BLOCK  8 /* words compared between two looks at the result */

static uint64_t object_key(uint64_t seed, uint64_t id)
{
	return rng_mix(seed ^ rng_mix(id + 1));
}

/* Word w of the object, as it lies in memory. */
static inline uint64_t word(uint64_t key, uint64_t w)
{
	return htole64(rng_mix(key + w * GOLDEN));
}

void content_fill(uint64_t seed, uint64_t id, uint64_t off, void *buf, size_t len)
{
	const uint64_t key = object_key(seed, id);
	const size_t skip = off % WORD;
	uint64_t w = off / WORD, v;
	uint8_t *p = buf;
	size_t n;

	if (skip && len) {
		n = WORD - skip < len ? WORD - skip : len;
		v = word(key, w++);
		memcpy(p, (uint8_t *)&v + skip, n);
		p += n;
		len -= n;
	}
	n = len / WORD;
	for (size_t i = 0; i < n; i++) {
		v = word(key, w + i);
		memcpy(p + i * WORD, &v, WORD);
	}
	if (len % WORD) {
		v = word(key, w + n);
		memcpy(p + n * WORD, &v, len % WORD);
	}
}

/* As content_check, byte by byte: for the ragged ends and to name the first wrong byte. */
static size_t check_bytes(uint64_t key, uint64_t off, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t v = word(key, (off + i) / WORD);

		if (p[i] != ((uint8_t *)&v)[(off + i) % WORD])
			return i + 1;
	}
	return 0;
}

size_t content_check(uint64_t seed, uint64_t id, uint64_t off, const void *buf, size_t len)
{
	const uint64_t key = object_key(seed, id);
	const uint8_t *p = buf;
	size_t head = (WORD - off % WORD) % WORD, at, bad;

	if (head > len)
		head = len;
	bad = check_bytes(key, off, p, head);
	if (bad)
		return bad;
	for (at = head; len - at >= BLOCK * WORD; at += BLOCK * WORD) {
		uint64_t diff = 0, v;

		for (unsigned int i = 0; i < BLOCK; i++) {
			memcpy(&v, p + at + i * WORD, WORD);
			diff |= v ^ word(key, (off + at) / WORD + i);
		}
		if (diff)
			break;
	}
	bad = check_bytes(key, off + at, p + at, len - at);
	return bad ? at + bad : 0;
}

const char *content_path(uint64_t id, char buf[32])
{
	const char *set = id < CONTENT_COLD ? "hot" : "cold";

	snprintf(buf, 32, "/%s/%06" PRIu64, set, (uint64_t)(id % CONTENT_COLD));
	return buf;
}
