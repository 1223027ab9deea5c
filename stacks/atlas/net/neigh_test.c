/* neigh: the neighbour table's states, ARP and echo answers, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "stacks/atlas/net/ether.h"

#define SEC NSEC_PER_SEC
#define T0  (1000 * SEC)

static const uint8_t us_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 9};
static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 10}, gw_mac[6] = {2, 0, 0, 0, 0, 254};
static const uint8_t us_ip[4] = {198, 18, 0, 2}, peer_ip[4] = {198, 18, 0, 129};
static const uint8_t gw_ip[4] = {198, 18, 0, 254}, far_ip[4] = {192, 0, 2, 7};
static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, none[4];

static struct net_if n;
static uint8_t buf[NET_CTL_MAX];

static int setup(void **state)
{
	struct ipaddr ip = ipaddr_v4(us_ip), gw = ipaddr_v4(gw_ip);

	(void)state;
	log_init("neigh_test", LOG_ERR);
	if (net_if_init(&n, us_mac, &ip, 24, &gw, 1500, NULL))
		return -1;
	net_poll(&n, T0 - 10 * SEC, buf); /* announcements out of the way */
	net_poll(&n, T0 - 5 * SEC, buf);
	return 0;
}

static const uint8_t *mac_of(const uint8_t *ip, uint64_t now)
{
	struct ipaddr a = ipaddr_v4(ip);

	return net_mac(&n, &a, now);
}

static uint32_t arp_in(uint16_t op, const uint8_t *sha, const uint8_t *spa, const uint8_t *tpa,
		       uint64_t now)
{
	struct net_pkt p = {.kind = NET_ARP, .src_mac = sha, .arp = {.op = op}};

	memcpy(p.arp.sha, sha, 6);
	memcpy(p.arp.spa, spa, 4);
	memcpy(p.arp.tpa, tpa, 4);
	return net_answer(&n, &p, now, buf);
}

static void syn_from(const uint8_t *ip, const uint8_t *mac, uint64_t now)
{
	struct net_pkt p = {.kind = NET_TCP, .src = ipaddr_v4(ip), .src_mac = mac};

	net_learn(&n, &p, now);
}

/* The frame in buf is an ARP request of ours for `ip`, sent to `to`. */
static void assert_request(const uint8_t *ip, const uint8_t *to)
{
	assert_memory_equal(buf, to, 6);
	assert_memory_equal(buf + 6, us_mac, 6);
	assert_int_equal(buf[21], 1);
	assert_memory_equal(buf + 22, us_mac, 6);
	assert_memory_equal(buf + 28, us_ip, 4);
	assert_memory_equal(buf + 38, ip, 4);
}

static void test_announce(void **state)
{
	struct ipaddr ip = ipaddr_v4(us_ip);

	(void)state;
	assert_int_equal(net_if_init(&n, us_mac, &ip, 24, NULL, 1500, NULL), 0);
	assert_true(net_next_timer(&n) <= T0);
	assert_int_equal(net_poll(&n, T0, buf), 42);
	assert_request(us_ip, all);
	assert_int_equal(net_poll(&n, T0, buf), 0);
	assert_int_equal(net_next_timer(&n), T0 + 2 * SEC);
	assert_int_equal(net_poll(&n, T0 + 2 * SEC, buf), 42);
	assert_int_equal(net_poll(&n, T0 + 9 * SEC, buf), 0);
	assert_int_equal(net_next_timer(&n), UINT64_MAX);
}

static void test_resolve(void **state)
{
	(void)state;
	assert_null(mac_of(peer_ip, T0));
	assert_int_equal(net_next_timer(&n), T0);
	assert_int_equal(net_poll(&n, T0, buf), 42);
	assert_request(peer_ip, all);
	assert_int_equal(net_poll(&n, T0, buf), 0);
	assert_int_equal(net_next_timer(&n), T0 + SEC);
	assert_int_equal(arp_in(2, peer_mac, peer_ip, us_ip, T0 + 1), 0);
	assert_memory_equal(mac_of(peer_ip, T0 + 2), peer_mac, 6);
	assert_int_equal(net_poll(&n, T0 + 30 * SEC, buf), 0);
	assert_int_equal(net_next_timer(&n), UINT64_MAX);
}

static void test_bounded_retries(void **state)
{
	uint64_t t = T0;
	int sent = 0;

	(void)state;
	for (; t < T0 + 4 * SEC; t += SEC / 10) {
		assert_null(mac_of(peer_ip, t));
		sent += net_poll(&n, t, buf) > 0;
	}
	assert_int_equal(sent, 3);
	assert_int_equal(n.stats.neigh_failed, 1);
	/* After a pause it is tried again. */
	for (; t < T0 + 9 * SEC; t += SEC / 10) {
		assert_null(mac_of(peer_ip, t));
		sent += net_poll(&n, t, buf) > 0;
	}
	assert_int_equal(sent, 4);
}

static void test_syn_gives_a_usable_guess(void **state)
{
	uint32_t gen = n.gen;

	(void)state;
	syn_from(peer_ip, peer_mac, T0);
	assert_memory_equal(mac_of(peer_ip, T0), peer_mac, 6);
	assert_int_not_equal(n.gen, gen);
	/* It is confirmed by unicast meanwhile. */
	assert_int_equal(net_poll(&n, T0, buf), 42);
	assert_request(peer_ip, peer_mac);
	gen = n.gen;
	arp_in(2, peer_mac, peer_ip, us_ip, T0 + 5);
	assert_int_equal(n.gen, gen);
	/* A later SYN from another MAC changes nothing. */
	syn_from(peer_ip, other_mac, T0 + 6);
	assert_memory_equal(mac_of(peer_ip, T0 + 7), peer_mac, 6);
	/* A minute later it is asked again, still usable. */
	assert_memory_equal(mac_of(peer_ip, T0 + 61 * SEC), peer_mac, 6);
	assert_int_equal(net_poll(&n, T0 + 61 * SEC, buf), 42);
	assert_request(peer_ip, peer_mac);
}

static void test_wrong_guess_is_corrected(void **state)
{
	uint32_t gen;

	(void)state;
	syn_from(peer_ip, other_mac, T0);
	mac_of(peer_ip, T0);
	gen = n.gen;
	assert_int_equal(net_poll(&n, T0, buf), 42);
	assert_int_equal(net_poll(&n, T0 + SEC, buf), 42);
	assert_request(peer_ip, other_mac);
	assert_int_equal(net_poll(&n, T0 + 2 * SEC, buf), 42);
	assert_request(peer_ip, all); /* the last try asks everybody */
	arp_in(2, peer_mac, peer_ip, us_ip, T0 + 2 * SEC);
	assert_memory_equal(mac_of(peer_ip, T0 + 2 * SEC), peer_mac, 6);
	assert_int_not_equal(n.gen, gen);
}

static void test_gateway(void **state)
{
	(void)state;
	assert_null(mac_of(far_ip, T0));
	assert_int_equal(net_poll(&n, T0, buf), 42);
	assert_request(gw_ip, all);
	syn_from(far_ip, gw_mac, T0); /* whatever brought it here is the way back */
	assert_memory_equal(mac_of(far_ip, T0), gw_mac, 6);
	assert_memory_equal(mac_of(gw_ip, T0), gw_mac, 6);
	memset(n.gw4, 0, 4);
	assert_null(mac_of(far_ip, T0));
}

static void test_unsolicited_reply_is_ignored(void **state)
{
	(void)state;
	arp_in(2, peer_mac, peer_ip, us_ip, T0);
	assert_null(mac_of(peer_ip, T0));
	net_poll(&n, T0, buf);
	arp_in(2, peer_mac, peer_ip, us_ip, T0);
	arp_in(2, other_mac, peer_ip, us_ip, T0 + 1);
	assert_memory_equal(mac_of(peer_ip, T0 + 2), peer_mac, 6);
}

static void test_answers_requests(void **state)
{
	(void)state;
	assert_int_equal(arp_in(1, peer_mac, peer_ip, us_ip, T0), 42);
	assert_memory_equal(buf, peer_mac, 6);
	assert_int_equal(buf[21], 2);
	assert_memory_equal(buf + 22, us_mac, 6);
	assert_memory_equal(buf + 28, us_ip, 4);
	assert_memory_equal(buf + 32, peer_mac, 6);
	assert_memory_equal(buf + 38, peer_ip, 4);
	assert_memory_equal(mac_of(peer_ip, T0), peer_mac, 6); /* merged */
	assert_int_equal(arp_in(1, peer_mac, peer_ip, gw_ip, T0), 0);
	/* RFC 5227 probe: answered, not learned. */
	assert_int_equal(arp_in(1, other_mac, none, us_ip, T0), 42);
	assert_int_equal(arp_in(1, us_mac, us_ip, us_ip, T0), 0);
	assert_int_equal(n.stats.conflicts, 0);
}

static void test_conflict_is_defended_rarely(void **state)
{
	(void)state;
	assert_int_equal(arp_in(1, other_mac, us_ip, us_ip, T0), 42);
	assert_request(us_ip, all);
	assert_int_equal(arp_in(1, other_mac, us_ip, us_ip, T0 + SEC), 0);
	assert_int_equal(arp_in(2, other_mac, us_ip, peer_ip, T0 + 11 * SEC), 42);
	assert_int_equal(n.stats.conflicts, 3);
}

/* Thousands of neighbours: the table stays as it is, the gateway is never thrown out. */
static void test_table_is_bounded(void **state)
{
	struct ipaddr ip = ipaddr_v4(us_ip), gw = ipaddr_v4(gw_ip);

	(void)state;
	assert_int_equal(net_if_init(&n, us_mac, &ip, 16, &gw, 1500, NULL), 0);
	syn_from(gw_ip, gw_mac, T0);
	for (int i = 0; i < 20000; i++) {
		uint8_t a[4] = {198, 18, (uint8_t)(1 + i / 250), (uint8_t)(1 + i % 250)};

		syn_from(a, peer_mac, T0 + 1 + (uint64_t)i);
		assert_memory_equal(mac_of(a, T0 + 1 + (uint64_t)i), peer_mac, 6);
	}
	assert_memory_equal(mac_of(far_ip, T0), gw_mac, 6);
	assert_true(n.stats.neigh_evicted >= 20000 - NEIGH_SETS * NEIGH_WAYS);
}

static void test_echo(void **state)
{
	uint8_t icmp[64] = {8, 0, 0, 0, 1, 2, 3, 4, 'h', 'i'};
	struct net_pkt p = {.kind = NET_ECHO,
			    .src_mac = peer_mac,
			    .src = ipaddr_v4(peer_ip),
			    .dst = ipaddr_v4(us_ip),
			    .l4 = icmp,
			    .l4_len = sizeof icmp};
	int answered = 0;

	(void)state;
	assert_int_equal(net_answer(&n, &p, T0, buf), NET_HDR_LEN + sizeof icmp);
	assert_memory_equal(buf, peer_mac, 6);
	assert_memory_equal(buf + 26, us_ip, 4);
	assert_memory_equal(buf + 30, peer_ip, 4);
	assert_int_equal(buf[34], 0);
	assert_int_equal(csum_add(buf + 34, sizeof icmp, 0), 0xffff);
	assert_int_equal(csum_add(buf + 14, 20, 0), 0xffff);
	assert_memory_equal(buf + 38, icmp + 4, sizeof icmp - 4);
	for (int i = 0; i < 10000; i++)
		answered += net_answer(&n, &p, T0 + SEC, buf) > 0;
	assert_true(answered > 0 && answered <= 51);
	assert_true(n.stats.drop[NET_WHY_RATE] > 0);
	assert_true(net_answer(&n, &p, T0 + 2 * SEC, buf) > 0);
	p.l4_len = 1481; /* the answer would need fragments */
	assert_int_equal(net_answer(&n, &p, T0 + 3 * SEC, buf), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_announce, setup),
		cmocka_unit_test_setup(test_resolve, setup),
		cmocka_unit_test_setup(test_bounded_retries, setup),
		cmocka_unit_test_setup(test_syn_gives_a_usable_guess, setup),
		cmocka_unit_test_setup(test_wrong_guess_is_corrected, setup),
		cmocka_unit_test_setup(test_gateway, setup),
		cmocka_unit_test_setup(test_unsolicited_reply_is_ignored, setup),
		cmocka_unit_test_setup(test_answers_requests, setup),
		cmocka_unit_test_setup(test_conflict_is_defended_rarely, setup),
		cmocka_unit_test_setup(test_table_is_bounded, setup),
		cmocka_unit_test_setup(test_echo, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
