/* txq: frames on their way to the interface.
 *
 * TCP's segments are completed here: Ethernet and IPv4 from the connection's template, the checksum
 * left to the device (its field holds the pseudo-header sum), segmentation too. A burst leaves at
 * the end of each turn, or when the queue is full. What the interface has no room for stays queued,
 * in order, and no new reads are started until it has left (pull_serve).
 */
#include "stacks/atlas/core.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "stacks/atlas/trace.h"

static void slot_done(struct worker *w, struct txslot *s)
{
	if (s->ref)
		ref_put(w, s->ref);
	s->ref = NULL;
}

/* Frames [k, n) move to the front; their header pieces move with their slots. */
static void txq_shift(struct txq *q, int k)
{
	for (int i = k; i < q->n; i++) {
		struct pkt_tx *to = &q->pkt[i - k];

		*to = q->pkt[i];
		q->slot[i - k] = q->slot[i];
		to->iov[1].iov_base = q->slot[i - k].hdr;
	}
	q->n -= k;
}

static void reap(struct worker *w)
{
	void *done[PKTIO_BURST];
	int n;

	while ((n = w->io->ops->tx_done(w->io, done, PKTIO_BURST)) > 0)
		for (int i = 0; i < n; i++)
			if (done[i])
				ref_put(w, done[i]);
}

void txq_flush(struct worker *w)
{
	enum stage was = stage_enter(&w->stages, STAGE_transmit);
	struct txq *q = &w->txq;
	int sent = 0;

	while (sent < q->n) {
		int n = q->n - sent < PKTIO_BURST ? q->n - sent : PKTIO_BURST;
		int k = w->io->ops->tx_burst(w->io, q->pkt + sent, n);

		if (k <= 0)
			break;
		trace_frames(q->pkt + sent, k);
		if (w->io->tx_sync)
			for (int i = 0; i < k; i++)
				slot_done(w, &q->slot[sent + i]);
		sent += k;
		if (k < n)
			break;
	}
	q->congested = sent < q->n;
	if (q->congested)
		stat_add(&w->st->tx_requeued, (uint64_t)(q->n - sent));
	if (sent)
		txq_shift(q, sent);
	if (!w->io->tx_sync)
		reap(w);
	stage_enter(&w->stages, was);
}

static struct pkt_tx *txq_slot(struct worker *w, struct txslot **slot)
{
	struct txq *q = &w->txq;

	if (q->n == TXQ_LEN)
		txq_flush(w);
	if (q->n == TXQ_LEN)
		return NULL;
	*slot = &q->slot[q->n];
	return &q->pkt[q->n];
}

/* A control frame (ARP, ICMP), complete. */
int txq_raw(struct worker *w, const uint8_t *frame, uint32_t len)
{
	struct txslot *s;
	struct pkt_tx *p;

	if (len > sizeof s->hdr) { /* a long echo reply: it leaves alone, at once */
		struct pkt_tx one = {.niov = 2, .len = len};

		one.iov[1] = (struct iovec){.iov_base = (void *)(uintptr_t)frame, .iov_len = len};
		txq_flush(w);
		return w->io->tx_sync && w->io->ops->tx_burst(w->io, &one, 1) == 1 ? 0 : -ENOBUFS;
	}
	p = txq_slot(w, &s);
	if (!p)
		return -ENOBUFS;
	memcpy(s->hdr, frame, len);
	s->ref = NULL;
	*p = (struct pkt_tx){.niov = 2, .len = len};
	p->iov[1] = (struct iovec){.iov_base = s->hdr, .iov_len = len};
	w->txq.n++;
	return 0;
}

/* The header template for this segment's peer: the connection's, or a fresh one in *tmp. NULL: the
 * peer's MAC is not known yet. */
static const struct net_hdr *header_for(struct worker *w, const struct tcp_out *o,
					struct net_hdr *tmp)
{
	struct conn *c = o->conn ? tcp_user(o->conn) : NULL;
	struct net_hdr *h = c ? &c->hdr : tmp;
	const uint8_t *mac;

	if (c && c->hdr_gen == w->net.gen && c->hdr.b[12])
		return h;
	mac = net_mac(&w->net, &o->t.remote, w->now);
	if (!mac)
		return NULL;
	net_hdr_init(h, &w->net, mac, &o->t.local, &o->t.remote, NET_PROTO_TCP);
	if (c)
		c->hdr_gen = w->net.gen;
	return h;
}

int txq_xmit(void *ctx, const struct tcp_out *o)
{
	struct worker *w = ctx;
	uint32_t l4 = o->hdr_len + o->len;
	const struct net_hdr *h;
	struct net_hdr tmp;
	struct txslot *s;
	struct pkt_tx *p = txq_slot(w, &s);
	uint16_t sum;

	if (!p)
		return -ENOBUFS;
	h = header_for(w, o, &tmp);
	if (!h) {
		stat_add(&w->st->tx_no_mac, 1);
		return 0; /* as if lost: ARP is under way, TCP will send it again */
	}
	net_hdr_write(h, s->hdr, l4, 0);
	memcpy(s->hdr + NET_HDR_LEN, o->hdr, o->hdr_len);
	sum = net_hdr_pseudo(h, l4);
	memcpy(s->hdr + NET_HDR_LEN + 16, &sum, sizeof sum);
	p->niov = (uint16_t)(2 + o->niov);
	p->iov[1] = (struct iovec){.iov_base = s->hdr, .iov_len = NET_HDR_LEN + o->hdr_len};
	for (int i = 0; i < o->niov; i++)
		p->iov[2 + i] = o->iov[i];
	p->len = NET_HDR_LEN + l4;
	p->gso_size = o->len > o->mss ? o->mss : 0;
	p->hdr_len = (uint16_t)(NET_HDR_LEN + o->hdr_len);
	p->csum_start = NET_HDR_LEN;
	p->csum_offset = 16;
	s->ref = o->cookie;
	p->cookie = s->ref;
	if (s->ref)
		ref_get(s->ref);
	w->txq.n++;
	return 0;
}
