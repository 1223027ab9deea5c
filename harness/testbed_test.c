/* testbed_test: CPU choice over recorded trees, and the real thing where namespaces can be made:
 * traffic passes, CPUs and settings are right, and the host is afterwards as it was, also after
 * SIGKILL. */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/testbed.h"
#include "harness/testbed_cpu.h"
#include "harness/testbed_journal.h"
#include "harness/testbed_ns.h"

/* ---- CPU lists ---- */

static void lists(void **state)
{
	static const char *const bad[] = {"",	  "x",	"-1",  "3-1",	"1,",
					  "1,,2", "1-", "1 2", "99999", "1;2"};
	static const struct {
		const char *in, *out;
		int n;
	} good[] = {{"0", "0", 1},
		    {"0-3,8", "0-3,8", 5},
		    {"5,1,0", "0-1,5", 3},
		    {"3-3", "3", 1},
		    {"0, 2-3", "0,2-3", 3}};
	cpu_set_t set;
	char buf[128];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(cpulist_parse(bad[i], &set), -EINVAL);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(cpulist_parse(good[i].in, &set), 0);
		assert_int_equal(CPU_COUNT(&set), good[i].n);
		assert_string_equal(cpulist_text(&set, buf, sizeof buf), good[i].out);
	}
	assert_int_equal(cpulist_parse("0,4,33", &set), 0);
	assert_string_equal(cpumask_text(&set, 40, buf, sizeof buf), "00000002,00000011");
	assert_string_equal(cpumask_text(&set, 8, buf, sizeof buf), "00000011");
}

/* ---- a made-up machine ---- */

static char root[128];

static char *at(const char *path)
{
	static char buf[4][512];
	static int i;

	i = (i + 1) % 4;
	snprintf(buf[i], sizeof buf[i], "%s/%s", root, path);
	return buf[i];
}

static void put(const char *path, const char *text)
{
	char cmd[1024];
	FILE *f;

	snprintf(cmd, sizeof cmd, "mkdir -p \"$(dirname '%s')\"", at(path));
	assert_int_equal(system(cmd), 0);
	f = fopen(at(path), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_link(const char *path, const char *to)
{
	put(path, "");
	unlink(at(path));
	assert_int_equal(symlink(at(to), at(path)), 0);
}

static int tree_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(root, sizeof root, "%.80s/dcn-testbed-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(root) ? 0 : -1;
}

static int tree_teardown(void **state)
{
	char cmd[256];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
	return system(cmd);
}

static const char *cpus_of(const char *disk)
{
	static char buf[128];
	struct disk_irqs irqs;
	cpu_set_t set;

	assert_int_equal(disk_irqs_find(at("sys"), at("proc"), disk, &irqs), 0);
	disk_irq_cpus(at("proc"), &irqs, &set);
	return cpulist_text(&set, buf, sizeof buf);
}

/* A VM: virtio disk with one queue whose interrupt is on CPU 1, and a neighbour with the longer
 * name. */
static void virtio(void **state)
{
	uint64_t n[4];
	struct disk_irqs irqs;

	(void)state;
	put("proc/interrupts",
	    "            CPU0       CPU1       CPU3\n"
	    "  1:          9          9          9   IO-APIC   1-edge      i8042\n"
	    " 35:          5          0          0  PCI-MSIX  0-edge      virtio1-config\n"
	    " 36:          2      53597          7  PCI-MSIX  1-edge      virtio1-req.0\n"
	    " 37:        999          0          0  PCI-MSIX  1-edge      virtio11-req.0\n"
	    "NMI:          1          1          1  Non-maskable interrupts\n");
	put("sys/devices/pci0/0000:00:02.0/msi_irqs/35", "");
	put("sys/devices/pci0/0000:00:02.0/msi_irqs/36", "");
	put("sys/devices/pci0/0000:00:02.0/virtio1/block/vda/vda1/partition", "1\n");
	put_link("sys/class/block/vda", "sys/devices/pci0/0000:00:02.0/virtio1/block/vda");
	put_link("sys/class/block/vda1", "sys/devices/pci0/0000:00:02.0/virtio1/block/vda/vda1");
	assert_string_equal(cpus_of("vda"), "1");
	assert_int_equal(disk_irqs_find(at("sys"), at("proc"), "vda", &irqs), 0);
	assert_int_equal(disk_irqs_count(at("proc"), &irqs, n, 4), 0);
	assert_int_equal(n[0], 7);
	assert_int_equal(n[1], 53597);
	assert_int_equal(n[2], 0);
	assert_int_equal(n[3], 7); /* columns are named: CPU 2 is off-line */
	/* LVM on a partition of it. */
	put("sys/devices/virtual/block/dm-0/size", "");
	put_link("sys/devices/virtual/block/dm-0/slaves/vda1", "sys/class/block/vda1");
	put_link("sys/class/block/dm-0", "sys/devices/virtual/block/dm-0");
	assert_string_equal(cpus_of("dm-0"), "1");
	assert_int_equal(disk_irqs_find(at("sys"), at("proc"), "vdz", &irqs), -ENOENT);
}

/* Firecracker: virtio over MMIO has no msi_irqs, only a name. */
static void virtio_mmio(void **state)
{
	(void)state;
	put("proc/interrupts", "            CPU0       CPU1\n"
			       " 40:          0          0  GSI  9  virtio0\n"
			       " 41:         70          0  GSI 10  virtio1\n");
	put("sys/devices/platform/virtio-mmio.1/virtio1/block/vdb/size", "");
	put_link("sys/class/block/vdb", "sys/devices/platform/virtio-mmio.1/virtio1/block/vdb");
	assert_string_equal(cpus_of("vdb"), "0");
	/* Nothing counted yet: where would it go? */
	put("sys/devices/platform/virtio-mmio.0/virtio0/block/vda/size", "");
	put_link("sys/class/block/vda", "sys/devices/platform/virtio-mmio.0/virtio0/block/vda");
	put("proc/irq/40/smp_affinity_list", "0-1\n");
	put("proc/irq/40/effective_affinity_list", "1\n");
	assert_string_equal(cpus_of("vda"), "1");
}

static void nvme(void **state)
{
	(void)state;
	put("proc/interrupts", "       CPU0   CPU1   CPU2   CPU3\n"
			       " 60:      1      0      0      0  PCI-MSI  nvme0q0\n"
			       " 61:    900      0      0      0  PCI-MSI  nvme0q1\n"
			       " 62:      0    800      0      0  PCI-MSI  nvme0q2\n"
			       " 63:      0      0    700      0  PCI-MSI  nvme0q3\n"
			       " 64:      0      0      0    600  PCI-MSI  nvme0q4\n");
	for (int i = 60; i <= 64; i++) {
		char path[80];

		snprintf(path, sizeof path, "sys/devices/pci0/0000:01:00.0/msi_irqs/%d", i);
		put(path, "");
	}
	put("sys/devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1/size", "");
	put_link("sys/class/block/nvme0n1", "sys/devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1");
	assert_string_equal(cpus_of("nvme0n1"), "0-3");
	/* The same with native multipath: the namespace lives under a virtual subsystem. */
	put("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme1n1/size", "");
	put_link("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0",
		 "sys/devices/pci0/0000:01:00.0/nvme/nvme0");
	put_link("sys/class/block/nvme1n1",
		 "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme1n1");
	assert_string_equal(cpus_of("nvme1n1"), "0-3");
}

static void disk_of_a_path(void **state)
{
	struct stat st;
	char disk[64] = "", name[64];

	(void)state;
	assert_int_equal(stat(root, &st), 0);
	snprintf(name, sizeof name, "sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	put("sys/devices/x/block/sda/sda3/partition", "3\n");
	put("proc/self/mountinfo", "");
	put_link(name, "sys/devices/x/block/sda/sda3");
	assert_int_equal(disk_of_path(at("sys"), at("proc"), root, disk), 0);
	assert_string_equal(disk, "sda");
	assert_int_equal(disk_of_path(at("sys"), at("proc"), at("not/made/yet"), disk), 0);
	assert_string_equal(disk, "sda");
	assert_int_equal(disk_of_path(at("sys"), at("proc"), "/proc/self", disk), -ENODEV);
}

/* ---- the split ---- */

static cpu_set_t set_of(const char *list)
{
	cpu_set_t s;

	if (!*list || cpulist_parse(list, &s))
		CPU_ZERO(&s);
	return s;
}

static int split(const char *server, const char *client, const char *avail, const char *irqs,
		 char *text, struct cpu_split *out, struct errbuf *e)
{
	cpu_set_t a = set_of(avail), i = set_of(irqs);
	char s[64], c[64];
	int err = cpu_split(out, server, client, &a, &i, at("sys"), e);

	if (!err)
		snprintf(text, 160, "%s / %s", cpulist_text(&out->server, s, sizeof s),
			 cpulist_text(&out->client, c, sizeof c));
	return err;
}

static void splits(void **state)
{
	static const struct {
		const char *server, *client, *avail, *irqs, *want;
	} t[] = {
		{"auto", "auto", "0-1", "1", "1 / 0"},	 /* the VM with one fixed interrupt */
		{"auto", "auto", "0-1", "0-1", "0 / 1"}, /* a queue each */
		{"auto", "auto", "0-1", "", "0 / 1"},	 /* unknown */
		{"auto", "auto", "0-7", "3", "3 / 0-2,4-7"},
		{"", "", "0-7", "0-7", "0-1,4-5 / 2-3,6-7"}, /* siblings stay together */
		{"0-1", "auto", "0-3", "1", "0-1 / 2-3"},
		{"auto", "0", "0-3", "1", "1-3 / 0"},
		{"2", "3", "0-3", "2", "2 / 3"},
		{"auto", "auto", "5", "5", "5 / 5"},
	};
	static const struct {
		const char *server, *client, *says;
	} bad[] = {
		{"0-1", "1-2", "overlap"},	  {"0-3", "auto", "leaves no CPU"},
		{"auto", "0-3", "leaves no CPU"}, {"7", "auto", "may use CPUs 0-3"},
		{"all", "auto", "not a list"},	  {"auto", "1;2", "client_cpus"},
	};
	struct cpu_split out;
	struct errbuf e;
	char text[160], path[96], sib[8];

	(void)state;
	for (int c = 0; c < 8; c++) {
		snprintf(path, sizeof path,
			 "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", c);
		snprintf(sib, sizeof sib, "%d,%d", c % 4, c % 4 + 4);
		put(path, sib);
	}
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		assert_int_equal(
			split(t[i].server, t[i].client, t[i].avail, t[i].irqs, text, &out, &e), 0);
		assert_string_equal(text, t[i].want);
		assert_int_equal(out.warning[0] != '\0', strchr(t[i].avail, '5') != NULL);
	}
	assert_int_equal(split("0", "auto", "0-1", "1", text, &out, &e), 0);
	assert_non_null(strstr(out.warning, "interrupts go to the client"));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(split(bad[i].server, bad[i].client, "0-3", "1", text, &out, &e),
				 -EINVAL);
		assert_non_null(strstr(e.s, bad[i].says));
	}
}

/* ---- live ---- */

static const struct testbed_cfg cfg = {.server_cpus = "auto",
				       .client_cpus = "auto",
				       .congestion = "cubic",
				       .steering = true,
				       .content_dir = "/tmp"};

/* What a testbed must leave as it found it: links, addresses, routes, settings, and the files that
 * carry the name of process `owner` (other tests may run beside this one). */
static void host_state(pid_t owner, char text[65536])
{
	char cmd[1024];
	FILE *p;
	size_t n;

	snprintf(
		cmd, sizeof cmd,
		"ls /run/netns /run/dcn 2>/dev/null | grep -e '^%d-' -e 'dcn-%d-'; grep -e dcn-%d- "
		"/proc/self/mountinfo; ip -o link | sed 's/qlen.*//'; ip -o addr | sed "
		"'s/valid_lft.*//'; ip route; sysctl -a 2>&1 | grep "
		"'^net.\\(ipv4\\|core\\|ipv6\\)' | "
		"grep -v neigh | sort | head -c 60000",
		(int)owner, (int)owner, (int)owner);
	p = popen(cmd, "r");
	assert_non_null(p);
	n = fread(text, 1, 65535, p);
	text[n] = '\0';
	pclose(p);
	assert_true(n > 100);
}

static char before[65536], after[65536];

static void state_before(pid_t owner)
{
	for (int i = 0; i < 20; i++) { /* not in the middle of another run's set-up, see below */
		host_state(owner, before);
		usleep(20000);
		host_state(owner, after);
		if (strcmp(before, after) == 0)
			return;
	}
}

/* Another run's set-up may hold a global setting for some milliseconds: what is left by us stays.
 */
static void state_unchanged(pid_t owner)
{
	for (int i = 0; i < 20; i++) {
		host_state(owner, after);
		if (strcmp(before, after) == 0)
			return;
		usleep(50000);
	}
	assert_string_equal(before, after);
}

/* cmocka skips, with the reason, where this machine forbids namespaces. */
static void up_or_skip(struct testbed *tb, const struct testbed_cfg *c)
{
	struct errbuf e = {""};
	int err = testbed_up(tb, c, &e);

	if (err == -EPERM || err == -ENOSPC || err == -EACCES) {
		print_message("no namespaces here: %s\n", e.s);
		skip();
	}
	if (err)
		fail_msg("testbed_up: %s", e.s);
}

static void sh(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

static int listen_on(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	inet_pton(AF_INET, ip, &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (void *)&a, sizeof a) || listen(fd, 8))
		return -1;
	return fd;
}

static int connect_to(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval limit = {.tv_sec = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, ip, &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (void *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -errno;
}

struct talk {
	const struct testbed *tb;
	enum testbed_side side;
	int (*fn)(const struct testbed *tb, int pipe_fd);
	int pipe_fd;
};

/* Server: one connection, 200,000 bytes each way; the congestion control must be the one asked for.
 */
static int serve(const struct testbed *tb, int ready)
{
	static char buf[65536];
	char cc[16] = "";
	socklen_t len = sizeof cc;
	int l = listen_on(tb->server_ip, 80), fd;
	ssize_t n;
	size_t got = 0;

	if (l < 0 || write(ready, "r", 1) != 1)
		return 10;
	fd = accept(l, NULL, NULL);
	if (fd < 0)
		return 11;
	if (getsockopt(fd, IPPROTO_TCP, 13 /* TCP_CONGESTION */, cc, &len) ||
	    strcmp(cc, "cubic") != 0)
		return 12;
	while (got < 200000 && (n = read(fd, buf, sizeof buf)) > 0) {
		if (write(fd, buf, (size_t)n) != n)
			return 13;
		got += (size_t)n;
	}
	return got == 200000 ? 0 : 14;
}

static int request(const struct testbed *tb, int ready)
{
	static char buf[50000];
	size_t got = 0;
	ssize_t n;
	int fd, err;

	if (read(ready, buf, 1) != 1)
		return 20;
	fd = connect_to(tb->server_ip, 80);
	if (fd < 0)
		return 21;
	for (int i = 0; i < 4; i++)
		if (write(fd, buf, sizeof buf) != sizeof buf)
			return 22;
	while (got < 200000 && (n = read(fd, buf, sizeof buf)) > 0)
		got += (size_t)n;
	if (got != 200000)
		return 23;
	/* Nobody answers for atlas's address: no ARP, no reset, no unreachable within a second. */
	err = connect_to(tb->atlas_ip, 80);
	return err == -EHOSTUNREACH || err == -EINPROGRESS || err == -EAGAIN ? 0 : 24;
}

static pid_t start(const struct talk *t)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		cpu_set_t now;
		const cpu_set_t *want =
			t->side == TESTBED_SERVER ? &t->tb->server_cpus : &t->tb->client_cpus;

		if (testbed_enter(t->tb, t->side) || sched_getaffinity(0, sizeof now, &now) ||
		    !CPU_EQUAL(&now, want))
			_exit(30);
		alarm(20);
		_exit(t->fn(t->tb, t->pipe_fd));
	}
	return pid;
}

static void traffic(struct testbed *tb)
{
	int fds[2], a, b;
	pid_t s, c;

	assert_int_equal(pipe(fds), 0);
	s = start(&(struct talk){tb, TESTBED_SERVER, serve, fds[1]});
	c = start(&(struct talk){tb, TESTBED_CLIENT, request, fds[0]});
	waitpid(c, &a, 0);
	if (a) /* the server still waits */
		kill(s, SIGKILL);
	waitpid(s, &b, 0);
	close(fds[0]);
	close(fds[1]);
	if (a || b)
		fail_msg("client %#x, server %#x", (unsigned int)a, (unsigned int)b);
}

static void live_pair(void **state)
{
	struct testbed tb, second;
	uint64_t irqs[CPU_SETSIZE];

	(void)state;
	state_before(getpid());
	up_or_skip(&tb, &cfg);
	traffic(&tb);
	up_or_skip(&second, &cfg); /* another run at the same time */
	traffic(&second);
	traffic(&tb);
	assert_string_not_equal(tb.server_ns, second.server_ns);
	testbed_down(&second);
	if (tb.disk[0] && !strstr(tb.warning, "unknown"))
		assert_int_equal(testbed_disk_irqs(&tb, irqs, CPU_SETSIZE), 0);
	if (tb.steering) {
		assert_string_equal(tb.cpu_why, "");
		sh("ip netns exec %s grep -q '[1-9a-f]' /sys/class/net/%s/queues/rx-0/rps_cpus",
		   tb.server_ns, tb.server_if);
		sh("ip netns exec %s grep -q '[1-9a-f]' /sys/class/net/%s/queues/rx-0/rps_cpus",
		   tb.client_ns, tb.client_if);
	}
	testbed_down(&tb);
	testbed_down(&tb); /* idempotent */
	state_unchanged(getpid());
}

static void live_wan(void **state)
{
	struct testbed_cfg c = cfg;
	struct testbed tb;

	(void)state;
	state_before(getpid());
	c.wan = true;
	up_or_skip(&tb, &c);
	traffic(&tb);
	assert_string_equal(tb.client_ip, "198.18.1.129");
	assert_string_not_equal(tb.atlas_gw, "");
	testbed_down(&tb);
	state_unchanged(getpid());
}

static void live_errors(void **state)
{
	struct testbed_cfg c = cfg;
	struct testbed tb;
	struct errbuf e;

	(void)state;
	state_before(getpid());
	up_or_skip(&tb, &cfg);
	testbed_down(&tb);
	snprintf(c.congestion, sizeof c.congestion, "nosuch");
	assert_int_equal(testbed_up(&tb, &c, &e), -EINVAL);
	assert_non_null(strstr(e.s, "testbed.congestion = nosuch"));
	testbed_down(&tb); /* of what never came up */
	c = cfg;
	snprintf(c.server_cpus, sizeof c.server_cpus, "4000");
	assert_int_equal(testbed_up(&tb, &c, &e), -EINVAL);
	state_unchanged(getpid());
}

/* SIGKILL at different moments of set-up and use, with a server still running inside and a setting
 * changed. */
static void live_killed(void **state)
{
	static const char setting[] = "/proc/sys/net/ipv4/ip_local_port_range";
	struct testbed tb;
	struct errbuf e = {""};

	(void)state;
	up_or_skip(&tb, &cfg);
	testbed_down(&tb);
	if (geteuid() != 0)
		return; /* in a user namespace nothing outlives the process */
	for (int i = 0; i < 6; i++) {
		int fds[2], status;
		char c = 0;
		pid_t pid;

		state_before(getpid());
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			pid_t inside;

			if (testbed_up(&tb, &cfg, NULL) || testbed_note_setting(&tb, setting, NULL))
				_exit(1);
			sh("echo 20000 30000 > %s", setting);
			inside = fork();
			if (inside == 0) {
				signal(SIGTERM, SIG_IGN);
				testbed_enter(&tb, TESTBED_SERVER);
				if (write(fds[1], "x", 1) == 1)
					pause();
				_exit(1);
			}
			pause();
		}
		close(fds[1]);
		if (i < 4)
			usleep(2000u << i); /* somewhere in the middle */
		else
			assert_int_equal(read(fds[0], &c, 1), 1); /* complete */
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		close(fds[0]);
		if (i >= 4) {
			host_state(pid, after);
			assert_non_null(strstr(after, "20000\t30000"));
			assert_non_null(strstr(after, "-server"));
		}
		assert_true(testbed_restore(&e) >= (i >= 4));
		state_unchanged(pid);
	}
}

/* An ordinary user: a child that gives its rights up. */
static void live_user(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	state_before(getpid());
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct testbed tb;
		struct errbuf e = {""};
		int fds[2];
		pid_t s, c;
		int a = 1, b = 1;

		if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
				       setresuid(65534, 65534, 65534)))
			_exit(3);
		prctl(PR_SET_DUMPABLE, 1); /* /proc/self is ours again */
		if (testbed_up(&tb, &cfg, &e)) {
			print_message("%s\n", e.s);
			_exit(strstr(e.s, "run as root") ? 77 : 1);
		}
		if (!tb.cpu_why[0] && !tb.steering)
			_exit(4);
		if (pipe(fds))
			_exit(5);
		s = start(&(struct talk){&tb, TESTBED_SERVER, serve, fds[1]});
		c = start(&(struct talk){&tb, TESTBED_CLIENT, request, fds[0]});
		waitpid(c, &a, 0);
		kill(s, a ? SIGKILL : 0);
		waitpid(s, &b, 0);
		testbed_down(&tb);
		if (a || b)
			print_message("client %#x, server %#x\n", (unsigned int)a, (unsigned int)b);
		_exit(a || b ? 6 : 0);
	}
	waitpid(pid, &status, 0);
	state_unchanged(getpid());
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test_setup_teardown(virtio, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(virtio_mmio, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(nvme, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(disk_of_a_path, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(splits, tree_setup, tree_teardown),
		cmocka_unit_test(
			live_user), /* before this process may enter a user namespace itself */
		cmocka_unit_test(live_pair),
		cmocka_unit_test(live_wan),
		cmocka_unit_test(live_errors),
		cmocka_unit_test(live_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
