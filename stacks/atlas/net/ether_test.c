/* ether: every check of net_parse has a frame that fails just it, and header templates give what a
 * slow computation gives. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/net/ether.h"

static const uint8_t us_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 9};
static const uint8_t us_ip[4] = {198, 18, 0, 2}, peer_ip[4] = {198, 18, 0, 129};

static struct net_if nif;
static uint8_t frame[2048];

static int setup(void **state)
{
	struct ipaddr ip = ipaddr_v4(us_ip);

	(void)state;
	return net_if_init(&nif, us_mac, &ip, 24, NULL, 1500, NULL);
}

static void ip_csum(uint8_t *f)
{
	uint8_t *ip = f + NET_ETH_LEN;
	uint16_t c;

	memset(ip + 10, 0, 2);
	c = (uint16_t)~csum_add(ip, (ip[0] & 15u) * 4, 0);
	memcpy(ip + 10, &c, 2);
}

static void l4_csum(uint8_t *f, uint32_t at, uint32_t off, uint32_t l4_len, bool pseudo)
{
	uint16_t c = pseudo ? csum_pseudo4(f + 26, f + 30, f[23], l4_len) : 0;

	memset(f + at + off, 0, 2);
	c = (uint16_t)~csum_add(f + at, l4_len, c);
	memcpy(f + at + off, &c, 2);
}

/* A good TCP segment with n bytes of payload and `opt` bytes of IP options; returns its length. */
static uint32_t tcp_frame(uint8_t *f, uint32_t n, uint32_t opt)
{
	uint32_t ihl = 20 + opt, l4 = 20 + n, tot = ihl + l4;

	memset(f, 0, NET_ETH_LEN + tot);
	memcpy(f, us_mac, 6);
	memcpy(f + 6, peer_mac, 6);
	f[12] = 8;
	f[14] = (uint8_t)(0x40 | ihl / 4);
	f[16] = (uint8_t)(tot >> 8);
	f[17] = (uint8_t)tot;
	f[20] = 0x40;
	f[22] = 64;
	f[23] = 6;
	memcpy(f + 26, peer_ip, 4);
	memcpy(f + 30, us_ip, 4);
	memset(f + 34, 1, opt); /* no operation */
	f[14 + ihl + 1] = 99;
	f[14 + ihl + 3] = 80;
	f[14 + ihl + 12] = 5 << 4;
	f[14 + ihl + 13] = 0x10;
	for (uint32_t i = 0; i < n; i++)
		f[14 + ihl + 20 + i] = (uint8_t)i;
	ip_csum(f);
	l4_csum(f, 14 + ihl, 16, l4, true);
	return NET_ETH_LEN + tot;
}

static uint32_t icmp_frame(uint8_t *f, uint8_t type, uint8_t code, uint32_t n)
{
	uint32_t len = tcp_frame(f, n > 12 ? n - 12 : 0, 0);

	f[17] = (uint8_t)(20 + 8 + n);
	f[23] = 1;
	memset(f + 34, 0, 8 + n);
	f[34] = type;
	f[35] = code;
	ip_csum(f);
	l4_csum(f, 34, 2, 8 + n, false);
	(void)len;
	return 34 + 8 + n;
}

/* Parse a copy of exactly `len` bytes, so that the sanitizer sees any step past the end. */
static enum net_kind parse(const uint8_t *f, uint32_t len, uint16_t flags, struct net_pkt *p)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct pkt_rx rx = {.data = copy, .len = len, .wire_len = len, .flags = flags};
	enum net_kind k;

	memcpy(copy, f, len);
	k = net_parse(&nif, &rx, p);
	if (p->l4)
		p->l4 = (uint8_t *)f + (p->l4 - copy); /* same place, in memory that stays */
	free(copy);
	return k;
}

static void expect_drop(const uint8_t *f, uint32_t len, uint16_t flags, enum net_why why)
{
	struct net_pkt p;
	uint64_t before = nif.stats.drop[why];

	assert_int_equal(parse(f, len, flags, &p), NET_DROP);
	assert_string_equal(net_why_name[p.why], net_why_name[why]);
	assert_int_equal(nif.stats.drop[why], before + 1);
}

static void test_good_tcp(void **state)
{
	struct net_pkt p;

	(void)state;
	for (uint32_t n = 0; n < 100; n++)
		for (uint32_t opt = 0; opt <= 40; opt += 8) {
			uint32_t len = tcp_frame(frame, n, opt);

			assert_int_equal(parse(frame, len, 0, &p), NET_TCP);
			assert_ptr_equal(p.l4, frame + 34 + opt);
			assert_int_equal(p.l4_len, 20 + n);
			assert_memory_equal(ipaddr_v4_bytes(&p.src), peer_ip, 4);
			assert_memory_equal(ipaddr_v4_bytes(&p.dst), us_ip, 4);
		}
}

static void test_padding_is_not_payload(void **state)
{
	struct net_pkt p;

	(void)state;
	tcp_frame(frame, 0, 0);
	memset(frame + 54, 0xaa, 6);
	assert_int_equal(parse(frame, 60, 0, &p), NET_TCP);
	assert_int_equal(p.l4_len, 20);
}

static void test_every_truncation(void **state)
{
	struct net_pkt p;
	uint32_t len = tcp_frame(frame, 50, 8);

	(void)state;
	for (uint32_t n = 0; n < len; n++)
		assert_int_equal(parse(frame, n, PKT_RX_CSUM_NONE, &p), NET_DROP);
	len = icmp_frame(frame, 8, 0, 40);
	for (uint32_t n = 0; n < len; n++)
		assert_int_equal(parse(frame, n, PKT_RX_CSUM_NONE, &p), NET_DROP);
	tcp_frame(frame, 50, 0);
	expect_drop(frame, 54, PKT_RX_TRUNC, NET_WHY_TRUNC);
}

/* With checksums on, one flipped bit anywhere in the IP packet is never passed on as TCP. */
static void test_every_bit_flip(void **state)
{
	struct net_pkt p;
	uint32_t len = tcp_frame(frame, 30, 0);

	(void)state;
	for (uint32_t bit = NET_ETH_LEN * 8; bit < len * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(parse(frame, len, 0, &p), NET_DROP);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	frame[60] ^= 1;
	expect_drop(frame, len, 0, NET_WHY_L4_CSUM);
	assert_int_equal(parse(frame, len, PKT_RX_CSUM_NONE, &p), NET_TCP);
	assert_int_equal(parse(frame, len, PKT_RX_CSUM_GOOD, &p), NET_TCP);
}

static void edit_ip(uint32_t at, uint8_t v, enum net_why why)
{
	uint32_t len = tcp_frame(frame, 10, 0);

	frame[at] = v;
	ip_csum(frame);
	expect_drop(frame, len, PKT_RX_CSUM_NONE, why);
}

static void test_bad_ip(void **state)
{
	(void)state;
	edit_ip(14, 0x65, NET_WHY_IP_HDR);   /* version 6 */
	edit_ip(16, 0x40, NET_WHY_IP_HDR);   /* total length beyond the frame */
	edit_ip(20, 0x20, NET_WHY_FRAGMENT); /* more fragments */
	edit_ip(21, 0x01, NET_WHY_FRAGMENT); /* offset 1 */
	edit_ip(23, 17, NET_WHY_PROTO);
	edit_ip(33, 3, NET_WHY_NOT_OURS);
	edit_ip(0, 0xff, NET_WHY_NOT_OURS); /* a group or foreign MAC */
	edit_ip(6, 0x01, NET_WHY_MARTIAN);  /* from a group MAC */
	edit_ip(13, 0xdd, NET_WHY_ETHERTYPE);
	tcp_frame(frame, 10, 0);
	frame[14] = 0x44; /* header of 16 bytes */
	expect_drop(frame, 64, 0, NET_WHY_IP_HDR);
	tcp_frame(frame, 10, 0);
	frame[17] = 19; /* total length below the header's */
	expect_drop(frame, 64, 0, NET_WHY_IP_HDR);
	tcp_frame(frame, 10, 0);
	frame[24] ^= 1;
	expect_drop(frame, 64, 0, NET_WHY_IP_CSUM);
	tcp_frame(frame, 0, 0);
	frame[17] = 39; /* room for 19 bytes of TCP */
	ip_csum(frame);
	expect_drop(frame, 54, PKT_RX_CSUM_NONE, NET_WHY_SHORT);
}

static void test_martians(void **state)
{
	static const uint8_t bad[][4] = {{0, 0, 0, 0},	       {0, 1, 2, 3},	{127, 0, 0, 1},
					 {224, 0, 0, 1},       {239, 1, 1, 1},	{240, 0, 0, 1},
					 {255, 255, 255, 255}, {198, 18, 0, 2}, {198, 18, 0, 0},
					 {198, 18, 0, 255}};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		uint32_t len = tcp_frame(frame, 0, 0);

		memcpy(frame + 26, bad[i], 4);
		ip_csum(frame);
		expect_drop(frame, len, PKT_RX_CSUM_NONE, NET_WHY_MARTIAN);
	}
}

static void test_icmp(void **state)
{
	struct net_pkt p;
	uint32_t len = icmp_frame(frame, 8, 0, 56);

	(void)state;
	assert_int_equal(parse(frame, len, 0, &p), NET_ECHO);
	assert_int_equal(p.l4_len, 64);
	frame[50] ^= 4;
	expect_drop(frame, len, 0, NET_WHY_L4_CSUM);
	expect_drop(frame, len, PKT_RX_CSUM_GOOD, NET_WHY_L4_CSUM); /* that speaks of TCP */
	len = icmp_frame(frame, 0, 0, 56);
	expect_drop(frame, len, 0, NET_WHY_ICMP);
}

/* Fragmentation needed (RFC 1191 4), quoting a segment of ours from port 80 to 99. */
static uint32_t frag_needed(uint16_t mtu, const uint8_t *quoted_src, uint16_t quoted_len)
{
	uint32_t len = icmp_frame(frame, 3, 4, 28);
	uint8_t *q = frame + 42;

	frame[40] = (uint8_t)(mtu >> 8);
	frame[41] = (uint8_t)mtu;
	q[0] = 0x45;
	q[2] = (uint8_t)(quoted_len >> 8);
	q[3] = (uint8_t)quoted_len;
	q[6] = 0x40;
	q[9] = 6;
	memcpy(q + 12, quoted_src, 4);
	memcpy(q + 16, peer_ip, 4);
	q[21] = 80;
	q[23] = 99;
	q[24] = 0x12;
	q[27] = 0x78;
	l4_csum(frame, 34, 2, 36, false);
	return len;
}

static void test_frag_needed(void **state)
{
	struct net_pkt p;
	uint32_t len = frag_needed(1400, us_ip, 1500);

	(void)state;
	assert_int_equal(parse(frame, len, 0, &p), NET_UNREACH);
	assert_int_equal(p.quote.mtu, 1400);
	assert_int_equal(p.quote.code, 4);
	assert_int_equal(p.quote.lport, 80);
	assert_int_equal(p.quote.rport, 99);
	assert_int_equal(p.quote.seq, 0x12000078);
	assert_memory_equal(ipaddr_v4_bytes(&p.quote.remote), peer_ip, 4);
	len = frag_needed(0, us_ip, 1500);
	assert_int_equal(parse(frame, len, 0, &p), NET_UNREACH);
	assert_int_equal(p.quote.mtu, 1492);
	len = frag_needed(1400, peer_ip, 1500);
	expect_drop(frame, len, 0, NET_WHY_ICMP);
	len = frag_needed(1400, us_ip, 1500);
	frame[42] = 0x4f; /* quoted options reach past the end */
	l4_csum(frame, 34, 2, 36, false);
	expect_drop(frame, len, 0, NET_WHY_ICMP);
}

static void test_bad_arp(void **state)
{
	uint8_t arp[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6,
			   0,	 1,    8,    0,	   6,	 4,    0, 1, 2, 0, 0, 0, 0, 9};
	struct net_pkt p;

	(void)state;
	memcpy(arp + 28, peer_ip, 4);
	memcpy(arp + 38, us_ip, 4);
	assert_int_equal(parse(arp, 42, 0, &p), NET_ARP);
	assert_int_equal(parse(arp, 60, 0, &p), NET_ARP);
	assert_memory_equal(p.arp.tpa, us_ip, 4);
	for (uint32_t n = 0; n < 42; n++)
		assert_int_equal(parse(arp, n, 0, &p), NET_DROP);
	for (uint32_t at = 14; at < 20; at++) {
		arp[at] ^= 0x10;
		expect_drop(arp, 42, 0, NET_WHY_ARP);
		arp[at] ^= 0x10;
	}
	arp[21] = 3;
	expect_drop(arp, 42, 0, NET_WHY_ARP);
	arp[21] = 1;
	arp[22] = 1; /* a group address as the sender's */
	expect_drop(arp, 42, 0, NET_WHY_ARP);
	arp[22] = 2;
	arp[0] = 4;
	expect_drop(arp, 42, 0, NET_WHY_NOT_OURS);
}

/* What we build, we parse; and the checksums are those of a slow computation. */
static void test_header_template(void **state)
{
	struct ipaddr us = ipaddr_v4(us_ip), peer = ipaddr_v4(peer_ip);
	uint8_t body[1400], tmp[6];
	struct rng r = {7};
	struct net_hdr h;
	struct net_pkt p;

	(void)state;
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (uint8_t)rng_u64(&r);
	net_hdr_init(&h, &nif, peer_mac, &us, &peer, NET_PROTO_TCP);
	for (int round = 0; round < 2000; round++) {
		uint32_t n = (uint32_t)rng_below(&r, sizeof body),
			 cut = (uint32_t)rng_below(&r, n + 1);
		uint8_t *t = frame + NET_HDR_LEN;
		struct iovec iov[3] = {{t, 20}, {body, cut}, {body + cut, n - cut}};
		uint16_t c, full;

		net_hdr_write(&h, frame, 20 + n, (uint16_t)rng_u64(&r));
		memset(t, 0, 20);
		t[12] = 5 << 4;
		memcpy(t + 20, body, n);
		c = net_hdr_l4_csum(&h, iov, 3, 20 + n);
		memcpy(t + 16, &c, 2);
		/* To read it as the peer would, exchange the addresses: no sum changes. */
		memcpy(tmp, frame, 6);
		memcpy(frame, frame + 6, 6);
		memcpy(frame + 6, tmp, 6);
		memcpy(frame + 26, peer_ip, 4);
		memcpy(frame + 30, us_ip, 4);
		assert_int_equal(parse(frame, NET_HDR_LEN + 20 + n, 0, &p), NET_TCP);
		assert_int_equal(p.l4_len, 20 + n);
		/* Offload: pseudo sum in the field, then the sum over everything from there. */
		c = net_hdr_pseudo(&h, 20 + n);
		memcpy(t + 16, &c, 2);
		full = (uint16_t)~csum_add(t, 20 + n, 0);
		memcpy(t + 16, &full, 2);
		assert_int_equal(parse(frame, NET_HDR_LEN + 20 + n, 0, &p), NET_TCP);
	}
}

static void test_if_init_errors(void **state)
{
	struct ipaddr ip = ipaddr_v4(us_ip), gw, v6;
	struct errbuf e;
	struct net_if n;

	(void)state;
	ipaddr_parse("2001:db8::1", &v6);
	ipaddr_parse("198.18.1.1", &gw);
	assert_int_equal(net_if_init(&n, us_mac, &v6, 24, NULL, 1500, &e), -EINVAL);
	assert_int_equal(net_if_init(&n, us_mac, &ip, 33, NULL, 1500, &e), -EINVAL);
	assert_int_equal(net_if_init(&n, us_mac, &ip, 0, NULL, 1500, &e), -EINVAL);
	assert_int_equal(net_if_init(&n, us_mac, &ip, 24, &gw, 1500, &e), -EINVAL);
	assert_non_null(strstr(e.s, "198.18.1.1"));
	assert_int_equal(net_if_init(&n, us_mac, &ip, 23, &gw, 1500, &e), 0);
	assert_int_equal(net_if_init(&n, us_mac, &ip, 24, &ip, 1500, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_good_tcp, setup),
		cmocka_unit_test_setup(test_padding_is_not_payload, setup),
		cmocka_unit_test_setup(test_every_truncation, setup),
		cmocka_unit_test_setup(test_every_bit_flip, setup),
		cmocka_unit_test_setup(test_bad_ip, setup),
		cmocka_unit_test_setup(test_martians, setup),
		cmocka_unit_test_setup(test_icmp, setup),
		cmocka_unit_test_setup(test_frag_needed, setup),
		cmocka_unit_test_setup(test_bad_arp, setup),
		cmocka_unit_test_setup(test_header_template, setup),
		cmocka_unit_test_setup(test_if_init_errors, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
