/* core: ties net, tcp, tls, nvme and http together.
 *
 * Theory of operation
 * -------------------
 * A worker thread owns everything in this file; nothing is shared but its statistics page.
 *
 * What a connection has to send is a list of extents of its TCP stream:
 *
 *	stored	bytes in memory: handshake flights, response heads, alerts. Kept until acknowledged.
 *	file	[body_off, +body_len) of a file, cut into records of fixed size. Never kept: each
 *		time its bytes are needed they are read (and sealed) again.
 *
 * An ACK opens the window; TCP says so (want), the connection joins the serve queue, and in its
 * turn takes a buffer and starts one read of up to PULL_RECS records: a pull. Completions seal in
 * place, at once, while the bytes are in the cache, in whatever order they come; the pulls of a
 * connection are transmitted in stream order. If the window covers only a part of a pull, the rest
 * is held in its buffer; when buffers run short, held ones are taken away and read again later.
 *
 * Retransmission is the same read and the same seal. The tag of each record is kept from its first
 * seal until it is acknowledged, and a later seal that gives another tag (the file has changed)
 * resets the connection before a byte leaves: another plaintext under one key and nonce would give
 * the key away (NIST SP 800-38D, 8).
 *
 * Buffer life: free -> reading -> ready -> (queued for transmission) -> free, LIFO.
 */
#ifndef ATLAS_CORE_H
#define ATLAS_CORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "stacks/atlas/http/http.h"
#include "stacks/atlas/net/ether.h"
#include "stacks/atlas/net/pktio.h"
#include "stacks/atlas/nvme/nvme.h"
#include "stacks/atlas/options.h"
#include "stacks/atlas/stages.h"
#include "stacks/atlas/stats.h"
#include "stacks/atlas/tcp/tcp.h"
#include "stacks/atlas/tls/tls.h"

#define BUF_BYTES    65536
#define BUF_STRIDE   (BUF_BYTES + 4096) /* why not 64 KiB: buf.c */
#define PULL_RECS    4			/* records of one pull, at most */
#define GSO_MAX	     65441 /* TCP payload of one frame: 65,535 bytes with Ethernet and full headers */
#define STORED_SMALL 432   /* payload of the two sizes of stored extent */
#define STORED_LARGE 4000
#define PRE_BYTES    1460 /* a short response head, or the rest of the pull before */
#define TAGS_SMALL   32	  /* records whose tags an extent can hold: most objects */
#define TAGS_LARGE   1024 /* ... 16 MB of window for large ones */
#define PIPELINE_MAX 4	  /* responses queued a connection */
#define TXQ_LEN	     256
#define REQ_BUF_MAX  (256 << 10) /* decrypted, unparsed request bytes kept a connection */

/* What a transmitted frame keeps alive: a buffer or an extent. */
struct txref {
	uint32_t refs;
	bool is_buf;
};

struct file; /* store.h */
struct conn;
struct worker;

struct tags {
	struct tags *next;  /* free list */
	uint32_t cap;	    /* power of two */
	uint64_t *valid;    /* bit per slot */
	uint8_t (*tag)[16]; /* slot = record & (cap - 1) */
};

struct extent {
	struct txref ref; /* one for the connection's list, one a pull or queued frame */
	TAILQ_ENTRY(extent) link;
	uint64_t off, len; /* place in the TCP stream, wire bytes */
	bool stored, large;
	bool last_of_response;
	/* file extents */
	struct file *file;
	uint64_t body_off, body_len; /* file bytes */
	uint32_t rec;		     /* plaintext bytes of a record (all but the last) */
	struct tls_epoch *epoch;     /* NULL: plaintext */
	uint64_t first_seq;	     /* record number of record 0 */
	struct tags *tags;
	uint64_t acked_rec; /* records below are acknowledged: no tags */
	/* stored extents */
	uint8_t data[];
};

enum buf_state { BUF_FREE, BUF_READING, BUF_READY };

struct buf {
	struct txref ref;
	enum buf_state state;
	uint8_t *mem;	   /* BUF_BYTES of the device's region */
	struct buf *twin;  /* atlas:copy: where the sealed bytes are */
	struct conn *conn; /* NULL: the connection is gone, free on completion */
	struct extent *ext;
	TAILQ_ENTRY(buf) link; /* free list, or the connection's pulls in stream order */
	TAILQ_ENTRY(buf) held; /* worker's list of ready buffers that wait for a window */
	bool on_held;
	struct tcp_want want; /* retransmission: the range asked for; .rexmit is the kind */
	uint64_t off;	      /* stream range of the pull */
	uint32_t len;
	uint64_t rec0; /* first record, within the extent */
	uint32_t nrec;
	uint32_t skew;	 /* bytes before the payload, from rounding down to the device's block */
	uint32_t bytes;	 /* payload */
	uint32_t fresh;	 /* of it not sent before */
	uint32_t padded; /* length of the read, rounded up to the block */
	struct iodesc io;
	uint8_t pre[PRE_BYTES]; /* what leaves in front of it in the same frame; ends at the end */
	/* record headers and trailers between payloads: hdr 0 | trail 0, hdr 1 | ... | trail n-1 */
	uint8_t side[TLS_HDR + PULL_RECS * TLS_OVERHEAD];
};

TAILQ_HEAD(buf_list, buf);
TAILQ_HEAD(extent_list, extent);

struct conn {
	struct worker *w;
	struct tcp_conn *tcp; /* NULL once TCP has let go */
	struct tls_conn *tls; /* NULL: plaintext */
	struct extent_list out;
	uint64_t stream_end;	 /* where the next extent goes */
	uint64_t next_pull;	 /* stream offset up to which reads were started */
	struct extent *cursor;	 /* extent next_pull lies in, NULL: look it up */
	struct buf_list pulls;	 /* new data, in stream order */
	struct buf_list rexmits; /* retransmissions being read */
	TAILQ_ENTRY(conn) serve;
	struct file *opening; /* request waits for this file */
	struct conn *opening_next;
	uint8_t *req; /* unparsed request bytes, NULL: none */
	uint32_t req_len, req_cap;
	uint64_t skip_body;
	struct http_chunked chunked;
	uint16_t queued; /* responses not yet acknowledged */
	bool on_serve, want_more, peer_fin, closing, ended, skip_chunked, tls_failed, aborted;
	bool rx_blocked, rekey, in_request;
	uint32_t hdr_gen;   /* of the MAC in hdr */
	struct net_hdr hdr; /* Ethernet and IPv4 header template */
};

TAILQ_HEAD(conn_list, conn);

struct txslot {
	uint8_t hdr[14 + 20 + TCP_HDR_MAX];
	struct txref *ref;
};

struct txq {
	struct pkt_tx pkt[TXQ_LEN];
	struct txslot slot[TXQ_LEN];
	int n;
	bool congested; /* the interface had no room last time */
};

struct store;
struct mring;

struct worker {
	const struct options *opt;
	unsigned int id;
	uint64_t now;
	time_t wall; /* for Date, once a turn */
	struct pktio *io;
	struct net_if net;
	struct tcp_stack *tcp;
	struct nvme *nvme;
	struct tls_ctx *tls;
	struct store *store;
	struct mring *inbox;
	struct worker *const *peers; /* all workers, NULL-terminated */
	struct txq txq;
	struct buf *bufs;
	unsigned int nbufs, free_bufs;
	struct buf_list free;
	struct buf_list held;
	uint32_t max_push;    /* payload of one frame: GSO_MAX, or the MSS (atlas:nogso) */
	unsigned int reading; /* commands outstanding against the I/O window */
	struct conn_list serve;
	struct extent *ext_free_file, *ext_free_small, *ext_free_large;
	struct tags *tags_free_small, *tags_free_large;
	struct conn *conn_free;
	struct http_req req; /* scratch of the request being looked at */
	struct http_plan plan;
	struct wstats *st; /* in shared memory */
	struct stages stages;
	int stop_fd;
	bool link_gone;
};

/* buf.c */
int bufs_init(struct worker *w, struct errbuf *e);
void bufs_free(struct worker *w);
/* A free buffer; if there is none, a held one is taken from whoever waits longest. NULL: none. */
struct buf *buf_take(struct worker *w);
void ref_get(struct txref *r);
void ref_put(struct worker *w, struct txref *r);

/* extent.c */
struct extent *extent_store(struct conn *c, const uint8_t *p, uint32_t len);
struct extent *extent_file(struct conn *c, struct file *f, uint64_t off, uint64_t len);
struct extent *extent_at(struct conn *c, uint64_t off);
void extents_acked(struct conn *c, uint64_t off);
void extents_drop(struct conn *c);
void extent_release(struct worker *w, struct extent *x);
void extents_free(struct worker *w); /* free lists */
/* Wire bytes of `body` payload bytes in records of `rec`, with the record layer's overhead. */
uint64_t extent_wire(const struct extent *x, uint64_t body);
/* The guard: 0 if `tag` is the record's first or the same as before; -EBADMSG otherwise. */
int extent_guard(struct extent *x, uint64_t rec, const uint8_t tag[16]);
int extent_cut(struct conn *c, struct extent *x, uint64_t nrec); /* keep the first nrec records */

/* pull.c */
void pull_serve(struct worker *w); /* start reads for connections that want bytes */
void pull_queue(struct conn *c);   /* join the serve queue */
void pull_transmit(struct conn *c);
void pull_drop_all(struct conn *c); /* the connection goes away */
void pull_steal(struct buf *b);	    /* take a held buffer from its connection */

/* conn.c */
extern const struct tcp_ops conn_tcp_ops;
void conn_opened(struct conn *c); /* the file it waited for is there, or is not */
void conn_abort(struct conn *c);
void conns_free(struct worker *w);

/* txq.c */
int txq_xmit(void *ctx, const struct tcp_out *o); /* tcp_ops.xmit; ctx is the worker */
int txq_raw(struct worker *w, const uint8_t *frame, uint32_t len);
void txq_flush(struct worker *w);

/* worker.c */
int worker_open(struct worker *w, struct errbuf *e);
void worker_run(struct worker *w, const volatile bool *stop);
void worker_close(struct worker *w);

#endif
