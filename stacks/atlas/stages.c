/* stages: see stages.h. The idea here: a turn's cycles are kept apart until it is known whether it
 * moved anything, so that looking for work is not taken for work. */
#include "stacks/atlas/stages.h"

#include <string.h>

#include "base/clock.h"

#define PROBES 1024 /* borders crossed to learn what one costs */

const char *const stage_name[STAGE_COUNT] = {
#define F(name, text) #name,
	STAGES(F)
#undef F
};

static uint64_t border_cost(struct stages *s)
{
	uint64_t best = UINT64_MAX;

	for (int round = 0; round < 8; round++) { /* the quickest was not interrupted */
		uint64_t t0 = stages_now(), d;

		for (int i = 0; i < PROBES; i++)
			stage_enter(s, i & 1 ? STAGE_other : STAGE_tcp);
		d = (stages_now() - t0 + PROBES / 2) / PROBES;
		best = d < best ? d : best;
	}
	return best;
}

void stages_start(struct stages *s)
{
	uint64_t cost;

	memset(s, 0, sizeof *s);
	s->on = true;
	s->since = stages_now();
	cost = border_cost(s);
	memset(s->turn, 0, sizeof s->turn);
	s->n = (struct stage_counts){.on = 1, .border_cycles = cost};
	s->at = STAGE_other;
	s->start_ns = clock_ns();
	s->start_tsc = s->since = stages_now();
}

void stages_turn(struct stages *s, bool useful)
{
	if (!s->on)
		return;
	stage_enter(s, STAGE_other);
	for (int i = 0; i < STAGE_COUNT; i++) {
		s->n.cycles[useful || i == STAGE_idle ? i : STAGE_empty] += s->turn[i];
		s->turn[i] = 0;
	}
}

void stages_get(const struct stages *s, struct stage_counts *out)
{
	uint64_t ns = clock_ns() - s->start_ns, d = stages_now() - s->start_tsc;

	*out = s->n;
	out->hz = s->on && ns ? (uint64_t)((double)d / (double)ns * 1e9 + 0.5) : 0;
}
