/* worker: one thread, one turn after the other.
 *
 *	receive a burst -> TCP (ACKs open windows) -> timers -> start reads -> submit -> reap, seal,
 *	push -> transmit the burst
 *
 * Nothing in a turn blocks. A turn that moved nothing ends in poll(2) on the interface and the
 * device, until the next TCP timer at the latest; atlas:poll never does that.
 *
 * DESIGN.md section 4.
 */
#include "stacks/atlas/core.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hist.h"
#include "base/log.h"
#include "stacks/atlas/mring.h"
#include "stacks/atlas/store.h"

#define SLEEP_MAX_NS (100 * NSEC_PER_MSEC) /* messages of other workers wait no longer */

/* ---- receive ---- */

static void answer_control(struct worker *w, const struct net_pkt *p)
{
	uint8_t frame[NET_CTL_MAX];
	uint32_t n = net_answer(&w->net, p, w->now, frame);

	if (n)
		txq_raw(w, frame, n);
}

/* A received frame, taken apart. */
struct frame {
	const struct pkt_rx *rx;
	struct net_pkt p;
	struct tcp_seg seg;
};

/* Is it a segment? */
static bool take_apart(struct worker *w, const struct pkt_rx *rx, struct frame *f)
{
	struct net_pkt *p = &f->p;

	f->rx = rx;
	if (net_parse(&w->net, rx, p) != NET_TCP)
		return false;
	if (tcp_parse(p->l4, p->l4_len, &f->seg)) {
		p->kind = NET_DROP;
		return false;
	}
	f->seg.t.local = p->dst;
	f->seg.t.remote = p->src;
	f->seg.gso_size = p->gso_size;
	return true;
}

static void input_tcp(struct worker *w, const struct frame *f)
{
	if (f->seg.flags & TCP_SYN)
		net_learn(&w->net, &f->p, w->now);
	stage_enter(&w->stages, STAGE_tcp);
	tcp_input(w->tcp, &f->seg, w->now);
	stage_enter(&w->stages, STAGE_receive);
}

static void input_quote(struct worker *w, const struct net_quote *q)
{
	struct tcp_tuple t = {
		.local = q->local, .remote = q->remote, .lport = q->lport, .rport = q->rport};

	if (q->mtu)
		tcp_pmtu(w->tcp, &t, q->seq, q->mtu);
}

/* Frames without a flow reach any one worker: all must know. */
static void tell_peers(struct worker *w, const struct pkt_rx *rx)
{
	for (struct worker *const *p = w->peers; *p; p++)
		if (*p != w && mring_put((*p)->inbox, rx->data, rx->len))
			stat_add(&w->st->rx_to_peer, 1);
}

static void input(struct worker *w, const struct frame *f, bool first_hand)
{
	const struct net_pkt *p = &f->p;

	switch (p->kind) {
	case NET_TCP:
		input_tcp(w, f);
		return;
	case NET_ARP:
		if (first_hand && w->opt->workers > 1)
			tell_peers(w, f->rx);
		if (first_hand || p->arp.op == 2)
			answer_control(w, p);
		return;
	case NET_ECHO:
		answer_control(w, p);
		return;
	case NET_UNREACH:
		if (first_hand && w->opt->workers > 1)
			tell_peers(w, f->rx);
		input_quote(w, &p->quote);
		return;
	case NET_DROP:
		return;
	}
}

/* At most TCP_AHEAD frames. */
static void input_burst(struct worker *w, const struct pkt_rx *rx, int n, bool first_hand)
{
	struct frame f[TCP_AHEAD];
	const struct tcp_seg *seg[TCP_AHEAD];
	int nseg = 0;

	for (int i = 0; i < n; i++)
		if (take_apart(w, &rx[i], &f[i]))
			seg[nseg++] = &f[i].seg;
	if (nseg > 1)
		tcp_prefetch(w->tcp, seg, nseg);
	for (int i = 0; i < n; i++)
		input(w, &f[i], first_hand);
}

static int receive(struct worker *w)
{
	struct pkt_rx rx[PKTIO_BURST];
	uint8_t msg[MRING_BYTES];
	int n = w->io->ops->rx_burst(w->io, rx, PKTIO_BURST);
	uint32_t len;

	for (int i = 0; i < n; i += TCP_AHEAD)
		input_burst(w, rx + i, n - i < TCP_AHEAD ? n - i : TCP_AHEAD, true);
	if (n) {
		w->io->ops->rx_done(w->io);
		stat_add(&w->st->rx_bursts, 1);
	}
	while (w->opt->workers > 1 && (len = mring_get(w->inbox, msg))) {
		struct pkt_rx one = {.data = msg, .len = len, .wire_len = len};

		input_burst(w, &one, 1, false);
	}
	return n;
}

/* ---- a turn ---- */

static void control_frames(struct worker *w)
{
	uint8_t frame[NET_CTL_MAX];
	uint32_t n;

	if (net_next_timer(&w->net) > w->now)
		return;
	while ((n = net_poll(&w->net, w->now, frame)))
		txq_raw(w, frame, n);
}

/* A turn takes only a part of the completions (opt->fetch; 16 are 1 MB, which stays in the
 * second-level cache until it is sent), so that the device works on the rest of the window while
 * these are sealed and sent and their successors submitted. All at once would be lockstep: either
 * the device has nothing to do or we have (PERFORMANCE.md). */
static bool turn(struct worker *w)
{
	struct stages *s = &w->stages;
	int moved = 0, total = 0, n;

	w->now = clock_ns();
	stage_enter(s, STAGE_receive);
	do {
		n = receive(w);
		total += n;
	} while (n == PKTIO_BURST && total < 4 * PKTIO_BURST);
	stage_enter(s, STAGE_tcp);
	if (total)
		tcp_flush_acks(w->tcp, w->now);
	tcp_timers(w->tcp, w->now);
	stage_enter(s, STAGE_other);
	control_frames(w);
	store_turn(w->store);
	stage_enter(s, STAGE_submit);
	pull_serve(w);
	nvme_sqsync(w->nvme);
	stage_enter(s, STAGE_complete);
	n = nvme_consume_completions(w->nvme, (int)w->opt->fetch);
	if (n > 0) {
		stat_add(&w->st->reaps, 1);
		stat_add(&w->st->completions, (uint64_t)n);
	}
	moved = total + (n > 0 ? n : 0) + w->txq.n;
	if (w->txq.n)
		txq_flush(w);
	moved -= w->txq.n; /* what the interface has no room for has not moved */
	stages_turn(s, moved > 0);
	return moved > 0;
}

static uint64_t next_due(struct worker *w)
{
	uint64_t t = tcp_next_timer(w->tcp), n = net_next_timer(&w->net);

	if (n < t)
		t = n;
	if (w->txq.congested && t > w->now + 50 * NSEC_PER_USEC)
		t = w->now + 50 * NSEC_PER_USEC;
	if (t > w->now + SLEEP_MAX_NS)
		t = w->now + SLEEP_MAX_NS;
	return t;
}

/* jemalloc's, if it is linked (release builds): proves that the steady state allocates nothing. */
int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len)
	__attribute__((weak));

static void count_allocations(struct wstats *st)
{
	uint64_t bytes = 0;
	size_t len = sizeof bytes;

	if (mallctl && mallctl("thread.allocated", &bytes, &len, NULL, 0) == 0)
		stat_set(&st->thread_allocated, bytes);
}

/* The interface has an error. One that has gone does not come back: the server ends. */
static void link_trouble(struct worker *w)
{
	if (!w->io->ops->trouble || w->io->ops->trouble(w->io) != -ENODEV || w->link_gone)
		return;
	w->link_gone = true;
	log_err("interface %s has gone; start again when it is back", w->opt->ifname);
	kill(getpid(), SIGTERM);
}

static void copy_stats(struct worker *w)
{
	struct wstats *st = w->st;
	const struct hist *h = nvme_latency(w->nvme);

	if (w->now - st->t_ns < STATS_COPY_NS)
		return;
	if (w->opt->variant->poll) /* it never hears POLLERR */
		link_trouble(w);
	memcpy(st->copy, st, sizeof st->copy);
	tcp_get_stats(w->tcp, &st->tcp);
	nvme_get_stats(w->nvme, &st->nvme);
	w->io->ops->stats(w->io, &st->io);
	if (w->tls)
		tls_get_stats(w->tls, &st->tls);
	st->net = w->net.stats;
	stages_get(&w->stages, &st->stages);
	if (h && h->n) {
		st->read_us_mean = hist_mean(h) / 1e3;
		st->read_us_p50 = hist_quantile(h, 0.50) / 1e3;
		st->read_us_p99 = hist_quantile(h, 0.99) / 1e3;
	}
	count_allocations(st);
	st->t_ns = w->now;
	w->wall = time(NULL);
}

static void sleep_until_work(struct worker *w, uint64_t due)
{
	struct pollfd p[3] = {{.fd = w->io->fd, .events = POLLIN},
			      {.fd = nvme_fd(w->nvme), .events = POLLIN},
			      {.fd = w->stop_fd, .events = POLLIN}};
	struct timespec ts;
	uint64_t now = clock_ns(), d = due > now ? due - now : 0;

	ts.tv_sec = (time_t)(d / NSEC_PER_SEC);
	ts.tv_nsec = (long)(d % NSEC_PER_SEC);
	stat_add(&w->st->sleeps, 1);
	stage_enter(&w->stages, STAGE_idle);
	if (ppoll(p, 3, &ts, NULL) > 0 && p[0].revents & POLLERR)
		link_trouble(w);
	stage_enter(&w->stages, STAGE_other);
}

void worker_run(struct worker *w, const volatile bool *stop)
{
	uint64_t idle_since = 0, spin = w->opt->spin_us * NSEC_PER_USEC;
	bool never_sleep = w->opt->variant->poll;

	w->wall = time(NULL);
	if (w->opt->stages)
		stages_start(&w->stages);
	while (!*stop) {
		if (turn(w)) {
			stat_add(&w->st->turns_useful, 1);
			idle_since = 0;
			copy_stats(w);
			continue;
		}
		stat_add(&w->st->turns_empty, 1);
		copy_stats(w);
		if (never_sleep)
			continue;
		if (!idle_since)
			idle_since = w->now;
		if (w->now - idle_since < spin)
			continue;
		sleep_until_work(w, next_due(w));
	}
}

/* ---- set-up and its reverse ---- */

static int open_net(struct worker *w, struct errbuf *e)
{
	const struct options *o = w->opt;
	struct pktio_cfg cfg = {.ifname = o->ifname,
				.queue = w->id,
				.queues = o->workers,
				.fanout_id = (uint16_t)getpid()};
	int err;

	memcpy(cfg.ip4, ipaddr_v4_bytes(&o->ip), 4);
	err = pktio_packet.open(&w->io, &cfg, e);
	if (err)
		return err;
	return net_if_init(&w->net, w->io->mac, &o->ip, o->prefix, o->has_gw ? &o->gw : NULL,
			   w->io->mtu, e);
}

static int open_tcp(struct worker *w, struct errbuf *e)
{
	const struct options *o = w->opt;
	struct tcp_cfg cfg = {.max_conns = o->max_conns,
			      .mss = (uint16_t)(w->io->mtu - 40),
			      .rcv_wnd = 64 << 10,
			      .idle_ns = o->idle_ns,
			      .timewait_ns = o->timewait_ns,
			      .cc = o->cc,
			      .pacing = o->pacing,
			      .ports = {o->port, o->tls_port}};

	w->max_push = cfg.max_push = o->max_push ? o->max_push : cfg.mss;
	if (!o->port) {
		cfg.ports[0] = o->tls_port;
		cfg.ports[1] = 0;
	}
	if (getentropy(cfg.isn_secret, sizeof cfg.isn_secret))
		return errf(e, -errno, "no randomness for initial sequence numbers: %s",
			    strerror(errno));
	w->tcp = tcp_stack_new(&cfg, &conn_tcp_ops, w, e);
	return w->tcp ? 0 : -ENOMEM;
}

static int open_disk(struct worker *w, struct errbuf *e)
{
	const struct options *o = w->opt;
	struct nvme_cfg cfg = {.device = o->device,
			       .region_bytes = (size_t)o->buffers * BUF_STRIDE,
			       .depth = o->io_window,
			       .max_ns = o->max_files,
			       .flags = NVME_STAMP};
	int err = nvme_open(&w->nvme, &cfg, e);

	if (!err)
		err = bufs_init(w, e);
	if (!err)
		err = store_open(&w->store, w, o->root, o->max_files - 1, e);
	return err;
}

int worker_open(struct worker *w, struct errbuf *e)
{
	const struct options *o = w->opt;
	int err;

	TAILQ_INIT(&w->serve);
	w->st->bufs_free_min = o->buffers;
	w->now = clock_ns();
	w->inbox = mring_new();
	if (!w->inbox)
		return errf(e, -ENOMEM, "no memory for worker %u", w->id);
	err = open_net(w, e);
	if (!err)
		err = open_tcp(w, e);
	if (!err)
		err = open_disk(w, e);
	if (err || !o->cert)
		return err;
	w->tls = tls_ctx_new(&(struct tls_ctx_cfg){.cert_file = o->cert,
						   .key_file = o->key,
						   .aead = aead_find(o->variant->aead),
						   .suites = o->suites},
			     e);
	return w->tls ? 0 : -EINVAL;
}

void worker_close(struct worker *w)
{
	if (w->nvme)
		while (nvme_outstanding(w->nvme))
			if (nvme_consume_completions(w->nvme, FETCH_MAX) < 0)
				break;
	if (w->tcp)
		tcp_stack_free(w->tcp);
	store_close(w->store);
	if (w->nvme)
		nvme_close(w->nvme);
	bufs_free(w);
	extents_free(w);
	conns_free(w);
	if (w->tls)
		tls_ctx_free(w->tls);
	if (w->io)
		w->io->ops->close(w->io);
	mring_free(w->inbox);
}
