/* model: loss, bottleneck and delay of the WAN box.
 *
 * Bursty loss is the two-state chain of Gilbert (Bell System Technical Journal 39, 1960) and
 * Elliott (1963): in the long run p / (p + r) of the packets meet the bad state, and a burst lasts
 * 1 / r packets on average. The state moves first, then the packet is judged.
 *
 * Limits: one chain and one bottleneck a direction, shared by all flows, as on a real access link.
 */
#include "workloads/wan/model.h"

#include <errno.h>
#include <stdlib.h>

static bool chance(struct rng *r, double p)
{
	return p > 0 && rng_unit(r) < p;
}

void wan_fate_init(struct wan_fate *f, const struct wan_cfg *c, enum wan_dir dir)
{
	*f = (struct wan_fate){.trivial = true};
	rng_seed(&f->rng, rng_mix(c->seed + (uint64_t)dir));
	if (!c->impair[dir])
		return;
	f->loss = c->loss;
	f->late = c->reorder;
	f->twice = c->duplicate;
	f->burst = c->burst;
	f->trivial = !(f->loss > 0 || f->late > 0 || f->twice > 0 || f->burst.p > 0);
}

unsigned int wan_fate_draw(struct wan_fate *f)
{
	unsigned int fate = 0;

	if (f->trivial)
		return 0;
	if (f->burst.p > 0) {
		f->bad = f->bad ? !chance(&f->rng, f->burst.r) : chance(&f->rng, f->burst.p);
		if (f->bad && !chance(&f->rng, f->burst.h))
			return WAN_LOST_BURST;
	}
	if (chance(&f->rng, f->loss))
		return WAN_LOST_RANDOM;
	if (chance(&f->rng, f->late))
		fate |= WAN_LATE;
	if (chance(&f->rng, f->twice))
		fate |= WAN_TWICE;
	return fate;
}

int wan_bottleneck_init(struct wan_bottleneck *b, const struct wan_cfg *c)
{
	*b = (struct wan_bottleneck){.rate = c->rate,
				     .limit_bytes = c->queue_bytes,
				     .limit_packets = c->rate ? c->queue_packets : 0};
	if (!b->limit_packets)
		return 0;
	b->departs = calloc(b->limit_packets, sizeof *b->departs);
	return b->departs ? 0 : -ENOMEM;
}

void wan_bottleneck_free(struct wan_bottleneck *b)
{
	free(b->departs);
	b->departs = NULL;
}

/* A byte that is half sent still waits. */
uint64_t wan_bottleneck_backlog(const struct wan_bottleneck *b, uint64_t now)
{
	unsigned __int128 bit_ns;

	if (!b->rate || b->busy_until <= now)
		return 0;
	bit_ns = (unsigned __int128)(b->busy_until - now) * b->rate;
	return (uint64_t)((bit_ns + 7999999999u) / 8000000000u);
}

uint64_t wan_bottleneck_time(const struct wan_bottleneck *b, uint32_t len)
{
	return b->rate ? len * 8ull * 1000000000ull / b->rate : 0;
}

static bool has_room(struct wan_bottleneck *b, uint64_t now, uint32_t len)
{
	if (!b->limit_packets)
		return wan_bottleneck_backlog(b, now) + len <= b->limit_bytes;
	while (b->n && b->departs[b->head] <= now) {
		b->head = b->head + 1 == b->limit_packets ? 0 : b->head + 1;
		b->n--;
	}
	return b->n < b->limit_packets;
}

uint64_t wan_bottleneck_admit(struct wan_bottleneck *b, uint64_t now, uint32_t len)
{
	uint64_t t;

	if (!b->rate)
		return now;
	if (!has_room(b, now, len))
		return WAN_DROPPED;
	if (b->busy_until < now) {
		b->busy_until = now;
		b->frac = 0;
	}
	t = len * 8ull * 1000000000ull + b->frac;
	b->busy_until += t / b->rate;
	b->frac = t % b->rate;
	if (b->limit_packets)
		b->departs[(b->head + b->n++) % b->limit_packets] = b->busy_until;
	return b->busy_until;
}

uint64_t wan_flow_delay(const struct wan_cfg *c, uint64_t flow)
{
	struct rng r;

	if (c->rtt_lo == c->rtt_hi)
		return c->rtt_lo;
	rng_seed(&r, rng_mix(c->seed ^ rng_mix(flow)));
	return c->rtt_lo + rng_below(&r, c->rtt_hi - c->rtt_lo + 1);
}

int64_t wan_jitter(struct rng *r, uint64_t jitter)
{
	return jitter ? (int64_t)rng_below(r, 2 * jitter + 1) - (int64_t)jitter : 0;
}
