/* path: what happens to a frame in one direction.
 *
 * A GSO frame is judged segment by segment, as the packets that it stands for, but handled in runs:
 * what passes together leaves together as one frame. Most frames never wait (no delay, no
 * bottleneck): those leave straight from the receive ring, only what must wait is copied.
 *
 * Delay is counted from the moment the kernel saw the packet, not from when we looked, so looking
 * seldom costs no accuracy as long as it is more often than the delay.
 *
 * Limits: a packet whose next hop stays unknown for a second is dropped; a full store drops and
 * counts.
 */
#include "workloads/wan/path.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

#define ORDER_SLOTS 65536 /* flows that share one only keep more order than they need */
#define SLACK_MAX   (50 * NSEC_PER_USEC)
#define SLACK_SHARE 64 /* of the delay: under 2 % */
#define RETRY_NS    NSEC_PER_MSEC
#define RETRIES_MAX 1000
#define RUN_BURST   64

int wan_path_init(struct wan_path *p, const struct wan_cfg *cfg, enum wan_dir dir,
		  const struct wan_out *out, struct errbuf *e)
{
	*p = (struct wan_path){.cfg = *cfg, .dir = dir, .out = *out};
	if (!cfg->impair[dir])
		p->cfg.rate = 0;
	if (dir == WAN_DOWN)
		p->cfg.rtt_lo = p->cfg.rtt_hi = p->cfg.jitter = 0;
	p->slack = p->cfg.rtt_lo / SLACK_SHARE;
	if (p->slack > SLACK_MAX || (!p->cfg.rtt_lo && p->cfg.rate))
		p->slack = SLACK_MAX; /* behind a bottleneck, bursts of so long */
	wan_fate_init(&p->fate, &p->cfg, dir);
	rng_seed(&p->jitter, rng_mix(~cfg->seed));
	hist_init(&p->late_us);
	p->hold = wan_hold_new();
	p->order = p->cfg.jitter ? calloc(ORDER_SLOTS, sizeof *p->order) : NULL;
	if (!p->hold || (p->cfg.jitter && !p->order) || wan_bottleneck_init(&p->link, &p->cfg)) {
		wan_path_free(p);
		return errf(e, -ENOMEM, "no memory for the packets under way");
	}
	return 0;
}

void wan_path_free(struct wan_path *p)
{
	if (p->hold)
		wan_hold_free(p->hold);
	wan_bottleneck_free(&p->link);
	free(p->order);
}

/* Delay of this frame before it may leave: of its flow, with jitter, never ahead of its elders. */
static uint64_t ready_at(struct wan_path *p, const struct wan_frame *f, uint64_t arrival)
{
	uint64_t due = arrival + wan_flow_delay(&p->cfg, f->flow), *last;

	if (!p->order)
		return due;
	due += (uint64_t)wan_jitter(&p->jitter, p->cfg.jitter);
	last = &p->order[f->flow % ORDER_SLOTS];
	due = due < *last ? *last : due;
	*last = due;
	return due;
}

static void count_out(struct wan_path *p, const struct wan_frame *f, uint32_t first, uint32_t n)
{
	p->st.packets_out += n;
	for (uint32_t i = first; i < first + n; i++)
		p->st.bytes_out += wan_frame_seg_len(f, i);
}

/* --- in -------------------------------------------------------------------------------------- */

/* A run being gathered: consecutive segments with one fate. */
struct run {
	uint64_t due; /* of its first segment */
	uint32_t first, n;
};

struct input {
	const struct wan_frame *f;
	uint64_t now;
	uint32_t held; /* WAN_NO_FRAME until something of it must wait */
	uint32_t gap;  /* between segments behind the bottleneck */
};

static void wait(struct wan_path *p, struct input *in, const struct run *r)
{
	struct wan_item item = {.due = r->due,
				.first = (uint16_t)r->first,
				.n = (uint16_t)r->n,
				.gap = r->n > 1 ? in->gap : 0};

	if (in->held == WAN_NO_FRAME)
		in->held = wan_hold_put(p->hold, in->f); /* this reference is in->held's own */
	item.frame = in->held;
	if (item.frame == WAN_NO_FRAME || wan_hold_queue(p->hold, &item)) {
		p->st.no_memory += r->n;
		return;
	}
	wan_hold_ref(p->hold, item.frame);
}

static void finish_run(struct wan_path *p, struct input *in, struct run *r)
{
	if (!r->n)
		return;
	if (r->due <= in->now && !in->gap &&
	    p->out.emit(p->out.ctx, in->f, r->first, r->n, in->now) == 0)
		count_out(p, in->f, r->first, r->n);
	else
		wait(p, in, r);
	r->n = 0;
}

static void one_segment(struct wan_path *p, struct input *in, struct run *r, uint32_t i,
			uint64_t ready)
{
	unsigned int fate = wan_fate_draw(&p->fate);
	uint64_t due;

	if (fate & WAN_LOST) {
		p->st.lost_random += !!(fate & WAN_LOST_RANDOM);
		p->st.lost_burst += !!(fate & WAN_LOST_BURST);
		finish_run(p, in, r);
		return;
	}
	due = wan_bottleneck_admit(&p->link, ready, wan_frame_seg_len(in->f, i));
	if (due == WAN_DROPPED) {
		p->st.queue_drops++;
		finish_run(p, in, r);
		return;
	}
	if (fate & WAN_LATE) {
		struct run late = {due + p->cfg.reorder_hold, i, 1};

		p->st.reordered++;
		finish_run(p, in, r);
		wait(p, in, &late);
	} else if (r->n++ == 0) {
		r->first = i;
		r->due = due;
	}
	if (fate & WAN_TWICE) {
		struct run twin = {due, i, 1};

		p->st.duplicated++;
		finish_run(p, in, r);
		finish_run(p, in, &twin);
	}
}

void wan_path_input(struct wan_path *p, const struct wan_frame *f, uint64_t arrival, uint64_t now)
{
	struct input in = {.f = f, .now = now, .held = WAN_NO_FRAME};
	uint64_t ready = ready_at(p, f, arrival), backlog;
	struct run r = {0};
	uint32_t held;

	p->st.frames_in++;
	p->st.packets_in += f->segs;
	in.gap = (uint32_t)wan_bottleneck_time(&p->link, wan_frame_seg_len(f, 0));
	for (uint32_t i = 0; i < f->segs; i++) {
		p->st.bytes_in += wan_frame_seg_len(f, i);
		one_segment(p, &in, &r, i, ready);
	}
	finish_run(p, &in, &r);
	if (in.held != WAN_NO_FRAME)
		wan_hold_unref(p->hold, in.held);
	backlog = wan_bottleneck_backlog(&p->link, ready);
	if (backlog > p->st.queue_bytes_max)
		p->st.queue_bytes_max = backlog;
	held = wan_hold_frames(p->hold);
	if (held > p->st.held_max)
		p->st.held_max = held;
}

/* --- out ------------------------------------------------------------------------------------- */

/* How many segments of an item may leave by `by`: its first is due. */
static uint32_t share_due(const struct wan_item *it, uint64_t by)
{
	uint64_t n;

	if (!it->gap)
		return it->n;
	n = 1 + (by - it->due) / it->gap;
	return n < it->n ? (uint32_t)n : it->n;
}

/* Queue an item again; its reference stays with it. It just left the heap, so there is room. */
static void again(struct wan_path *p, const struct wan_item *it)
{
	if (wan_hold_queue(p->hold, it)) {
		p->st.no_memory += it->n;
		wan_hold_unref(p->hold, it->frame);
	}
}

static void retry(struct wan_path *p, struct wan_item *it, uint64_t now)
{
	if (++it->retries > RETRIES_MAX) {
		p->st.unreachable += it->n;
		wan_hold_unref(p->hold, it->frame);
		return;
	}
	it->due = now + RETRY_NS;
	again(p, it);
}

/* One due item; true if its reference must be given up after the flush. */
static bool send_item(struct wan_path *p, struct wan_item *it, uint64_t now)
{
	const struct wan_frame *f = wan_hold_get(p->hold, it->frame);
	uint32_t n = share_due(it, now + p->slack);

	if (p->out.emit(p->out.ctx, f, it->first, n, now)) {
		retry(p, it, now);
		return false;
	}
	count_out(p, f, it->first, n);
	if (!it->retries)
		hist_add(&p->late_us, now > it->due ? (now - it->due) / NSEC_PER_USEC : 0);
	if (n == it->n)
		return true;
	it->first = (uint16_t)(it->first + n);
	it->n = (uint16_t)(it->n - n);
	it->due += (uint64_t)n * it->gap;
	again(p, it);
	return false;
}

int wan_path_run(struct wan_path *p, uint64_t now)
{
	uint32_t gone[RUN_BURST];
	struct wan_item it;
	int sent = 0, n;

	do {
		int runs = 0;

		for (n = 0; n < RUN_BURST && runs < RUN_BURST; runs++) {
			if (!wan_hold_due(p->hold, now + p->slack, &it))
				break;
			if (send_item(p, &it, now))
				gone[n++] = it.frame;
		}
		if (runs)
			p->out.flush(p->out.ctx);
		for (int i = 0; i < n; i++)
			wan_hold_unref(p->hold, gone[i]);
		sent += runs;
		n = runs;
	} while (n == RUN_BURST);
	return sent;
}

uint64_t wan_path_next(const struct wan_path *p)
{
	return wan_hold_next(p->hold);
}

uint64_t wan_path_min_delay(const struct wan_path *p)
{
	return p->cfg.rtt_lo - p->cfg.jitter;
}
