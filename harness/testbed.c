/* testbed: see the header.
 *
 *	without wan:  [server dcns0 198.18.0.1/24]----[198.18.0.129/24 dcnc0 client]
 *	with wan:     [server dcns0 198.18.0.1/24]----[198.18.0.254 dcnws0 wan dcnwc0 198.18.1.254]
 *	                                          ----[198.18.1.129/24 dcnc0 client]
 *
 * One idea: everything is made inside namespaces of its own, so the host has nothing to be cleaned
 * of but a few files under /run, for some kernels one setting for a moment, and with the WAN box
 * one for as long as it is there (raise_backlog). Names carry the process id, so that two runs
 * never meet.
 *
 * An address that nobody owns in the kernel (TESTBED_ATLAS_IP) is left alone by it: with forwarding
 * off it neither answers ARP for it nor rejects its segments, so a user-space stack can own it.
 *
 * Limits: IPv4 (IPv6 is switched off inside, it would only add its own chatter); one machine.
 * DESIGN.md section 3.
 */
#include "harness/testbed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/testbed_cpu.h"
#include "harness/testbed_journal.h"
#include "harness/testbed_ns.h"

#define PREFIX		 24
#define WAN_SERVER_IP	 "198.18.0.254"
#define WAN_CLIENT_IP	 "198.18.1.254"
#define CLIENT_IP_BEHIND "198.18.1.129"
#define CLIENT_NET	 "198.18.1.0"
#define BACKLOG		 "/proc/sys/net/core/netdev_max_backlog"
#define BACKLOG_PACKETS	 10000
#define ALLOWED_CC	 "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
#define RX_QUEUES_MAX	 256

_Static_assert(sizeof(((struct testbed *)0)->server_ip) == 46, "addresses of either family");

/* Settings of every namespace. `must`: the comparison depends on it; the others are missing on some
 * kernels or in a user namespace, where the default does. */
static const struct {
	const char *path, *value;
	bool must;
} sysctls[] = {
	{"ipv4/ip_forward", "0", true}, /* first: it resets others. 1 in the wan namespace */
	{"ipv6/conf/all/disable_ipv6", "1", false},
	{"ipv4/conf/all/rp_filter", "0", false},
	{"ipv4/conf/default/rp_filter", "0", false},
	{"ipv4/conf/all/accept_redirects", "0", false},
	{"ipv4/conf/all/send_redirects", "0", false},
	/* Thousands of connections opened in one ramp. */
	{"core/somaxconn", "65535", false},
	{"ipv4/tcp_max_syn_backlog", "65535", false},
	{"ipv4/ip_local_port_range", "1024 65535", true},
	{"ipv4/tcp_tw_reuse", "1", false},
	/* Persistent connections that wait for their turn must not start slowly each time. */
	{"ipv4/tcp_slow_start_after_idle", "0", false},
	/* No run inherits another's idea of the path. */
	{"ipv4/tcp_no_metrics_save", "1", false},
	/* The kernel's own defaults, whatever this host prefers. */
	{"ipv4/tcp_rmem", "4096 131072 6291456", false},
	{"ipv4/tcp_wmem", "4096 16384 4194304", false},
	{"ipv4/tcp_window_scaling", "1", true},
	{"ipv4/tcp_timestamps", "1", true},
	{"ipv4/tcp_sack", "1", true},
	{"ipv4/tcp_ecn", "2", false},
	{"ipv4/tcp_mtu_probing", "0", false},
};

/* One interface of a namespace, and whose CPUs process what it receives. */
struct port {
	const char *name, *ip;
	const cpu_set_t *cpus;
};

/* What ns_call() gets to do in one namespace. */
struct side {
	struct testbed *tb;
	struct port port[2];
	int ports;
	bool forward;
	const char *route_net, *route_gw; /* NULL: none */
};

/* "1234-1" of "dcn-1234-1-server": names the journal. */
static const char *testbed_id(const struct testbed *tb, char id[32])
{
	const char *end = strrchr(tb->server_ns, '-');

	snprintf(id, 32, "%.*s", (int)(end - tb->server_ns) - 4, tb->server_ns + 4);
	return id;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

/* Does a list of words hold this one? */
static bool has_word(const char *list, const char *word)
{
	const size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
			return true;
	return false;
}

static void warn(struct testbed *tb, const char *text)
{
	size_t at = strlen(tb->warning);

	snprintf(tb->warning + at, sizeof tb->warning - at, "%s%s", at ? "; " : "", text);
}

/* CPUs and disk; nothing is changed yet. */
static int choose_cpus(struct testbed *tb, struct errbuf *e)
{
	const char *dir = tb->cfg.content_dir;
	struct disk_irqs irqs = {.n = 0};
	struct cpu_split split;
	cpu_set_t avail, irq_cpus;
	char text[200];
	int err;

	if (sched_getaffinity(0, sizeof avail, &avail))
		return errf(e, -errno, "sched_getaffinity: %s", strerror(errno));
	CPU_ZERO(&irq_cpus);
	if (dir && disk_of_path("/sys", "/proc", dir, tb->disk) == 0 &&
	    disk_irqs_find("/sys", "/proc", tb->disk, &irqs) == 0)
		disk_irq_cpus("/proc", &irqs, &irq_cpus);
	err = cpu_split(&split, tb->cfg.server_cpus, tb->cfg.client_cpus, &avail, &irq_cpus, "/sys",
			e);
	if (err)
		return err;
	tb->server_cpus = split.server;
	tb->client_cpus = split.client;
	if (split.warning[0])
		warn(tb, split.warning);
	if (CPU_EQUAL(&split.server, &split.client))
		snprintf(tb->cpu_why, sizeof tb->cpu_why,
			 "one CPU only: the server's work can't be told from the client's");
	if (dir && !irqs.n) {
		snprintf(text, sizeof text,
			 "the interrupts of the content's disk (%.60s) are unknown",
			 tb->disk[0] ? tb->disk : "no block device");
		warn(tb, text);
	}
	return 0;
}

static int side_sysctls(const struct side *s, struct errbuf *e)
{
	char path[128];

	for (size_t i = 0; i < sizeof sysctls / sizeof *sysctls; i++) {
		const char *value = i == 0 && s->forward ? "1" : sysctls[i].value;
		int err;

		snprintf(path, sizeof path, "/proc/sys/net/%s", sysctls[i].path);
		err = write_file(path, value);
		if (err && sysctls[i].must)
			return errf(e, err, "testbed: can't set %s to '%s': %s", path, value,
				    strerror(-err));
	}
	return 0;
}

/* The namespace's default congestion control. Kernels let a namespace choose among the allowed ones
 * only; the caller sees to that. Where it can't (user namespace) each route names it instead, see
 * side_up. */
static bool side_congestion(const char *cc)
{
	char got[32];

	return write_file("/proc/sys/net/ipv4/tcp_congestion_control", cc) == 0 &&
	       read_file("/proc/sys/net/ipv4/tcp_congestion_control", got, sizeof got) == 0 &&
	       strcmp(got, cc) == 0;
}

static int side_up(void *arg, struct errbuf *e)
{
	static const uint32_t offloads[] = {ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO,
					    ETHTOOL_SGSO};
	const struct side *s = arg;
	const char *cc = s->tb->cfg.congestion;
	int err = side_sysctls(s, e);
	bool route_cc;

	if (err)
		return err;
	route_cc = !side_congestion(cc);
	err = if_up("lo", NULL, 0);
	for (int i = 0; i < s->ports && !err; i++) {
		const struct port *p = &s->port[i];

		for (size_t k = 0; k < sizeof offloads / sizeof *offloads; k++)
			if_offload(p->name, offloads[k], true);
		if_offload(p->name, ETHTOOL_SGRO, false); /* packets are GSO-sized already */
		err = if_up(p->name, p->ip, PREFIX);
		if (!err && route_cc)
			err = nl_route(p->ip, PREFIX, NULL, p->name, cc);
	}
	if (!err && s->route_net)
		err = nl_route(s->route_net, PREFIX, s->route_gw, s->port[0].name,
			       route_cc ? cc : NULL);
	return err ? errf(e, err, "testbed: can't configure the interfaces: %s%s", strerror(-err),
			  route_cc ? " (is the congestion control available?)" : "")
		   : 0;
}

/* Receive packet steering on all rx queues of the namespace's interfaces. */
static int side_steer(void *arg, struct errbuf *e)
{
	const struct side *s = arg;
	const int ncpu = (int)sysconf(_SC_NPROCESSORS_CONF);
	char path[128], mask[CPU_SETSIZE / 32 * 9 + 1];

	for (int i = 0; i < s->ports; i++) {
		cpumask_text(s->port[i].cpus, ncpu, mask, sizeof mask);
		for (int q = 0; q < RX_QUEUES_MAX; q++) {
			int err;

			snprintf(path, sizeof path, "/sys/class/net/%s/queues/rx-%d/rps_cpus",
				 s->port[i].name, q);
			err = write_file(path, mask);
			if (err == -ENOENT && q > 0)
				break;
			if (err)
				return errf(e, err, "packet steering can't be set: %s",
					    strerror(-err));
		}
	}
	return 0;
}

/* Make the pair a (inside a_fd) and b (inside b_fd). */
struct pair {
	const char *a, *b;
	int b_fd;
};

static int pair_up(void *arg, struct errbuf *e)
{
	const struct pair *p = arg;
	int err = nl_veth(p->a, p->b, p->b_fd);

	if (err == -EOPNOTSUPP)
		return errf(e, err, "this kernel has no veth interfaces; modprobe veth");
	return err ? errf(e, err, "can't make the veth pair %s - %s: %s", p->a, p->b,
			  strerror(-err))
		   : 0;
}

static int links_up(struct testbed *tb, struct errbuf *e)
{
	struct pair server = {tb->server_if, tb->cfg.wan ? tb->wan_server_if : tb->client_if,
			      tb->cfg.wan ? tb->wan_fd : tb->client_fd};
	struct pair client = {tb->wan_client_if, tb->client_if, tb->client_fd};
	int err = ns_call(tb->server_fd, pair_up, &server, e);

	if (!err && tb->cfg.wan)
		err = ns_call(tb->wan_fd, pair_up, &client, e);
	return err;
}

/* The congestion control must exist, and for the time of set-up namespaces must be allowed to
 * choose it: that list is global and goes back to what it was at once. */
static int allow_congestion(const struct testbed *tb, const char *id, struct errbuf *e)
{
	const char *cc = tb->cfg.congestion;
	char list[512], path[64];

	snprintf(path, sizeof path, "/proc/sys/net/ipv4/tcp_available_congestion_control");
	if (read_file(path, list, sizeof list) == 0 && !has_word(list, cc))
		return errf(e, -EINVAL,
			    "testbed.congestion = %s: this kernel has %s; choose one of them, "
			    "or modprobe tcp_%s",
			    cc, list, cc);
	if (read_file(ALLOWED_CC, list, sizeof list - sizeof tb->cfg.congestion - 1) ||
	    has_word(list, cc) || access(ALLOWED_CC, W_OK))
		return 0; /* allowed already, or not ours to allow: side_up goes by route */
	if (journal_add_file(id, ALLOWED_CC, e))
		return -EIO;
	snprintf(list + strlen(list), sizeof list - strlen(list), " %s", cc);
	write_file(ALLOWED_CC, list); /* refused: as above */
	return 0;
}

/* Between two namespaces packets wait in a queue of 1,000 a CPU by default. With the WAN box a
 * frame comes as 45 packets, and what is under way on a long path is thousands: they would be lost
 * where a wire loses nothing. The setting is the host's; never lowered, put back by the last
 * testbed. */
static int raise_backlog(const struct testbed *tb, const char *id, struct errbuf *e)
{
	char text[32];

	if (!tb->cfg.wan || access(BACKLOG, W_OK) || read_file(BACKLOG, text, sizeof text))
		return 0;
	if (atoi(text) >= BACKLOG_PACKETS && !journal_others_have(id, BACKLOG))
		return 0;
	if (journal_add_file(id, BACKLOG, e))
		return -EIO;
	snprintf(text, sizeof text, "%d", BACKLOG_PACKETS);
	write_file(BACKLOG, text); /* refused: as it was, and the results count drops */
	return 0;
}

static int sides_up(struct testbed *tb, struct errbuf *e)
{
	const bool wan = tb->cfg.wan;
	struct side server = {.tb = tb,
			      .port = {{tb->server_if, tb->server_ip, &tb->server_cpus}},
			      .ports = 1,
			      .route_net = wan ? CLIENT_NET : NULL,
			      .route_gw = WAN_SERVER_IP};
	struct side client = {.tb = tb,
			      .port = {{tb->client_if, tb->client_ip, &tb->client_cpus}},
			      .ports = 1,
			      .route_net = wan ? "198.18.0.0" : NULL,
			      .route_gw = WAN_CLIENT_IP};
	struct side box = {.tb = tb,
			   .port = {{tb->wan_server_if, WAN_SERVER_IP, &tb->client_cpus},
				    {tb->wan_client_if, WAN_CLIENT_IP, &tb->client_cpus}},
			   .ports = 2,
			   .forward = true};
	struct errbuf why = {""};
	int err = ns_call(tb->server_fd, side_up, &server, e);

	if (!err)
		err = ns_call(tb->client_fd, side_up, &client, e);
	if (!err && wan)
		err = ns_call(tb->wan_fd, side_up, &box, e);
	if (err)
		return err;
	if (!tb->cfg.steering) {
		warn(tb, "no packet steering: the server's CPUs also run part of the client's "
			 "receive path");
		return 0;
	}
	if (CPU_EQUAL(&tb->server_cpus, &tb->client_cpus))
		return 0; /* one CPU: warned already */
	err = ns_call(tb->server_fd, side_steer, &server, &why);
	if (!err)
		err = ns_call(tb->client_fd, side_steer, &client, &why);
	if (!err && wan)
		err = ns_call(tb->wan_fd, side_steer, &box, &why);
	tb->steering = !err;
	if (err) {
		snprintf(tb->cpu_why, sizeof tb->cpu_why,
			 "%.150s; without it the server's CPUs run part of the client's work: run "
			 "as root",
			 why.s);
		warn(tb, tb->cpu_why);
	}
	return 0;
}

/* Journal, then make, each namespace. */
static int namespaces_up(struct testbed *tb, const char *id, struct errbuf *e)
{
	const struct {
		const char *name;
		int *fd;
	} ns[] = {{tb->server_ns, &tb->server_fd},
		  {tb->client_ns, &tb->client_fd},
		  {tb->wan_ns, &tb->wan_fd}};

	for (int i = 0; i < (tb->cfg.wan ? 3 : 2); i++) {
		int err = journal_add(id, "netns", ns[i].name, e);

		if (err)
			return err;
		*ns[i].fd = ns_make(ns[i].name, e);
		if (*ns[i].fd < 0)
			return *ns[i].fd;
	}
	return 0;
}

static void testbed_names(struct testbed *tb, const struct testbed_cfg *cfg)
{
	static unsigned int count;
	char id[20];

	memset(tb, 0, sizeof *tb);
	tb->cfg = *cfg;
	tb->server_fd = tb->client_fd = tb->wan_fd = -1;
	if (!tb->cfg.congestion[0])
		snprintf(tb->cfg.congestion, sizeof tb->cfg.congestion, "cubic");
	snprintf(id, sizeof id, "%d-%u", (int)getpid(), ++count);
	snprintf(tb->server_ns, sizeof tb->server_ns, "dcn-%s-server", id);
	snprintf(tb->client_ns, sizeof tb->client_ns, "dcn-%s-client", id);
	snprintf(tb->server_if, sizeof tb->server_if, "dcns0");
	snprintf(tb->client_if, sizeof tb->client_if, "dcnc0");
	snprintf(tb->server_ip, sizeof tb->server_ip, TESTBED_SERVER_IP);
	snprintf(tb->atlas_ip, sizeof tb->atlas_ip, TESTBED_ATLAS_IP);
	snprintf(tb->client_ip, sizeof tb->client_ip, "%s",
		 cfg->wan ? CLIENT_IP_BEHIND : TESTBED_CLIENT_IP);
	tb->prefix = PREFIX;
	if (!cfg->wan)
		return;
	snprintf(tb->wan_ns, sizeof tb->wan_ns, "dcn-%s-wan", id);
	snprintf(tb->wan_server_if, sizeof tb->wan_server_if, "dcnws0");
	snprintf(tb->wan_client_if, sizeof tb->wan_client_if, "dcnwc0");
	snprintf(tb->atlas_gw, sizeof tb->atlas_gw, WAN_SERVER_IP);
}

/* Forget what a failed or finished testbed had. */
static void testbed_close(struct testbed *tb)
{
	int *fd[] = {&tb->server_fd, &tb->client_fd, &tb->wan_fd};

	for (int i = 0; i < 3; i++) {
		if (*fd[i] >= 0)
			close(*fd[i]);
		*fd[i] = -1;
	}
	tb->server_ns[0] = '\0';
}

int testbed_up(struct testbed *tb, const struct testbed_cfg *cfg, struct errbuf *e)
{
	char id[32];
	int err, lock;

	testbed_names(tb, cfg);
	testbed_id(tb, id);
	err = choose_cpus(tb, e);
	if (!err && !ns_is_privileged())
		err = ns_enter_user(e);
	if (err) {
		testbed_close(tb);
		return err;
	}
	lock = journal_lock(e);
	if (lock < 0) {
		testbed_close(tb);
		return lock;
	}
	journal_undo_dead();
	err = journal_begin(id, e);
	if (!err)
		err = namespaces_up(tb, id, e);
	if (!err)
		err = links_up(tb, e);
	if (!err)
		err = allow_congestion(tb, id, e);
	if (!err)
		err = raise_backlog(tb, id, e);
	if (!err)
		err = sides_up(tb, e);
	journal_file_back(id, ALLOWED_CC);
	if (err) {
		journal_undo(id, false);
		testbed_close(tb);
	}
	journal_unlock(lock);
	return err;
}

void testbed_down(struct testbed *tb)
{
	char id[32];
	int lock;

	if (!tb->server_ns[0])
		return;
	testbed_id(tb, id);
	lock = journal_lock(NULL);
	journal_undo(id, false);
	if (lock >= 0)
		journal_unlock(lock);
	testbed_close(tb);
}

int testbed_restore(struct errbuf *e)
{
	int lock, n;

	if (access(JOURNAL_DIR, F_OK))
		return 0;
	lock = journal_lock(e);
	if (lock < 0)
		return lock;
	n = journal_undo_dead();
	journal_unlock(lock);
	return n;
}

int testbed_note_cgroup(const struct testbed *tb, const char *dir, struct errbuf *e)
{
	char id[32];

	return journal_add(testbed_id(tb, id), "cgroup", dir, e);
}

int testbed_note_setting(const struct testbed *tb, const char *path, struct errbuf *e)
{
	char id[32];
	int lock = journal_lock(e), err;

	if (lock < 0)
		return lock;
	err = journal_add_file(testbed_id(tb, id), path, e);
	journal_unlock(lock);
	return err;
}

int testbed_enter(const struct testbed *tb, enum testbed_side side)
{
	const int fd = side == TESTBED_SERVER	? tb->server_fd
		       : side == TESTBED_CLIENT ? tb->client_fd
						: tb->wan_fd;
	const cpu_set_t *cpus = side == TESTBED_SERVER ? &tb->server_cpus : &tb->client_cpus;

	if (fd < 0)
		return -ENOENT;
	if (setns(fd, CLONE_NEWNET) || sched_setaffinity(0, sizeof *cpus, cpus))
		return -errno;
	return 0;
}

int testbed_disk_irqs(const struct testbed *tb, uint64_t *per_cpu, int ncpu)
{
	struct disk_irqs irqs;

	if (!tb->disk[0] || disk_irqs_find("/sys", "/proc", tb->disk, &irqs))
		return -ENOENT;
	return disk_irqs_count("/proc", &irqs, per_cpu, ncpu);
}
