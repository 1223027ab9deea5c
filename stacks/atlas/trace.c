/* trace: the ring of trace.h.
 *
 * One idea: a flight recorder. Writing never waits and never stops; what is read out in the end is
 * the newest part. Memory is touched when the ring is made, so that recording faults no pages.
 */
#include "stacks/atlas/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "stacks/atlas/net/pktio.h"

_Static_assert((TRACE_ENTRIES & (TRACE_ENTRIES - 1)) == 0, "the index is masked");

struct trace_ring {
	uint64_t n; /* ever recorded */
	struct touch v[TRACE_ENTRIES];
};

_Thread_local struct trace_ring *trace_on;

static void put(uint64_t now, enum touch_kind kind, const void *p, uint32_t len)
{
	trace_on->v[trace_on->n++ & (TRACE_ENTRIES - 1)] =
		(struct touch){.t_ns = now, .addr = (uintptr_t)p, .len = len, .kind = kind};
}

void trace_record(enum touch_kind kind, const void *p, uint32_t len)
{
	put(clock_ns(), kind, p, len);
}

void trace_record_frames(const struct pkt_tx *v, int n)
{
	uint64_t now = clock_ns();

	for (int i = 0; i < n; i++)
		for (int k = 1; k < v[i].niov; k++)
			put(now, TOUCH_DMA_OUT, v[i].iov[k].iov_base,
			    (uint32_t)v[i].iov[k].iov_len);
}

int trace_open(struct errbuf *e)
{
	struct trace_ring *r = malloc(sizeof *r);

	if (!r)
		return errf(e, -ENOMEM, "no memory for a trace of %u touches", TRACE_ENTRIES);
	memset(r, 0, sizeof *r);
	trace_on = r;
	return 0;
}

static int write_ring(const struct trace_ring *r, FILE *f)
{
	uint64_t count = r->n < TRACE_ENTRIES ? r->n : TRACE_ENTRIES;
	struct touch_header h = {.magic = TOUCH_MAGIC, .count = count, .lost = r->n - count};
	uint64_t first = (r->n - count) & (TRACE_ENTRIES - 1);
	uint64_t tail = count < TRACE_ENTRIES - first ? count : TRACE_ENTRIES - first;

	return fwrite(&h, sizeof h, 1, f) != 1 ||
	       fwrite(r->v + first, sizeof *r->v, tail, f) != tail ||
	       fwrite(r->v, sizeof *r->v, count - tail, f) != count - tail;
}

int trace_close(const char *path, unsigned int id, struct errbuf *e)
{
	struct trace_ring *r = trace_on;
	char name[4096];
	FILE *f;
	int err = 0;

	if (!r)
		return 0;
	trace_on = NULL;
	if (id)
		snprintf(name, sizeof name, "%s.%u", path, id);
	else
		snprintf(name, sizeof name, "%s", path);
	f = fopen(name, "w");
	if (!f || write_ring(r, f))
		err = errno ? -errno : -EIO;
	if (f && fclose(f) && !err)
		err = -errno;
	free(r);
	return err ? errf(e, err, "the trace can't be written to %s: %s", name, strerror(-err)) : 0;
}
