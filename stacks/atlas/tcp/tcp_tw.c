/* tcp_tw: connections in TIME_WAIT, in 88 bytes each.
 *
 * All wait equally long, so a list by age is the timer; a repeated FIN moves an entry to the young
 * end. When the table is full the oldest goes early.
 *
 * A new SYN ends the wait when it can't be an old duplicate: its timestamp is newer, or (without
 * timestamps) its sequence number is beyond what the old connection received (RFC 6191, RFC 9293
 * 3.10.7.4 "TIME-WAIT"). The new ISN is put above the old one. RST is ignored (RFC 1337).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "stacks/atlas/tcp/tcp_priv.h"

int tcp_tw_init(struct tcp_stack *s)
{
	uint32_t n = s->cfg.max_conns;
	size_t bytes = n * sizeof *s->tw + (s->mask + 1) * sizeof *s->tw_buckets;

	s->tw_old = s->tw_new = NONE;
	s->tw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->tw == MAP_FAILED) {
		s->tw = NULL;
		return -ENOMEM;
	}
	s->tw_buckets = (uint32_t *)(s->tw + n);
	memset(s->tw_buckets, 0xff, (s->mask + 1) * sizeof *s->tw_buckets);
	for (uint32_t i = 0; i < n; i++)
		s->tw[i].next = i + 1 < n ? i + 1 : NONE;
	s->tw_free = 0;
	return 0;
}

void tcp_tw_free(struct tcp_stack *s)
{
	if (s->tw)
		munmap(s->tw,
		       s->cfg.max_conns * sizeof *s->tw + (s->mask + 1) * sizeof *s->tw_buckets);
}

static void age_append(struct tcp_stack *s, struct tcp_tw *w)
{
	uint32_t i = (uint32_t)(w - s->tw);

	w->expire = s->now + s->cfg.timewait_ns;
	w->next = NONE;
	w->prev = s->tw_new;
	if (s->tw_new == NONE)
		s->tw_old = i;
	else
		s->tw[s->tw_new].next = i;
	s->tw_new = i;
}

static void age_remove(struct tcp_stack *s, struct tcp_tw *w)
{
	if (w->prev == NONE)
		s->tw_old = w->next;
	else
		s->tw[w->prev].next = w->next;
	if (w->next == NONE)
		s->tw_new = w->prev;
	else
		s->tw[w->next].prev = w->prev;
}

static void tw_drop(struct tcp_stack *s, struct tcp_tw *w)
{
	uint32_t i = (uint32_t)(w - s->tw), *p = &s->tw_buckets[w->hash & s->mask];

	while (*p != i)
		p = &s->tw[*p].hash_next;
	*p = w->hash_next;
	age_remove(s, w);
	w->next = s->tw_free;
	s->tw_free = i;
	s->tw_n--;
}

void tcp_tw_add(struct tcp_conn *c)
{
	struct tcp_stack *s = c->s;
	struct tcp_tw *w;
	uint32_t i, *b = &s->tw_buckets[c->hash & s->mask];

	if (!s->cfg.timewait_ns)
		return;
	if (s->tw_free == NONE)
		tw_drop(s, &s->tw[s->tw_old]);
	i = s->tw_free;
	w = &s->tw[i];
	s->tw_free = w->next;
	*w = (struct tcp_tw){
		.t = c->t,
		.snd_nxt = tcp_seq(c, c->snd_nxt),
		.rcv_nxt = c->irs + 1 + (uint32_t)c->rcv_nxt,
		.ts_recent = c->ts_recent,
		.ts_off = c->ts_off,
		.hash = c->hash,
		.hash_next = *b,
		.wnd = (uint16_t)min64((c->rcv_adv - c->rcv_nxt) >> c->rcv_wscale, 65535),
		.ts = (c->flags & CF_TS) != 0};
	*b = i;
	age_append(s, w);
	s->tw_n++;
}

struct tcp_tw *tcp_tw_find(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t hash)
{
	for (uint32_t i = s->tw_buckets[hash & s->mask]; i != NONE; i = s->tw[i].hash_next) {
		struct tcp_tw *w = &s->tw[i];

		if (w->hash == hash && w->t.rport == t->rport && w->t.lport == t->lport &&
		    ipaddr_eq(&w->t.remote, &t->remote) && ipaddr_eq(&w->t.local, &t->local))
			return w;
	}
	return NULL;
}

static void tw_ack(struct tcp_stack *s, const struct tcp_tw *w)
{
	struct tcp_out o = {.t = w->t, .hdr_len = 20};

	if (w->ts) {
		tcp_hdr_ts(&o, (uint32_t)(s->now / NSEC_PER_MSEC) + w->ts_off, w->ts_recent);
	}
	tcp_hdr_put(&o, w->snd_nxt, w->rcv_nxt, TCP_ACK, w->wnd);
	if (!s->ops.xmit(s->ctx, &o))
		s->st.segs_out++;
}

bool tcp_tw_input(struct tcp_stack *s, struct tcp_tw *w, const struct tcp_seg *g,
		  uint32_t *isn_floor)
{
	bool old_ts = w->ts && g->ts_ok && seq_lt(g->tsval, w->ts_recent);

	if (g->flags & TCP_RST)
		return false;
	if ((g->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !old_ts &&
	    ((w->ts && g->ts_ok && seq_lt(w->ts_recent, g->tsval)) || seq_lt(w->rcv_nxt, g->seq) ||
	     w->rcv_nxt == g->seq)) {
		*isn_floor = w->snd_nxt + 65536 + 1;
		tw_drop(s, w);
		return true;
	}
	if (old_ts)
		s->st.paws_drops++;
	/* RFC 9293: acknowledge a repeated FIN and wait again. What carries nothing and fits gets
	 * no answer, or two TIME_WAITs would talk to each other for ever. */
	if (g->flags & (TCP_FIN | TCP_SYN) || g->len || g->seq != w->rcv_nxt)
		tw_ack(s, w);
	if (g->flags & TCP_FIN && !old_ts) {
		age_remove(s, w);
		age_append(s, w);
	}
	return false;
}

void tcp_tw_expire(struct tcp_stack *s)
{
	while (s->tw_old != NONE && s->tw[s->tw_old].expire <= s->now)
		tw_drop(s, &s->tw[s->tw_old]);
}
