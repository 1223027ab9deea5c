/* txq_test: an interface that takes some frames, or none: order is kept, nothing is lost or sent
 * twice, references are given back exactly once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/core.h"

#define FRAMES 4000

static struct worker w;
static struct wstats st;
static int room; /* frames the interface takes now; < 0: ENOBUFS */
static uint32_t seen;
static struct rng rng;

static int fake_tx(struct pktio *io, struct pkt_tx *v, int n)
{
	int k = n < room ? n : room;

	(void)io;
	if (room <= 0)
		return -ENOBUFS;
	for (int i = 0; i < k; i++) {
		uint32_t seq;

		memcpy(&seq, (uint8_t *)v[i].iov[1].iov_base + NET_HDR_LEN + 4, sizeof seq);
		assert_int_equal(seq, seen); /* in order, none twice, none missing */
		assert_int_equal(v[i].iov[1].iov_len, NET_HDR_LEN + 20);
		seen++;
	}
	room -= k;
	return k;
}

static const struct pktio_ops fake_ops = {.name = "fake", .tx_burst = fake_tx};
static struct pktio fake = {.ops = &fake_ops, .fd = -1, .tx_sync = 1};

static struct tcp_out segment(uint32_t seq, void *cookie)
{
	struct tcp_out o = {.hdr_len = 20, .mss = 1448, .cookie = cookie};

	ipaddr_parse("198.18.0.2", &o.t.local);
	ipaddr_parse("198.18.0.129", &o.t.remote);
	memcpy(o.hdr + 4, &seq, sizeof seq);
	return o;
}

static void learn_mac(void)
{
	uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
	struct net_pkt p = {.kind = NET_TCP, .src_mac = mac};

	ipaddr_parse("198.18.0.129", &p.src);
	net_learn(&w.net, &p, w.now);
}

static int setup(void **state)
{
	uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct ipaddr ip;

	(void)state;
	memset(&w, 0, sizeof w);
	memset(&st, 0, sizeof st);
	w.st = &st;
	w.io = &fake;
	w.now = 1000;
	seen = 0;
	rng_seed(&rng, 7);
	ipaddr_parse("198.18.0.2", &ip);
	return net_if_init(&w.net, mac, &ip, 24, NULL, 1500, NULL);
}

static void test_backpressure(void **state)
{
	struct txref ref = {.refs = 1, .is_buf = true};
	uint32_t seq = 0;

	(void)state;
	learn_mac();
	while (seen < FRAMES) {
		struct tcp_out o = segment(seq, &ref);

		if (seq < FRAMES && txq_xmit(&w, &o) == 0)
			seq++;
		assert_true(w.txq.n <= TXQ_LEN);
		assert_int_equal(ref.refs, 1 + w.txq.n); /* one a queued frame */
		if (rng_below(&rng, 5) == 0) {
			room = (int)rng_below(&rng, 12) - 2;
			txq_flush(&w);
			assert_int_equal(w.txq.congested, w.txq.n > 0);
		}
	}
	assert_int_equal(seq, FRAMES);
	assert_int_equal(ref.refs, 1);
	assert_true(st.tx_requeued > 0);
}

static void test_full(void **state)
{
	struct tcp_out o;
	uint32_t n = 0;

	(void)state;
	learn_mac();
	room = -1;
	do
		o = segment(n, NULL);
	while (txq_xmit(&w, &o) == 0 && n++ < 2 * TXQ_LEN);
	assert_int_equal(n, TXQ_LEN); /* then -ENOBUFS: TCP keeps its state */
	room = 1 << 20;
	txq_flush(&w);
	assert_int_equal(seen, TXQ_LEN);
	assert_false(w.txq.congested);
}

static void test_unknown_neighbour(void **state)
{
	struct tcp_out o = segment(0, NULL);

	(void)state;
	assert_int_equal(txq_xmit(&w, &o), 0); /* as if lost; ARP is asked for */
	assert_int_equal(w.txq.n, 0);
	assert_int_equal(st.tx_no_mac, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_backpressure, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test_setup(test_unknown_neighbour, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
