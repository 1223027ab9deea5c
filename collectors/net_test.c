/* collector net on recorded trees, value by value, and in a namespace of its own. */
#include "collectors/test_kit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <math.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"

static struct testbed bed(const char *ifname)
{
	struct testbed tb = {.server_fd = -1};

	snprintf(tb.server_if, sizeof tb.server_if, "%s", ifname);
	return tb;
}

static void test_window(void **state)
{
	struct testbed tb = bed("veth0");
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	kit_begin(&k, "net");
	kit_run(&k, &collector_net, &env);
	kit_near(&k, "net_tx_gbps", 10);
	kit_near(&k, "net_rx_gbps", 0.01);
	kit_near(&k, "net_tx_packets_per_s", 40000);
	kit_near(&k, "net_rx_packets_per_s", 1000);
	kit_near(&k, "net_drops", 11);
	kit_near(&k, "retrans_pct", 0.25);
	kit_end(&k);
}

/* A 32-bit byte counter that wraps, and a stack that does not use the kernel's TCP. */
static void test_wrap_and_own_tcp(void **state)
{
	struct testbed tb = bed("veth0");
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	kit_begin(&k, "net-own-tcp");
	kit_run(&k, &collector_net, &env);
	kit_near(&k, "net_tx_gbps", 6e6 * 8 / 2e9);
	assert_non_null(strstr(kit_why(&k, "retrans_pct"), "sent nothing"));
	kit_end(&k);
}

static void test_interface_goes_away(void **state)
{
	struct testbed tb = bed("veth0");
	struct collector_env env = {.tb = &tb};
	struct kit k;

	(void)state;
	kit_begin(&k, "net-gone");
	kit_run(&k, &collector_net, &env);
	assert_non_null(strstr(kit_why(&k, "net_tx_gbps"), "not there"));
	assert_non_null(strstr(kit_why(&k, "retrans_pct"), "snmp"));
	kit_end(&k);
}

static void test_no_interface(void **state)
{
	struct testbed tb = bed("veth");
	struct collector_env env = {.tb = &tb};
	struct collector *c = NULL;
	struct errbuf e = {""};
	struct kit k;

	(void)state;
	kit_begin(&k, "net");
	env.proc_root = k.proc;
	assert_int_equal(collector_net.open(&c, &env, &e), -ENODEV);
	assert_non_null(strstr(e.s, "no interface veth"));
	kit_end(&k);
}

/* --- a namespace with nothing but a loopback device --- */

static void send_datagrams(int n)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char payload[1000] = "";

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while (n--)
		sendto(fd, payload, sizeof payload, 0, (struct sockaddr *)&to, sizeof to);
	close(fd);
}

/* A connection whose receiver reads nothing: what was written stays in its socket. */
static void hold_bytes(int fd[3])
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof a;
	static char payload[1 << 16];
	int small = 4096;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	if (bind(fd[0], (struct sockaddr *)&a, sizeof a) || listen(fd[0], 1) ||
	    getsockname(fd[0], (struct sockaddr *)&a, &len))
		return;
	fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(fd[1], (struct sockaddr *)&a, sizeof a);
	fd[2] = accept(fd[0], NULL, NULL);
	while (send(fd[1], payload, sizeof payload, MSG_DONTWAIT) > 0)
		;
}

/* What the kernel says of its loopback over netlink: another way than /proc/net/dev. */
static struct rtnl_link_stats link_stats(void)
{
	struct rtnl_link_stats s = {0};
	struct ifaddrs *list = NULL;

	getifaddrs(&list);
	for (struct ifaddrs *a = list; a; a = a->ifa_next)
		if (a->ifa_addr && a->ifa_addr->sa_family == AF_PACKET && a->ifa_data &&
		    !strcmp(a->ifa_name, "lo"))
			memcpy(&s, a->ifa_data, sizeof s);
	freeifaddrs(list);
	return s;
}

struct inside {
	struct rtnl_link_stats before, after; /* of the window, a little within it */
	int ns_fd, err;
	int go[2]; /* a pipe: datagrams are wanted */
	int done[2];
	double seconds; /* of the window */
};

static void *live_inside(void *arg)
{
	struct inside *in = arg;
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd, held[3] = {-1, -1, -1};
	char byte = 0;

	in->err = unshare(CLONE_NEWNET);
	if (!in->err) {
		in->ns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		ioctl(fd, SIOCGIFFLAGS, &ifr);
		ifr.ifr_flags |= IFF_UP;
		in->err = ioctl(fd, SIOCSIFFLAGS, &ifr);
		close(fd);
	}
	if (!in->err)
		hold_bytes(held);
	if (write(in->done[1], &byte, 1) == 1 && read(in->go[0], &byte, 1) == 1) {
		in->before = link_stats();
		for (int i = 0; i < 20; i++) {
			send_datagrams(500);
			usleep(10000);
		}
		in->after = link_stats();
		if (write(in->done[1], &byte, 1) != 1)
			in->err = -1;
	}
	for (int i = 0; i < 3; i++)
		if (held[i] >= 0)
			close(held[i]);
	return NULL;
}

static void measure(struct inside *in, struct kit *k)
{
	struct testbed tb = bed("lo");
	struct collector_env env = {.tb = &tb, .proc_root = "/proc", .sys_root = "/sys"};
	struct collector *c;
	struct errbuf e = {""};
	char byte = 0;
	uint64_t t0;

	tb.server_fd = in->ns_fd;
	env.options = "";
	assert_int_equal(collector_net.open(&c, &env, &e), 0);
	collector_net.mark(c, 0, 0);
	t0 = clock_ns();
	for (int i = 0; i < 10; i++) /* question, answer and end of the dump are steps */
		collector_net.sample(c, 0, &k->sink);
	assert_int_equal(write(in->go[1], &byte, 1), 1);
	assert_int_equal(read(in->done[0], &byte, 1), 1);
	in->seconds = (double)(clock_ns() - t0) / 1e9;
	collector_net.mark(c, 1, 0);
	collector_net.finish(c, 0, &k->sink);
	collector_net.close(c);
}

/* Just these 10,000 datagrams (and some ICMP errors) are counted, so it is that namespace's
 * loopback and not ours; and it is what netlink says, to 2 %: probes of the connection that is
 * stuck, and the ends of the window. */
static void test_live_in_a_namespace(void **state)
{
	struct inside in = {.ns_fd = -1};
	pthread_t thread;
	char byte;
	struct kit k;
	double per_packet, bytes, packets;

	(void)state;
	assert_int_equal(pipe(in.go), 0);
	assert_int_equal(pipe(in.done), 0);
	assert_int_equal(pthread_create(&thread, NULL, live_inside, &in), 0);
	assert_int_equal(read(in.done[0], &byte, 1), 1);
	kit_begin(&k, "");
	if (in.err) {
		print_message("skipped: no right to make a network namespace; run as root\n");
		close(in.go[1]);
	} else {
		measure(&in, &k);
	}
	pthread_join(thread, NULL);
	if (in.ns_fd >= 0)
		close(in.ns_fd);
	kit_end(&k);
	if (in.err)
		skip();
	per_packet = kit_get(&k, "net_tx_gbps") * 1e9 / 8 / kit_get(&k, "net_tx_packets_per_s");
	assert_true(per_packet > 700 && per_packet < 1100);
	bytes = (double)(in.after.tx_bytes - in.before.tx_bytes);
	packets = (double)(in.after.tx_packets - in.before.tx_packets);
	assert_true(packets >= 10000);
	assert_true(fabs(per_packet / (bytes / packets) - 1) < 0.02);
	assert_true(fabs(kit_get(&k, "net_tx_gbps") * 1e9 / 8 * in.seconds / bytes - 1) < 0.05);
	assert_true(fabs(kit_get(&k, "net_rx_packets_per_s") / kit_get(&k, "net_tx_packets_per_s") -
			 1) < 1e-9); /* a loopback receives what it sends */
	/* Two ends of one connection, seen again and again; one of them holds what nobody reads. */
	assert_true(kit_get(&k, "tcp_info_n") >= 2);
	assert_true(kit_get(&k, "tcp_held_kb_mean") > 1);
	assert_true(kit_get(&k, "tcp_cwnd_mean") >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_wrap_and_own_tcp),
		cmocka_unit_test(test_interface_goes_away),
		cmocka_unit_test(test_no_interface),
		cmocka_unit_test(test_live_in_a_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
