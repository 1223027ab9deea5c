/* tcp: a server-side TCP that pulls.
 *
 * An ordinary TCP is handed bytes and keeps them in a socket buffer until they are acknowledged.
 * This one owns no payload. Bytes of a connection's stream are known by their offset alone; when
 * the peer's window, congestion control and pacing allow, TCP asks its source for them, and the
 * source pushes them when they come from the disk. What must be retransmitted is asked for again.
 *
 * The engine is pure: no system call, no clock of its own (`now` comes in, virtual in tests), no
 * memory allocation after tcp_stack_new(). One struct tcp_stack belongs to one worker thread.
 *
 * Stream offsets count payload bytes from 0 (SYN and FIN are not in them), 64 bit, never wrap.
 *
 * RFC 9293 (TCP), 7323 (window scale, timestamps, PAWS), 2018/6675 (SACK), 8985 (RACK-TLP),
 * 6298 (RTO), 5681, 9438 (CUBIC), 9406 (HyStart++), 6937 (PRR), 7661 (cwnd validation),
 * 5961 (challenge ACK), 6528 (ISN), 5482/1122 where noted.
 */
#ifndef ATLAS_TCP_TCP_H
#define ATLAS_TCP_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/errbuf.h"
#include "base/ipaddr.h"

#define TCP_HDR_MAX  60
#define TCP_SACK_MAX 4
#define TCP_IOV_MAX  14 /* payload pieces of one push; with two headers it fits PKT_IOV_MAX */

enum {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
	TCP_URG = 32,
	TCP_ECE = 64,
	TCP_CWR = 128
};

struct tcp_tuple {
	struct ipaddr local, remote;
	uint16_t lport, rport; /* host byte order */
};

/* A received segment, parsed and bounds-checked; payload is borrowed. A GSO-sized frame is one
 * segment with gso_size set. */
struct tcp_seg {
	struct tcp_tuple t;
	uint32_t seq, ack;
	uint16_t wnd; /* as on the wire, unscaled */
	uint8_t flags;
	uint16_t mss;  /* 0: option absent */
	int8_t wscale; /* -1: option absent */
	bool sack_ok, ts_ok;
	uint32_t tsval, tsecr;
	uint8_t nsack;
	struct {
		uint32_t start, end;
	} sack[TCP_SACK_MAX];
	const uint8_t *data;
	uint32_t len; /* payload bytes at data */
	uint16_t gso_size;
};

/* Parse a TCP header and options at `l4` (`len` bytes to the end of the payload) into `out`, all
 * but the addresses, which the caller fills. 0, or -EINVAL for what must be answered with silence
 * (short, bad data offset, options past the header). Options that are malformed end the list. */
int tcp_parse(const uint8_t *l4, uint32_t len, struct tcp_seg *out);

struct tcp_stack;
struct tcp_conn;

/* A segment to transmit: TCP header ready but for the checksum, which holds 0 (the core adds the
 * pseudo-header sum for offload). Borrowed during the xmit call. */
struct tcp_out {
	struct tcp_conn *conn; /* NULL: an answer to no connection (RST, TIME_WAIT ACK) */
	struct tcp_tuple t;
	uint8_t hdr[TCP_HDR_MAX];
	uint8_t hdr_len;
	uint16_t mss;		 /* payload bytes per segment; > mss of payload needs GSO */
	uint32_t len;		 /* payload bytes */
	const struct iovec *iov; /* payload, niov pieces; owned by whoever called tcp_push */
	int niov;
	void *cookie; /* of the tcp_push it came from; NULL for control segments */
};

enum tcp_event {
	TCP_EV_ESTABLISHED, /* three-way handshake complete */
	TCP_EV_RX_FIN,	    /* the peer will send no more; everything before was delivered */
	TCP_EV_CLOSED, /* the connection is gone, conn is invalid after this call; see reason */
};

enum tcp_reason {
	TCP_R_NONE,
	TCP_R_DONE /* both FINs exchanged */,
	TCP_R_RESET /* by the peer */,
	TCP_R_TIMEOUT /* no answer to retransmission or probes */,
	TCP_R_IDLE,
	TCP_R_ABORT /* ours */,
	TCP_R_NOMEM,
	TCP_R_UNREACH,
};

/* What the source is asked for. */
struct tcp_want {
	uint64_t off; /* stream offset */
	uint32_t len; /* bytes, > 0 */
	bool rexmit;  /* these bytes were sent before: they must be the same bytes */
};

/* Upcalls, all from within tcp_input(), tcp_timers(), tcp_push() or tcp_avail(); must not block.
 * They may call tcp_next, tcp_push, tcp_avail, tcp_end and tcp_abort of the same connection. */
struct tcp_ops {
	/* Queue one segment. 0, or -ENOBUFS: nothing was queued; TCP keeps its state and tries
	 * again at the next occasion. */
	int (*xmit)(void *ctx, const struct tcp_out *o);
	/* A SYN wants a connection. Return the user pointer or NULL to refuse (RST). */
	void *(*accept)(void *ctx, struct tcp_conn *c, const struct tcp_tuple *t);
	/* In-order stream bytes. Returns how many were taken; the rest is offered again after
	 * tcp_rx_resume(), and the advertised window closes meanwhile. */
	uint32_t (*rx)(void *ctx, struct tcp_conn *c, const uint8_t *p, uint32_t len);
	/* Something may be sent now (new bytes or a retransmission): call tcp_next() when there is
	 * capacity for it. Level-triggered per change, cheap to ignore when already queued. */
	void (*want)(void *ctx, struct tcp_conn *c);
	/* Every stream byte below `off` is acknowledged. */
	void (*acked)(void *ctx, struct tcp_conn *c, uint64_t off);
	void (*event)(void *ctx, struct tcp_conn *c, enum tcp_event ev, enum tcp_reason why);
};

enum tcp_cc { TCP_CC_CUBIC, TCP_CC_NEWRENO };

struct tcp_cfg {
	uint32_t max_conns;  /* table size; further SYNs are dropped */
	uint32_t max_chunks; /* transmitted, unacknowledged ranges in all; 0 = default */
	uint16_t mss;	     /* ours: MTU - 40 */
	uint32_t rcv_wnd;    /* receive window offered, bytes */
	uint32_t max_push; /* largest payload of one segment handed to xmit (GSO), bytes; 0 = mss */
	uint64_t idle_ns;  /* close an established connection without traffic after; 0 never */
	uint64_t timewait_ns;
	enum tcp_cc cc;
	bool pacing;
	uint64_t isn_secret[2]; /* RFC 6528 */
	uint16_t ports[4];	/* listening; 0 ends */
	uint64_t keepalive_ns;	/* probe a silent peer after, close after 8 unanswered; 0 never */
};

struct tcp_stats {
	uint64_t conns, accepted, established, closed, resets_in, resets_out, timeouts;
	uint64_t segs_in, segs_out, bytes_in, bytes_out, bytes_rexmit, segs_rexmit;
	uint64_t rto_fired, tlp_fired, fast_recoveries, spurious, dup_segs_in, ooo_segs_in;
	uint64_t challenge_acks, paws_drops, bad_segs, zero_window_probes, syn_drops, nobufs;
};

/* NULL with a sentence in `e` when memory is short. ops is borrowed for the stack's life. */
struct tcp_stack *tcp_stack_new(const struct tcp_cfg *cfg, const struct tcp_ops *ops, void *ctx,
				struct errbuf *e);
void tcp_stack_free(struct tcp_stack *s); /* no upcalls; connections vanish */

/* One received segment. Unknown connections get RST or silence as RFC 9293 3.10.7 says. */
void tcp_input(struct tcp_stack *s, const struct tcp_seg *seg, uint64_t now_ns);
/* Fetches what tcp_input() of these `n` segments, at most TCP_AHEAD, will touch into the cache:
 * with thousands of connections it is elsewhere, and the misses of a burst can be waited for
 * together. Reads nothing of the consumer but its first lines; changes nothing. */
#define TCP_AHEAD 16
void tcp_prefetch(const struct tcp_stack *s, const struct tcp_seg *const *seg, int n);
/* Fire what is due. Call once a turn. */
void tcp_timers(struct tcp_stack *s, uint64_t now_ns);
/* Time of the earliest timer, UINT64_MAX if none: how long the worker may sleep. */
uint64_t tcp_next_timer(const struct tcp_stack *s);
/* Send ACKs that were held back for the end of a burst. Call after a burst of tcp_input. */
void tcp_flush_acks(struct tcp_stack *s, uint64_t now_ns);
/* RFC 1191/8201 path MTU: an ICMP that quoted `seq` of this tuple; ignored unless in flight. */
void tcp_pmtu(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t seq, uint16_t mtu);

/* The source has stream bytes up to `end` to send, in principle (their length is known, they are
 * not read yet). Only grows. Triggers want() when some may be sent at once. */
void tcp_avail(struct tcp_conn *c, uint64_t end);
/* Ask what to produce next. Retransmissions come first; a retransmission is handed out once, and
 * must be answered by tcp_push() of that range or by tcp_unwant(). For new bytes this is the window
 * as it is now, [snd_nxt, usable end): bytes the caller is already reading are included, the caller
 * keeps track of those and starts reads only behind them. false: nothing now. */
bool tcp_next(struct tcp_conn *c, struct tcp_want *w);
/* Smallest new-data pull worth starting now is `bytes` (default 0: any): below it want() waits
 * unless nothing is in flight (RFC 9293 3.8.6.2.1, sender's silly window syndrome avoidance). At
 * most a quarter of what may be in flight is waited for, whatever `bytes` says. */
void tcp_set_min_pull(struct tcp_conn *c, uint32_t bytes);
/* The retransmission `w` can't be produced now; it will be offered again. */
void tcp_unwant(struct tcp_conn *c, const struct tcp_want *w);
/* Hand over stream bytes [off, off + len) in at most TCP_IOV_MAX pieces; up to max_push they leave
 * as one segment, more is cut. New bytes must come with off == tcp_snd_nxt(). Returns how many of
 * them were transmitted: fewer than len when the window has closed meanwhile or xmit had no room
 * (then call again after the next want()), and 0 for a retransmission that is no longer needed.
 * -EPIPE: the connection can send no more. */
int tcp_push(struct tcp_conn *c, uint64_t off, const struct iovec *iov, int niov, uint32_t len,
	     void *cookie, uint64_t now_ns);
/* The stream ends at the offset given to the last tcp_avail(): FIN follows the last byte. */
void tcp_end(struct tcp_conn *c);
void tcp_abort(struct tcp_conn *c);	/* RST; TCP_EV_CLOSED follows from tcp_timers() */
void tcp_rx_resume(struct tcp_conn *c); /* the consumer has room again */

/* Payload of a full segment if less should not leave while what follows is being read: the window
 * is smaller than one frame, and a short segment costs both ends and the path what a full one does
 * (RFC 1122 4.2.3.4 in mid-stream). 0: whatever is there may leave. */
uint32_t tcp_full_segment(const struct tcp_conn *c);

uint64_t tcp_snd_nxt(const struct tcp_conn *c); /* next stream offset never sent */
uint64_t tcp_snd_una(const struct tcp_conn *c);
void *tcp_user(const struct tcp_conn *c);
const struct tcp_tuple *tcp_conn_tuple(const struct tcp_conn *c);
bool tcp_tx_limited_by_source(const struct tcp_conn *c); /* window open, source has not pushed */

struct tcp_info {
	uint32_t cwnd, ssthresh, rwnd, in_flight, srtt_us, rttvar_us, min_rtt_us, rto_us, mss;
	uint64_t pacing_bps; /* bytes/s; 0 unpaced */
	const char *state, *ca_state;
};
void tcp_get_info(const struct tcp_conn *c, struct tcp_info *out);
void tcp_get_stats(const struct tcp_stack *s, struct tcp_stats *out);

#endif
