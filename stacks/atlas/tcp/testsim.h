/* testsim: the simulated world of tcp_sim_test.c: one seeded clock, network, application.
 *
 * testnet.c moves segments and time, testapp.c is consumer and source on the server's side,
 * testpeer.c is the other end. Everything hangs off one static struct, `sim`.
 */
#ifndef ATLAS_TCP_TESTSIM_H
#define ATLAS_TCP_TESTSIM_H

#include "base/rng.h"
#include "stacks/atlas/tcp/tcp_priv.h"
#include "stacks/atlas/tcp/testpeer.h"

#define MS	     NSEC_PER_MSEC
#define MAX_CONNS    4
#define MAX_EVENTS   65536
#define MAX_READS    64
#define MAX_RESPONSE 262144

struct read { /* one read of the source, under way or done */
	uint64_t off;
	uint32_t len;
	bool rexmit, done;
	struct tcp_want want;
};

struct app {
	struct sim *m;
	struct tcp_conn *c;
	struct peer p;
	uint64_t rx, end, next_read, read_done_at;
	struct read r[MAX_READS];
	int nr, closed;
	bool queued, started, ended, rx_fin, resume;
	enum tcp_reason why;
	uint64_t abort_at;
	uint32_t acked;
	uint64_t seen; /* bytes of the response that were transmitted at least once ... */
	uint8_t first_lost[MAX_RESPONSE / 8]; /* ... and, a bit each, those lost the first time */
};

struct link {
	double loss, dup, reorder, burst_enter, burst_leave;
	uint64_t delay, jitter, reorder_by, compress, last, busy;
	uint64_t ns_per_byte;
	uint32_t queue;
	bool in_burst;
};

enum ev_kind { EV_TO_SERVER, EV_TO_PEER, EV_READ, EV_SERVE, EV_WAKE };

struct ev {
	uint64_t at, order;
	enum ev_kind kind;
	struct app *a;
	struct tcp_seg g;
	struct ev *next; /* in the free list */
};

struct sim {
	uint64_t seed, now, order, events;
	struct rng rng;
	struct tcp_stack *s;
	struct app app[MAX_CONNS];
	int napps;
	struct link up, down; /* towards the server, towards the peers */
	bool segment, heavy, small_pools, trace;
	double nobufs, refuse_rx, refuse_read;
	uint64_t read_delay;
	uint32_t max_push, pull, min_pull;
	const char *bad;
	struct ev *heap[MAX_EVENTS];
	int nheap;
	struct ev *free;
};

extern struct sim sim;
extern const struct tcp_ops app_ops;

/* testnet.c */
void sim_reset(uint64_t seed, bool trace);
uint64_t sim_rnd(uint64_t n); /* uniform in [0, n) */
bool sim_chance(double p);
void sim_bad(const char *why); /* the first complaint is kept */
struct ev *sim_event(uint64_t at, enum ev_kind kind, struct app *a);
struct ev *sim_pop(void); /* the earliest */
void sim_free_event(struct ev *e);
void sim_peer_send(void *ctx, struct peer *p, const struct tcp_seg *g);
int sim_xmit(void *ctx, const struct tcp_out *o);

/* testapp.c: what the events of an application do */
void app_serve(struct app *a);
void app_read_done(struct app *a, uint32_t off, uint32_t len, bool rexmit);
void app_wake(struct app *a);

#endif
