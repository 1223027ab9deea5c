/* tcp_sack: SACK blocks onto the scoreboard (RFC 2018, 6675 update()), duplicates reported by
 * D-SACK (RFC 2883).
 *
 * A chunk is cut where a block begins and ends; neighbours that are both SACKED grow together, so
 * the list stays as long as there are holes. Blocks are hostile: what does not lie in
 * [snd_una, snd_nxt) is ignored.
 */
#include "stacks/atlas/tcp/tcp_priv.h"

/* Join k with SACKED neighbours. Returns the chunk that now holds it. */
static struct tcp_chunk *join(struct tcp_conn *c, struct tcp_chunk *k)
{
	struct tcp_chunk *n = chunk_at(c, k->next), *p = chunk_at(c, k->prev);

	if (n && n->flags & CK_SACKED)
		tcp_chunk_merge_next(c, k);
	if (p && p->flags & CK_SACKED) {
		tcp_chunk_merge_next(c, p);
		return p;
	}
	return k;
}

static void mark(struct tcp_conn *c, const struct tcp_seg *g, uint64_t s, uint64_t e,
		 struct tcp_acked *a)
{
	struct tcp_chunk *k = chunk_at(c, c->head);

	while (k && chunk_end(k) <= s)
		k = chunk_at(c, k->next);
	for (; k && k->start < e; k = chunk_at(c, k->next)) {
		if (k->flags & CK_SACKED)
			continue;
		if (k->start < s) {
			k = tcp_chunk_split(c, k, s);
			if (!k)
				return;
		}
		if (chunk_end(k) > e && !tcp_chunk_split(c, k, e))
			return;
		if (!(k->flags & CK_EVER)) {
			a->rtt_ns = tcp_age(c, k->sent_ns);
			if (chunk_end(k) < a->prior_fack)
				c->flags |= CF_REORDER;
		}
		tcp_rack_update(c, k, chunk_end(k), g);
		a->delivered += k->len;
		a->sacked_any = true;
		tcp_chunk_flag(c, k, CK_SACKED, 0);
		k = join(c, k);
	}
}

/* RFC 2883 4: the first block is a duplicate if it lies below the ACK or inside the second. */
static bool is_dsack(const struct tcp_seg *g)
{
	uint32_t s = g->sack[0].start, e = g->sack[0].end;

	if (!seq_lt(g->ack, e))
		return true;
	return g->nsack > 1 && !seq_lt(s, g->sack[1].start) && !seq_lt(g->sack[1].end, e);
}

void tcp_sack(struct tcp_conn *c, const struct tcp_seg *g, uint64_t ack, struct tcp_acked *a)
{
	int i = 0;

	if (is_dsack(g)) {
		uint32_t n = g->sack[0].end - g->sack[0].start;

		if (n <= c->max_wnd) {
			a->dsack = true;
			a->dsack_end = tcp_unwrap(c->iss, c->snd_una, g->sack[0].end);
			a->dsack_start = a->dsack_end - n;
		}
		i = 1;
	}
	for (; i < g->nsack; i++) {
		int64_t s = tcp_unwrap(c->iss, c->snd_una, g->sack[i].start);
		int64_t e = tcp_unwrap(c->iss, c->snd_una, g->sack[i].end);

		if (s >= e || s < (int64_t)ack || e > (int64_t)c->snd_nxt)
			continue;
		mark(c, g, (uint64_t)s, (uint64_t)e, a);
		c->fack = max64(c->fack, (uint64_t)e);
	}
}
