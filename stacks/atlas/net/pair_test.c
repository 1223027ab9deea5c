/* pair: what is sent arrives, in order, at its time; faults come as often as asked for and the same
 * way for the same seed; a GSO frame cut up is what its pieces were. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/net/ether.h"
#include "stacks/atlas/net/pair.h"

#define N 20000

static struct pair *make(const struct pair_cfg *cfg)
{
	struct pair *p = NULL;
	struct errbuf e;

	assert_int_equal(pair_new(&p, cfg, &e), 0);
	return p;
}

static int send_number(struct pktio *io, uint32_t i, void *cookie)
{
	uint8_t f[64] = {0};
	struct pkt_tx t = {.niov = 3, .len = sizeof f, .cookie = cookie};

	memcpy(f + 20, &i, 4);
	t.iov[1] = (struct iovec){f, 22};
	t.iov[2] = (struct iovec){f + 22, sizeof f - 22};
	return io->ops->tx_burst(io, &t, 1);
}

/* All that has arrived at `io`, at most max numbers. */
static int receive(struct pktio *io, uint32_t *v, int max)
{
	struct pkt_rx rx[PKTIO_BURST];
	int n = 0, k;

	while (n < max &&
	       (k = io->ops->rx_burst(io, rx, max - n < PKTIO_BURST ? max - n : PKTIO_BURST))) {
		for (int i = 0; i < k; i++)
			memcpy(&v[n++], rx[i].data + 20, 4);
		io->ops->rx_done(io);
	}
	return n;
}

static void test_in_order_and_on_time(void **state)
{
	struct pair_cfg cfg = {.delay_ns = 1000};
	struct pair *p = make(&cfg);
	uint32_t v[200];

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(send_number(pair_end(p, 0), i, NULL), 1);
	assert_int_equal(pair_next(p), 1000);
	pair_set_time(p, 999);
	assert_int_equal(receive(pair_end(p, 1), v, 200), 0);
	pair_set_time(p, 1000);
	assert_int_equal(receive(pair_end(p, 0), v, 200), 0);
	assert_int_equal(receive(pair_end(p, 1), v, 200), 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(v[i], i);
	assert_int_equal(pair_next(p), UINT64_MAX);
	pair_free(p);
}

/* One run: how many arrive, how many out of order, and a digest of everything. */
static uint64_t run(const struct pair_cfg *cfg, uint32_t *arrived, uint32_t *late)
{
	struct pair *p = make(cfg);
	uint64_t digest = 0;
	uint32_t v[64], top = 0;

	*arrived = *late = 0;
	for (uint32_t i = 0; i < N + 10; i++) {
		int n;

		pair_set_time(p, i * 1000ull);
		if (i < N)
			send_number(pair_end(p, 1), i + 1, NULL);
		while ((n = receive(pair_end(p, 0), v, 64)) > 0)
			for (int k = 0; k < n; k++) {
				*arrived += 1;
				*late += v[k] < top;
				top = v[k] > top ? v[k] : top;
				digest = rng_mix(digest + v[k] + i);
			}
	}
	pair_free(p);
	return digest;
}

/* Within five standard deviations of a binomial. */
static void assert_share(uint32_t n, double p)
{
	double sd2 = N * p * (1 - p), d = n - N * p;

	if (d * d > 25 * sd2)
		fail_msg("%u of %d is not %g", n, N, p);
}

static void test_faults_as_often_as_asked(void **state)
{
	struct pair_cfg loss = {.seed = 1, .loss = 0.03}, dup = {.seed = 2, .duplicate = 0.1};
	struct pair_cfg reorder = {.seed = 3, .reorder = 0.05, .reorder_ns = 2500};
	struct pair_cfg jitter = {.seed = 3, .delay_ns = 500, .jitter_ns = 5000};
	uint32_t n, late;

	(void)state;
	run(&loss, &n, &late);
	assert_share(N - n, 0.03);
	assert_int_equal(late, 0);
	run(&dup, &n, &late);
	assert_share(n - N, 0.1);
	run(&reorder, &n, &late);
	assert_int_equal(n, N);
	assert_share(late, 0.05);
	run(&jitter, &n, &late);
	assert_int_equal(n, N);
	assert_int_equal(late, 0);
}

static void test_seed_replays(void **state)
{
	struct pair_cfg cfg = {.seed = 9,
			       .loss = 0.1,
			       .reorder = 0.1,
			       .reorder_ns = 5000,
			       .duplicate = 0.1,
			       .jitter_ns = 3000};
	uint32_t n, late;
	uint64_t a = run(&cfg, &n, &late), b = run(&cfg, &n, &late);

	(void)state;
	assert_int_equal(a, b);
	cfg.seed = 10;
	assert_int_not_equal(a, run(&cfg, &n, &late));
}

static bool drop_third(void *ctx, int from, const uint8_t *frame, uint32_t len)
{
	(void)frame;
	(void)len;
	return from == 0 && ++*(int *)ctx == 3;
}

static void test_scripted_loss(void **state)
{
	int count = 0;
	struct pair_cfg cfg = {.drop = drop_third, .ctx = &count};
	struct pair *p = make(&cfg);
	uint32_t v[10];

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		send_number(pair_end(p, 0), i, NULL);
	assert_int_equal(receive(pair_end(p, 1), v, 10), 4);
	assert_int_equal(v[2], 3);
	pair_free(p);
}

/* Every cookie comes back exactly once, whatever happened to its frame. */
static void test_async_cookies(void **state)
{
	struct pair_cfg cfg = {.seed = 4,
			       .loss = 0.2,
			       .duplicate = 0.2,
			       .reorder = 0.2,
			       .reorder_ns = 50,
			       .delay_ns = 10,
			       .async = true,
			       .frames = 128,
			       .nobufs = 0.05};
	struct pair *p = make(&cfg);
	static uint8_t seen[N];
	void *cookies[32];
	uint32_t v[64], sent = 0, done = 0;

	(void)state;
	assert_int_equal(pair_end(p, 0)->tx_sync, 0);
	for (uint64_t t = 0; done < N; t += 3) {
		int n;

		assert_true(t < 100 * N);
		pair_set_time(p, t);
		if (sent < N && send_number(pair_end(p, 0), sent, (void *)(uintptr_t)sent) == 1)
			sent++;
		receive(pair_end(p, 1), v, 64);
		n = pair_end(p, 0)->ops->tx_done(pair_end(p, 0), cookies, 32);
		for (int i = 0; i < n; i++, done++)
			assert_int_equal(seen[(uintptr_t)cookies[i]]++, 0);
	}
	assert_int_equal(pair_end(p, 0)->ops->tx_done(pair_end(p, 0), cookies, 32), 0);
	pair_free(p);
}

static void test_room_is_bounded(void **state)
{
	struct pair_cfg cfg = {.frames = 8, .delay_ns = 5};
	struct pair *p = make(&cfg);
	uint32_t i, v[16];

	(void)state;
	for (i = 0; send_number(pair_end(p, 0), i, NULL) == 1; i++)
		assert_true(i < 8);
	assert_int_equal(i, 8);
	assert_int_equal(send_number(pair_end(p, 0), i, NULL), -ENOBUFS);
	pair_set_time(p, 5);
	assert_int_equal(receive(pair_end(p, 1), v, 16), 8);
	assert_int_equal(send_number(pair_end(p, 0), i, NULL), 1);
	pair_free(p);
}

/* --- GSO ------------------------------------------------------------------------------------- */

#define BODY 10000
#define MSS  1448

static const uint8_t ip_a[4] = {198, 18, 0, 2}, ip_b[4] = {198, 18, 0, 129};
static uint8_t body[BODY];

static void send_gso(struct pktio *io, const uint8_t *dst_mac)
{
	struct ipaddr a = ipaddr_v4(ip_a), b = ipaddr_v4(ip_b);
	uint8_t hdr[NET_HDR_LEN + 32] = {0}, *t = hdr + NET_HDR_LEN;
	struct pkt_tx tx = {.niov = 3,
			    .gso_size = MSS,
			    .hdr_len = sizeof hdr,
			    .len = sizeof hdr + BODY,
			    .csum_start = NET_HDR_LEN,
			    .csum_offset = 16};
	struct net_if n;
	struct net_hdr h;
	uint16_t c;

	net_if_init(&n, io->mac, &a, 24, NULL, 1500, NULL);
	net_hdr_init(&h, &n, dst_mac, &a, &b, NET_PROTO_TCP);
	net_hdr_write(&h, hdr, 32 + BODY, 65535);
	t[4] = t[5] = t[6] = 0xff; /* the sequence number wraps */
	t[12] = 8 << 4;
	t[13] = 0x10 | 8 | 1; /* ACK, PSH, FIN */
	c = net_hdr_pseudo(&h, 32 + BODY);
	memcpy(t + 16, &c, 2);
	tx.iov[1] = (struct iovec){hdr, sizeof hdr};
	tx.iov[2] = (struct iovec){body, BODY};
	assert_int_equal(io->ops->tx_burst(io, &tx, 1), 1);
}

static void check_pieces(struct pktio *io, bool whole, bool csum)
{
	struct ipaddr b = ipaddr_v4(ip_b);
	struct pkt_rx rx[PKTIO_BURST];
	struct net_if n;
	uint32_t at = 0;
	int k = io->ops->rx_burst(io, rx, PKTIO_BURST);

	net_if_init(&n, io->mac, &b, 24, NULL, 1500, NULL);
	assert_int_equal(k, whole ? 1 : (BODY + MSS - 1) / MSS);
	for (int i = 0; i < k; i++) {
		struct net_pkt p;
		uint32_t seq, len;

		assert_int_equal(net_parse(&n, &rx[i], &p), NET_TCP);
		assert_int_equal(rx[i].flags, csum ? 0 : PKT_RX_CSUM_NONE);
		assert_int_equal(p.gso_size, whole ? MSS : 0);
		seq = (uint32_t)p.l4[4] << 24 | (uint32_t)p.l4[5] << 16 | (uint32_t)p.l4[6] << 8 |
		      p.l4[7];
		len = p.l4_len - 32;
		assert_int_equal(seq, 0xffffff00u + at);
		assert_memory_equal(p.l4 + 32, body + at, len);
		at += len;
		assert_int_equal(p.l4[13], at == BODY ? 0x19 : 0x10);
	}
	assert_int_equal(at, BODY);
	io->ops->rx_done(io);
}

static void test_gso(void **state)
{
	(void)state;
	for (size_t i = 0; i < BODY; i++)
		body[i] = (uint8_t)(i * 31 >> 3);
	for (int kind = 0; kind < 4; kind++) {
		struct pair_cfg cfg = {.segment = kind & 1, .checksum = kind & 2};
		struct pair *p = make(&cfg);

		send_gso(pair_end(p, 0), pair_end(p, 1)->mac);
		check_pieces(pair_end(p, 1), !cfg.segment, cfg.checksum && cfg.segment);
		pair_free(p);
	}
}

/* Corruption is seen by the checksums: nothing damaged is passed on as TCP. */
static void test_corruption_is_caught(void **state)
{
	struct pair_cfg cfg = {.seed = 5, .segment = true, .checksum = true, .corrupt = 1};
	struct ipaddr b = ipaddr_v4(ip_b);
	struct pair *p = make(&cfg);
	struct pktio *to = pair_end(p, 1);
	struct net_if n;
	struct net_pkt pkt;
	struct pkt_rx rx[PKTIO_BURST];

	(void)state;
	net_if_init(&n, to->mac, &b, 24, NULL, 1500, NULL);
	for (int round = 0; round < 50; round++) {
		int k;

		send_gso(pair_end(p, 0), to->mac);
		k = to->ops->rx_burst(to, rx, PKTIO_BURST);
		for (int i = 0; i < k; i++) /* the MACs and the type field carry no checksum */
			if (net_parse(&n, &rx[i], &pkt) == NET_TCP)
				assert_memory_equal(rx[i].data, to->mac, 6);
		to->ops->rx_done(to);
	}
	assert_true(n.stats.drop[NET_WHY_L4_CSUM] > 300);
	assert_true(n.stats.tcp < 10);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order_and_on_time),
		cmocka_unit_test(test_faults_as_often_as_asked),
		cmocka_unit_test(test_seed_replays),
		cmocka_unit_test(test_scripted_loss),
		cmocka_unit_test(test_async_cookies),
		cmocka_unit_test(test_room_is_bounded),
		cmocka_unit_test(test_gso),
		cmocka_unit_test(test_corruption_is_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
