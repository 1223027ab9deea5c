/* tcp, inside: what the files of this room share. Nobody else includes it.
 *
 * Theory of operation
 *
 * Offsets, not sequence numbers. Inside, the n-th payload byte of either direction is the 64-bit
 * number n; a 32-bit sequence number exists only in headers (tcp_seq(), tcp_unwrap()). The SYN is
 * byte -1, the FIN the byte after the last one. So nothing in here compares modulo 2^32.
 *
 * Pull. A connection's new bytes pass four marks, each a stream offset:
 *
 *     snd_una <= snd_nxt <= pull_end <= avail_end
 *
 * below snd_una: acknowledged; below snd_nxt: transmitted; below pull_end: the source was told to
 * read it (tcp_next) and it comes back through tcp_push about a millisecond later; below avail_end:
 * exists. What limits pull_end is one function, tcp_usable_end() (tcp_pull.c): the peer's window,
 * cwnd - pipe, silly-window avoidance. Pacing hands out pull_end in quanta. tcp_push() checks the
 * window again, because it may have closed while the disk was busy.
 *
 * Chunks. Each push leaves one struct tcp_chunk: [start, start + len), when it was sent, and flags.
 * It is the unit of the scoreboard: a GSO push of 64 KiB is one chunk until an ACK, a SACK edge or
 * a partial retransmission cuts it. A connection links its chunks twice: by offset, and by time of
 * (last) transmission for RACK, which so looks only at what is old. Chunks come from a pool of the
 * stack. All byte counts over chunks (sacked, lost, retrans, asked, need) change only in
 * tcp_chunk_flag() and its neighbours in tcp_chunk.c.
 *
 *     pipe = snd_nxt - snd_una - sacked - lost + retrans          (RFC 6675's, kept incrementally)
 *
 * Retransmission. Loss detection (tcp_rack.c; duplicate ACKs when the peer has no SACK) sets
 * CK_LOST. tcp_next() turns CK_LOST into CK_ASKED and names the range; tcp_push() of that range
 * turns CK_ASKED into CK_RETX. An ACK in between makes the push return 0. SYN and FIN carry no
 * payload and are sent again without asking.
 *
 * Timers. A connection has four deadlines (enum tcp_deadline) and one place in the stack's timer
 * wheel, at the earliest of them. Moving a deadline later touches nothing: the wheel fires early,
 * sees that nothing is due and files the connection again. So restarting RTO on each ACK is free.
 *
 * Death. tcp_die() takes the connection out of the table at once and puts it on the dead list;
 * TCP_EV_CLOSED and reuse of the memory come at the end of tcp_input() or tcp_timers(), when no
 * frame of ours holds the pointer. Between the two every public call on it is harmless. TIME_WAIT
 * is not a connection: struct tcp_tw keeps what is needed to answer and to judge a new SYN.
 */
#ifndef ATLAS_TCP_TCP_PRIV_H
#define ATLAS_TCP_TCP_PRIV_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "stacks/atlas/tcp/tcp.h"

#define NONE	  UINT32_MAX /* no index */
#define NEVER	  UINT64_MAX /* no time, no offset */
#define TCP_PORTS 4

/* Times, ns */
#define RTO_INITIAL	(1000 * NSEC_PER_MSEC) /* RFC 6298 2.1 */
#define RTO_FLOOR	(200 * NSEC_PER_MSEC)  /* below RFC 6298's 1 s, as every current stack */
#define RTO_CEIL	(120 * NSEC_PER_SEC)
#define DELACK_NS	(40 * NSEC_PER_MSEC)
#define DELACK_MAX_MS	200		      /* of a peer */
#define TLP_SLACK_NS	(4 * NSEC_PER_MSEC)   /* for a busy peer: a probe costs a disk read */
#define SWS_OVERRIDE_NS (200 * NSEC_PER_MSEC) /* RFC 9293 3.8.6.2.1: 0.1 to 1 s */
#define RETRY_NS	(2 * NSEC_PER_MSEC)   /* after ENOBUFS or tcp_unwant */
#define GIVE_UP_NS	(100 * NSEC_PER_SEC)  /* R2 of RFC 9293 3.8.3 */
#define FIN_WAIT_2_NS	(60 * NSEC_PER_SEC)
#define PAWS_IDLE_NS	(24ull * 86400 * NSEC_PER_SEC) /* RFC 7323 5.5 */
#define NVP_NS		(300 * NSEC_PER_SEC)	       /* RFC 7661 4.4.3 */
#define MIN_RTT_WIN_NS	(150 * NSEC_PER_SEC)	       /* half of min_rtt's memory */
#define PACE_QUANTUM_NS (1 * NSEC_PER_MSEC)
#define DEFER_NS	(1 * NSEC_PER_MSEC)
#define PACE_CREDIT_NS	(2 * NSEC_PER_MSEC) /* what a late pacer may make up for */
#define SYNACK_TRIES	5
#define KEEPALIVE_TRIES 8
#define CHALLENGE_MAX	10 /* challenge ACKs of a connection in a second (RFC 5961 7) */

#define MSS_FLOOR	64  /* a peer that announces less is held to this */
#define MSS_DEFAULT	536 /* RFC 9293 3.7.1, no option */
#define PMTU_FLOOR	552 /* smaller ICMP claims are taken for this */
#define CWND_MAX	(1u << 30)
#define DUP_THRESH	3
#define USER_AHEAD	384 /* bytes of the consumer's state that an ACK touches */
#define RXBLK_PER_CONN	64  /* reassembly blocks one connection may hold */
#define RXBLK_SIZE	2048

enum tcp_state {
	TS_CLOSED, /* dead: waits for TCP_EV_CLOSED, accepts every call, does nothing */
	TS_SYN_RCVD,
	TS_ESTABLISHED,
	TS_FIN_WAIT_1,
	TS_FIN_WAIT_2,
	TS_CLOSE_WAIT,
	TS_CLOSING,
	TS_LAST_ACK,
	TS_N
};

/* Congestion avoidance state, as in every SACK TCP */
enum tcp_ca {
	CA_OPEN,
	CA_RECOVERY, /* fast recovery until high_seq is acknowledged; PRR drives cwnd */
	CA_LOSS,     /* after RTO, until high_seq; slow start */
	CA_N
};

/* What the retransmission deadline is for */
enum tcp_tmode { TM_NONE, TM_RTO, TM_TLP, TM_REO, TM_PERSIST };

enum tcp_deadline {
	DL_REXMIT, /* enum tcp_tmode */
	DL_ACK,	   /* delayed ACK */
	DL_PACE,   /* pacing, or retry after ENOBUFS: try to send again */
	DL_IDLE,   /* idle timeout, keep-alive, FIN_WAIT_2 */
	DL_N
};

enum {
	CF_TS = 1 << 0,		 /* timestamps negotiated */
	CF_SACK = 1 << 1,	 /* SACK negotiated */
	CF_ACK_NOW = 1 << 2,	 /* an ACK leaves with the next flush */
	CF_ACKQ = 1 << 3,	 /* linked in the stack's flush list (survives reuse of the slot) */
	CF_END = 1 << 4,	 /* tcp_end() was called: FIN at avail_end */
	CF_FIN_SENT = 1 << 5,	 /* snd_nxt is behind the FIN */
	CF_FIN_RCVD = 1 << 6,	 /* rcv_nxt is behind the peer's FIN */
	CF_FIN_TOLD = 1 << 7,	 /* TCP_EV_RX_FIN was delivered */
	CF_RX_STALL = 1 << 8,	 /* the consumer refused bytes; waits for tcp_rx_resume() */
	CF_NOBUFS = 1 << 9,	 /* DL_PACE is a retry */
	CF_TLP_WANT = 1 << 10,	 /* a probe is due: tcp_next() hands out the last segment */
	CF_TLP_REXMIT = 1 << 11, /* the outstanding probe was a retransmission */
	CF_TLP_NEW = 1 << 12,	 /* the probe is new data: one segment beyond cwnd is allowed */
	CF_SWS_OVERRIDE = 1 << 13,
	CF_DSACK = 1 << 14,	/* dsack_* goes into the next ACK */
	CF_REORDER = 1 << 15,	/* RACK has seen reordering */
	CF_UNDO = 1 << 16,	/* prior_* hold a state that may be restored */
	CF_REXMITTED = 1 << 17, /* a retransmission left that undo must know of (stamp is valid) */
	CF_CSS = 1 << 18,	/* HyStart++: conservative slow start */
	CF_HYSTART_OFF = 1 << 19, /* HyStart++ has done its work (first slow start only) */
	CF_IN_RX = 1 << 20,	  /* rx() is on the stack: no recursion */
	CF_UNREPORTED = 1 << 21,  /* accept() refused: no TCP_EV_CLOSED */
	CF_FORCE = 1 << 22,  /* the first retransmission of a recovery leaves whatever cwnd says */
	CF_PMTU = 1 << 23,   /* in recovery because of a smaller MTU, not of congestion */
	CF_WSCALE = 1 << 24, /* window scaling negotiated */
	CF_TLP_ASKED = 1 << 25, /* the probe was handed out */
	CF_KICK = 1 << 26,	/* look for something to send with the next flush */
	CF_TLP_LONE = 1 << 27,	/* the probe is for a single segment in flight */
};

enum {
	CK_SACKED = 1,
	CK_LOST = 2,
	CK_RETX = 4,   /* a retransmission of it is in flight */
	CK_EVER = 8,   /* was retransmitted at least once (Karn) */
	CK_ASKED = 16, /* handed out by tcp_next(), not pushed yet */
	CK_FIN = 32,   /* the FIN, len 1 */
};

struct tcp_chunk {
	uint64_t start;
	uint64_t sent_ns;
	uint32_t len;
	uint32_t flags;
	uint32_t next, prev;   /* by offset; `next` links the free list */
	uint32_t tnext, tprev; /* by time of transmission */
};

/* Received bytes that wait: out of order, or refused by the consumer. */
struct tcp_rxblk {
	uint64_t start;
	uint32_t next;
	uint32_t len;
	uint8_t data[RXBLK_SIZE - 16];
};

struct tcp_conn {
	struct tcp_stack *s;
	void *user;
	struct tcp_tuple t;
	uint32_t hash_next; /* in its bucket; in the free and dead lists */
	uint32_t hash;
	uint32_t flags;
	uint8_t state, ca_state, tmode, backoff;
	uint8_t snd_wscale, rcv_wscale, close_why, probes;

	/* Sending */
	uint32_t iss, irs;
	uint64_t snd_una, snd_nxt, pull_end, avail_end;
	uint64_t snd_wnd_end; /* right edge of the peer's window */
	uint32_t snd_wl1, snd_wl2;
	uint32_t max_wnd, min_pull;
	uint16_t mss;	   /* payload of a full segment, options deducted */
	uint16_t mss_base; /* the same without deduction */
	uint16_t peer_mss;
	uint8_t dupacks, challenges;
	uint32_t head, tail, thead, ttail;	     /* chunks */
	uint32_t sacked, lost, retrans, asked, need; /* bytes, see tcp_chunk.c */

	/* Round trip, RTO (RFC 6298) */
	uint32_t srtt_us, rttvar_us, min_rtt_us, min_rtt_new_us;
	uint64_t min_rtt_ns; /* start of the present half window */
	uint64_t rto_start;  /* when the retransmission timer was (re)started */
	uint64_t last_tx, last_progress, last_rx, last_ack;

	/* Congestion control */
	uint32_t cwnd, ssthresh;
	uint32_t peak, peak_prev; /* most bytes in flight in this and the last round (RFC 7661) */
	uint64_t round_end;
	uint64_t pace_next;
	uint64_t nvp_start; /* since when cwnd is not validated; NEVER */
	struct {
		double w_max, prior, k, w_est, frac;
		uint64_t epoch;
	} cubic;
	struct {
		uint32_t last_min_us, cur_min_us, baseline_us;
		uint8_t samples, rounds;
	} hy;

	/* Recovery */
	uint64_t high_seq;
	uint32_t prr_delivered, prr_out, recover_fs;
	uint32_t unspent; /* delivered since tcp_next() was asked, while there is more to send */
	uint32_t prior_cwnd, prior_ssthresh, undo_bytes, rexmit_stamp;
	double prior_w_max;
	uint64_t rexmit_lo, rexmit_hi;	    /* what was retransmitted lies in it, if undo_bytes */
	uint64_t rack_xmit, rack_end, fack; /* fack: highest offset known delivered */
	uint32_t rack_rtt_us;
	uint8_t reo_mult, reo_persist;
	uint64_t dsack_round; /* reo_mult grows at most once a round */
	uint64_t reo_at;      /* when RACK should look again, NEVER */
	uint64_t tlp_end;     /* snd_nxt when the probe left, NEVER */
	uint8_t delack_ms;    /* RFC 8985 TLP.max_ack_delay: how long the peer holds an ACK back */

	/* Receiving */
	uint64_t rcv_nxt, rcv_adv, rcv_taken;
	uint64_t fin_off;  /* offset of the peer's FIN, NEVER */
	uint64_t last_ooo; /* in the run that the first SACK block names */
	uint64_t dsack_off;
	uint32_t dsack_len;
	uint32_t rq_head; /* blocks by offset */
	uint32_t rq_n;
	uint32_t unacked_rx; /* bytes received since the last ACK left */
	uint32_t rcv_mss;    /* the peer's segment size as seen */
	uint32_t ts_recent, ts_off, last_ack_sent;
	uint64_t ts_recent_ns, challenge_ns;

	/* Timers */
	uint64_t due[DL_N];
	uint64_t w_at; /* where in the wheel, ticks */
	uint32_t w_next, w_prev;
	uint32_t ackq_next;
	uint16_t w_slot;
};

static_assert(sizeof(struct tcp_conn) <= 640, "idle connections must stay small");

struct tcp_tw {
	struct tcp_tuple t;
	uint32_t snd_nxt, rcv_nxt; /* wire */
	uint32_t ts_recent, ts_off;
	uint64_t expire;
	uint32_t hash, hash_next;
	uint32_t next, prev; /* by age */
	uint16_t wnd;
	uint8_t ts;
};

#define WHEEL_SHIFT   16 /* a tick is 65.5 us */
#define WHEEL_LEVELS  4
#define WHEEL_DUE     (WHEEL_LEVELS * 256)
#define WHEEL_NOWHERE 0xffff

struct tcp_wheel {
	uint64_t tick; /* everything up to and including it has fired */
	uint32_t head[WHEEL_DUE + 1];
	uint64_t map[WHEEL_LEVELS][4];
};

struct tcp_stack {
	struct tcp_cfg cfg;
	struct tcp_ops ops;
	void *ctx;
	uint64_t now;
	struct tcp_stats st;

	struct tcp_conn *conns;
	uint32_t *buckets, mask, free_conn, dead, ackq;
	struct tcp_chunk *chunks;
	uint32_t free_chunk, nfree_chunk, nchunks;
	struct tcp_rxblk *rxblks;
	uint32_t free_rxblk, nfree_rxblk, nrxblks;
	struct tcp_tw *tw;
	uint32_t *tw_buckets, tw_free, tw_old, tw_new, tw_n;
	uint8_t rcv_wscale;
	struct tcp_wheel wheel;
};

/* ---- offsets and sequence numbers ---- */

static inline uint32_t tcp_seq(const struct tcp_conn *c, uint64_t off)
{
	return c->iss + 1 + (uint32_t)off;
}

/* The offset nearest to `ref` whose number, counted from isn + 1, is `seq`; may be negative. */
static inline int64_t tcp_unwrap(uint32_t isn, uint64_t ref, uint32_t seq)
{
	return (int64_t)ref + (int32_t)(seq - (isn + 1 + (uint32_t)ref));
}

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* ---- connection ---- */

static inline struct tcp_conn *conn_at(struct tcp_stack *s, uint32_t i)
{
	return &s->conns[i];
}

static inline uint32_t conn_idx(const struct tcp_conn *c)
{
	return (uint32_t)(c - c->s->conns);
}

static inline uint32_t tcp_pipe(const struct tcp_conn *c)
{
	return (uint32_t)(c->snd_nxt - c->snd_una) - c->sacked - c->lost + c->retrans;
}

/* Where the FIN stands or will stand. */
static inline uint64_t tcp_fin_off(const struct tcp_conn *c)
{
	return c->flags & CF_END ? c->avail_end : NEVER;
}

static inline uint32_t tcp_ts_now(const struct tcp_conn *c)
{
	return (uint32_t)(c->s->now / NSEC_PER_MSEC) + c->ts_off;
}

/* Age of a transmission; stamps may be some ns ahead of the clock (tcp_chunk.c). */
static inline uint64_t tcp_age(const struct tcp_conn *c, uint64_t sent_ns)
{
	return c->s->now > sent_ns ? c->s->now - sent_ns : 0;
}

/* Most payload of one segment: a GSO push, or a plain segment where the path can't segment. */
static inline uint32_t tcp_max_push(const struct tcp_conn *c)
{
	return c->s->cfg.max_push > c->s->cfg.mss ? c->s->cfg.max_push : c->mss;
}

/* Before snd_nxt moves: if nothing is in flight the retransmission timer starts (RFC 6298 5.1). */
static inline void tcp_first_flight(struct tcp_conn *c)
{
	if (c->snd_nxt != c->snd_una)
		return;
	c->rto_start = c->last_ack = c->s->now;
	c->backoff = 0;
}

/* May payload still leave (the FIN has not)? */
static inline bool tcp_can_tx(const struct tcp_conn *c)
{
	return c->state == TS_ESTABLISHED || c->state == TS_CLOSE_WAIT;
}

extern const char *const tcp_state_name[TS_N];
extern const char *const tcp_ca_name[CA_N];

/* tcp_table.c: the connection table */
uint32_t tcp_hash(const struct tcp_stack *s, const struct tcp_tuple *t);
struct tcp_conn *tcp_find(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t hash);
struct tcp_conn *tcp_conn_new(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t hash);
void tcp_die(struct tcp_conn *c, enum tcp_reason why);
void tcp_reap(struct tcp_stack *s); /* deliver TCP_EV_CLOSED, free */

/* tcp_tw.c: TIME_WAIT */
int tcp_tw_init(struct tcp_stack *s);
void tcp_tw_free(struct tcp_stack *s);
void tcp_tw_add(struct tcp_conn *c);
/* A segment for a tuple in TIME_WAIT. true: a SYN that may open a new connection, whose ISN must be
 * above *isn_floor; the entry is gone. false: dealt with. */
bool tcp_tw_input(struct tcp_stack *s, struct tcp_tw *w, const struct tcp_seg *g,
		  uint32_t *isn_floor);
struct tcp_tw *tcp_tw_find(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t hash);
void tcp_tw_expire(struct tcp_stack *s);

/* tcp_chunk.c: chunk pool and the byte counts of the scoreboard */
struct tcp_chunk *tcp_chunk_append(struct tcp_conn *c, uint64_t start, uint32_t len,
				   uint32_t flags);
bool tcp_chunk_room(const struct tcp_stack *s);
void tcp_chunk_unappend(struct tcp_conn *c, struct tcp_chunk *k); /* the newest one */
void tcp_chunk_flag(struct tcp_conn *c, struct tcp_chunk *k, uint32_t set, uint32_t clear);
/* Cut k at `at` (inside it): k keeps the front. NULL: no chunk left, nothing changed. */
struct tcp_chunk *tcp_chunk_split(struct tcp_conn *c, struct tcp_chunk *k, uint64_t at);
/* Make [a, b) of k a chunk of its own if it is not. NULL: no chunk for the cut. */
struct tcp_chunk *tcp_chunk_carve(struct tcp_conn *c, struct tcp_chunk *k, uint64_t a, uint64_t b);
void tcp_chunk_trim(struct tcp_conn *c, struct tcp_chunk *k, uint64_t to); /* drop its front */
void tcp_chunk_pop(struct tcp_conn *c);					   /* drop the first */
void tcp_chunk_merge_next(struct tcp_conn *c, struct tcp_chunk *k);	   /* both SACKED */
void tcp_chunk_resent(struct tcp_conn *c, struct tcp_chunk *k);		   /* ASKED becomes RETX */
void tcp_chunk_free_all(struct tcp_conn *c);

static inline struct tcp_chunk *chunk_at(const struct tcp_conn *c, uint32_t i)
{
	return i == NONE ? NULL : &c->s->chunks[i];
}

static inline uint64_t chunk_end(const struct tcp_chunk *k)
{
	return k->start + k->len;
}

/* tcp_timer.c */
void tcp_wheel_init(struct tcp_wheel *w);
void tcp_due(struct tcp_conn *c, enum tcp_deadline d, uint64_t at); /* set or move a deadline */
void tcp_wheel_remove(struct tcp_conn *c);
void tcp_arm(struct tcp_conn *c);   /* decide what the retransmission deadline is for */
void tcp_touch(struct tcp_conn *c); /* traffic: idle time starts again */

/* tcp_rtt.c: RTO estimator, min_rtt */
void tcp_rtt_sample(struct tcp_conn *c, uint64_t rtt_ns);
uint64_t tcp_rto(const struct tcp_conn *c); /* without back-off, ns */
uint64_t tcp_rto_backed(const struct tcp_conn *c);

/* tcp_isn.c: RFC 6528 */
uint64_t tcp_siphash(const uint64_t key[2], const void *p, size_t len);
void tcp_isn(struct tcp_conn *c); /* sets iss and ts_off */

/* tcp_listen.c: handshake */
void tcp_listen_input(struct tcp_stack *s, const struct tcp_seg *g, uint32_t hash,
		      uint32_t isn_floor, bool reuse);
bool tcp_listening(const struct tcp_stack *s, uint16_t port);
void tcp_set_mss(struct tcp_conn *c);
uint32_t tcp_initial_window(const struct tcp_conn *c);

/* tcp_ack.c: everything an acceptable ACK does. false: the segment is to be dropped. */
bool tcp_ack(struct tcp_conn *c, const struct tcp_seg *g);

/* tcp_rx.c: payload and FIN of an acceptable segment */
void tcp_rx(struct tcp_conn *c, const struct tcp_seg *g, int64_t off);
void tcp_rx_free(struct tcp_conn *c);
void tcp_rx_fin(struct tcp_conn *c);
uint32_t tcp_rx_window(struct tcp_conn *c); /* moves rcv_adv; the unscaled wire value */
int tcp_rx_sacks(const struct tcp_conn *c, uint32_t out[2 * TCP_SACK_MAX], int max);

/* tcp_output.c: segments out */
int tcp_send(struct tcp_conn *c, struct tcp_out *o, uint64_t off, uint8_t flags);
void tcp_send_synack(struct tcp_conn *c);
bool tcp_send_ack(struct tcp_conn *c);
void tcp_send_probe(struct tcp_conn *c); /* an old byte number, no payload: asks for an ACK */
void tcp_send_rst(struct tcp_conn *c);
void tcp_answer_rst(struct tcp_stack *s, const struct tcp_seg *g);
bool tcp_send_fin(struct tcp_conn *c); /* if it is its turn */
bool tcp_resend_fin(struct tcp_conn *c, struct tcp_chunk *k);
void tcp_fin_left(struct tcp_conn *c);
void tcp_ack_now(struct tcp_conn *c);
void tcp_kick_later(struct tcp_conn *c); /* tcp_kick() with the next flush */
void tcp_challenge(struct tcp_conn *c);
void tcp_retry_later(struct tcp_conn *c);
/* Header without options done before; options first (they set hdr_len), then tcp_hdr_put(). */
void tcp_hdr_put(struct tcp_out *o, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t wnd);
void tcp_hdr_ts(struct tcp_out *o, uint32_t val, uint32_t ecr);

/* tcp_pull.c: what may be sent */
uint64_t tcp_usable_end(const struct tcp_conn *c);
uint32_t tcp_min_pull(const struct tcp_conn *c);   /* as it is now; tcp_pull.c */
uint32_t tcp_frame_max(const struct tcp_conn *c);  /* payload of one segment of new bytes */
bool tcp_window_blocked(const struct tcp_conn *c); /* nothing in flight, the window is the reason */
void tcp_kick(struct tcp_conn *c);		   /* want() if there is something to do */

/* tcp_sack.c */
struct tcp_acked {
	uint32_t delivered;  /* bytes newly known to be there */
	uint32_t cum;	     /* of them by the cumulative ACK */
	uint64_t rtt_ns;     /* 0: none usable */
	uint64_t prior_fack; /* fack before this ACK */
	bool una_moved, new_loss, dsack, sacked_any, same, dup, resent;
	int64_t dsack_start, dsack_end;
};
void tcp_sack(struct tcp_conn *c, const struct tcp_seg *g, uint64_t ack, struct tcp_acked *a);

/* tcp_rack.c */
void tcp_rack_update(struct tcp_conn *c, const struct tcp_chunk *k, uint64_t end,
		     const struct tcp_seg *g);
void tcp_rack_dsack(struct tcp_conn *c);
bool tcp_rack_detect(struct tcp_conn *c); /* marks losses; true if any is new */
void tcp_rack_mark_rto(struct tcp_conn *c);
uint64_t tcp_tlp_pto(const struct tcp_conn *c);
bool tcp_tlp_eligible(const struct tcp_conn *c);
void tcp_tlp_fire(struct tcp_conn *c);
void tcp_tlp_sent(struct tcp_conn *c);
void tcp_tlp_ack(struct tcp_conn *c, const struct tcp_seg *g, uint64_t ack,
		 const struct tcp_acked *a);

/* tcp_recovery.c */
void tcp_enter_recovery(struct tcp_conn *c);
void tcp_recovery_ack(struct tcp_conn *c, const struct tcp_seg *g, struct tcp_acked *a);
void tcp_pmtu_lost(struct tcp_conn *c);
void tcp_rto_fire(struct tcp_conn *c);
void tcp_count_rexmit(struct tcp_conn *c, uint64_t off, uint32_t len);
void tcp_cwnd_reduced(struct tcp_conn *c); /* a loss that a probe has repaired */

/* tcp_check.c: what is wrong with a live connection, NULL if nothing */
const char *tcp_check(const struct tcp_conn *c);

/* tcp_cc.c, tcp_cc_cubic.c */
void tcp_cc_init(struct tcp_conn *c);
uint32_t tcp_cc_ssthresh(struct tcp_conn *c); /* a congestion event: what to fall to */
void tcp_cc_acked(struct tcp_conn *c, const struct tcp_acked *a);
void tcp_cc_sent(struct tcp_conn *c);
void tcp_cc_restart(struct tcp_conn *c); /* before sending after a pause */
void tcp_cc_lost_all(struct tcp_conn *c);
uint64_t tcp_cc_pacing(const struct tcp_conn *c); /* bytes/s, 0: unpaced */
uint32_t tcp_cc_burst(const struct tcp_conn *c);
uint32_t tcp_pace_quantum(const struct tcp_conn *c, uint64_t rate);
bool tcp_cc_validated(const struct tcp_conn *c);
void tcp_cubic_acked(struct tcp_conn *c, uint32_t bytes);
uint32_t tcp_cubic_ssthresh(struct tcp_conn *c, uint32_t base);
double tcp_cubic_window(double w_max, double k, double t); /* RFC 9438 figure 1, segments */
double tcp_cubic_k(double w_max, double cwnd);

#endif
