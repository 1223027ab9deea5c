/* libFuzzer target: any bytes are a results file or a sentence; every field can be read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "harness/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1);
	struct errbuf e = {""};
	size_t sum = 0;
	struct csv c;

	if (!text)
		return 0;
	memcpy(text, data, size);
	if (csv_parse(&c, text, "fuzz", &e)) {
		if (!e.s[0])
			abort();
		return 0;
	}
	for (int row = 0; row < c.rows; row++)
		for (int col = 0; col < c.cols; col++) {
			if (csv_number(&c, row, col) > 0)
				sum++;
			sum += strlen(csv_text(&c, row, col));
		}
	if (sum > 2 * size + (size_t)c.rows * (size_t)c.cols)
		abort(); /* a field that is not in the text */
	csv_free(&c);
	return 0;
}
