/* tcp_push: payload arrives from the source and leaves as one segment a push.
 *
 * New bytes are checked against the window as it is now; a retransmission against the scoreboard
 * as it is now. Nothing is kept: the pieces are the caller's and are lent to xmit.
 */
#include <errno.h>

#include "stacks/atlas/tcp/tcp_priv.h"

/* The pieces of [skip, skip + len) of v into out; returns their count. */
static int slice(const struct iovec *v, int n, uint32_t skip, uint32_t len, struct iovec *out)
{
	int k = 0;

	for (int i = 0; i < n && len; i++) {
		uint32_t l = (uint32_t)v[i].iov_len;

		if (skip >= l) {
			skip -= l;
			continue;
		}
		l = min32(l - skip, len);
		out[k++] = (struct iovec){(uint8_t *)v[i].iov_base + skip, l};
		len -= l;
		skip = 0;
	}
	return k;
}

/* One segment from the bytes [skip, skip + len) of the pieces. Returns how many it took. */
static uint32_t push_one(struct tcp_conn *c, const struct iovec *iov, int niov, uint32_t skip,
			 uint32_t len, void *cookie)
{
	struct tcp_stack *s = c->s;
	struct tcp_out o = {.cookie = cookie, .iov = iov, .niov = niov};
	struct iovec cut[TCP_IOV_MAX];
	struct tcp_chunk *k;
	uint64_t off = c->snd_nxt, end = tcp_usable_end(c);
	uint32_t n = (uint32_t)min64(end - off, min32(len, tcp_frame_max(c)));
	bool fin;
	uint8_t flags = TCP_ACK;

	if (!n)
		return 0;
	if (n < len && n > c->mss)
		n -= n % c->mss;
	if (skip || n < len) {
		o.niov = slice(iov, niov, skip, n, cut);
		o.iov = cut;
	}
	fin = off + n == tcp_fin_off(c) && s->nfree_chunk >= 2; /* else it goes alone, later */
	if (off + n == c->avail_end || off + n == end)
		flags |= TCP_PSH;
	if (!tcp_chunk_room(s) || !(k = tcp_chunk_append(c, off, n, 0))) {
		tcp_retry_later(c);
		return 0;
	}
	o.len = n;
	if (tcp_send(c, &o, off, flags | (fin ? TCP_FIN : 0))) {
		tcp_chunk_unappend(c, k);
		tcp_retry_later(c);
		return 0;
	}
	tcp_first_flight(c);
	c->snd_nxt += n;
	c->last_tx = c->last_progress = s->now;
	c->prr_out += n;
	if (c->flags & CF_TLP_NEW)
		tcp_tlp_sent(c);
	c->flags &= ~CF_SWS_OVERRIDE;
	s->st.bytes_out += n;
	tcp_cc_sent(c);
	if (fin && tcp_chunk_append(c, c->snd_nxt, 1, CK_FIN))
		tcp_fin_left(c);
	else
		tcp_send_fin(c);
	tcp_arm(c);
	return n;
}

static int push_new(struct tcp_conn *c, const struct iovec *iov, int niov, uint32_t len,
		    void *cookie)
{
	uint32_t done = 0, n;

	do {
		n = push_one(c, iov, niov, done, len - done, cookie);
		done += n;
	} while (n && done < len);
	return (int)done;
}

/* Is the chunk still to be sent again? */
static bool wanted(const struct tcp_chunk *k)
{
	if (k->flags & (CK_SACKED | CK_FIN))
		return false;
	return k->flags & CK_ASKED || (k->flags & (CK_LOST | CK_RETX)) == CK_LOST;
}

/* Send [off, end) again, `first` being its first chunk. */
static int resend(struct tcp_conn *c, struct tcp_chunk *first, uint64_t end, struct tcp_out *o)
{
	uint64_t off = first->start;
	bool head = off == c->snd_una;
	int err = tcp_send(c, o, off, TCP_ACK | (end == c->avail_end ? TCP_PSH : 0));

	if (err)
		return err;
	for (struct tcp_chunk *k = first; k && k->start < end; k = chunk_at(c, k->next)) {
		if (!(k->flags & CK_LOST))
			tcp_tlp_sent(c);
		tcp_chunk_resent(c, k);
	}
	if (head)
		c->rto_start = c->s->now;
	tcp_count_rexmit(c, off, o->len);
	return 0;
}

/* A retransmission that can't leave: whatever of [k, end) was asked for is offered again. */
static void give_up(struct tcp_conn *c, struct tcp_chunk *k, uint64_t end)
{
	for (; k && k->start < end; k = chunk_at(c, k->next))
		if (k->flags & CK_ASKED)
			tcp_chunk_flag(c, k, 0, CK_ASKED);
	tcp_retry_later(c);
}

/* The run of wanted bytes from `a` (in k) up to `end` becomes chunks of its own. Returns its end,
 * or `a` if there is no chunk for the cut. */
static uint64_t wanted_run(struct tcp_conn *c, struct tcp_chunk **first, uint64_t a, uint64_t end)
{
	struct tcp_chunk *k = tcp_chunk_carve(c, *first, a, min64(chunk_end(*first), end));
	uint64_t b = a;

	if (k)
		*first = k;
	while (k && wanted(k) && k->start < end) {
		k = tcp_chunk_carve(c, k, k->start, min64(chunk_end(k), end));
		if (!k)
			break;
		b = chunk_end(k);
		k = chunk_at(c, k->next);
	}
	return b;
}

static int push_again(struct tcp_conn *c, uint64_t off, const struct iovec *iov, int niov,
		      uint32_t len, void *cookie)
{
	uint64_t end = off + len, a, b;
	struct tcp_chunk *k = chunk_at(c, c->head);
	struct iovec cut[TCP_IOV_MAX];
	int sent = 0;

	while (k && chunk_end(k) <= off)
		k = chunk_at(c, k->next);
	while (k && k->start < end) {
		struct tcp_out o = {.cookie = cookie, .iov = cut};

		if (!wanted(k)) {
			k = chunk_at(c, k->next);
			continue;
		}
		a = max64(k->start, off);
		b = wanted_run(c, &k, a, min64(end, a + tcp_max_push(c)));
		o.len = (uint32_t)(b - a);
		o.niov = slice(iov, niov, (uint32_t)(a - off), o.len, cut);
		if (a == b || resend(c, k, b, &o)) {
			give_up(c, k, end);
			break;
		}
		sent += (int)o.len;
		while (k && k->start < b)
			k = chunk_at(c, k->next);
	}
	tcp_arm(c);
	return sent;
}

int tcp_push(struct tcp_conn *c, uint64_t off, const struct iovec *iov, int niov, uint32_t len,
	     void *cookie, uint64_t now_ns)
{
	c->s->now = max64(c->s->now, now_ns);
	if (c->state == TS_CLOSED || c->state == TS_SYN_RCVD)
		return -EPIPE;
	assert(niov <= TCP_IOV_MAX);
	if (off < c->snd_nxt)
		return push_again(c, off, iov, niov, len, cookie);
	if (!tcp_can_tx(c))
		return -EPIPE;
	return off == c->snd_nxt ? push_new(c, iov, niov, len, cookie) : 0;
}
