/* tcp_parse_fuzz: any bytes as a TCP segment. What comes out must lie inside what went in, in a
 * copy without slack so that the sanitizer sees every byte read too far. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stacks/atlas/tcp/tcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);
	struct tcp_seg g;

	memcpy(p, data, size);
	if (!tcp_parse(p, (uint32_t)size, &g)) {
		if (g.data < p + 20 || g.data + g.len != p + size || g.nsack > TCP_SACK_MAX ||
		    g.wscale > 14)
			abort();
	}
	free(p);
	return 0;
}
