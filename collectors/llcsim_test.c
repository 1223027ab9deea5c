/* llcsim against closed forms, and against an independent slow cache on random traces. */
#include "collectors/llcsim.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define LINE 64ull
#define SETS 256ull
#define WAYS 8u
#define CAP  (SETS * WAYS * LINE) /* 128 KiB */

static struct llcsim *cache(unsigned int ddio)
{
	struct llcsim_cfg cfg = {.bytes = CAP, .ways = WAYS, .ddio = ddio};
	struct llcsim *s;

	assert_int_equal(llcsim_new(&s, &cfg), 0);
	return s;
}

static void expect(const struct llcsim *s, enum llc_kind kind, uint64_t lines, uint64_t hits,
		   uint64_t reads, uint64_t writes)
{
	const struct llc_count *c = llcsim_count(s, 0, kind);

	assert_int_equal(c->lines, lines);
	assert_int_equal(c->hits, hits);
	assert_int_equal(c->reads, reads);
	assert_int_equal(c->writes, writes);
}

static void walk(struct llcsim *s, enum llc_kind kind, uint64_t at, uint64_t lines)
{
	llcsim_touch(s, kind, 0, at, lines * LINE);
}

/* ---- closed forms ---- */

static void test_cfg(void **state)
{
	static const struct llcsim_cfg bad[] = {
		{.bytes = CAP},
		{.bytes = CAP, .ways = LLC_WAYS_MAX + 1},
		{.bytes = CAP, .ways = 4, .ddio = 5},
		{.bytes = CAP + 1, .ways = 4},
		{.bytes = 0, .ways = 4},
		{.bytes = CAP, .ways = 4, .line = 48},
		{.bytes = CAP, .ways = 8, .sample = 3},
		{.bytes = CAP, .ways = 8, .index = LLC_SLICED},
		{.bytes = CAP, .ways = 8, .index = LLC_SLICED, .slices = 3},
	};
	struct llcsim *s;

	(void)state;
	for (unsigned int i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(llcsim_new(&s, &bad[i]), -EINVAL);
	llcsim_free(NULL);
}

/* A walk that fits: only cold misses, however often it is repeated. */
static void test_small_walk(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	for (int pass = 0; pass < 5; pass++)
		walk(s, LLC_READ, 1 << 20, SETS * WAYS);
	expect(s, LLC_READ, 5 * SETS * WAYS, 4 * SETS * WAYS, SETS * WAYS, 0);
	llcsim_free(s);
}

/* A cyclic walk of one line a set too many: LRU misses every time. */
static void test_large_walk(void **state)
{
	uint64_t n = SETS * (WAYS + 1);
	struct llcsim *s = cache(2);

	(void)state;
	for (int pass = 0; pass < 5; pass++)
		walk(s, LLC_READ, 0, n);
	expect(s, LLC_READ, 5 * n, 0, 5 * n, 0);
	llcsim_free(s);
}

/* However often a line is written while it is cached, it is written back once. */
static void test_dirty_once(void **state)
{
	uint64_t n = SETS * WAYS * 3;
	struct llcsim *s = cache(2);

	(void)state;
	for (uint64_t i = 0; i < n; i++)
		for (int again = 0; again < 3; again++)
			walk(s, LLC_WRITE, i * LINE, 1);
	expect(s, LLC_WRITE, 3 * n, 2 * n, n, n - SETS * WAYS);
	assert_int_equal(llcsim_dirty(s), SETS * WAYS);
	llcsim_flush(s);
	expect(s, LLC_WRITE, 3 * n, 2 * n, n, n);
	llcsim_flush(s);
	assert_int_equal(llcsim_count(s, 0, LLC_WRITE)->writes, n);
	assert_int_equal(llcsim_present(s, 0, n * LINE), 0);
	llcsim_free(s);
}

/* Partly touched lines are whole lines. */
static void test_bytes(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	llcsim_touch(s, LLC_READ, 0, 63, 2);
	llcsim_touch(s, LLC_READ, 0, 64, 64);
	llcsim_touch(s, LLC_READ, 0, 0, 0);
	expect(s, LLC_READ, 3, 1, 2, 0);
	llcsim_free(s);
}

/* Disk data evicts nothing outside the DDIO ways. */
static void test_ddio_confined(void **state)
{
	uint64_t all = SETS * WAYS, ddio = SETS * 2;
	struct llcsim *s = cache(2);

	(void)state;
	walk(s, LLC_READ, 0, all);
	walk(s, LLC_DMA_IN, 1 << 24, 10 * all);
	assert_int_equal(llcsim_present(s, 0, CAP), all - ddio);
	assert_int_equal(llcsim_present(s, 1 << 24, 10 * CAP), ddio);
	expect(s, LLC_DMA_IN, 10 * all, 0, 0, 10 * all - ddio);
	llcsim_free(s);
}

/* A present line is updated where it is, also outside the DDIO ways. */
static void test_ddio_update(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	walk(s, LLC_READ, 0, SETS * WAYS);
	walk(s, LLC_DMA_IN, 0, SETS * WAYS);
	expect(s, LLC_DMA_IN, SETS * WAYS, SETS * WAYS, 0, 0);
	llcsim_flush(s);
	assert_int_equal(llcsim_count(s, 0, LLC_DMA_IN)->writes, SETS * WAYS);
	llcsim_free(s);
}

/* A CPU may use all ways, those of DMA too. */
static void test_cpu_takes_ddio_ways(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	walk(s, LLC_DMA_IN, 1 << 24, SETS * 2);
	walk(s, LLC_READ, 0, SETS * WAYS);
	assert_int_equal(llcsim_present(s, 0, CAP), SETS * WAYS);
	expect(s, LLC_DMA_IN, SETS * 2, 0, 0, SETS * 2);
	llcsim_free(s);
}

static void test_without_ddio(void **state)
{
	struct llcsim *s = cache(0);

	(void)state;
	walk(s, LLC_WRITE, 0, 100);
	walk(s, LLC_DMA_IN, 0, 200); /* dirty lines are replaced, not written as well */
	expect(s, LLC_DMA_IN, 200, 100, 0, 200);
	expect(s, LLC_WRITE, 100, 0, 100, 0);
	walk(s, LLC_READ, 0, 200);
	expect(s, LLC_READ, 200, 0, 200, 0);
	llcsim_free(s);
}

/* A device that writes a part of a line fetches the rest, if it is not there. */
static void test_dma_parts(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	llcsim_touch(s, LLC_DMA_IN, 0, 32, 64); /* two halves */
	llcsim_touch(s, LLC_DMA_IN, 0, 0, 100); /* there already */
	llcsim_touch(s, LLC_DMA_IN, 0, 4096, 64);
	expect(s, LLC_DMA_IN, 5, 2, 2, 0);
	llcsim_free(s);
}

/* A device's read allocates nothing and keeps nothing young. */
static void test_dma_out(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	walk(s, LLC_DMA_OUT, 0, 10);
	walk(s, LLC_DMA_OUT, 0, 10);
	expect(s, LLC_DMA_OUT, 20, 0, 20, 0);
	for (uint64_t w = 0; w < WAYS; w++)
		walk(s, LLC_READ, w * SETS * LINE, 1);
	walk(s, LLC_DMA_OUT, 0, 1);		  /* the oldest of set 0: a hit ... */
	walk(s, LLC_READ, WAYS * SETS * LINE, 1); /* ... that is evicted all the same */
	assert_int_equal(llcsim_present(s, 0, LINE), 0);
	expect(s, LLC_DMA_OUT, 21, 1, 20, 0);
	llcsim_free(s);
}

/* A copy larger than the cache reads 2 and writes 1 line a line if stores fetch, else 1 and 1. */
static void test_copy(void **state)
{
	uint64_t n = SETS * WAYS * 8;

	(void)state;
	for (int fetch = 0; fetch < 2; fetch++) {
		struct llcsim *s = cache(2);
		struct llc_count t;

		for (uint64_t i = 0; i < n; i++) {
			walk(s, LLC_READ, i * LINE, 1);
			walk(s, fetch ? LLC_WRITE : LLC_WRITE_LINE, (1 << 24) + i * LINE, 1);
		}
		llcsim_flush(s);
		t = llcsim_total(s);
		assert_int_equal(t.reads, fetch ? 2 * n : n);
		assert_int_equal(t.writes, n);
		assert_int_equal(t.hits, 0);
		llcsim_free(s);
	}
}

/* Whole-line stores still fetch the lines they only touch in part. */
static void test_store_edges(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	llcsim_touch(s, LLC_WRITE_LINE, 0, 60, 64 + 8);
	expect(s, LLC_WRITE_LINE, 3, 0, 2, 0);
	llcsim_free(s);
}

static void test_writeback(void **state)
{
	struct llcsim *s = cache(2);

	(void)state;
	walk(s, LLC_READ, 0, 4);
	walk(s, LLC_WRITEBACK, 0, 8); /* four are there, four go to memory */
	expect(s, LLC_WRITEBACK, 8, 4, 0, 4);
	llcsim_flush(s);
	expect(s, LLC_WRITEBACK, 8, 4, 0, 8);
	llcsim_free(s);
}

/* A pool of `pool` buffers of 4 KiB with `busy` of them filled before they leave; free list LIFO or
 * FIFO. 32 rounds of warm-up, then 32 that are counted. */
static struct llc_count pool_run(struct llcsim *s, unsigned int pool, unsigned int busy, bool fifo)
{
	unsigned int list[64], n = pool, out[64];

	for (unsigned int i = 0; i < pool; i++)
		list[i] = i;
	for (int round = 0; round < 64; round++) {
		if (round == 32)
			llcsim_reset(s);
		for (unsigned int i = 0; i < busy; i++) {
			if (fifo) {
				out[i] = list[0];
				memmove(list, list + 1, --n * sizeof *list);
			} else {
				out[i] = list[--n];
			}
			llcsim_touch(s, LLC_DMA_IN, 0, out[i] * 4096ull, 4096);
		}
		for (unsigned int i = 0; i < busy; i++)
			llcsim_touch(s, LLC_DMA_OUT, 0, out[i] * 4096ull, 4096);
		for (unsigned int i = busy; i-- > 0;)
			list[n++] = out[i];
	}
	return llcsim_total(s);
}

/* Two of eight ways hold 8 buffers of 4 KiB. */
static void test_pools(void **state)
{
	static const struct {
		unsigned int pool, busy;
		bool fifo;
		uint64_t reads, writes; /* buffers a round */
	} c[] = {
		{48, 1, false, 0, 0},	/* LIFO: one buffer, whatever the pool has */
		{48, 8, false, 0, 0},	/* as many as DDIO holds */
		{8, 1, true, 0, 0},	/* a FIFO pool that DDIO holds */
		{48, 1, true, 0, 1},	/* too large: each fill evicts a dirty buffer, yet it leaves
					 * from the cache */
		{12, 1, true, 0, 1},	/* one a set too many is as bad */
		{48, 12, false, 4, 12}, /* LIFO, but more in flight than DDIO holds: the last 8 of
					 * 12 filled are still there */
		{48, 12, true, 4, 12},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof c / sizeof *c; i++) {
		struct llcsim *s = cache(2);
		struct llc_count t = pool_run(s, c[i].pool, c[i].busy, c[i].fifo);

		assert_int_equal(t.reads, 32 * c[i].reads * 64);
		assert_int_equal(t.writes, 32 * c[i].writes * 64);
		llcsim_free(s);
	}
}

/* How evenly lines 0, stride, 2 stride, ... of `n` fill the sets: the share that a full walk leaves
 * cached. */
static double share_kept(const struct llcsim_cfg *cfg, uint64_t n, uint64_t stride)
{
	uint64_t kept = 0;
	struct llcsim *s;

	assert_int_equal(llcsim_new(&s, cfg), 0);
	for (uint64_t i = 0; i < n; i++)
		walk(s, LLC_READ, i * stride * LINE, 1);
	for (uint64_t i = 0; i < n; i++)
		kept += llcsim_present(s, i * stride * LINE, LINE);
	llcsim_free(s);
	return (double)kept / (double)n;
}

/* Half as many lines as the cache has, at any stride: by modulo all or a fraction stay; hashed, as
 * many as Poisson's law lets through (mean 4, 8 ways: 99.2 %); sliced, even within a slice. */
static void test_index(void **state)
{
	static const uint64_t stride[] = {1, 16, 256, 4096};
	struct llcsim_cfg cfg = {.bytes = 16 * CAP, .ways = WAYS, .slices = 4};
	uint64_t n = 16 * SETS * WAYS / 2;

	(void)state;
	assert_true(share_kept(&cfg, n, 1) == 1.0);
	assert_true(share_kept(&cfg, n, 16) == 2.0 / 16);
	cfg.index = LLC_HASHED;
	for (int i = 0; i < 4; i++)
		assert_true(fabs(share_kept(&cfg, n, stride[i]) - 0.992) < 0.002);
	cfg.index = LLC_SLICED;
	assert_true(share_kept(&cfg, n, 1) > 0.97);
	assert_true(share_kept(&cfg, n, 1024) < 0.01); /* 1024 sets a slice: one index of each */
}

/* One set in eight, multiplied: exact on contiguous memory, close on random lines. */
static void test_sampling(void **state)
{
	struct llcsim_cfg cfg = {
		.bytes = 16 * CAP, .ways = WAYS, .ddio = 2, .index = LLC_SLICED, .slices = 8};
	struct llc_count whole, part;
	struct llcsim *s[2];
	struct rng r;

	(void)state;
	assert_int_equal(llcsim_new(&s[0], &cfg), 0);
	cfg.sample = 8;
	assert_int_equal(llcsim_new(&s[1], &cfg), 0);
	for (int i = 0; i < 2; i++) {
		walk(s[i], LLC_WRITE, 0, 20 * SETS * WAYS);
		walk(s[i], LLC_DMA_IN, 1 << 28, 7 * SETS * WAYS);
		llcsim_flush(s[i]);
	}
	whole = llcsim_total(s[0]);
	part = llcsim_total(s[1]);
	assert_int_equal(part.all, whole.all);
	assert_int_equal(part.all, part.lines * 8);
	assert_int_equal(part.reads * 8, whole.reads);
	assert_int_equal(part.writes * 8, whole.writes);
	for (int i = 0; i < 2; i++) {
		llcsim_reset(s[i]);
		rng_seed(&r, 5);
		for (int k = 0; k < 400000; k++)
			walk(s[i], k % 3 ? LLC_READ : LLC_WRITE,
			     rng_below(&r, 24 * SETS * WAYS) * LINE, 1);
	}
	whole = llcsim_total(s[0]);
	part = llcsim_total(s[1]);
	assert_true(llabs((long long)(part.reads * 8) - (long long)whole.reads) <
		    (long long)whole.reads / 25);
	llcsim_free(s[0]);
	llcsim_free(s[1]);
}

/* ---- the slow cache: one list, most recent first, searched from its head ---- */

#define SLOW_LINES 4096

struct slow_line {
	uint64_t line;
	unsigned int way, owner;
	int dirty; /* kind that wrote it last, or -1 */
};

struct slow {
	unsigned int ways, ddio;
	uint64_t sets;
	struct slow_line v[SLOW_LINES];
	int n;
	struct llc_count c[LLC_OWNERS][LLC_KINDS];
};

static struct slow_line slow_remove(struct slow *m, int i)
{
	struct slow_line l = m->v[i];

	memmove(&m->v[i], &m->v[i + 1], (size_t)(--m->n - i) * sizeof m->v[0]);
	return l;
}

static void slow_front(struct slow *m, struct slow_line l)
{
	assert_true(m->n < SLOW_LINES);
	memmove(&m->v[1], &m->v[0], (size_t)m->n++ * sizeof m->v[0]);
	m->v[0] = l;
}

/* The way of a new line in a way >= first: the lowest free one, else the oldest line's. */
static unsigned int slow_way(struct slow *m, uint64_t line, unsigned int first)
{
	uint64_t taken = 0;
	int oldest = -1;

	for (int i = 0; i < m->n; i++) {
		if (m->v[i].line % m->sets != line % m->sets)
			continue;
		taken |= 1ull << m->v[i].way;
		if (m->v[i].way >= first)
			oldest = i;
	}
	for (unsigned int w = first; w < m->ways; w++)
		if (!(taken >> w & 1))
			return w;
	struct slow_line l = slow_remove(m, oldest);
	if (l.dirty >= 0)
		m->c[l.owner][l.dirty].writes++;
	return l.way;
}

static void slow_line_touch(struct slow *m, enum llc_kind kind, unsigned int owner, uint64_t line,
			    bool whole)
{
	struct llc_count *c = &m->c[owner][kind];
	struct slow_line l = {.line = line, .owner = owner, .dirty = -1};
	int at = -1;

	for (int i = 0; i < m->n; i++)
		if (m->v[i].line == line)
			at = i;
	c->all++;
	c->lines++;
	c->hits += at >= 0;
	if (kind == LLC_DMA_OUT) {
		c->reads += at < 0;
		return;
	}
	if (kind == LLC_WRITEBACK) {
		if (at < 0) {
			c->writes++;
		} else {
			m->v[at].dirty = LLC_WRITEBACK;
			m->v[at].owner = owner;
		}
		return;
	}
	if (kind == LLC_DMA_IN && !m->ddio) {
		c->writes++;
		if (at >= 0)
			slow_remove(m, at);
		return;
	}
	if (at >= 0) {
		l = slow_remove(m, at);
	} else {
		l.way = slow_way(m, line, kind == LLC_DMA_IN ? m->ways - m->ddio : 0);
		c->reads += kind == LLC_READ || kind == LLC_WRITE || !whole;
	}
	if (kind != LLC_READ) {
		l.dirty = (int)kind;
		l.owner = owner;
	}
	slow_front(m, l);
}

static void slow_touch(struct slow *m, enum llc_kind kind, unsigned int owner, uint64_t addr,
		       uint64_t len)
{
	uint64_t end = addr + len;

	while (addr < end) {
		uint64_t line = addr / LINE, stop = (line + 1) * LINE;

		if (stop > end)
			stop = end;
		slow_line_touch(m, kind, owner, line, stop - addr == LINE);
		addr = stop;
	}
}

static void random_trace(uint64_t seed)
{
	static struct slow m;
	struct llcsim_cfg cfg = {0};
	struct llcsim *s;
	struct rng r;
	uint64_t span;

	rng_seed(&r, seed);
	memset(&m, 0, sizeof m);
	m.ways = 1 + (unsigned int)rng_below(&r, 12);
	m.ddio = (unsigned int)rng_below(&r, m.ways + 1);
	m.sets = 1 + rng_below(&r, 24);
	cfg.ways = m.ways;
	cfg.ddio = m.ddio;
	cfg.bytes = m.sets * m.ways * LINE;
	assert_int_equal(llcsim_new(&s, &cfg), 0);
	span = cfg.bytes / 2 + rng_below(&r, 3 * cfg.bytes);
	for (int i = 0; i < 4000; i++) {
		enum llc_kind kind = (enum llc_kind)rng_below(&r, LLC_KINDS);
		unsigned int owner = (unsigned int)rng_below(&r, LLC_OWNERS);
		uint64_t addr = rng_below(&r, span), len = rng_below(&r, 400);

		if (rng_below(&r, 3) == 0) { /* whole lines */
			addr -= addr % LINE;
			len = (1 + len % 4) * LINE;
		}
		llcsim_touch(s, kind, owner, addr, len);
		slow_touch(&m, kind, owner, addr, len);
		if (i % 97 == 0)
			for (unsigned int o = 0; o < LLC_OWNERS; o++)
				for (unsigned int k = 0; k < LLC_KINDS; k++)
					assert_memory_equal(llcsim_count(s, o, (enum llc_kind)k),
							    &m.c[o][k], sizeof m.c[o][k]);
	}
	for (uint64_t line = 0; line <= span / LINE; line++) {
		bool there = false;

		for (int i = 0; i < m.n; i++)
			there |= m.v[i].line == line;
		assert_int_equal(llcsim_present(s, line * LINE, LINE), there);
	}
	llcsim_free(s);
}

static void test_oracle(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 120; seed++)
		random_trace(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cfg),	     cmocka_unit_test(test_small_walk),
		cmocka_unit_test(test_large_walk),   cmocka_unit_test(test_dirty_once),
		cmocka_unit_test(test_bytes),	     cmocka_unit_test(test_ddio_confined),
		cmocka_unit_test(test_ddio_update),  cmocka_unit_test(test_cpu_takes_ddio_ways),
		cmocka_unit_test(test_without_ddio), cmocka_unit_test(test_dma_parts),
		cmocka_unit_test(test_dma_out),	     cmocka_unit_test(test_copy),
		cmocka_unit_test(test_store_edges),  cmocka_unit_test(test_writeback),
		cmocka_unit_test(test_pools),	     cmocka_unit_test(test_index),
		cmocka_unit_test(test_sampling),     cmocka_unit_test(test_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
