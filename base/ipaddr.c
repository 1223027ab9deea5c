/* ipaddr: see ipaddr.h. */
#include "base/ipaddr.h"

#include <arpa/inet.h>
#include <errno.h>

int ipaddr_parse(const char *s, struct ipaddr *out)
{
	uint8_t v4[4];

	if (inet_pton(AF_INET, s, v4) == 1) {
		*out = ipaddr_v4(v4);
		return 0;
	}
	return inet_pton(AF_INET6, s, out->b) == 1 ? 0 : -EINVAL;
}

const char *ipaddr_text(const struct ipaddr *a, char *buf)
{
	if (ipaddr_is_v4(a))
		inet_ntop(AF_INET, ipaddr_v4_bytes(a), buf, IPADDR_TEXT);
	else
		inet_ntop(AF_INET6, a->b, buf, IPADDR_TEXT);
	return buf;
}
