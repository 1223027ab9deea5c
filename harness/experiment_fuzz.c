/* libFuzzer target: any bytes are an experiment file or a sentence, and what was accepted survives
 * being written back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "harness/experiment.h"
#include "harness/sweep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct experiment x, y;
	static struct cell cell[CELLS_MAX];
	char *text, *again = NULL;
	struct errbuf e = {""};
	size_t n;
	FILE *f;

	if (size > 4096)
		return 0;
	text = calloc(1, size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	if (experiment_parse(&x, text, "fuzz", size & 1, NULL, 0, &e)) {
		if (!e.s[0])
			abort(); /* refused without a word */
	} else {
		f = open_memstream(&again, &n);
		if (f) {
			experiment_write(&x, f);
			fclose(f);
			if (experiment_parse(&y, again, "fuzz", false, NULL, 0, &e))
				abort();
			sweep_cells(&y, NULL, cell, &e);
		}
	}
	free(again);
	free(text);
	return 0;
}
