/* tcp_check: the invariants of a connection, recomputed from scratch. For tests and fuzzing. */
#include "stacks/atlas/tcp/tcp_priv.h"

const char *tcp_check(const struct tcp_conn *c)
{
	uint32_t sacked = 0, lost = 0, retrans = 0, asked = 0, need = 0, timed = 0;
	uint64_t at = c->snd_una, t = 0;
	uint32_t prev = NONE;

	for (uint32_t i = c->head; i != NONE; prev = i, i = c->s->chunks[i].next) {
		const struct tcp_chunk *k = &c->s->chunks[i];

		if (k->start != at || !k->len || k->prev != prev)
			return "chunks are not gapless";
		at += k->len;
		if (k->flags & CK_SACKED) {
			sacked += k->len;
			continue;
		}
		lost += k->flags & CK_LOST ? k->len : 0;
		retrans += k->flags & CK_RETX ? k->len : 0;
		asked += k->flags & CK_ASKED ? k->len : 0;
		need += (k->flags & (CK_LOST | CK_RETX | CK_ASKED)) == CK_LOST ? k->len : 0;
		timed += (k->flags & (CK_LOST | CK_RETX)) != CK_LOST;
	}
	if (at != c->snd_nxt || c->tail != prev)
		return "chunks do not cover what is in flight";
	if ((c->flags & CF_SACK && sacked != c->sacked) || lost != c->lost ||
	    retrans != c->retrans || asked != c->asked || need != c->need)
		return "scoreboard counts have drifted";
	if (c->sacked + c->lost > c->snd_nxt - c->snd_una)
		return "pipe underflow";
	prev = NONE;
	for (uint32_t i = c->thead; i != NONE; prev = i, i = c->s->chunks[i].tnext, timed--) {
		if (c->s->chunks[i].sent_ns < t || c->s->chunks[i].tprev != prev)
			return "time order broken";
		t = c->s->chunks[i].sent_ns;
	}
	if (timed || c->ttail != prev)
		return "the list by time misses chunks";
	if (c->cwnd < c->mss || c->snd_nxt > c->avail_end + 1 || c->snd_una > c->snd_nxt)
		return "marks out of order";
	return NULL;
}
