/* path, hold and frame: GSO frames go in, what comes out is put together again byte by byte; every
 * packet is accounted for; time is virtual. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "stacks/atlas/net/csum.h"
#include "workloads/wan/path.h"

#define MSS    1448
#define HDR    66
#define ISN    0xfffff000u
#define STREAM 4000000
#define MS     NSEC_PER_MSEC

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 1}, mac_b[6] = {2, 0, 0, 0, 0, 2};

/* What came out: how often each byte of the stream, checked as a receiver would. */
struct sink {
	uint8_t seen[STREAM];
	uint64_t runs, packets, bytes, fins, last_now;
	uint32_t high; /* one past the highest byte seen */
	uint32_t out_of_order;
	int block; /* this many emits fail */
};
static struct sink sink;

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t stream_byte(uint32_t i)
{
	return (uint8_t)(i * 131 >> 4);
}

/* Checksums of a frame whose TCP checksum is left to the device are right? */
static void check_sums(const uint8_t *h, const struct pkt_tx *t)
{
	uint32_t l4_len = t->len - 34;

	assert_int_equal(csum_add(h + 14, 20, 0), 0xffff);
	assert_int_equal(h[16] << 8 | h[17], t->len - 14);
	if (t->csum_start)
		assert_int_equal(csum_pseudo4(h + 26, h + 30, 6, l4_len) % 0xffff,
				 (uint16_t)(h[50] | h[51] << 8) % 0xffff);
}

static int emit(void *ctx, const struct wan_frame *f, uint32_t first, uint32_t n, uint64_t now)
{
	uint8_t hdr[WAN_HDR_MAX];
	struct pkt_tx t = {0};
	uint32_t off, len = 0;

	(void)ctx;
	if (sink.block && sink.block--)
		return -EAGAIN;
	wan_frame_cut(f, first, n, mac_a, mac_b, hdr, &t);
	check_sums(hdr, &t);
	assert_memory_equal(hdr, mac_b, 6);
	assert_int_equal(hdr[22], 63);
	off = get32(hdr + 38) - ISN;
	sink.out_of_order += off < sink.high;
	for (int i = 2; i < t.niov; i++) {
		const uint8_t *p = t.iov[i].iov_base;

		for (size_t k = 0; k < t.iov[i].iov_len; k++, len++) {
			assert_true(off + len < STREAM);
			assert_int_equal(p[k], stream_byte(off + len));
			sink.seen[off + len]++;
		}
	}
	assert_int_equal(t.len, HDR + len);
	assert_int_equal(t.gso_size, len > MSS ? MSS : 0);
	assert_true(n == 1 ? len <= MSS : len > (n - 1) * MSS && len <= n * MSS);
	sink.high = off + len > sink.high ? off + len : sink.high;
	sink.fins += hdr[47] & 1;
	sink.runs++;
	sink.packets += n;
	sink.bytes += len;
	sink.last_now = now;
	return 0;
}

static void flush(void *ctx)
{
	(void)ctx;
}

static struct wan_path *make(const char *const *kv, enum wan_dir dir)
{
	static const struct wan_out out = {emit, flush, NULL};
	struct wan_path *p = calloc(1, sizeof *p);
	struct wan_cfg c;
	struct errbuf e = {""};

	memset(&sink, 0, sizeof sink);
	wan_cfg_init(&c);
	for (; *kv; kv += 2)
		if (wan_cfg_set(&c, kv[0], kv[1], &e))
			fail_msg("%s", e.s);
	if (wan_cfg_finish(&c, &e) || wan_path_init(p, &c, dir, &out, &e))
		fail_msg("%s", e.s);
	return p;
}
#define MAKE(dir, ...) make((const char *const[]){__VA_ARGS__, NULL}, dir)

static void drop(struct wan_path *p)
{
	assert_int_equal(wan_hold_frames(p->hold), 0);
	wan_path_free(p);
	free(p);
}

static uint8_t raw[PKT_MAX_LEN];

/* A frame of stream bytes [off, off + len), GSO if longer than MSS; returns its length. */
static uint32_t build(uint32_t off, uint32_t len, uint16_t port, uint8_t flags)
{
	uint32_t seq = ISN + off;
	uint16_t c;

	memset(raw, 0, HDR);
	memcpy(raw, mac_a, 6);
	raw[12] = 8;
	raw[14] = 0x45;
	raw[16] = (uint8_t)((HDR - 14 + len) >> 8);
	raw[17] = (uint8_t)(HDR - 14 + len);
	raw[18] = 0xff;
	raw[20] = 0x40;
	raw[22] = 64;
	raw[23] = 6;
	memcpy(raw + 26, "\306\022\000\001\306\022\001\201", 8);
	raw[35] = 80;
	raw[36] = (uint8_t)(port >> 8);
	raw[37] = (uint8_t)port;
	for (int i = 0; i < 4; i++)
		raw[38 + i] = (uint8_t)(seq >> (24 - 8 * i));
	raw[46] = 8 << 4;
	raw[47] = flags;
	for (uint32_t i = 0; i < len; i++)
		raw[HDR + i] = stream_byte(off + i);
	c = (uint16_t)~csum_add(raw + 14, 20, 0);
	memcpy(raw + 24, &c, 2);
	c = csum_pseudo4(raw + 26, raw + 30, 6, HDR - 34 + len);
	memcpy(raw + 50, &c, 2);
	return HDR + len;
}

static void input(struct wan_path *p, uint32_t off, uint32_t len, uint16_t port, uint64_t arrival,
		  uint64_t now)
{
	uint32_t n = build(off, len, port, 0x19);
	struct pkt_rx rx = {.data = raw,
			    .len = n,
			    .wire_len = n,
			    .flags = PKT_RX_CSUM_NONE,
			    .gso_size = len > MSS ? MSS : 0};
	struct wan_frame f;

	assert_int_equal(wan_frame_parse(&f, &rx, p->dir), 0);
	wan_path_input(p, &f, arrival, now);
	memset(raw, 0xee, sizeof raw); /* whatever is held must have been copied */
}

static void run_all(struct wan_path *p)
{
	while (wan_path_next(p) != UINT64_MAX)
		wan_path_run(p, wan_path_next(p));
}

static uint32_t count_seen(uint32_t len, int times)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < len; i++)
		n += sink.seen[i] == times;
	return n;
}

static void test_untouched_passes_at_once(void **state)
{
	struct wan_path *p = MAKE(WAN_DOWN, "segment", "mss");

	(void)state;
	for (uint32_t off = 0; off + 60000 < STREAM; off += 60000)
		input(p, off, 60000, 9, 5, 5);
	assert_int_equal(count_seen(sink.high, 1), sink.high);
	assert_int_equal(sink.out_of_order, 0);
	assert_int_equal(sink.runs, p->st.frames_in);
	drop(p);
}

static void test_delay(void **state)
{
	struct wan_path *p = MAKE(WAN_UP, "rtt", "10ms");

	(void)state;
	input(p, 0, 100, 9, 1 * MS,
	      2 * MS); /* counted from the arrival, not from when it was seen */
	input(p, 100, 100, 9, 3 * MS, 3 * MS);
	assert_int_equal(wan_path_next(p), 11 * MS);
	wan_path_run(p, 11 * MS - p->slack - 1);
	assert_int_equal(sink.runs, 0);
	wan_path_run(p, 11 * MS);
	assert_int_equal(sink.runs, 1);
	wan_path_run(p, 13 * MS);
	assert_int_equal(count_seen(200, 1), 200);
	drop(p);
	/* Data waits for nothing. */
	p = MAKE(WAN_DOWN, "rtt", "10ms", "loss", "0.001");
	input(p, 0, 50000, 9, 1 * MS, 1 * MS);
	assert_true(sink.runs > 0);
	drop(p);
}

static void test_jitter_keeps_order(void **state)
{
	struct wan_path *p = MAKE(WAN_UP, "rtt", "10ms", "jitter", "8ms");
	uint64_t min = UINT64_MAX, max = 0;

	(void)state;
	for (uint32_t i = 0; i < 2000; i++) {
		uint64_t t =
			i * MS * 100; /* far apart, so that each is delayed by its own jitter */

		input(p, i * 10, 10, 9, t, t);
		if (i == 0)
			continue;
		run_all(p);
		min = sink.last_now - t < min ? sink.last_now - t : min;
		max = sink.last_now - t > max ? sink.last_now - t : max;
	}
	assert_true(min >= 2 * MS - p->slack && min < 3 * MS);
	assert_true(max <= 18 * MS && max > 17 * MS);
	for (uint32_t i = 2000; i < 4000; i++) /* close together */
		input(p, i * 10, 10, 9, 300000 * MS + i * 1000, 300000 * MS + i * 1000);
	run_all(p);
	assert_int_equal(sink.out_of_order, 0);
	drop(p);
}

/* Loss by segment: what is missing are whole segments, as many as counted, and the rest is intact.
 */
static void test_loss_by_segment(void **state)
{
	struct wan_path *p = MAKE(WAN_DOWN, "loss", "3%", "seed", "3");
	uint32_t off = 0;
	uint64_t missing;

	(void)state;
	for (int i = 0; i < 60; i++, off += 40 * MSS)
		input(p, off, 40 * MSS, 9, 7, 7);
	missing = count_seen(off, 0);
	assert_int_equal(missing, p->st.lost_random * MSS);
	assert_true(p->st.lost_random > 30 && p->st.lost_random < 130);
	assert_int_equal(count_seen(off, 1) + missing, off);
	assert_int_equal(p->st.packets_in, 60 * 40);
	assert_int_equal(p->st.packets_out + p->st.lost_random, p->st.packets_in);
	assert_int_equal(sink.packets, p->st.packets_out);
	assert_true(sink.runs < p->st.packets_out / 5); /* still large pieces */
	drop(p);
}

static void test_duplicates_and_late(void **state)
{
	struct wan_path *p = MAKE(WAN_DOWN, "duplicate", "5%", "reorder", "5%:2ms");
	uint32_t off = 0;
	uint64_t t = 0;

	(void)state;
	for (int i = 0; i < 60; i++, off += 30 * MSS + 77, t += MS / 2) {
		wan_path_run(p, t);
		input(p, off, 30 * MSS + 77, 9, t, t);
	}
	run_all(p);
	assert_int_equal(count_seen(off, 0), 0);
	assert_true(p->st.duplicated > 40 && p->st.reordered > 40);
	assert_int_equal(p->st.packets_out, p->st.packets_in + p->st.duplicated);
	assert_true(sink.out_of_order >= p->st.reordered / 2);
	assert_true(sink.fins >= 60);
	drop(p);
}

/* A bottleneck lets through exactly its rate, in order, and drops what its queue can't take. */
static void test_bottleneck(void **state)
{
	struct wan_path *p = MAKE(WAN_DOWN, "rate", "100Mbit", "queue", "200000");
	uint64_t end, seg_ns = (MSS + HDR) * 8 * 10;

	(void)state;
	input(p, 0, 40 * MSS, 9, MS, MS);
	assert_int_equal(sink.runs, 0);
	for (uint64_t t = MS; wan_path_next(p) != UINT64_MAX; t += 10000) {
		uint64_t by = t + p->slack < MS ? 0 : (t + p->slack - MS) / seg_ns;

		wan_path_run(p, t);
		assert_int_equal(sink.packets, by < 40 ? by : 40);
	}
	end = MS + 40 * seg_ns;
	assert_true(sink.last_now <= end && sink.last_now + p->slack + 10000 >= end);
	assert_int_equal(count_seen(40 * MSS, 1), 40 * MSS);
	assert_int_equal(sink.out_of_order, 0);
	for (uint32_t i = 1; i <= 5; i++)
		input(p, i * 40 * MSS, 40 * MSS, 9, 100 * MS, 100 * MS);
	run_all(p);
	/* The queue takes 132 of 200 segments of 1514 bytes. */
	assert_int_equal(p->st.queue_drops, 200 - 200000 / (MSS + HDR));
	assert_int_equal(p->st.packets_out, 40 + 200000 / (MSS + HDR));
	drop(p);
}

static void test_unknown_way(void **state)
{
	struct wan_path *p = MAKE(WAN_DOWN, "loss", "0.0001");

	(void)state;
	sink.block = 5;
	input(p, 0, 3000, 9, MS, MS);
	assert_int_equal(sink.runs, 0);
	for (uint64_t t = MS; t < 20 * MS; t += MS / 10)
		wan_path_run(p, t);
	assert_int_equal(count_seen(3000, 1), 3000);
	sink.block = 1 << 30;
	input(p, 3000, 3000, 9, 20 * MS, 20 * MS);
	for (uint64_t t = 20 * MS; t < 1100 * MS; t += MS)
		wan_path_run(p, t);
	assert_int_equal(p->st.unreachable, 3);
	drop(p);
}

/* More than fits is dropped and counted; nothing leaks. */
static void test_store_is_bounded(void **state)
{
	struct wan_path *p = MAKE(WAN_UP, "rtt", "10s");

	(void)state;
	for (uint32_t i = 0; i < WAN_HELD_FRAMES + 100; i++)
		input(p, 0, 0, 9, MS, MS);
	assert_int_equal(p->st.no_memory, 100);
	assert_int_equal(p->st.held_max, WAN_HELD_FRAMES);
	run_all(p);
	assert_int_equal(p->st.packets_out, WAN_HELD_FRAMES);
	for (uint32_t i = 0; i < 5000; i++)
		input(p, 0, 64000, 9, 20000 * MS, 20000 * MS);
	assert_true(p->st.no_memory > 100);
	run_all(p);
	drop(p);
}

/* The heap against a sort. */
static void test_heap_order(void **state)
{
	struct wan_hold *h = wan_hold_new();
	struct rng r = {11};
	struct wan_item it = {0}, got;
	uint64_t last = 0, last_order = 0;
	int n = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		it.due = rng_below(&r, 5000);
		assert_int_equal(wan_hold_queue(h, &it), 0);
		if (i % 3 == 2) {
			assert_true(wan_hold_due(h, UINT64_MAX, &got));
			n++;
		}
	}
	assert_false(wan_hold_due(h, wan_hold_next(h) - 1, &got));
	for (; wan_hold_due(h, UINT64_MAX, &got); n++) {
		assert_true(got.due > last || (got.due == last && got.order >= last_order));
		last = got.due;
		last_order = got.order;
	}
	assert_int_equal(n, 20000);
	assert_int_equal(wan_hold_next(h), UINT64_MAX);
	wan_hold_free(h);
}

static void test_frame_refusals(void **state)
{
	uint32_t len = build(0, 3000, 9, 0x10);
	struct pkt_rx rx = {.data = raw,
			    .len = len,
			    .wire_len = len,
			    .gso_size = MSS,
			    .flags = PKT_RX_CSUM_NONE};
	struct wan_frame f;

	(void)state;
	assert_int_equal(wan_frame_parse(&f, &rx, WAN_DOWN), 0);
	assert_int_equal(f.segs, 3);
	for (rx.len = rx.wire_len = 0; rx.len < len; rx.len = ++rx.wire_len) {
		uint8_t *copy = malloc(rx.len + 1);

		memcpy(copy, raw, rx.len);
		rx.data = copy;
		assert_int_equal(wan_frame_parse(&f, &rx, WAN_DOWN), -EINVAL);
		free(copy);
	}
	rx.data = raw;
	rx.len = rx.wire_len = len;
	rx.flags = 0; /* GSO whose checksum is already filled in: no such thing */
	assert_int_equal(wan_frame_parse(&f, &rx, WAN_DOWN), -EINVAL);
	rx.flags = PKT_RX_CSUM_NONE;
	raw[22] = 1;
	assert_int_equal(wan_frame_parse(&f, &rx, WAN_DOWN), -ETIME);
}

static void test_flow_is_the_same_both_ways(void **state)
{
	uint32_t len = build(0, 10, 4711, 0x10);
	struct pkt_rx rx = {.data = raw, .len = len, .wire_len = len, .flags = PKT_RX_CSUM_NONE};
	struct wan_frame down, up, other;
	uint8_t tmp[4];

	(void)state;
	assert_int_equal(wan_frame_parse(&down, &rx, WAN_DOWN), 0);
	memcpy(tmp, raw + 26, 4);
	memcpy(raw + 26, raw + 30, 4);
	memcpy(raw + 30, tmp, 4);
	memcpy(tmp, raw + 34, 2);
	memcpy(raw + 34, raw + 36, 2);
	memcpy(raw + 36, tmp, 2);
	assert_int_equal(wan_frame_parse(&up, &rx, WAN_UP), 0);
	assert_true(up.flow == down.flow);
	raw[35] ^= 1;
	assert_int_equal(wan_frame_parse(&other, &rx, WAN_UP), 0);
	assert_true(other.flow != up.flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untouched_passes_at_once),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_jitter_keeps_order),
		cmocka_unit_test(test_loss_by_segment),
		cmocka_unit_test(test_duplicates_and_late),
		cmocka_unit_test(test_bottleneck),
		cmocka_unit_test(test_unknown_way),
		cmocka_unit_test(test_store_is_bounded),
		cmocka_unit_test(test_heap_order),
		cmocka_unit_test(test_frame_refusals),
		cmocka_unit_test(test_flow_is_the_same_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
