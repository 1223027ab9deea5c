/* sim: the back end over a software controller (simctl.c), for tests and what-if figures.
 *
 * The one idea: host and controller run in the same thread. The controller gets its turn when the
 * host submits or reaps. In virtual time (the default) the clock jumps to the next completion when
 * the host asks and nothing waits; in real time (time=real) completions appear when the clock says
 * so.
 *
 * Limits: one namespace; what the host's own work costs does not move virtual time. Results are
 * simulated and labelled so (nvme_simulated).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stacks/atlas/nvme/simctl.h"

#define ENTRIES_MAX 4096u
#define SPIN_NS	    50000 /* shorter waits are not slept */

struct sim {
	struct qpair q;
	struct simctl c;
	struct dma mem; /* of the queues */
	uint32_t bell[2];
	uint64_t now; /* virtual */
	struct sim_model m;
};

/* Enough entries for `depth` commands, and for the parts of some large ones. */
static uint32_t entries_for(unsigned int depth)
{
	uint32_t n = 64;

	while (n <= depth && n < ENTRIES_MAX)
		n *= 2;
	return n < ENTRIES_MAX ? n * 2 : n;
}

static int set_up(struct nvme *n, struct sim *s, struct errbuf *e)
{
	struct dma data = {n->region, (uintptr_t)n->region, n->region_bytes};
	uint32_t entries = entries_for(n->depth);
	int err;

	if (n->depth > ENTRIES_MAX - 1)
		return errf(e, -EINVAL, "a simulated queue takes at most %u commands, not %u",
			    ENTRIES_MAX - 1, n->depth);
	s->mem.bytes = qpair_bytes(entries);
	s->mem.va = aligned_alloc(NVME_PAGE, s->mem.bytes);
	s->mem.iova = (uintptr_t)s->mem.va;
	err = s->mem.va ? qpair_init(&s->q, entries, &s->mem, &data, &s->bell[0], &s->bell[1])
			: -ENOMEM;
	if (!err)
		err = simctl_init(&s->c, &s->m, &s->q, &s->mem, &data);
	if (!err)
		err = nvme_ns_table(n, 1);
	if (err)
		return errf(e, err, "no memory for a simulated controller");
	n->ns[1].state = NS_READY;
	n->ns[1].info = (struct nvme_ns_info){
		.bytes = s->m.capacity,
		.block = s->m.block,
		.mem_align = 4,
		.max_io = s->m.max_transfer,
	};
	n->max_len = s->m.max_transfer * (entries / 2 - 1);
	return 0;
}

static void sim_close(struct nvme *n)
{
	struct sim *s = n->priv;

	simctl_free(&s->c);
	qpair_free(&s->q);
	free(s->mem.va);
	free(s);
}

static int sim_open(struct nvme *n, const char *arg, const struct nvme_cfg *cfg, struct errbuf *e)
{
	struct sim *s = calloc(1, sizeof *s);
	int err;

	(void)cfg;
	n->priv = s;
	if (!s)
		return errf(e, -ENOMEM, "no memory for a simulated controller");
	err = sim_model_load(&s->m, arg, e);
	if (!err)
		err = set_up(n, s, e);
	if (err) {
		sim_close(n);
		return err;
	}
	memcpy(n->model, s->m.name, sizeof n->model);
	n->simulated = true;
	if (!s->m.real_time)
		n->virtual_ns = &s->now;
	return 0;
}

static unsigned int sim_stage(struct nvme *n, struct iodesc **d, unsigned int count)
{
	struct sim *s = n->priv;
	unsigned int i;

	for (i = 0; i < count && qpair_put(&s->q, d[i], &n->ns[1].info); i++)
		;
	return i;
}

static uint64_t step(struct nvme *n, struct sim *s)
{
	uint64_t now = nvme_clock(n);

	simctl_step(&s->c, now);
	return now;
}

/* Let time pass until the controller does something, at most until `limit`. */
static void pass_time(struct nvme *n, struct sim *s, uint64_t limit)
{
	uint64_t next = simctl_next(&s->c), now = nvme_clock(n);

	if (next > limit)
		next = limit;
	if (!s->m.real_time) {
		if (next > s->now)
			s->now = next;
	} else if (next > now + SPIN_NS) {
		struct timespec ts = {.tv_sec = (time_t)((next - now) / NSEC_PER_SEC),
				      .tv_nsec = (long)((next - now) % NSEC_PER_SEC)};

		n->stats.syscalls++;
		nanosleep(&ts, NULL);
	}
}

static int sim_enter(struct nvme *n, unsigned int min, uint64_t timeout_ns)
{
	struct sim *s = n->priv;
	uint64_t now, limit;

	qpair_ring(&s->q);
	n->unsent = false;
	now = step(n, s);
	limit = now + timeout_ns;
	while (simctl_posted(&s->c) < min && now < limit) {
		pass_time(n, s, limit);
		now = step(n, s);
	}
	return 0;
}

static int sim_reap(struct nvme *n, int max)
{
	struct sim *s = n->priv;

	n->now = step(n, s);
	/* Nobody waits in virtual time: what comes next is now. */
	while (!s->m.real_time && !simctl_posted(&s->c) && simctl_next(&s->c) != UINT64_MAX) {
		pass_time(n, s, UINT64_MAX);
		n->now = step(n, s);
	}
	return qpair_reap(&s->q, n, max);
}

const struct nvme_backend nvme_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.stage = sim_stage,
	.enter = sim_enter,
	.reap = sim_reap,
};
