/* null_http, fuzzed: no crash; what it takes lies within the input and the catalogue. */
#include <stdlib.h>
#include <string.h>

#include "stacks/null/null_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct content cat = {.seed = 1, .object_size = 300, .hot = 10, .cold = 100};
	char *copy = malloc(size ? size : 1), head[256];
	struct null_req r;
	size_t n;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	n = null_parse(copy, size, &cat, &r);
	if (n > size)
		abort();
	if (n && r.status == 200 && r.id >= 10 &&
	    (r.id < CONTENT_COLD || r.id >= CONTENT_COLD + 100))
		abort();
	if (n && null_head(&r, &cat, head, sizeof head) >= sizeof head - 1)
		abort();
	free(copy);
	return 0;
}
