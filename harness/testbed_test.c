/* testbed_test: the real thing, where namespaces can be made: traffic passes, CPUs and settings are
 * right, and the host is afterwards as it was, also after SIGKILL. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/testbed.h"
#include "harness/testbed_journal.h"
#include "harness/testbed_ns.h"

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

/* The first line of `text` from where it differs from `other`. */
static void first_difference(const char *name, const char *text, const char *other)
{
	size_t at = 0, from;

	while (text[at] && text[at] == other[at])
		at++;
	for (from = at; from && text[from - 1] != '\n'; from--)
		;
	print_message("%s: %.*s\n", name, (int)strcspn(text + from, "\n"), text + from);
}

/* Another run's set-up may hold a global setting for some milliseconds, and the kernel takes
 * namespaces apart in its own time: what is left by us stays. */
static void state_unchanged(pid_t owner)
{
	for (int i = 0; i < 100; i++) {
		host_state(owner, after);
		if (strcmp(before, after) == 0)
			return;
		usleep(50000);
	}
	first_difference("before", before, after);
	first_difference("after ", after, before);
	fail_msg("the host is not as it was before");
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

static bool put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
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
	struct testbed tb, second;

	(void)state;
	state_before(getpid());
	c.wan = true;
	up_or_skip(&tb, &c);
	traffic(&tb);
	assert_string_equal(tb.client_ip, "198.18.1.129");
	assert_string_not_equal(tb.atlas_gw, "");
	if (geteuid() == 0) {
		sh("test $(cat /proc/sys/net/core/netdev_max_backlog) -ge 10000");
		up_or_skip(&second, &c); /* two at once: the last one puts it back */
		testbed_down(&tb);
		sh("test $(cat /proc/sys/net/core/netdev_max_backlog) -ge 10000");
		testbed_down(&second);
	}
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
			/* by this process itself: a shell would outlive it */
			if (!put_text(setting, "20000 30000"))
				_exit(1);
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
		cmocka_unit_test(live_user), /* before this process may enter a user namespace
						itself */
		cmocka_unit_test(live_pair),   cmocka_unit_test(live_wan),
		cmocka_unit_test(live_errors), cmocka_unit_test(live_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
