/* qpair_test: rings and PRPs without a device.
 *
 * PRPs are walked back into (address, length) pieces by a slow reader and compared with the buffer;
 * the device is a few lines that complete commands in a random order.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/nvme/qpair.h"

#define ENTRIES 16u
#define BLOCK	512u

/* The oracle: does this command describe exactly [iova, iova + len)? */
static void assert_prps(uint64_t iova, uint32_t len, uint64_t prp1, uint64_t prp2,
			const uint64_t *list, uint64_t list_iova)
{
	uint64_t at = prp1;
	uint32_t done = 0, n = 0;

	while (done < len) {
		uint32_t take = NVME_PAGE - (uint32_t)(at % NVME_PAGE);

		assert_int_equal(at, iova + done);
		if (done)
			assert_int_equal(at % NVME_PAGE, 0);
		if (take > len - done)
			take = len - done;
		done += take;
		if (done == len)
			break;
		if (n == 0 && len - done <= NVME_PAGE) {
			at = prp2;
		} else {
			assert_int_equal(prp2, list_iova);
			assert_true(n < NVME_PRP_LIST);
			at = list[n++];
		}
	}
	assert_int_equal(done, len);
}

static void prps(void **state)
{
	static uint64_t list[NVME_PRP_LIST];
	static const uint32_t edge[] = {1,
					4,
					512,
					4095,
					4096,
					4097,
					8191,
					8192,
					12288,
					8193,
					NVME_PRP_MAX_IO,
					NVME_PRP_MAX_IO - 4096};
	struct rng r;

	(void)state;
	rng_seed(&r, 3);
	for (size_t i = 0; i < sizeof edge / sizeof *edge; i++)
		for (uint64_t o = 0; o < NVME_PAGE; o += o < 16 || o > 4060 ? 4 : 508) {
			uint64_t p1, p2;

			prp_build(0x10000000 + o, edge[i], list, 0xabc000, &p1, &p2);
			assert_prps(0x10000000 + o, edge[i], p1, p2, list, 0xabc000);
		}
	for (int i = 0; i < 20000; i++) {
		uint64_t a = rng_below(&r, 1ull << 50) * 4, p1, p2;
		uint32_t len = (uint32_t)(1 + rng_below(&r, NVME_PRP_MAX_IO));

		prp_build(a, len, list, 0xdef000, &p1, &p2);
		assert_prps(a, len, p1, p2, list, 0xdef000);
	}
}

struct rig {
	struct nvme n;
	struct nvme_ns ns[2];
	struct qpair q;
	struct dma mem, data;
	uint32_t bell[2];
	uint32_t sq_head, cq_tail;
	uint8_t phase;
	unsigned int called;
	int last_res;
};

static void on_done(struct iodesc *d, int res)
{
	struct rig *g = d->cookie;

	g->called++;
	g->last_res = res;
	assert_non_null(d->buf);
	d->buf = NULL; /* twice would fail */
}

static int setup(void **state)
{
	struct rig *g = calloc(1, sizeof *g);

	g->mem.bytes = qpair_bytes(ENTRIES);
	g->mem.va = aligned_alloc(NVME_PAGE, g->mem.bytes);
	g->mem.iova = 0x40000000;
	g->data = (struct dma){
		.va = aligned_alloc(NVME_PAGE, 4 << 20), .iova = 0x80000000, .bytes = 4 << 20};
	assert_int_equal(qpair_init(&g->q, ENTRIES, &g->mem, &g->data, &g->bell[0], &g->bell[1]),
			 0);
	g->n.ns = g->ns;
	g->n.ns_max = 1;
	g->ns[1].state = NS_READY;
	g->ns[1].info = (struct nvme_ns_info){
		.bytes = 1 << 30, .block = BLOCK, .mem_align = 4, .max_io = 65536};
	g->phase = 1;
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;

	qpair_free(&g->q);
	free(g->mem.va);
	free(g->data.va);
	free(g);
	return 0;
}

static void fill(struct rig *g, struct iodesc *d, uint64_t off, uint32_t len)
{
	*d = (struct iodesc){
		.nsid = 1, .off = off, .len = len, .buf = g->data.va, .cb = on_done, .cookie = g};
}

static bool put(struct rig *g, struct iodesc *d)
{
	if (!qpair_put(&g->q, d, &g->ns[1].info))
		return false;
	g->n.outstanding++;
	g->ns[1].outstanding++;
	return true;
}

static void complete(struct rig *g, uint16_t cid, uint16_t status)
{
	struct nvme_cqe *e = &g->q.cq[g->cq_tail];

	e->cid = cid;
	e->status = (uint16_t)(status << 1 | g->phase);
	if (++g->cq_tail == ENTRIES) {
		g->cq_tail = 0;
		g->phase ^= 1;
	}
}

static void fields(void **state)
{
	struct rig *g = *state;
	struct iodesc d;
	const struct nvme_sqe *s = &g->q.sq[0];

	fill(g, &d, (5ull << 32) * BLOCK + 7 * BLOCK, 8192);
	g->ns[1].info.bytes = UINT64_MAX;
	d.op = NVME_OP_WRITE;
	assert_true(put(g, &d));
	assert_int_equal(s->opcode, NVME_CMD_WRITE);
	assert_int_equal(s->nsid, 1);
	assert_int_equal(s->cdw10, 7);
	assert_int_equal(s->cdw11, 5);
	assert_int_equal(s->cdw12, 15); /* 0's based */
	assert_int_equal(s->prp1, 0x80000000);
	assert_int_equal(s->prp2, 0x80001000);
	assert_int_equal(g->bell[0], 0); /* not told yet */
	qpair_ring(&g->q);
	assert_int_equal(g->bell[0], 1);
	qpair_ring(&g->q);
	assert_int_equal(g->q.bells, 1);
	complete(g, s->cid, NVME_SC_LBA_RANGE);
	assert_int_equal(qpair_reap(&g->q, &g->n, 10), 1);
	assert_int_equal(d.status, NVME_SC_LBA_RANGE);
	assert_int_equal(g->last_res, -EIO);
	assert_int_equal(g->bell[1], 1);
	assert_int_equal(g->n.outstanding, 0);
}

/* Fill, complete in random order, over many wraps of both rings. */
static void wraps(void **state)
{
	struct rig *g = *state;
	struct iodesc d[ENTRIES];
	uint16_t flight[ENTRIES];
	unsigned int nflight = 0, total = 0;
	struct rng r;

	rng_seed(&r, 11);
	memset(d, 0, sizeof d);
	while (total < 5000) {
		for (unsigned int want = (unsigned int)rng_below(&r, ENTRIES); want--;) {
			unsigned int i = 0;

			while (i < ENTRIES && d[i].buf)
				i++;
			if (i == ENTRIES)
				break;
			fill(g, &d[i], rng_below(&r, 1000) * BLOCK, BLOCK);
			if (!put(g, &d[i])) {
				d[i].buf = NULL;
				assert_int_equal(nflight + (g->q.sq_tail - g->sq_head + ENTRIES) %
								   ENTRIES,
						 ENTRIES - 1);
				break;
			}
		}
		qpair_ring(&g->q);
		while (g->sq_head != g->bell[0]) {
			flight[nflight++] = g->q.sq[g->sq_head].cid;
			g->sq_head = (g->sq_head + 1) % ENTRIES;
		}
		for (unsigned int k = (unsigned int)rng_below(&r, nflight + 1); k--;) {
			unsigned int j = (unsigned int)rng_below(&r, nflight);

			complete(g, flight[j], 0);
			flight[j] = flight[--nflight];
			total++;
		}
		while (qpair_ready(&g->q))
			assert_true(qpair_reap(&g->q, &g->n, 3) > 0);
		assert_int_equal(g->called, total);
		assert_int_equal(g->bell[1], g->cq_tail);
		assert_int_equal(g->n.outstanding, nflight);
	}
	assert_int_equal(g->q.bad, 0);
}

/* One iodesc longer than the device takes: all parts or none, one callback, first error kept. */
static void splits(void **state)
{
	struct rig *g = *state;
	struct iodesc d, e;
	uint64_t lba = 100;

	fill(g, &d, lba * BLOCK, 5 * 65536 + BLOCK);
	assert_true(put(g, &d));
	for (uint32_t i = 0; i < 6; i++) {
		const struct nvme_sqe *s = &g->q.sq[i];

		assert_int_equal(s->cdw10, lba);
		assert_int_equal(s->prp1, 0x80000000 + i * 65536);
		lba += s->cdw12 + 1u;
	}
	assert_int_equal(lba, 100 + 5 * 128 + 1);
	fill(g, &e, 0, 10 * 65536);
	assert_false(put(g, &e)); /* 9 free */
	assert_int_equal(g->q.sq_tail, 6);
	e.len = 9 * 65536;
	assert_true(put(g, &e));
	for (uint32_t i = 6; i-- > 0;) {
		assert_int_equal(g->called, 0);
		complete(g, g->q.sq[i].cid, i == 3 ? NVME_SC_UNRECOVERED_READ : i == 1 ? 4 : 0);
		qpair_reap(&g->q, &g->n, 100);
	}
	assert_int_equal(g->called, 1);
	assert_int_equal(g->last_res, -EIO);
	assert_int_equal(d.status, NVME_SC_UNRECOVERED_READ);
	for (uint32_t i = 6; i < 15; i++)
		complete(g, g->q.sq[i].cid, 0);
	assert_int_equal(qpair_reap(&g->q, &g->n, 100), 1);
	assert_int_equal(g->last_res, 9 * 65536);
}

/* A device that lies about CIDs must not make us call anything. */
static void bad_cids(void **state)
{
	struct rig *g = *state;
	struct iodesc d;
	uint16_t cid;

	complete(g, 3, 0);
	complete(g, ENTRIES - 1, 0);
	complete(g, 0xffff, 0);
	assert_int_equal(qpair_reap(&g->q, &g->n, 10), 0);
	assert_int_equal(g->q.bad, 3);
	fill(g, &d, 0, BLOCK);
	assert_true(put(g, &d));
	cid = g->q.sq[0].cid;
	complete(g, cid, 0);
	complete(g, cid, 0);
	assert_int_equal(qpair_reap(&g->q, &g->n, 10), 1);
	assert_int_equal(g->q.bad, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prps),
		cmocka_unit_test_setup_teardown(fields, setup, teardown),
		cmocka_unit_test_setup_teardown(wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(splits, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_cids, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
