/* run: one measurement, from the first connection to the last sample. Engines (libcurl, sink) do
 * the talking; this decides who asks for what and when, and counts.
 *
 * A slot is one persistent connection. It is connecting, idle, has one request in flight, or waits
 * before it connects again. Phases: ramp (connect all, by HEAD requests) -> hot (each hot object
 * once; only with --warm-hot) -> warm-up -> window -> done. Bytes and responses count when the
 * clock read at their arrival lies in the window.
 *
 * One thread; nothing here is shared.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/errbuf.h"
#include "workloads/content.h"
#include "workloads/load/limits.h"
#include "workloads/load/mix.h"
#include "workloads/load/opts.h"
#include "workloads/load/resid.h"
#include "workloads/load/sched.h"
#include "workloads/load/stats.h"

#define RUN_BACKLOG	(1u << 20) /* planned requests that wait for a free connection */
#define RUN_VERIFY_EACH 64	   /* --verify sampled */
#define RUN_MIXED_EACH	16	   /* --engine mixed: one connection in 16 is libcurl */

struct run;

/* What epoll's data pointer points to; first member of an engine's own struct. */
struct evh {
	void (*fn)(struct run *r, struct evh *h, uint32_t events);
};

enum slot_state { SLOT_OFF, SLOT_IDLE, SLOT_FLIGHT, SLOT_WAIT };

struct slot {
	uint32_t idx;
	enum slot_state state;
	bool up;			     /* its first HEAD was answered */
	bool head;			     /* the request in flight is that HEAD */
	bool verify, bad;		     /* compare the body; a wrong byte was seen */
	bool first_seen;		     /* t_first is valid */
	uint64_t id, off;		     /* object, body bytes received */
	uint64_t t_planned, t_sent, t_first; /* t_sent: the time to retry while waiting */
	struct slot *prev, *next;
	struct engine *engine;
	void *conn; /* the engine's */
};

struct slot_list {
	struct slot *head, *tail;
	uint32_t n;
};

struct engine;

struct engine_ops {
	const char *name;
	/* Give the slot its (unconnected) connection. Allocates. */
	int (*attach)(struct engine *en, struct slot *s, struct errbuf *e);
	/* Ask for s->id (HEAD if s->head), connecting first if need be. The answer comes by
	 * run_first_byte(), run_body(), run_response() or run_fail(), never from inside. 0 or
	 * -errno (counted as connection error). */
	int (*request)(struct engine *en, struct slot *s);
	/* Close the connection and forget its request; no upcall. */
	void (*drop)(struct engine *en, struct slot *s);
	/* After each batch of events: due timers, finished transfers. Returns when it must be
	 * called again at the latest (CLOCK_MONOTONIC ns, UINT64_MAX = never). */
	uint64_t (*poll)(struct engine *en, uint64_t now);
	void (*detach)(struct engine *en, struct slot *s);
	void (*free)(struct engine *en);
};

struct engine {
	const struct engine_ops *ops;
	struct run *run;
};

/* NULL with a sentence. `slots` it will get at most. */
struct engine *engine_curl_new(struct run *r, uint32_t slots, struct errbuf *e);
struct engine *engine_sink_new(struct run *r, uint32_t slots, struct errbuf *e);

enum phase { PH_RAMP, PH_HOT, PH_WARMUP, PH_WINDOW, PH_DONE };

struct run {
	struct load_opts opts;
	struct content content;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char addr_text[64];
	struct mix mix;
	struct sched sched;
	struct resid resid;
	struct ports ports;
	struct load_stats st;

	int ep;
	struct engine *engines[2];
	struct slot *slots;
	struct slot_list idle, flight, wait; /* flight: by time sent; wait: by time to retry */
	uint32_t next_connect, up, connecting, connect_max;
	uint32_t ramp_failures;
	uint32_t hot_next;
	uint64_t verify_seq, resid_seq;

	enum phase phase;
	uint64_t phase_end, ramp_start, ramp_progress, next_tick, next_sample;

	uint64_t *backlog; /* planned times, open loop; a ring */
	uint32_t backlog_head, backlog_n;

	uint32_t refused; /* connection errors since the last byte came */
	uint64_t refused_since;
	bool fatal;
	struct errbuf err;  /* why, if fatal */
	char tls_suite[64]; /* filled by engines */
};

/* Everything that can be refused before the first packet. 0 or -errno with a sentence. */
int run_init(struct run *r, const struct load_opts *o, struct errbuf *e);
/* Blocks until done or interrupted. 0 or -errno with a sentence in r->err. */
int run_go(struct run *r);
void run_fini(struct run *r);
/* Async-signal-safe: end early. */
void run_interrupt(void);

/* ---- upcalls of engines ---- */

/* Read the clock, moving to the next phase if its time has come. */
uint64_t run_now(struct run *r);
/* The first byte of the response came. */
void run_first_byte(struct run *r, struct slot *s);
/* n body bytes of a 200 came; p is NULL if nobody looked at them. */
void run_body(struct run *r, struct slot *s, const void *p, uint64_t n);
/* The response is complete: status and its Content-Length (-1 if unknown). */
void run_response(struct run *r, struct slot *s, int status, int64_t length);
/* The request failed and its connection is closed. `what` for people, may be NULL. */
void run_fail(struct run *r, struct slot *s, enum load_error kind, const char *what);
/* The run can't go on. */
void run_fatal(struct run *r, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A new connection is being opened in place of one that was up. */
void run_reconnected(struct run *r);

#endif
