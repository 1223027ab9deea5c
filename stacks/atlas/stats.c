/* stats: see stats.h. The socket's thread builds each answer by jansson: control path only. */
#include "stacks/atlas/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "stacks/atlas/core.h"

struct stats {
	const struct options *opt;
	struct shm_head *map;
	size_t bytes;
	int listen_fd, stop_fd[2];
	bool serving;
	pthread_t thread;
};

#define N(field) json_object_set_new(o, #field, json_integer((json_int_t)v->field))

static json_t *tcp_json(const struct tcp_stats *v)
{
	json_t *o = json_object();

	N(conns), N(accepted), N(established), N(closed), N(resets_in), N(resets_out);
	N(timeouts), N(segs_in), N(segs_out), N(bytes_in), N(bytes_out), N(bytes_rexmit);
	N(segs_rexmit), N(rto_fired), N(tlp_fired), N(fast_recoveries), N(spurious);
	N(dup_segs_in), N(ooo_segs_in), N(challenge_acks), N(paws_drops), N(bad_segs);
	N(zero_window_probes), N(syn_drops), N(nobufs);
	return o;
}

static json_t *nvme_json(const struct nvme_stats *v)
{
	json_t *o = json_object();

	N(reads), N(bytes_read), N(errors), N(syscalls), N(submits), N(reaps);
	N(outstanding), N(outstanding_max);
	return o;
}

static json_t *io_json(const struct pktio_stats *v)
{
	json_t *o = json_object();

	N(rx_frames), N(rx_bytes), N(rx_dropped), N(tx_frames), N(tx_bytes), N(tx_calls);
	N(rx_calls), N(tx_nobufs), N(tx_copied_bytes);
	return o;
}

static json_t *tls_json(const struct tls_stats *v)
{
	json_t *o = json_object();

	N(handshakes), N(handshake_failures), N(alerts_in), N(alerts_out), N(key_updates_in);
	N(key_updates_out), N(bad_records);
	return o;
}

static json_t *net_json(const struct net_stats *v)
{
	json_t *o = json_object(), *drop = json_object();

	N(tcp), N(arp_in), N(echo_in), N(unreach_in), N(arp_out), N(echo_out), N(neigh_failed);
	N(conflicts);
	for (int i = 0; i < NET_WHY_N; i++)
		json_object_set_new(drop, net_why_name[i], json_integer((json_int_t)v->drop[i]));
	json_object_set_new(o, "drop", drop);
	return o;
}

static json_t *stages_json(const struct stage_counts *v)
{
	json_t *o = json_object(), *cycles = json_object();

	N(on), N(hz), N(borders), N(border_cycles);
	for (int i = 0; i < STAGE_COUNT; i++)
		json_object_set_new(cycles, stage_name[i], json_integer((json_int_t)v->cycles[i]));
	json_object_set_new(o, "cycles", cycles);
	return o;
}

/* The worker's own counters at the instant of the rooms' copies. */
static json_t *copy_json(const struct wstats *w)
{
	static const char *const name[] = {
#define F(name, text) #name,
		WSTATS_FIELDS(F)
#undef F
	};
	json_t *o = json_object();
	char key[48];

	json_object_set_new(o, "at_ns", json_integer((json_int_t)w->t_ns));
	for (int i = 0; i < WSTATS_COUNTERS; i++) {
		snprintf(key, sizeof key, "at_%s", name[i]);
		json_object_set_new(o, key, json_integer((json_int_t)w->copy[i]));
	}
	return o;
}

static json_t *worker_json(const struct wstats *v)
{
	json_t *o = json_object();

#define F(name, text) N(name);
	WSTATS_FIELDS(F)
#undef F
	json_object_set_new(o, "copied", copy_json(v));
	json_object_set_new(o, "stages", stages_json(&v->stages));
	json_object_set_new(o, "tcp", tcp_json(&v->tcp));
	json_object_set_new(o, "nvme", nvme_json(&v->nvme));
	json_object_set_new(o, "io", io_json(&v->io));
	json_object_set_new(o, "tls", tls_json(&v->tls));
	json_object_set_new(o, "net", net_json(&v->net));
	json_object_set_new(o, "read_us_mean", json_real(v->read_us_mean));
	json_object_set_new(o, "read_us_p50", json_real(v->read_us_p50));
	json_object_set_new(o, "read_us_p99", json_real(v->read_us_p99));
	return o;
}

struct sums {
	double body, copied, syscalls, tx_frames, tx_bytes, tx_calls, rx_frames, rx_bursts, reads,
		bytes_read, submits, completions, reaps, cycles[STAGE_COUNT], border_cost, busy;
	bool on;
};

static double copied(const struct wstats *w, const uint64_t *field)
{
	return (double)w->copy[field - (const uint64_t *)w];
}

static void sums_add(struct sums *n, const struct wstats *w)
{
	n->body += copied(w, &w->bytes_body);
	n->copied += copied(w, &w->bytes_copied) + (double)w->io.tx_copied_bytes;
	n->syscalls += (double)(w->nvme.syscalls + w->io.tx_calls + w->io.rx_calls) +
		       copied(w, &w->sleeps);
	n->tx_frames += (double)w->io.tx_frames;
	n->tx_bytes += (double)w->io.tx_bytes;
	n->tx_calls += (double)w->io.tx_calls;
	n->rx_frames += (double)w->io.rx_frames;
	n->rx_bursts += copied(w, &w->rx_bursts);
	n->reads += copied(w, &w->reads);
	n->bytes_read += copied(w, &w->bytes_read);
	n->submits += (double)w->nvme.submits;
	n->completions += copied(w, &w->completions);
	n->reaps += copied(w, &w->reaps);
	n->on |= w->stages.on;
	n->border_cost += (double)(w->stages.borders * w->stages.border_cycles);
	for (int i = 0; i < STAGE_COUNT; i++) {
		n->cycles[i] += (double)w->stages.cycles[i];
		if (i != STAGE_idle)
			n->busy += (double)w->stages.cycles[i];
	}
}

static void put_ratio(json_t *o, const char *name, double a, double b)
{
	if (b > 0)
		json_object_set_new(o, name, json_real(a / b));
}

/* What the counters come to since the start, over all workers. The driver does the same with the
 * differences of a window (harness/stackstats.c). */
static void derive(struct stats *s, json_t *o)
{
	struct sums n = {0};
	json_t *d = json_object(), *c = json_object();

	for (unsigned int i = 0; i < s->opt->workers; i++)
		sums_add(&n, stats_worker(s, i));
	put_ratio(d, "syscalls_per_mb", n.syscalls * 1e6, n.body);
	put_ratio(d, "copied_per_body_byte", n.copied, n.body);
	put_ratio(d, "tx_burst", n.tx_frames, n.tx_calls);
	put_ratio(d, "rx_burst", n.rx_frames, n.rx_bursts);
	put_ratio(d, "submit_batch", n.reads, n.submits);
	put_ratio(d, "completion_batch", n.completions, n.reaps);
	put_ratio(d, "tx_frame_bytes", n.tx_bytes, n.tx_frames);
	put_ratio(d, "read_bytes", n.bytes_read, n.reads);
	if (n.on) {
		for (int i = 0; i < STAGE_COUNT; i++)
			put_ratio(c, stage_name[i], n.cycles[i], n.body);
		json_object_set(d, "cycles_per_body_byte", c);
		put_ratio(d, "stages_cost_share", n.border_cost, n.busy);
	}
	json_decref(c);
	json_object_set_new(o, "derived", d);
}

static char *stats_json(struct stats *s)
{
	json_t *o = json_object(), *workers = json_array();
	char *text;

	json_object_set_new(o, "stack", json_string("atlas"));
	json_object_set_new(o, "version", json_string(DCN_VERSION));
	json_object_set_new(o, "variant", json_string(s->opt->variant->name));
	json_object_set_new(o, "io_backend", json_string("packet"));
	json_object_set_new(o, "io_window", json_integer(s->opt->io_window));
	json_object_set_new(o, "record_size", json_integer(s->opt->record_size));
	json_object_set_new(o, "buffers", json_integer(s->opt->buffers));
	json_object_set_new(o, "buffer_bytes", json_integer(BUF_BYTES));
	json_object_set_new(o, "buffer_stride", json_integer(BUF_STRIDE));
	json_object_set_new(o, "t_ns", json_integer((json_int_t)clock_ns()));
	for (unsigned int i = 0; i < s->opt->workers; i++)
		json_array_append_new(workers, worker_json(stats_worker(s, i)));
	json_object_set_new(o, "workers", workers);
	derive(s, o);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

int stats_open(struct stats **out, const struct options *opt, struct errbuf *e)
{
	struct stats *s = calloc(1, sizeof *s);
	int fd = -1, err;

	if (!s)
		return errf(e, -ENOMEM, "no memory for statistics");
	s->opt = opt;
	s->listen_fd = s->stop_fd[0] = s->stop_fd[1] = -1;
	s->bytes = sizeof(struct shm_head) + opt->workers * sizeof(struct wstats);
	if (opt->stats_shm) {
		fd = open(opt->stats_shm, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0 || ftruncate(fd, (off_t)s->bytes) < 0) {
			err = errf(e, -errno, "--stats-shm %s: %s", opt->stats_shm,
				   strerror(errno));
			if (fd >= 0)
				close(fd);
			free(s);
			return err;
		}
	}
	s->map = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE,
		      fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS, fd, 0);
	if (fd >= 0)
		close(fd);
	if (s->map == MAP_FAILED) {
		free(s);
		return errf(e, -ENOMEM, "no memory for statistics");
	}
	s->map->workers = opt->workers;
	s->map->stride = sizeof(struct wstats);
	s->map->offset = sizeof(struct shm_head);
	s->map->pid = (uint64_t)getpid();
	snprintf(s->map->version, sizeof s->map->version, "%s", DCN_VERSION);
	s->map->magic = STATS_MAGIC;
	*out = s;
	return 0;
}

struct wstats *stats_worker(struct stats *s, unsigned int id)
{
	return (struct wstats *)((char *)s->map + sizeof(struct shm_head)) + id;
}

static void answer(struct stats *s, int fd)
{
	struct timeval limit = {.tv_sec = 1};
	char *text = stats_json(s), *p = text;
	size_t left = text ? strlen(text) : 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	while (left) {
		ssize_t n = send(fd, p, left, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		p += n;
		left -= (size_t)n;
	}
	free(text);
}

static void *serve(void *arg)
{
	struct stats *s = arg;
	struct pollfd p[2] = {{.fd = s->listen_fd, .events = POLLIN},
			      {.fd = s->stop_fd[0], .events = POLLIN}};

	for (;;) {
		int fd;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[1].revents)
			return NULL;
		if (!(p[0].revents & POLLIN))
			continue;
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		answer(s, fd);
		close(fd);
	}
}

int stats_serve(struct stats *s, struct errbuf *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (!s->opt->stats)
		return 0;
	if (strlen(s->opt->stats) >= sizeof a.sun_path)
		return errf(e, -ENAMETOOLONG, "--stats %s: longer than %zu bytes", s->opt->stats,
			    sizeof a.sun_path - 1);
	memcpy(a.sun_path, s->opt->stats, strlen(s->opt->stats) + 1);
	unlink(a.sun_path);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    listen(s->listen_fd, 8) < 0)
		return errf(e, -errno, "--stats %s: %s", s->opt->stats, strerror(errno));
	if (pipe2(s->stop_fd, O_CLOEXEC) < 0 || pthread_create(&s->thread, NULL, serve, s))
		return errf(e, -EAGAIN, "--stats: no thread could be started");
	s->serving = true;
	return 0;
}

void stats_close(struct stats *s)
{
	if (!s)
		return;
	if (s->serving) {
		if (write(s->stop_fd[1], "", 1) == 1)
			pthread_join(s->thread, NULL);
		unlink(s->opt->stats);
	}
	for (int i = 0; i < 2; i++)
		if (s->stop_fd[i] >= 0)
			close(s->stop_fd[i]);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->opt->stats_shm)
		unlink(s->opt->stats_shm);
	munmap(s->map, s->bytes);
	free(s);
}
