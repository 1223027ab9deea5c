/* nvme-example: the storage library in a screen: copies a file or device to stdout, 8 reads at a
 *time.
 *
 *	nvme-example uring:/path/to/file > copy
 */
#include <stdio.h>
#include <stdlib.h>

#include "stacks/atlas/nvme/nvme.h"

#define WINDOW 8
#define CHUNK  65536u

static struct iodesc io[WINDOW];
static int result[WINDOW]; /* 0: on its way */

static void on_read(struct iodesc *d, int res)
{
	result[d - io] = res;
}

static void start(struct nvme *n, int i, uint64_t off, uint64_t size)
{
	io[i] = (struct iodesc){
		.nsid = 1,
		.off = off,
		.len = size - off < CHUNK ? (uint32_t)(size - off) : CHUNK,
		.buf = (char *)nvme_region(n, NULL) + (size_t)i * CHUNK,
		.cb = on_read,
	};
	result[i] =
		off < size ? nvme_read(n, &io[i]) : -1; /* only queued: sqsync sends the batch */
}

int main(int argc, char **argv)
{
	struct nvme_cfg cfg = {.device = argc > 1 ? argv[1] : "",
			       .region_bytes = WINDOW * CHUNK,
			       .depth = WINDOW,
			       .flags = NVME_NOFD};
	struct nvme_ns_info ns;
	struct errbuf e;
	struct nvme *n;

	if (nvme_open(&n, &cfg, &e)) {
		fprintf(stderr, "nvme-example: %s\n", e.s);
		return 1;
	}
	nvme_ns(n, 1, &ns);
	for (int i = 0; i < WINDOW; i++)
		start(n, i, (uint64_t)i * CHUNK, ns.bytes);
	for (uint64_t off = 0; off < ns.bytes; off += CHUNK) {
		int i = (int)(off / CHUNK % WINDOW);

		while (!result[i]) { /* they complete in any order, we write in ours */
			nvme_wait(n, 1, 1000000000);
			nvme_consume_completions(n, WINDOW);
		}
		if (result[i] < 0 || fwrite(io[i].buf, (size_t)result[i], 1, stdout) != 1)
			return 1;
		start(n, i, off + (uint64_t)WINDOW * CHUNK, ns.bytes);
	}
	nvme_close(n);
	return fflush(stdout) != 0;
}
