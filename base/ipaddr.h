/* An IP address of either family in one type: IPv4 is held as ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
 *
 * IPv4 is what is spoken today; nothing that takes a struct ipaddr has to change for IPv6. Plain
 * values, any thread.
 */
#ifndef BASE_IPADDR_H
#define BASE_IPADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ipaddr {
	uint8_t b[16]; /* network byte order */
};

#define IPADDR_TEXT 46

static inline struct ipaddr ipaddr_v4(const uint8_t v4[4])
{
	struct ipaddr a = {.b = {[10] = 0xff, [11] = 0xff}};

	memcpy(a.b + 12, v4, 4);
	return a;
}

static inline bool ipaddr_is_v4(const struct ipaddr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->b, mapped, sizeof mapped) == 0;
}

/* The four bytes of an IPv4 address, network byte order. */
static inline const uint8_t *ipaddr_v4_bytes(const struct ipaddr *a)
{
	return a->b + 12;
}

static inline bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* Parse "192.0.2.1" or "2001:db8::1". 0 or -EINVAL. */
int ipaddr_parse(const char *s, struct ipaddr *out);

/* Text into `buf` (IPADDR_TEXT bytes); returns buf. */
const char *ipaddr_text(const struct ipaddr *a, char *buf);

#endif
