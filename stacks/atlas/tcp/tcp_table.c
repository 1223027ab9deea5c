/* tcp_table: the stack, its connection table, birth and death of connections.
 *
 * Chained hash over preallocated slots: links are indices, so an entry costs 8 bytes beside the
 * connection. The hash is keyed with the ISN secret, or a peer could choose ports that share a
 * bucket.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/rng.h"
#include "stacks/atlas/tcp/tcp_priv.h"

const char *const tcp_state_name[TS_N] = {"CLOSED",	"SYN_RCVD",   "ESTABLISHED", "FIN_WAIT_1",
					  "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",     "LAST_ACK"};
const char *const tcp_ca_name[CA_N] = {"open", "recovery", "loss"};

uint32_t tcp_hash(const struct tcp_stack *s, const struct tcp_tuple *t)
{
	uint64_t w[4], h;

	memcpy(w, t->remote.b, 16);
	memcpy(w + 2, t->local.b, 16);
	h = rng_mix(s->cfg.isn_secret[0] ^ w[1]);
	h = rng_mix(h ^ w[0] ^ ((uint64_t)t->rport << 16 | t->lport));
	h = rng_mix(h ^ w[3] ^ (w[2] << 1) ^ s->cfg.isn_secret[1]);
	return (uint32_t)(h >> 32);
}

static bool tuple_eq(const struct tcp_tuple *a, const struct tcp_tuple *b)
{
	return a->rport == b->rport && a->lport == b->lport && ipaddr_eq(&a->remote, &b->remote) &&
	       ipaddr_eq(&a->local, &b->local);
}

struct tcp_conn *tcp_find(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t hash)
{
	for (uint32_t i = s->buckets[hash & s->mask]; i != NONE; i = s->conns[i].hash_next)
		if (s->conns[i].hash == hash && tuple_eq(&s->conns[i].t, t))
			return &s->conns[i];
	return NULL;
}

static void prefetch(const void *p, size_t len)
{
	for (size_t at = 0; at < len; at += 64)
		__builtin_prefetch((const char *)p + at);
}

void tcp_prefetch(const struct tcp_stack *s, const struct tcp_seg *const *seg, int n)
{
	const uint32_t *bucket[TCP_AHEAD];

	assert(n <= TCP_AHEAD);
	for (int i = 0; i < n; i++) {
		bucket[i] = &s->buckets[tcp_hash(s, &seg[i]->t) & s->mask];
		__builtin_prefetch(bucket[i]);
	}
	for (int i = 0; i < n; i++)
		if (*bucket[i] != NONE)
			prefetch(&s->conns[*bucket[i]], sizeof *s->conns);
	for (int i = 0; i < n; i++) {
		const struct tcp_conn *c = &s->conns[*bucket[i]];

		if (*bucket[i] == NONE)
			continue;
		if (c->user)
			prefetch(c->user, USER_AHEAD);
		if (c->head != NONE)
			__builtin_prefetch(&s->chunks[c->head]);
	}
}

static void reset_conn(struct tcp_conn *c, struct tcp_stack *s, const struct tcp_tuple *t,
		       uint32_t hash)
{
	uint32_t ackq = c->flags & CF_ACKQ, next = c->ackq_next;

	*c = (struct tcp_conn){.s = s,
			       .t = *t,
			       .hash = hash,
			       .flags = ackq,
			       .ackq_next = next,
			       .head = NONE,
			       .tail = NONE,
			       .thead = NONE,
			       .ttail = NONE,
			       .rq_head = NONE,
			       .fin_off = NEVER,
			       .reo_at = NEVER,
			       .tlp_end = NEVER,
			       .delack_ms = DELACK_NS / NSEC_PER_MSEC,
			       .nvp_start = NEVER,
			       .min_rtt_us = UINT32_MAX,
			       .min_rtt_new_us = UINT32_MAX,
			       .reo_mult = 1,
			       .w_slot = WHEEL_NOWHERE,
			       .w_at = NEVER,
			       .last_progress = s->now,
			       .last_rx = s->now,
			       .last_tx = s->now,
			       .last_ack = s->now,
			       .min_rtt_ns = s->now,
			       .rto_start = s->now};
	for (int i = 0; i < DL_N; i++)
		c->due[i] = NEVER;
}

struct tcp_conn *tcp_conn_new(struct tcp_stack *s, const struct tcp_tuple *t, uint32_t hash)
{
	struct tcp_conn *c;
	uint32_t i = s->free_conn;

	if (i == NONE)
		return NULL;
	c = &s->conns[i];
	s->free_conn = c->hash_next;
	reset_conn(c, s, t, hash);
	c->hash_next = s->buckets[hash & s->mask];
	s->buckets[hash & s->mask] = i;
	s->st.conns++;
	return c;
}

void tcp_die(struct tcp_conn *c, enum tcp_reason why)
{
	struct tcp_stack *s = c->s;
	uint32_t i = conn_idx(c), *p;

	if (c->state == TS_CLOSED)
		return;
	p = &s->buckets[c->hash & s->mask];
	while (*p != i)
		p = &s->conns[*p].hash_next;
	*p = c->hash_next;
	tcp_wheel_remove(c);
	for (int d = 0; d < DL_N; d++)
		c->due[d] = NEVER;
	c->w_slot = WHEEL_NOWHERE;
	tcp_chunk_free_all(c);
	tcp_rx_free(c);
	c->flags &= ~CF_ACK_NOW;
	c->state = TS_CLOSED;
	c->tmode = TM_NONE;
	c->close_why = (uint8_t)why;
	c->hash_next = s->dead;
	s->dead = i;
}

void tcp_reap(struct tcp_stack *s)
{
	while (s->dead != NONE) {
		struct tcp_conn *c = conn_at(s, s->dead);

		s->dead = c->hash_next;
		s->st.conns--;
		if (!(c->flags & CF_UNREPORTED)) {
			s->st.closed++;
			s->ops.event(s->ctx, c, TCP_EV_CLOSED, c->close_why);
		}
		c->user = NULL;
		c->hash_next = s->free_conn;
		s->free_conn = conn_idx(c);
	}
}

static void *grab(size_t n, size_t size)
{
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, n * size, MADV_HUGEPAGE); /* each ACK is for another connection */
	return p;
}

static void drop(void *p, size_t n, size_t size)
{
	if (p)
		munmap(p, n * size);
}

static int alloc_all(struct tcp_stack *s)
{
	uint32_t n = 1;

	while (n < s->cfg.max_conns)
		n <<= 1;
	s->mask = n - 1;
	s->conns = grab(s->cfg.max_conns, sizeof *s->conns);
	s->buckets = grab(n, sizeof *s->buckets);
	s->chunks = grab(s->nchunks, sizeof *s->chunks);
	s->rxblks = grab(s->nrxblks, sizeof *s->rxblks);
	if (!s->conns || !s->buckets || !s->chunks || !s->rxblks)
		return -ENOMEM;
	memset(s->buckets, 0xff, n * sizeof *s->buckets);
	for (uint32_t i = 0; i < s->cfg.max_conns; i++) {
		s->conns[i].s = s;
		s->conns[i].hash_next = i + 1 < s->cfg.max_conns ? i + 1 : NONE;
	}
	for (uint32_t i = 0; i < s->nchunks; i++)
		s->chunks[i].next = i + 1 < s->nchunks ? i + 1 : NONE;
	s->nfree_chunk = s->nchunks;
	for (uint32_t i = 0; i < s->nrxblks; i++)
		s->rxblks[i].next = i + 1 < s->nrxblks ? i + 1 : NONE;
	s->nfree_rxblk = s->nrxblks;
	s->free_conn = s->free_chunk = s->free_rxblk = 0;
	return tcp_tw_init(s);
}

static void defaults(struct tcp_stack *s)
{
	struct tcp_cfg *f = &s->cfg;

	if (!f->max_conns)
		f->max_conns = 1024;
	if (!f->mss)
		f->mss = 1460;
	if (f->mss < MSS_FLOOR)
		f->mss = MSS_FLOOR;
	if (!f->rcv_wnd)
		f->rcv_wnd = 65535;
	if (!f->max_push)
		f->max_push = f->mss;
	if (f->max_push > 65495) /* what fits an IPv4 packet with 40 bytes of headers */
		f->max_push = 65495;
	s->nchunks = f->max_chunks ? f->max_chunks : max32(16384, 12 * f->max_conns);
	s->nrxblks = max32(128, f->max_conns / 16);
	while (s->rcv_wscale < 14 && f->rcv_wnd >> s->rcv_wscale > 65535)
		s->rcv_wscale++;
}

struct tcp_stack *tcp_stack_new(const struct tcp_cfg *cfg, const struct tcp_ops *ops, void *ctx,
				struct errbuf *e)
{
	struct tcp_stack *s = calloc(1, sizeof *s);

	if (!s)
		goto nomem;
	s->cfg = *cfg;
	s->ops = *ops;
	s->ctx = ctx;
	s->dead = s->ackq = NONE;
	defaults(s);
	tcp_wheel_init(&s->wheel);
	if (alloc_all(s))
		goto nomem;
	return s;
nomem:
	errf(e, -ENOMEM, "no memory for a table of %u connections; use fewer", cfg->max_conns);
	if (s)
		tcp_stack_free(s);
	return NULL;
}

void tcp_stack_free(struct tcp_stack *s)
{
	if (!s)
		return;
	tcp_tw_free(s);
	drop(s->rxblks, s->nrxblks, sizeof *s->rxblks);
	drop(s->chunks, s->nchunks, sizeof *s->chunks);
	drop(s->buckets, s->mask + 1, sizeof *s->buckets);
	drop(s->conns, s->cfg.max_conns, sizeof *s->conns);
	free(s);
}
