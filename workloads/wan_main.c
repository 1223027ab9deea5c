/* dcn-wan: a wide-area network in a box, between two interfaces of its namespace.
 *
 * One thread, one loop: send what is due, take what came, sleep until the next is due. The kernel
 * goes on forwarding whatever need not be touched; workloads/wan/README.md says what is and why.
 *
 * Looking away: where every packet is delayed by a millisecond or more, the box does not wake for
 * each arrival but naps in between; arrivals carry the kernel's time stamp, so nothing is lost by
 * it.
 *
 * Limits: IPv4, two interfaces, hosts on the link; see path.c, hold.c for the bounds.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "workloads/wan/kernel.h"
#include "workloads/wan/path.h"
#include "workloads/wan/port.h"
#include "workloads/wan/report.h"
#include "workloads/wan/wan.h"

#define NAP_MAX	       NSEC_PER_MSEC /* a quarter of the delay, but the ring must not fill meanwhile */
#define NICE	       (-15)
#define NAP_MIN_DELAY  NSEC_PER_MSEC
#define NAP_AFTER_IDLE (10 * NSEC_PER_MSEC) /* then wait for arrivals in poll */
#define SLEEP_MAX      NSEC_PER_SEC
#define LOOK_EVERY     64
#define STAMP_AGE_MAX  (100 * NSEC_PER_MSEC)

enum side { SERVER, CLIENT, SIDES };

struct box {
	struct wan_cfg cfg;
	struct wan_port port[SIDES];
	struct wan_path path[WAN_DIRS];
	bool taken[WAN_DIRS];
	uint64_t nap[WAN_DIRS]; /* ns; 0: wake for each arrival */
	bool stop;
	int stats_fd, signal_fd;
	unsigned int sleepless; /* rests in a row that had no time to sleep */
	uint64_t t_start, last_rx[WAN_DIRS];
};

/* --- one turn -------------------------------------------------------------------------------- */

static struct wan_port *in_port(struct box *b, int dir)
{
	return &b->port[dir == WAN_UP ? CLIENT : SERVER];
}

static struct wan_port *out_port(struct box *b, int dir)
{
	return &b->port[dir == WAN_UP ? SERVER : CLIENT];
}

/* CLOCK_REALTIME of the kernel's time stamps on our clock; a step of that clock costs accuracy
 * once. */
static uint64_t arrival(uint64_t stamp, uint64_t real_minus_mono, uint64_t now)
{
	uint64_t t = stamp - real_minus_mono;

	return !stamp || t > now || now - t > STAMP_AGE_MAX ? now : t;
}

static int take_burst(struct box *b, int dir, uint64_t now, uint64_t real_minus_mono)
{
	struct wan_port *in = in_port(b, dir), *out = out_port(b, dir);
	struct wan_path *path = &b->path[dir];
	struct pkt_rx rx[PKTIO_BURST];
	struct wan_frame f;
	int n = in->io->ops->rx_burst(in->io, rx, PKTIO_BURST);

	for (int i = 0; i < n; i++) {
		int err = wan_frame_parse(&f, &rx[i], (enum wan_dir)dir);

		if (err) {
			*(err == -ETIME ? &path->st.ttl_expired : &path->st.bad) += 1;
			continue;
		}
		wan_port_resolve(out, f.dst, now); /* known by the time it leaves */
		wan_path_input(path, &f, arrival(rx[i].time_ns, real_minus_mono, now), now);
	}
	if (n)
		path->out.flush(path->out.ctx);
	in->io->ops->rx_done(in->io);
	return n;
}

/* Returns how much was done. */
static int turn(struct box *b)
{
	uint64_t now = clock_ns(), real_minus_mono;
	struct timespec real;
	int work = 0, n;

	clock_gettime(CLOCK_REALTIME, &real);
	real_minus_mono = (uint64_t)real.tv_sec * NSEC_PER_SEC + (uint64_t)real.tv_nsec - now;
	for (int dir = 0; dir < WAN_DIRS; dir++) {
		if (!b->taken[dir])
			continue;
		work += wan_path_run(&b->path[dir], now);
		n = take_burst(b, dir, now, real_minus_mono);
		if (n)
			b->last_rx[dir] = now;
		work += n;
	}
	return work;
}

/* --- sleeping and statistics ----------------------------------------------------------------- */

static json_t *report(struct box *b)
{
	struct rusage ru;
	json_t *o = json_object();

	getrusage(RUSAGE_SELF, &ru);
	json_object_set_new(o, "version", json_string(DCN_VERSION));
	json_object_set_new(o, "seed", json_integer((json_int_t)b->cfg.seed));
	json_object_set_new(o, "uptime_s", json_real((double)(clock_ns() - b->t_start) / 1e9));
	json_object_set_new(o, "cpu_s",
			    json_real((double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
				      (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6));
	for (int dir = 0; dir < WAN_DIRS; dir++)
		json_object_set_new(o, dir == WAN_UP ? "up" : "down",
				    wan_report_path(b->taken[dir] ? &b->path[dir] : NULL,
						    in_port(b, dir), out_port(b, dir)));
	return o;
}

static void answer_stats(struct box *b)
{
	int fd = accept4(b->stats_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	json_t *o;

	if (fd < 0)
		return;
	o = report(b);
	json_dumpfd(o, fd, JSON_COMPACT);
	json_decref(o);
	close(fd);
}

static void handle_events(struct box *b, const struct pollfd *fds, nfds_t n)
{
	if (fds[0].revents)
		b->stop = true;
	if (fds[1].revents)
		answer_stats(b);
	for (nfds_t i = 2; i < n; i++)
		if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL) && !b->stop) {
			log_err("an interface is gone or down: stopping");
			b->stop = true;
		}
}

/* How long to sleep now, ns: until the next packet is due, less what is spent awake. */
static uint64_t time_left(const struct box *b, uint64_t now)
{
	uint64_t next = UINT64_MAX, ns;

	for (int dir = 0; dir < WAN_DIRS; dir++)
		if (b->taken[dir] && wan_path_next(&b->path[dir]) < next)
			next = wan_path_next(&b->path[dir]);
	if (next <= now + b->cfg.spin)
		return 0;
	ns = next == UINT64_MAX ? SLEEP_MAX : next - now - b->cfg.spin;
	return ns < SLEEP_MAX ? ns : SLEEP_MAX;
}

/* Until a packet comes, the next is due, somebody wants statistics or a signal says stop. A box
 * that has no time to sleep still looks at the last two now and then. */
static void rest(struct box *b)
{
	struct pollfd fds[2 + WAN_DIRS] = {{.fd = b->signal_fd, .events = POLLIN},
					   {.fd = b->stats_fd, .events = POLLIN}};
	uint64_t now = clock_ns(), ns = time_left(b, now);
	struct timespec ts;
	nfds_t n = 2;

	if (!ns && ++b->sleepless % LOOK_EVERY)
		return;
	for (int dir = 0; dir < WAN_DIRS; dir++) {
		if (!b->taken[dir])
			continue;
		if (!b->nap[dir] || now - b->last_rx[dir] > NAP_AFTER_IDLE)
			fds[n++] = (struct pollfd){.fd = in_port(b, dir)->io->fd, .events = POLLIN};
		else if (ns > b->nap[dir])
			ns = b->nap[dir];
	}
	ts.tv_sec = (time_t)(ns / NSEC_PER_SEC);
	ts.tv_nsec = (long)(ns % NSEC_PER_SEC);
	if (ppoll(fds, n, &ts, NULL) > 0)
		handle_events(b, fds, n);
}

static void run(struct box *b)
{
	fputs("ready\n", stderr);
	for (unsigned int busy = 0; !b->stop; busy++) {
		if (turn(b) && busy % LOOK_EVERY)
			continue;
		rest(b);
	}
}

/* --- set-up and teardown --------------------------------------------------------------------- */

static int open_stats(struct box *b, struct errbuf *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	b->stats_fd = -1;
	if (!b->cfg.stats[0])
		return 0;
	snprintf(a.sun_path, sizeof a.sun_path, "%s", b->cfg.stats);
	unlink(a.sun_path);
	b->stats_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (b->stats_fd < 0 || bind(b->stats_fd, (struct sockaddr *)&a, sizeof a) ||
	    listen(b->stats_fd, 8))
		return errf(e, -errno, "statistics socket %s: %s", a.sun_path, strerror(errno));
	return 0;
}

/* SIGTERM and SIGINT become readable, so that none is missed however busy the loop is. */
static int open_signals(struct box *b, struct errbuf *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	b->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return b->signal_fd < 0 ? errf(e, -errno, "signalfd: %s", strerror(errno)) : 0;
}

static int open_ports(struct box *b, struct errbuf *e)
{
	const char *name[SIDES] = {b->cfg.server_if, b->cfg.client_if};
	uint8_t own[SIDES][4];
	int err = wan_kernel_check_forward(e);

	for (int s = 0; !err && s < SIDES; s++) {
		if (!name[s][0])
			return errf(e, -EINVAL, "--server-if and --client-if are needed");
		err = wan_kernel_if(name[s], own[s], e);
	}
	/* Before the ports open: a packet socket looks at the offload when it is opened. */
	if (!err && b->cfg.segment)
		err = wan_kernel_tso(name[CLIENT], false, e);
	for (int s = 0; !err && s < SIDES; s++) {
		int dir = s == SERVER ? WAN_DOWN : WAN_UP;

		err = wan_port_open(&b->port[s], name[s], b->taken[dir], dir == WAN_DOWN,
				    (const uint8_t(*)[4])own, e);
	}
	return err;
}

static uint64_t nap_for(uint64_t delay)
{
	return delay / 4 < NAP_MAX ? delay / 4 : NAP_MAX;
}

static int open_box(struct box *b, struct errbuf *e)
{
	int err;

	b->t_start = clock_ns();
	for (int dir = 0; dir < WAN_DIRS; dir++)
		b->taken[dir] = wan_takes(&b->cfg, (enum wan_dir)dir);
	err = open_signals(b, e);
	if (!err)
		err = open_ports(b, e);
	for (int dir = 0; !err && dir < WAN_DIRS; dir++) {
		struct wan_out out = wan_port_out(out_port(b, dir));

		if (!b->taken[dir])
			continue;
		err = wan_path_init(&b->path[dir], &b->cfg, (enum wan_dir)dir, &out, e);
		if (!err && wan_path_min_delay(&b->path[dir]) >= NAP_MIN_DELAY)
			b->nap[dir] = nap_for(wan_path_min_delay(&b->path[dir]));
	}
	if (!err)
		err = open_stats(b, e);
	/* Last: from here on packets go through us, or nowhere. */
	for (int dir = 0; !err && dir < WAN_DIRS; dir++)
		err = wan_kernel_forward(in_port(b, dir)->name, !b->taken[dir], e);
	return err;
}

static void close_box(struct box *b)
{
	for (int dir = 0; dir < WAN_DIRS; dir++) {
		if (b->port[dir].io)
			wan_kernel_forward(b->port[dir].name, true, NULL);
		if (b->path[dir].hold)
			wan_path_free(&b->path[dir]);
	}
	if (b->port[CLIENT].io && b->cfg.segment)
		wan_kernel_tso(b->cfg.client_if, true, NULL);
	for (int s = 0; s < SIDES; s++)
		wan_port_close(&b->port[s]);
	if (b->stats_fd >= 0) {
		close(b->stats_fd);
		unlink(b->cfg.stats);
	}
}

/* --- options --------------------------------------------------------------------------------- */

static void usage(void)
{
	puts("usage: dcn-wan --server-if IFACE --client-if IFACE [options]\n\n"
	     "Delays, loses, reorders and limits what is forwarded between two interfaces.\n");
	for (int i = 0; wan_options[i].name; i++) {
		char name[32];

		snprintf(name, sizeof name, "--%s", wan_options[i].name);
		for (char *p = name; *p; p++)
			*p = *p == '_' ? '-' : *p;
		printf("  %-12s %-12s %s\n", name, wan_options[i].arg, wan_options[i].help);
	}
	puts("\nAt SIGTERM the counters go to stdout as JSON.");
}

/* --name VALUE or --name=VALUE. 0, 1 (help was printed) or -errno with a sentence. */
static int parse(struct wan_cfg *c, char **argv, struct errbuf *e)
{
	wan_cfg_init(c);
	for (argv++; *argv; argv++) {
		char name[32], *eq = strchr(*argv, '=');
		const char *value = eq ? eq + 1 : argv[1];
		int err;

		if (!strcmp(*argv, "--help") || !strcmp(*argv, "-h")) {
			usage();
			return 1;
		}
		if (strncmp(*argv, "--", 2) != 0)
			return errf(e, -EINVAL, "%s: options start with --; see dcn-wan --help",
				    *argv);
		if (!value)
			return errf(e, -EINVAL, "%s needs a value; see dcn-wan --help", *argv);
		snprintf(name, sizeof name, "%.*s", eq ? (int)(eq - *argv - 2) : 31, *argv + 2);
		err = wan_cfg_set(c, name, value, e);
		if (err)
			return err;
		argv += !eq;
	}
	return wan_cfg_finish(c, e);
}

int main(int argc, char **argv)
{
	static struct box b;
	struct errbuf e = {""};
	json_t *o;
	int err = parse(&b.cfg, argv, &e);

	(void)argc;
	log_init("dcn-wan", LOG_INFO);
	if (err) {
		if (err < 0)
			log_err("%s", e.s);
		return err < 0 ? 2 : 0;
	}
	b.stats_fd = b.signal_fd = -1;
	prctl(PR_SET_TIMERSLACK, 1);
	/* The box shares its CPU with the load, which never rests: a late box is a longer path. Not
	 * a real-time class: a box that is overrun must not take the whole CPU from the load. */
	if (setpriority(PRIO_PROCESS, 0, NICE))
		log_warn("priority can't be raised: delays may be late under load");
	if (open_box(&b, &e)) {
		log_err("%s", e.s);
		close_box(&b);
		return 1;
	}
	run(&b);
	o = report(&b);
	json_dumpf(o, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(o);
	close_box(&b);
	return 0;
}
