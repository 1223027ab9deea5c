/* blocklat: see blocklat.h.
 *
 * A request is issued on one CPU and completed on another, so its two events lie in different
 * rings, which are read one after the other: a completion can be in hand while its issue still
 * waits. Events are therefore gathered, sorted by time, and matched only up to HOLD_NS before the
 * drain began; younger ones wait for the next drain.
 *
 * Pending issues live in a direct-mapped table by sector: no chains, no deletion, bounded. Two
 * pending requests in one slot cost a sample, never a wrong one, since the whole sector is
 * compared.
 */
#include "collectors/blocklat.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "collectors/procfs.h"
#include "collectors/trace.h"

#define EVENTS_MAX 65536 /* gathered between two drains */
#define SLOTS	   16384 /* a power of two; requests in flight */
#define HOLD_NS	   (2 * NSEC_PER_MSEC)
#define LEVELS	   3

struct event {
	uint64_t t_ns, sector;
	bool complete;
};

struct slot {
	uint64_t sector, t_ns; /* t_ns 0: empty */
};

struct blocklat {
	struct trace *trace;
	int issue_id, complete_id;
	struct trace_field issue_sector, complete_sector;
	int level;
	uint64_t last_ns, seen, dropped; /* last drain; events since */
	uint64_t t0_ns, t1_ns;
	int n;
	struct event event[EVENTS_MAX];
	struct slot slot[SLOTS];
	struct hist hist;
};

/* Sectors of 512 bytes: bits 8 to 15 number the stretches of 128 KiB. */
static const uint64_t level_mask[LEVELS] = {0, 0xf00, 0xff00};
static const unsigned int level_share[LEVELS] = {1, 16, 256};

/* --- matching --- */

static struct slot *slot_of(struct blocklat *b, uint64_t sector)
{
	return &b->slot[rng_mix(sector) & (SLOTS - 1)];
}

static void match_one(struct blocklat *b, const struct event *ev)
{
	struct slot *s = slot_of(b, ev->sector);

	if (!ev->complete) {
		*s = (struct slot){ev->sector, ev->t_ns};
		return;
	}
	if (!s->t_ns || s->sector != ev->sector || ev->t_ns < s->t_ns)
		return;
	if (ev->t_ns >= b->t0_ns && ev->t_ns <= b->t1_ns)
		hist_add(&b->hist, ev->t_ns - s->t_ns);
	s->t_ns = 0;
}

/* By time; an issue before a completion of the same nanosecond. */
static int by_time(const void *pa, const void *pb)
{
	const struct event *a = pa, *b = pb;

	if (a->t_ns != b->t_ns)
		return a->t_ns < b->t_ns ? -1 : 1;
	return (int)a->complete - (int)b->complete;
}

void blocklat_event(struct blocklat *b, uint64_t t_ns, uint64_t sector, int complete)
{
	b->seen++;
	if (b->n < EVENTS_MAX)
		b->event[b->n++] = (struct event){t_ns, sector, complete != 0};
	else
		b->dropped++;
}

void blocklat_match(struct blocklat *b, uint64_t cut_ns)
{
	int done = 0;

	qsort(b->event, (size_t)b->n, sizeof b->event[0], by_time);
	while (done < b->n && b->event[done].t_ns < cut_ns)
		match_one(b, &b->event[done++]);
	b->n -= done;
	memmove(b->event, b->event + done, (size_t)b->n * sizeof b->event[0]);
}

struct blocklat *blocklat_bare(void)
{
	struct blocklat *b = calloc(1, sizeof *b);

	if (b) {
		hist_init(&b->hist);
		b->t1_ns = UINT64_MAX;
	}
	return b;
}

/* --- the kernel's side --- */

static void on_record(void *arg, uint64_t t_ns, const uint8_t *raw, uint32_t len)
{
	struct blocklat *b = arg;
	const struct trace_field *f;
	uint64_t sector;
	uint16_t id;

	if (len < 2)
		return;
	memcpy(&id, raw, 2); /* common_type, the first field of each record */
	f = id == b->issue_id ? &b->issue_sector : &b->complete_sector;
	if ((id != b->issue_id && id != b->complete_id) || (uint32_t)f->offset + 8 > len)
		return;
	memcpy(&sector, raw + f->offset, 8);
	blocklat_event(b, t_ns, sector, id == b->complete_id);
}

/* Too many events a second: go over to a coarser level. Requests in flight are forgotten. */
static void adapt(struct blocklat *b, uint64_t now_ns)
{
	uint64_t ns = now_ns - b->last_ns;

	if (b->last_ns && ns && b->level + 1 < LEVELS &&
	    (double)b->seen * NSEC_PER_SEC / (double)ns > BLOCKLAT_EVENTS_PER_S) {
		b->level++;
		trace_enable(b->trace, b->level);
		memset(b->slot, 0, sizeof b->slot);
	}
	b->last_ns = now_ns;
	b->seen = 0;
}

void blocklat_drain(struct blocklat *b, uint64_t now_ns)
{
	trace_drain(b->trace, on_record, b);
	blocklat_match(b, now_ns > HOLD_NS ? now_ns - HOLD_NS : 0);
	adapt(b, now_ns);
}

static int get_points(struct blocklat *b, int dir, struct errbuf *e)
{
	struct trace_point p;
	int err = trace_point_get(dir, "block", "block_rq_issue", &p, e);

	if (err)
		return err;
	b->issue_id = p.id;
	if (!trace_point_field(&p, "sector", &b->issue_sector) || b->issue_sector.size != 8)
		return errf(e, -EPROTO, "block_rq_issue has no sector of 8 bytes");
	err = trace_point_get(dir, "block", "block_rq_complete", &p, e);
	if (err)
		return err;
	b->complete_id = p.id;
	if (!trace_point_field(&p, "sector", &b->complete_sector) || b->complete_sector.size != 8)
		return errf(e, -EPROTO, "block_rq_complete has no sector of 8 bytes");
	return 0;
}

/* The kernel's own dev_t: 12 bits of major, 20 of minor. */
static int disk_number(const char *sys_root, const char *disk, uint32_t *dev, struct errbuf *e)
{
	char path[128], text[64];
	unsigned int major, minor;

	snprintf(path, sizeof path, "block/%s/dev", disk);
	if (procfs_slurp(sys_root, path, text, sizeof text) < 0 ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		return errf(e, -ENODEV, "%s/%s does not tell the disk's number", sys_root, path);
	*dev = major << 20 | minor;
	return 0;
}

static int start(struct blocklat *b, uint32_t dev, struct errbuf *e)
{
	struct trace_event ev[2 * LEVELS];
	char filter[LEVELS][128];
	int err;

	for (int i = 0; i < LEVELS; i++) {
		int n = snprintf(filter[i], sizeof filter[i], "dev == %u && rwbs ~ \"R*\"", dev);

		if (level_mask[i])
			snprintf(filter[i] + n, sizeof filter[i] - (size_t)n,
				 " && !(sector & 0x%llx)", (unsigned long long)level_mask[i]);
		ev[2 * i] = (struct trace_event){b->issue_id, i, filter[i]};
		ev[2 * i + 1] = (struct trace_event){b->complete_id, i, filter[i]};
	}
	err = trace_open(&b->trace, ev, 2 * LEVELS, e);
	if (!err)
		trace_enable(b->trace, 0);
	return err;
}

int blocklat_open(struct blocklat **out, const char *sys_root, const char *disk, struct errbuf *e)
{
	struct blocklat *b = blocklat_bare();
	int err, dir;
	uint32_t dev = 0;

	if (!b)
		return errf(e, -ENOMEM, "out of memory");
	err = disk_number(sys_root, disk, &dev, e);
	if (err)
		goto fail;
	dir = trace_dir(sys_root, e);
	if (dir < 0) {
		err = dir;
		goto fail;
	}
	err = get_points(b, dir, e);
	close(dir);
	if (!err)
		err = start(b, dev, e);
	if (err)
		goto fail;
	*out = b;
	return 0;
fail:
	free(b);
	return err;
}

void blocklat_begin(struct blocklat *b, uint64_t t0_ns)
{
	hist_init(&b->hist);
	b->t0_ns = t0_ns;
	b->t1_ns = UINT64_MAX;
}

void blocklat_end(struct blocklat *b, uint64_t t1_ns)
{
	b->t1_ns = t1_ns;
}

const struct hist *blocklat_hist(const struct blocklat *b)
{
	return &b->hist;
}

uint64_t blocklat_lost(const struct blocklat *b)
{
	return b->dropped + (b->trace ? trace_lost(b->trace) : 0);
}

unsigned int blocklat_sampling(const struct blocklat *b)
{
	return level_share[b->level];
}

void blocklat_close(struct blocklat *b)
{
	if (b->trace)
		trace_close(b->trace);
	free(b);
}
