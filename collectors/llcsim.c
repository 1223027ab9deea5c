/* llcsim: the cache of llcsim.h.
 *
 * One idea: a set is three short arrays (tags, last use, state) searched from end to end. No list
 * is kept in order, because a line's way must not change: which ways DMA may use is the point.
 *
 * The time of last use is one 64-bit counter that never wraps. Limits: one cache level, inclusive
 * of nothing; physical placement is the caller's.
 *
 * Intel 64 and IA-32 SDM, 17.16 (LLC ways); "Intel Data Direct I/O Technology: a primer" (2012).
 */
#include "collectors/llcsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const llc_kind_name[LLC_KINDS] = {
	[LLC_READ] = "cpu_read",
	[LLC_WRITE] = "cpu_write",
	[LLC_WRITE_LINE] = "cpu_write_line",
	[LLC_WRITEBACK] = "cpu_writeback",
	[LLC_DMA_IN] = "dma_in",
	[LLC_DMA_OUT] = "dma_out",
};

#define DIRTY	    1u
#define NOWHERE	    UINT64_MAX
#define OWNER(st)   ((st) >> 5)
#define KIND(st)    (((st) >> 1) & 15u)
#define STATE(o, k) ((uint8_t)((o) << 5 | (k) << 1 | DIRTY))

_Static_assert(LLC_KINDS <= 16 && LLC_OWNERS <= 8, "a line's state is one byte");

struct llcsim {
	struct llcsim_cfg cfg;
	unsigned int line_shift;
	uint64_t sets, slice_sets, clock;
	uint64_t *tag;	/* line number + 1; 0: empty */
	uint64_t *used; /* clock of the last use */
	uint8_t *state; /* DIRTY, and who made it so */
	struct llc_count count[LLC_OWNERS][LLC_KINDS];
};

int llcsim_new(struct llcsim **out, const struct llcsim_cfg *cfg)
{
	unsigned int line = cfg->line ? cfg->line : 64, sample = cfg->sample ? cfg->sample : 1;
	unsigned int slices = cfg->index == LLC_SLICED ? cfg->slices : 1;
	struct llcsim *s;
	uint64_t n;

	if (!cfg->ways || cfg->ways > LLC_WAYS_MAX || cfg->ddio > cfg->ways || line & (line - 1) ||
	    !cfg->bytes || cfg->bytes % ((uint64_t)line * cfg->ways))
		return -EINVAL;
	n = cfg->bytes / line / cfg->ways;
	if (n % sample || !slices || n % slices || n > UINT32_MAX)
		return -EINVAL;
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	s->cfg.line = line;
	s->cfg.sample = sample;
	s->line_shift = (unsigned int)__builtin_ctz(line);
	s->sets = n;
	s->slice_sets = n / slices;
	n = n / sample * cfg->ways;
	s->tag = calloc(n, sizeof *s->tag);
	s->used = calloc(n, sizeof *s->used);
	s->state = calloc(n, sizeof *s->state);
	if (!s->tag || !s->used || !s->state) {
		llcsim_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

void llcsim_free(struct llcsim *s)
{
	if (!s)
		return;
	free(s->tag);
	free(s->used);
	free(s->state);
	free(s);
}

/* The output function of SplitMix64, a bijection that mixes well. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* [0, n) by the upper half of a hash: a multiplication instead of a division. */
static uint64_t scale(uint64_t hash, uint64_t n)
{
	return (hash >> 32) * n >> 32;
}

/* Where the ways of a line's set begin; NOWHERE if the set is not simulated. */
static uint64_t set_of(const struct llcsim *s, uint64_t line)
{
	uint32_t set, sample = s->cfg.sample;

	if (s->cfg.index == LLC_HASHED)
		set = (uint32_t)scale(mix(line), s->sets);
	else
		set = (uint32_t)(line % s->slice_sets);
	if (s->cfg.index == LLC_SLICED)
		set += (uint32_t)(scale(mix(line), s->cfg.slices) * s->slice_sets);
	if (sample == 1)
		return (uint64_t)set * s->cfg.ways;
	return set % sample ? NOWHERE : (uint64_t)(set / sample) * s->cfg.ways;
}

/* The way that holds `line`, or NOWHERE. */
static uint64_t find(const struct llcsim *s, uint64_t base, uint64_t line)
{
	const uint64_t *tag = s->tag + base;

	for (unsigned int i = 0; i < s->cfg.ways; i++)
		if (tag[i] == line + 1)
			return base + i;
	return NOWHERE;
}

static void write_back(struct llcsim *s, uint64_t at)
{
	uint8_t st = s->state[at];

	if (st & DIRTY)
		s->count[OWNER(st)][KIND(st)].writes++;
	s->state[at] = 0;
}

/* Room for `line` in ways [first, ways): an empty one, or the one that was not used for longest. */
static uint64_t allocate(struct llcsim *s, uint64_t base, unsigned int first, uint64_t line)
{
	uint64_t best = base + first;

	for (uint64_t i = base + first; i < base + s->cfg.ways; i++) {
		if (!s->tag[i]) {
			best = i;
			break;
		}
		if (s->used[i] < s->used[best])
			best = i;
	}
	write_back(s, best);
	s->tag[best] = line + 1;
	return best;
}

static void cpu_touch(struct llcsim *s, enum llc_kind kind, unsigned int owner, uint64_t line,
		      uint64_t base, bool whole)
{
	struct llc_count *c = &s->count[owner][kind];
	uint64_t at = find(s, base, line);

	if (at != NOWHERE) {
		c->hits++;
	} else if (kind == LLC_WRITEBACK) {
		c->writes++;
		return;
	} else {
		at = allocate(s, base, 0, line);
		c->reads += kind != LLC_WRITE_LINE || !whole;
	}
	if (kind != LLC_WRITEBACK)
		s->used[at] = ++s->clock;
	if (kind != LLC_READ)
		s->state[at] = STATE(owner, kind);
}

static void dma_in(struct llcsim *s, unsigned int owner, uint64_t line, uint64_t base, bool whole)
{
	struct llc_count *c = &s->count[owner][LLC_DMA_IN];
	uint64_t at = find(s, base, line);

	c->hits += at != NOWHERE;
	if (!s->cfg.ddio) { /* merged with what was cached: one write, and the line is gone */
		c->writes++;
		if (at != NOWHERE)
			s->tag[at] = s->state[at] = 0;
		return;
	}
	if (at == NOWHERE) {
		at = allocate(s, base, s->cfg.ways - s->cfg.ddio, line);
		c->reads += !whole;
	}
	s->used[at] = ++s->clock;
	s->state[at] = STATE(owner, LLC_DMA_IN);
}

static void dma_out(struct llcsim *s, unsigned int owner, uint64_t line, uint64_t base)
{
	struct llc_count *c = &s->count[owner][LLC_DMA_OUT];

	if (find(s, base, line) != NOWHERE)
		c->hits++;
	else
		c->reads++;
}

void llcsim_touch(struct llcsim *s, enum llc_kind kind, unsigned int owner, uint64_t addr,
		  uint64_t len)
{
	uint64_t first = addr >> s->line_shift, last = (addr + len - 1) >> s->line_shift;

	if (!len)
		return;
	s->count[owner][kind].all += last - first + 1;
	for (uint64_t line = first; line <= last; line++) {
		uint64_t base = set_of(s, line), from = line << s->line_shift;
		bool whole = from >= addr && from + s->cfg.line <= addr + len;

		if (base == NOWHERE)
			continue;
		s->count[owner][kind].lines++;
		if (kind == LLC_DMA_IN)
			dma_in(s, owner, line, base, whole);
		else if (kind == LLC_DMA_OUT)
			dma_out(s, owner, line, base);
		else
			cpu_touch(s, kind, owner, line, base, whole);
	}
}

static uint64_t slots(const struct llcsim *s)
{
	return s->sets / s->cfg.sample * s->cfg.ways;
}

void llcsim_flush(struct llcsim *s)
{
	for (uint64_t i = 0; i < slots(s); i++) {
		write_back(s, i);
		s->tag[i] = 0;
	}
}

void llcsim_reset(struct llcsim *s)
{
	memset(s->count, 0, sizeof s->count);
}

const struct llc_count *llcsim_count(const struct llcsim *s, unsigned int owner, enum llc_kind kind)
{
	return &s->count[owner][kind];
}

struct llc_count llcsim_total(const struct llcsim *s)
{
	struct llc_count t = {0};

	for (unsigned int o = 0; o < LLC_OWNERS; o++) {
		for (unsigned int k = 0; k < LLC_KINDS; k++) {
			t.all += s->count[o][k].all;
			t.lines += s->count[o][k].lines;
			t.hits += s->count[o][k].hits;
			t.reads += s->count[o][k].reads;
			t.writes += s->count[o][k].writes;
		}
	}
	return t;
}

unsigned int llcsim_line(const struct llcsim *s)
{
	return s->cfg.line;
}

uint64_t llcsim_sets(const struct llcsim *s)
{
	return s->sets;
}

uint64_t llcsim_present(const struct llcsim *s, uint64_t addr, uint64_t len)
{
	uint64_t n = 0;

	for (uint64_t line = addr >> s->line_shift;
	     len && line <= (addr + len - 1) >> s->line_shift; line++) {
		uint64_t base = set_of(s, line);

		n += base != NOWHERE && find(s, base, line) != NOWHERE;
	}
	return n;
}

uint64_t llcsim_dirty(const struct llcsim *s)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < slots(s); i++)
		n += s->state[i] & DIRTY;
	return n;
}
