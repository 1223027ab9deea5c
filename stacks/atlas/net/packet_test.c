/* packet against the kernel's own TCP/IP as the peer, over a veth pair in a network namespace of
 * its own (of a user namespace where we are not root): va is ours, vb the kernel's. Skips where
 * neither is allowed. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "stacks/atlas/net/ether.h"

#define US     "198.18.0.2"
#define PEER   "198.18.0.129"
#define MSS    1460
#define VA_MAC "02:00:c6:12:00:02"
#define BODY   40000

static bool have_ns;
static const uint8_t us4[4] = {198, 18, 0, 2};

static int sh(const char *cmd)
{
	return system(cmd);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			perror(path);
		close(fd);
	}
}

static int make_ns(void **state)
{
	char map[64];
	unsigned int uid = getuid();

	(void)state;
	if (uid == 0) {
		if (unshare(CLONE_NEWNET))
			return 0;
	} else {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
			return 0;
		snprintf(map, sizeof map, "0 %u 1", uid);
		write_file("/proc/self/uid_map", map);
	}
	have_ns = sh("ip link set lo up && ip link add va address " VA_MAC
		     " type veth peer name vb &&"
		     "ip link set va up && ip link set vb up && ip addr add " PEER
		     "/24 dev vb ") == 0;
	return 0;
}

/* Our side: the back end and everything below TCP. */
struct us {
	struct pktio *io;
	struct net_if nif;
};

static void us_open(struct us *u)
{
	struct pktio_cfg cfg = {
		.ifname = "va", .queues = 1, .ip4 = {198, 18, 0, 2}, .rx_slots = 256};
	struct ipaddr ip = ipaddr_v4(us4);
	struct errbuf e = {""};

	if (!have_ns)
		skip();
	if (pktio_packet.open(&u->io, &cfg, &e))
		fail_msg("%s", e.s);
	assert_int_equal(net_if_init(&u->nif, u->io->mac, &ip, 24, NULL, u->io->mtu, &e), 0);
}

static void us_close(struct us *u)
{
	u->io->ops->close(u->io);
}

static void us_send(struct us *u, uint8_t *frame, uint32_t len)
{
	struct pkt_tx t = {.niov = 2, .len = len};

	t.iov[1] = (struct iovec){frame, len};
	assert_int_equal(u->io->ops->tx_burst(u->io, &t, 1), 1);
}

/* Answer ARP and echo until a TCP frame comes, which is copied to `keep`, or ms have passed. */
static bool us_wait_tcp(struct us *u, int ms, struct net_pkt *out, uint8_t *keep)
{
	uint64_t end = clock_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	bool got = false;

	while (!got && clock_ns() < end) {
		struct pollfd pfd = {.fd = u->io->fd, .events = POLLIN};
		struct pkt_rx rx[1];
		uint8_t buf[NET_CTL_MAX];
		uint32_t len;

		poll(&pfd, 1, 5);
		while (!got && u->io->ops->rx_burst(u->io, rx, 1) == 1) {
			assert_false(rx[0].flags & PKT_RX_TRUNC);
			memcpy(keep, rx[0].data, rx[0].len);
			rx[0].data = keep;
			got = net_parse(&u->nif, &rx[0], out) == NET_TCP;
			len = net_answer(&u->nif, out, clock_ns(), buf);
			if (len)
				us_send(u, buf, len);
			u->io->ops->rx_done(u->io);
		}
		while ((len = net_poll(&u->nif, clock_ns(), buf)) > 0)
			us_send(u, buf, len);
	}
	return got;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* One TCP segment in answer to `in`, GSO and checksum left to the kernel; payload in two pieces. */
static void us_send_tcp(struct us *u, const struct net_pkt *in, uint8_t flags, uint32_t seq,
			uint32_t ack, uint8_t *body, uint32_t len)
{
	uint8_t hdr[NET_HDR_LEN + 20] = {0}, *t = hdr + NET_HDR_LEN;
	const uint8_t *mac = net_mac(&u->nif, &in->src, clock_ns());
	struct pkt_tx tx = {.niov = 2, .csum_start = NET_HDR_LEN, .csum_offset = 16};
	struct net_hdr h;
	uint16_t pseudo;

	assert_non_null(mac);
	net_hdr_init(&h, &u->nif, mac, &in->dst, &in->src, NET_PROTO_TCP);
	net_hdr_write(&h, hdr, 20 + len, 7);
	memcpy(t, in->l4 + 2, 2);
	memcpy(t + 2, in->l4, 2);
	put32(t + 4, seq);
	put32(t + 8, ack);
	t[12] = 5 << 4;
	t[13] = flags;
	t[14] = t[15] = 0xff;
	pseudo = net_hdr_pseudo(&h, 20 + len);
	memcpy(t + 16, &pseudo, 2);
	tx.iov[1] = (struct iovec){hdr, sizeof hdr};
	tx.len = (uint32_t)sizeof hdr + len;
	if (len) {
		tx.iov[2] = (struct iovec){body, len / 3};
		tx.iov[3] = (struct iovec){body + len / 3, len - len / 3};
		tx.niov = 4;
	}
	if (len > MSS) {
		tx.gso_size = MSS;
		tx.hdr_len = sizeof hdr;
	}
	assert_int_equal(u->io->ops->tx_burst(u->io, &tx, 1), 1);
}

static int kernel_connect(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(&to.sin_addr, us4, 4);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static uint8_t frame[PKT_MAX_LEN], body[BODY], got[BODY];

/* The kernel's SYN comes (so it believed our ARP reply), our handshake and one GSO frame are
 * accepted byte for byte, and a request longer than a slot arrives whole. */
static void test_tcp_gso_both_ways(void **state)
{
	struct us u;
	struct net_pkt p;
	struct pktio_stats st;
	uint32_t rcv_nxt, n = 0;
	int fd;

	(void)state;
	us_open(&u);
	for (uint32_t i = 0; i < BODY; i++)
		body[i] = (uint8_t)(i * 7 + (i >> 8));
	fd = kernel_connect(80);
	assert_true(us_wait_tcp(&u, 3000, &p, frame));
	assert_int_equal(p.l4[13], 2);
	net_learn(&u.nif, &p, clock_ns());
	rcv_nxt = get32(p.l4 + 4) + 1;
	us_send_tcp(&u, &p, 0x12, 1000, rcv_nxt, NULL, 0);
	assert_true(us_wait_tcp(&u, 3000, &p, frame));
	assert_int_equal(p.l4[13], 0x10);

	us_send_tcp(&u, &p, 0x18, 1001, rcv_nxt, body, BODY);
	for (int tries = 0; n < BODY && tries < 300; tries++) {
		ssize_t r = recv(fd, got + n, BODY - n, 0);

		if (r > 0)
			n += (uint32_t)r;
		else
			us_wait_tcp(&u, 10, &p, frame);
	}
	assert_int_equal(n, BODY);
	assert_memory_equal(got, body, BODY);

	while (us_wait_tcp(&u, 50, &p, frame))
		; /* ACKs */
	assert_int_equal(send(fd, body, 12000, 0), 12000);
	n = 0;
	while (n < 12000 && us_wait_tcp(&u, 3000, &p, frame)) {
		uint32_t len = p.l4_len - (p.l4[12] >> 4) * 4u;

		assert_int_equal(get32(p.l4 + 4), rcv_nxt + n);
		assert_memory_equal(p.l4 + (p.l4[12] >> 4) * 4, body + n, len);
		n += len;
		us_send_tcp(&u, &p, 0x10, 1001 + BODY, rcv_nxt + n, NULL, 0);
	}
	assert_int_equal(n, 12000);
	u.io->ops->stats(u.io, &st);
	assert_true(st.tx_copied_bytes > BODY);
	assert_int_equal(st.rx_dropped, 0);
	assert_int_equal(st.tx_errors, 0);
	close(fd);
	us_close(&u);
}

static void test_ping(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct icmphdr icmp = {.type = ICMP_ECHO};
	uint8_t out[100] = {0}, in[200];
	struct us u;
	struct net_pkt p;
	bool answered = false;
	uint16_t check;
	int fd;

	(void)state;
	us_open(&u);
	fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
	assert_true(fd >= 0);
	memcpy(&to.sin_addr, us4, 4);
	icmp.un.echo.id = htons(77);
	memcpy(out, &icmp, sizeof icmp);
	check = (uint16_t)~csum_add(out, sizeof out, 0);
	memcpy(out + 2, &check, 2);
	assert_int_equal(sendto(fd, out, sizeof out, 0, (struct sockaddr *)&to, sizeof to),
			 sizeof out);
	for (int i = 0; i < 300 && !answered; i++) {
		us_wait_tcp(&u, 10, &p, frame);
		answered = recv(fd, in, sizeof in, 0) == 20 + (ssize_t)sizeof out && in[20] == 0;
	}
	assert_true(answered);
	assert_int_equal(u.nif.stats.echo_out, 1);
	close(fd);
	us_close(&u);
}

/* Neither what we send ourselves nor frames for other addresses come in. */
static void test_filter(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct us u;
	struct net_pkt p;
	struct pktio_stats st;
	int fd;

	(void)state;
	us_open(&u);
	assert_int_equal(sh("ip neigh replace 198.18.0.3 lladdr " VA_MAC " dev vb"), 0);
	us_wait_tcp(&u, 200, &p, frame); /* our announcement goes out here */
	u.io->ops->stats(u.io, &st);
	assert_true(st.tx_frames > 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "198.18.0.3", &to.sin_addr);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
	us_wait_tcp(&u, 100, &p, frame);
	assert_int_equal(u.nif.stats.drop[NET_WHY_NOT_OURS], 0);
	assert_int_equal(u.nif.stats.drop[NET_WHY_PROTO], 0);
	close(fd);
	us_close(&u);
}

/* With the peer's checksum offload off, checksums are real and are verified. */
static void test_checksum_verified(void **state)
{
	struct us u;
	struct net_pkt p;
	int fd;

	(void)state;
	us_open(&u);
	if (sh("ethtool -K vb tx off >/dev/null 2>&1")) {
		us_close(&u);
		skip();
	}
	fd = kernel_connect(81);
	assert_true(us_wait_tcp(&u, 3000, &p, frame));
	assert_int_equal(u.nif.stats.drop[NET_WHY_L4_CSUM], 0);
	assert_int_equal(
		csum_add(p.l4, p.l4_len, csum_pseudo4(ipaddr_v4_bytes(&p.src), us4, 6, p.l4_len)),
		0xffff);
	close(fd);
	us_close(&u);
	sh("ethtool -K vb tx on >/dev/null 2>&1");
}

#define FLOWS 40

/* Every flow goes to exactly one of two queues, and each gets some. */
static void test_fanout(void **state)
{
	struct pktio_cfg cfg = {
		.ifname = "va", .queues = 2, .fanout_id = 7, .ip4 = {198, 18, 0, 2}};
	struct pktio *io[2];
	int fd[FLOWS], seen[2] = {0, 0};
	struct us u;
	struct net_pkt p;
	struct pkt_rx rx[PKTIO_BURST];
	struct errbuf e;

	(void)state;
	us_open(&u);
	assert_int_equal(sh("ip neigh replace " US " lladdr " VA_MAC " dev vb"), 0);
	for (unsigned int q = 0; q < 2; q++) {
		cfg.queue = q;
		if (pktio_packet.open(&io[q], &cfg, &e))
			fail_msg("%s", e.s);
	}
	for (int i = 0; i < FLOWS; i++)
		fd[i] = kernel_connect((uint16_t)(2000 + i));
	for (int q = 0; q < 2; q++) {
		int n;

		while ((n = pktio_packet.rx_burst(io[q], rx, PKTIO_BURST)) > 0) {
			for (int i = 0; i < n; i++)
				seen[q] += net_parse(&u.nif, &rx[i], &p) == NET_TCP;
			pktio_packet.rx_done(io[q]);
		}
		pktio_packet.close(io[q]);
	}
	for (int i = 0; i < FLOWS; i++)
		close(fd[i]);
	assert_int_equal(seen[0] + seen[1], FLOWS);
	assert_true(seen[0] > 0 && seen[1] > 0);
	sh("ip neigh del " US " dev vb");
	us_close(&u);
}

/* A link that is down keeps the frame with the caller; up again, it goes. */
static void test_link_down(void **state)
{
	uint8_t f[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct pkt_tx t = {.niov = 2, .len = sizeof f};
	struct us u;

	(void)state;
	us_open(&u);
	t.iov[1] = (struct iovec){f, sizeof f};
	sh("ip link set va down");
	assert_int_equal(u.io->ops->tx_burst(u.io, &t, 1), -ENOBUFS);
	sh("ip link set va up");
	assert_int_equal(u.io->ops->tx_burst(u.io, &t, 1), 1);
	us_close(&u);
}

/* Too long for the link and not GSO: it will never pass, and must not block what is behind it. */
static void test_bad_frame_is_skipped(void **state)
{
	struct pkt_tx t[2] = {{.niov = 2, .len = 4000}, {.niov = 2, .len = 60}};
	struct pktio_stats st;
	struct us u;

	(void)state;
	us_open(&u);
	t[0].iov[1] = (struct iovec){body, 4000};
	t[1].iov[1] = (struct iovec){body, 60};
	assert_int_equal(u.io->ops->tx_burst(u.io, t, 2), 1);
	assert_int_equal(u.io->ops->tx_burst(u.io, t + 1, 1), 1);
	u.io->ops->stats(u.io, &st);
	assert_int_equal(st.tx_errors, 1);
	us_close(&u);
}

/* GSO frames pass where the interface does not segment, whether that was so before the start or
 * comes later: then after a few refusals. */
static void test_gso_without_tso(void **state)
{
	uint8_t f[1500 * 20] = {[14] = 0x45, [23] = 6, [46] = 5 << 4};
	struct pkt_tx t = {.niov = 2,
			   .len = sizeof f,
			   .gso_size = MSS,
			   .hdr_len = 54,
			   .csum_start = 34,
			   .csum_offset = 16};
	uint16_t tot = htons(sizeof f - 14);
	struct us u;
	int tries = 0;

	(void)state;
	if (sh("ethtool -K va tso off >/dev/null 2>&1"))
		skip();
	us_open(&u);
	memcpy(f, "\2\0\0\0\0\1\2\0\0\0\0\2\10\0", 14);
	memcpy(f + 16, &tot, 2);
	t.iov[1] = (struct iovec){f, sizeof f};
	assert_int_equal(u.io->ops->tx_burst(u.io, &t, 1), 1);
	us_close(&u);
	sh("ethtool -K va tso on >/dev/null 2>&1");
	us_open(&u);
	assert_int_equal(u.io->ops->tx_burst(u.io, &t, 1), 1);
	sh("ethtool -K va tso off >/dev/null 2>&1");
	while (u.io->ops->tx_burst(u.io, &t, 1) != 1)
		assert_true(++tries < 100);
	sh("ethtool -K va tso on >/dev/null 2>&1");
	us_close(&u);
}

static void expect_error(const char *ifname, const uint8_t *ip, int err, const char *word)
{
	struct pktio_cfg cfg = {.ifname = ifname, .queues = 1};
	struct pktio *io;
	struct errbuf e = {""};

	memcpy(cfg.ip4, ip, 4);
	assert_int_equal(pktio_packet.open(&io, &cfg, &e), err);
	if (!strstr(e.s, word))
		fail_msg("no %s in: %s", word, e.s);
}

static void test_errors(void **state)
{
	static const uint8_t peer4[4] = {198, 18, 0, 129};

	(void)state;
	if (!have_ns)
		skip();
	expect_error("nosuch0", us4, -ENODEV, "nosuch0");
	expect_error("lo", us4, -EINVAL, "not Ethernet");
	expect_error("va", peer4, -EADDRINUSE, "vb");
	sh("ip link set va down");
	expect_error("va", us4, -ENETDOWN, "ip link set va up");
	sh("ip link set va up");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_gso_both_ways),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_checksum_verified),
		cmocka_unit_test(test_fanout),
		cmocka_unit_test(test_link_down),
		cmocka_unit_test(test_bad_frame_is_skipped),
		cmocka_unit_test(test_gso_without_tso),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, make_ns, NULL);
}
