/* testpeer: a small client TCP for tests, written apart from the engine it is tested against.
 *
 * Receives with reassembly, SACK and D-SACK, several ways to acknowledge and several ways to offer
 * a window; sends its request by go-back-N. It complains (peer->bad) about anything a correct
 * server must not do. One connection a struct; virtual time; no allocation.
 */
#ifndef ATLAS_TCP_TESTPEER_H
#define ATLAS_TCP_TESTPEER_H

#include "stacks/atlas/tcp/tcp.h"

#define PEER_HOLES 32
#define PAT_PRIME  65521 /* contents repeat with this period: a shifted byte is a wrong byte */

/* Byte `off` of either stream stands at pat[off % PAT_PRIME]; pat is twice as long as the period.
 */
extern uint8_t peer_pat[2 * PAT_PRIME];
void peer_pat_init(void);

enum peer_close { PEER_WAITS_FIN, PEER_CLOSES, PEER_HALF_CLOSES, PEER_RESETS };

struct peer {
	/* what it is like; set before peer_start() */
	struct tcp_tuple t; /* as the server sees it: remote is the peer */
	bool sack, ts, ws, dsack;
	int8_t wscale;
	uint16_t mss;
	uint32_t buf;	    /* receive buffer */
	uint32_t ack_every; /* segments */
	uint64_t delack;
	uint32_t read_chunk; /* application reads so much ... */
	uint64_t read_every; /* ... each time; 0: at once */
	uint32_t request, response;
	enum peer_close close;
	uint64_t reset_at;
	uint32_t isn, ts_off;
	void *ctx;
	void (*send)(void *ctx, struct peer *p, const struct tcp_seg *g);

	/* what has happened */
	enum { P_SYN_SENT, P_OPEN, P_DONE, P_RESET, P_REFUSED } state;
	const char *bad; /* the first thing the server did wrong */
	uint64_t rcv_nxt, taken, edge;
	bool fin_in, fin_out, fin_acked, stretched;
	uint64_t fin_off;
	struct {
		uint64_t a, b;
	} hole[PEER_HOLES]; /* held out of order, sorted */
	int nhole;
	uint64_t latest, dup_a, dup_b;
	uint32_t irs, ts_recent, unacked, segs;
	uint64_t snd_una, snd_nxt, snd_max, snd_edge;
	uint8_t snd_ws;
	uint32_t backoff, smss;
	uint64_t t_rto, t_ack, t_read;
	uint64_t now;
};

void peer_start(struct peer *p, uint64_t now);
void peer_input(struct peer *p, const struct tcp_seg *g, uint64_t now);
void peer_timers(struct peer *p, uint64_t now);
uint64_t peer_next_timer(const struct peer *p);

#endif
