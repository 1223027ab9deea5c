/* collector net: what the server's interface and its kernel's TCP counted.
 *
 * The files of /proc/net belong to the network namespace of whoever opens them, and keep belonging
 * to it: a helper thread enters the server's namespace, opens them and ends, and the descriptors
 * are read from then on by anyone.
 *
 * The state of single connections (what waits in their sockets, round-trip time, window) is sampled
 * a hundred a tick (sockdiag.h).
 *
 * Limits: bytes of an interface include headers, so they are more than body bytes. TCP counters are
 * the kernel's: a stack that brings its own TCP leaves them at 0 and reports its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "collectors/procfs.h"
#include "collectors/sockdiag.h"
#include "harness/collector.h"

enum { RX_BYTES, RX_PACKETS, RX_DROP, TX_BYTES, TX_PACKETS, TX_DROP, OUT_SEGS, RETRANS, COUNTERS };

struct reading {
	uint64_t t_ns;
	bool have_if, have_tcp;
	uint64_t v[COUNTERS];
};

struct collector {
	const struct collector_env *env;
	int dev_fd, snmp_fd;
	char ifname[16];
	struct sockdiag diag;
	struct sockdiag_sums diag0; /* at the first mark */
	struct sockdiag_sums diag1;
	struct reading mark[2], last;
	struct procfs_text text;
};

static const struct collector_metric metrics[] = {
	{"net_tx_gbps", "Gb/s", "sent by the server's interface, headers included"},
	{"net_rx_gbps", "Gb/s", "received by it"},
	{"net_tx_packets_per_s", "1/s", "packets sent, as the interface counts them (GSO: large)"},
	{"net_rx_packets_per_s", "1/s", "packets received"},
	{"net_drops", "", "packets the interface dropped in the window, both ways"},
	{"retrans_pct", "%", "TCP segments the server's kernel sent again"},
	{"tcp_held_kb_mean", "kB",
	 "bytes that wait in a connection's socket, unsent or unacknowledged"},
	{"tcp_rtt_us_mean", "us", "smoothed round-trip time of a connection"},
	{"tcp_cwnd_mean", "", "congestion window of a connection, segments"},
	{"tcp_info_n", "", "looks at a connection these were made of"},
	{NULL, NULL, NULL},
};

/* --- opening inside the namespace --- */

struct opener {
	const char *root;
	int ns_fd;
	int dev_fd, snmp_fd;
	struct sockdiag *diag;
	struct errbuf e;
};

static void *open_files(void *arg)
{
	struct opener *o = arg;

	if (o->ns_fd >= 0 && setns(o->ns_fd, CLONE_NEWNET)) {
		o->dev_fd = errf(&o->e, -errno, "the server's namespace can't be entered: %s",
				 strerror(errno));
		return NULL;
	}
	/* Not "net/dev": that is of the process, whose main thread is elsewhere. */
	o->dev_fd = procfs_open(o->root, o->ns_fd >= 0 ? "thread-self/net/dev" : "net/dev", &o->e);
	o->snmp_fd =
		procfs_open(o->root, o->ns_fd >= 0 ? "thread-self/net/snmp" : "net/snmp", NULL);
	if (strcmp(o->root, "/proc") == 0)
		sockdiag_open(o->diag);
	return NULL;
}

static int open_in_namespace(struct collector *c, struct errbuf *e)
{
	struct opener o = {.root = c->env->proc_root,
			   .ns_fd = -1,
			   .dev_fd = -EIO,
			   .snmp_fd = -1,
			   .diag = &c->diag};
	pthread_t thread;

	if (c->env->tb && strcmp(o.root, "/proc") == 0)
		o.ns_fd = c->env->tb->server_fd;
	if (pthread_create(&thread, NULL, open_files, &o))
		return errf(e, -EAGAIN, "a thread can't be started");
	pthread_join(thread, NULL);
	c->dev_fd = o.dev_fd;
	c->snmp_fd = o.snmp_fd;
	return o.dev_fd < 0 ? errf(e, o.dev_fd, "%s", o.e.s) : 0;
}

/* --- reading --- */

static bool read_interface(struct collector *c, uint64_t v[COUNTERS])
{
	uint64_t f[16];
	const char *p;

	if (procfs_read(c->dev_fd, &c->text) < 0)
		return false;
	p = procfs_line(&c->text, c->ifname);
	if (!p || procfs_numbers(p, f, 16) < 12)
		return false;
	v[RX_BYTES] = f[0];
	v[RX_PACKETS] = f[1];
	v[RX_DROP] = f[3];
	v[TX_BYTES] = f[8];
	v[TX_PACKETS] = f[9];
	v[TX_DROP] = f[11];
	return true;
}

/* /proc/net/snmp has two lines "Tcp:", names and values. MaxConn may be -1, so columns are counted
 * in words. */
static bool tcp_value(const char *names, const char *values, const char *name, uint64_t *out)
{
	size_t len = strlen(name);

	for (;;) {
		size_t n, v;

		names += strspn(names, " ");
		values += strspn(values, " ");
		n = strcspn(names, " \n");
		v = strcspn(values, " \n");
		if (!n || !v)
			return false;
		if (n == len && strncmp(names, name, len) == 0)
			return procfs_numbers(values, out, 1) == 1;
		names += n;
		values += v;
	}
}

static bool read_tcp(struct collector *c, uint64_t v[COUNTERS])
{
	const char *names, *values;

	if (c->snmp_fd < 0 || procfs_read(c->snmp_fd, &c->text) < 0)
		return false;
	names = strstr(c->text.s, "\nTcp: ");
	values = names ? strstr(names + 1, "\nTcp: ") : NULL;
	return values && tcp_value(names + 6, values + 6, "OutSegs", &v[OUT_SEGS]) &&
	       tcp_value(names + 6, values + 6, "RetransSegs", &v[RETRANS]);
}

static void read_now(struct collector *c, uint64_t t_ns, struct reading *r)
{
	*r = (struct reading){.t_ns = t_ns};
	r->have_if = read_interface(c, r->v);
	r->have_tcp = read_tcp(c, r->v);
}

/* --- the hooks --- */

static int net_probe(const struct collector_env *env, struct errbuf *e)
{
	int fd = procfs_open(env->proc_root, "net/dev", e);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void net_close(struct collector *c)
{
	sockdiag_close(&c->diag);
	if (c->snmp_fd >= 0)
		close(c->snmp_fd);
	if (c->dev_fd >= 0)
		close(c->dev_fd);
	free(c);
}

static int net_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	struct collector *c = calloc(1, sizeof *c);
	struct reading first;
	int err;

	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->env = env;
	c->dev_fd = c->snmp_fd = c->diag.fd = -1;
	snprintf(c->ifname, sizeof c->ifname, "lo");
	if (env->tb)
		snprintf(c->ifname, sizeof c->ifname, "%s", env->tb->server_if);
	else
		collector_option(env->options ? env->options : "", "net.if", c->ifname,
				 sizeof c->ifname);
	err = open_in_namespace(c, e);
	if (!err) {
		read_now(c, 0, &first);
		if (!first.have_if)
			err = errf(e, -ENODEV, "the server's namespace has no interface %s",
				   c->ifname);
	}
	if (err) {
		net_close(c);
		return err;
	}
	*out = c;
	return 0;
}

static void net_mark(struct collector *c, int which, uint64_t t_ns)
{
	read_now(c, collector_now(c->env, t_ns), &c->mark[which]);
	*(which ? &c->diag1 : &c->diag0) = c->diag.sums;
}

/* Differences of all counters; false if one ran backwards. */
static bool differ(const struct reading *a, const struct reading *b, int from, int to,
		   uint64_t d[COUNTERS])
{
	for (int i = from; i < to; i++)
		if (!procfs_delta(a->v[i], b->v[i], &d[i]))
			return false;
	return b->t_ns > a->t_ns;
}

static void net_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	struct reading now;
	uint64_t d[COUNTERS];

	read_now(c, collector_now(c->env, t_ns), &now);
	if (c->last.have_if && now.have_if && differ(&c->last, &now, 0, OUT_SEGS, d)) {
		double ns = (double)(now.t_ns - c->last.t_ns);

		s->emit(s, t_ns, "net_tx_gbps", (double)d[TX_BYTES] * 8 / ns);
		s->emit(s, t_ns, "net_rx_gbps", (double)d[RX_BYTES] * 8 / ns);
	}
	c->last = now;
	sockdiag_step(&c->diag);
}

static void finish_interface(const struct reading *m, struct collector_sink *s)
{
	uint64_t d[COUNTERS];
	const char *why = NULL;
	double ns;

	if (!m[0].have_if || !m[1].have_if)
		why = "the server's interface was not there";
	else if (!differ(&m[0], &m[1], 0, OUT_SEGS, d))
		why = "the interface's counters ran backwards, or the window is empty";
	if (why) {
		for (int i = 0; metrics[i].name; i++)
			if (strncmp(metrics[i].name, "net_", 4) == 0)
				s->missing(s, metrics[i].name, why);
		return;
	}
	ns = (double)(m[1].t_ns - m[0].t_ns);
	s->result(s, "net_tx_gbps", (double)d[TX_BYTES] * 8 / ns);
	s->result(s, "net_rx_gbps", (double)d[RX_BYTES] * 8 / ns);
	s->result(s, "net_tx_packets_per_s", (double)d[TX_PACKETS] * 1e9 / ns);
	s->result(s, "net_rx_packets_per_s", (double)d[RX_PACKETS] * 1e9 / ns);
	s->result(s, "net_drops", (double)(d[RX_DROP] + d[TX_DROP]));
}

static void finish_sockets(const struct collector *c, struct collector_sink *s)
{
	const struct sockdiag_sums *a = &c->diag0, *b = &c->diag1;
	double n = (double)(b->n - a->n);

	if (b->n <= a->n) {
		for (int i = 0; metrics[i].name; i++)
			if (strncmp(metrics[i].name, "tcp_", 4) == 0)
				s->missing(s, metrics[i].name,
					   "no connection of the kernel's TCP was seen");
		return;
	}
	s->result(s, "tcp_held_kb_mean", (b->held - a->held) / n / 1e3);
	s->result(s, "tcp_rtt_us_mean", (b->rtt_us - a->rtt_us) / n);
	s->result(s, "tcp_cwnd_mean", (b->cwnd - a->cwnd) / n);
	s->result(s, "tcp_info_n", n);
}

static void net_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	const struct reading *m = c->mark;
	uint64_t d[COUNTERS];

	(void)net_bytes;
	finish_interface(m, s);
	finish_sockets(c, s);
	if (!m[0].have_tcp || !m[1].have_tcp)
		s->missing(s, "retrans_pct", "/proc/net/snmp could not be read");
	else if (!differ(&m[0], &m[1], OUT_SEGS, COUNTERS, d))
		s->missing(s, "retrans_pct", "the TCP counters ran backwards");
	else if (!d[OUT_SEGS])
		s->missing(s, "retrans_pct",
			   "the kernel's TCP sent nothing: the stack has its own");
	else
		s->result(s, "retrans_pct", 100 * (double)d[RETRANS] / (double)d[OUT_SEGS]);
}

const struct collector_ops collector_net = {
	.name = "net",
	.metrics = metrics,
	.probe = net_probe,
	.open = net_open,
	.mark = net_mark,
	.sample = net_sample,
	.finish = net_finish,
	.close = net_close,
};
