/* resp, fuzzed: no crash, no verdict that depends on where the input is cut, nothing impossible in
 * what is reported. */
#include <stdlib.h>
#include <string.h>

#include "workloads/load/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* exact size: reads beyond it are seen */
	bool decided = false;
	struct resp r;
	int whole;

	require(copy != NULL);
	memcpy(copy, data, size);
	whole = resp_parse(copy, size, &r);
	require(whole <= (int)size && whole <= RESP_HEAD_MAX);
	if (whole > 0) {
		require(r.status >= 100 && r.status <= 999 && r.length >= -1);
		require(copy[whole - 1] == '\n');
	}
	for (size_t i = 0, step = size / 64 + 1; i < size; i += step) {
		char *part = malloc(i ? i : 1);
		int k;

		require(part != NULL);
		memcpy(part, data, i);
		k = resp_parse(part, i, &r);
		free(part);
		require(k == whole || (k == 0 && !decided));
		decided |= k != 0;
	}
	free(copy);
	return 0;
}
