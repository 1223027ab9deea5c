/* pair: the in-memory pktio back end.
 *
 * Each direction is a list of frames sorted by arrival time. A frame's fate is drawn once, when it
 * is sent, in the fixed order drop, loss, duplicate, reorder, corrupt, jitter, so that a seed
 * replays. GSO frames travel whole, or are cut up as a network card would do it (`segment`):
 * sequence numbers, lengths, IDs and checksums of each piece are rebuilt, FIN and PSH stay on the
 * last.
 *
 * Limits: IPv4 and TCP without IP options for GSO; slots are 64 KiB of address space each, touched
 * only as far as frames reach.
 */
#include "stacks/atlas/net/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/rng.h"
#include "stacks/atlas/net/ether.h"

#define FRAMES_DEFAULT 1024
#define SLOT_LEN       66560 /* PKT_MAX_LEN, rounded up */
#define TCP_FLAGS_OFF  13
#define FLAG_FIN       1
#define FLAG_PSH       8
#define FLAG_CWR       128

_Static_assert(SLOT_LEN >= PKT_MAX_LEN, "a slot holds the longest frame");

struct wire_frame {
	struct wire_frame *prev, *next;
	uint64_t due;
	uint32_t len;
	uint16_t gso_size, flags;
	void *cookie; /* async: given back when the frame is gone, once per frame sent */
	bool has_cookie;
	uint8_t *data;
};

struct pair_io {
	struct pktio io;
	struct pair *pair;
	int end;
	struct wire_frame *first, *last; /* coming towards this end, by due */
	struct wire_frame *held;	 /* given out by rx_burst */
	uint64_t order;			 /* due of the last frame that kept its order */
	void **done;			 /* async: cookies to give back, ring of done_size() */
	uint32_t done_head, done_n;
	struct pktio_stats st;
};

struct pair {
	struct pair_cfg cfg;
	struct rng rng;
	uint64_t now;
	struct pair_io io[2];
	struct wire_frame *frames, *free;
	uint8_t *mem;
	uint8_t flat[SLOT_LEN]; /* a frame being sent, in one piece */
	struct pair_stats st;
};

static struct pair_io *io_of(const struct pktio *io)
{
	return (struct pair_io *)io;
}

static bool chance(struct pair *p, double probability)
{
	return probability > 0 && rng_unit(&p->rng) < probability;
}

static void put16(uint8_t *b, uint16_t v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* --- one frame on the wire ------------------------------------------------------------------- */

/* Those waiting for tx_done, and those still under way. */
static uint32_t done_size(const struct pair *p)
{
	return 2 * p->cfg.frames;
}

static void give_cookie(struct pair_io *from, void *cookie)
{
	from->done[(from->done_head + from->done_n++) % done_size(from->pair)] = cookie;
}

static void frame_free(struct pair *p, struct pair_io *from, struct wire_frame *f)
{
	if (f->has_cookie)
		give_cookie(from, f->cookie);
	f->has_cookie = false;
	f->next = p->free;
	p->free = f;
}

static void insert(struct pair_io *to, struct wire_frame *f)
{
	struct wire_frame *after = to->last;

	while (after && after->due > f->due)
		after = after->prev;
	f->prev = after;
	f->next = after ? after->next : to->first;
	*(f->prev ? &f->prev->next : &to->first) = f;
	*(f->next ? &f->next->prev : &to->last) = f;
}

/* The frame under way, NULL if there was no room. */
static struct wire_frame *launch(struct pair *p, struct pair_io *to, const uint8_t *data,
				 uint32_t len, uint16_t gso_size, uint16_t flags)
{
	uint64_t due = p->now + p->cfg.delay_ns;
	struct wire_frame *f = p->free;

	if (p->cfg.jitter_ns)
		due += rng_below(&p->rng, p->cfg.jitter_ns + 1);
	if (!f) {
		p->st.no_room++;
		p->st.lost++;
		return NULL;
	}
	p->free = f->next;
	memcpy(f->data, data, len);
	f->len = len;
	f->gso_size = gso_size;
	f->flags = flags;
	if (chance(p, p->cfg.reorder)) {
		p->st.reordered++;
		due += p->cfg.reorder_ns;
	} else {
		due = due < to->order ? to->order : due;
		to->order = due;
	}
	if (chance(p, p->cfg.corrupt)) {
		p->st.corrupted++;
		f->data[rng_below(&p->rng, len)] ^= (uint8_t)(1 << rng_below(&p->rng, 8));
	}
	f->due = due;
	insert(to, f);
	return f;
}

/* The frame that is under way then, NULL if it is lost. */
static struct wire_frame *wire(struct pair *p, struct pair_io *from, const uint8_t *data,
			       uint32_t len, uint16_t gso_size, uint16_t flags)
{
	struct pair_io *to = &p->io[!from->end];
	struct wire_frame *f;

	p->st.sent++;
	if ((p->cfg.drop && p->cfg.drop(p->cfg.ctx, from->end, data, len)) ||
	    chance(p, p->cfg.loss)) {
		p->st.lost++;
		return NULL;
	}
	f = launch(p, to, data, len, gso_size, flags);
	if (chance(p, p->cfg.duplicate)) {
		p->st.duplicated++;
		launch(p, to, data, len, gso_size, flags);
	}
	return f;
}

/* --- transmit -------------------------------------------------------------------------------- */

/* What the device does with csum_start: the field holds the pseudo sum, so the sum of everything
 * from there is the checksum. */
static void fill_csum(uint8_t *f, uint32_t len, uint32_t start, uint32_t offset)
{
	uint16_t c = (uint16_t)~csum_add(f + start, len - start, 0);

	memcpy(f + start + offset, &c, 2);
}

/* Piece i of a GSO frame: `out` gets the headers and up to gso_size bytes. Returns its length. */
static uint32_t cut(const uint8_t *f, const struct pkt_tx *t, uint32_t i, uint8_t *out)
{
	uint32_t body = t->len - t->hdr_len, at = i * t->gso_size;
	uint32_t n = body - at < t->gso_size ? body - at : t->gso_size, l4_len, seq;
	uint8_t *ip = out + NET_ETH_LEN, *tcp = out + t->csum_start;
	uint16_t c;

	memcpy(out, f, t->hdr_len);
	memcpy(out + t->hdr_len, f + t->hdr_len + at, n);
	l4_len = t->hdr_len - t->csum_start + n;
	put16(ip + 2, (uint16_t)(NET_IP4_LEN + l4_len));
	put16(ip + 4, (uint16_t)((ip[4] << 8 | ip[5]) + i));
	memset(ip + 10, 0, 2);
	c = (uint16_t)~csum_add(ip, NET_IP4_LEN, 0);
	memcpy(ip + 10, &c, 2);
	seq = get32(tcp + 4) + at;
	put16(tcp + 4, (uint16_t)(seq >> 16));
	put16(tcp + 6, (uint16_t)seq);
	if (i)
		tcp[TCP_FLAGS_OFF] &= (uint8_t)~FLAG_CWR;
	if (at + n < body)
		tcp[TCP_FLAGS_OFF] &= (uint8_t) ~(FLAG_FIN | FLAG_PSH);
	c = csum_pseudo4(ip + 12, ip + 16, NET_PROTO_TCP, l4_len);
	memcpy(tcp + t->csum_offset, &c, 2);
	return t->hdr_len + n;
}

static struct wire_frame *send_cut(struct pair *p, struct pair_io *from, const struct pkt_tx *t)
{
	uint8_t piece[SLOT_LEN];
	uint16_t flags = p->cfg.checksum ? 0 : PKT_RX_CSUM_NONE;
	struct wire_frame *last = NULL, *f;

	for (uint32_t i = 0; i == 0 || i * t->gso_size < t->len - t->hdr_len; i++) {
		uint32_t len = cut(p->flat, t, i, piece);

		if (p->cfg.checksum)
			fill_csum(piece, len, t->csum_start, t->csum_offset);
		f = wire(p, from, piece, len, 0, flags);
		last = f ? f : last;
	}
	return last;
}

/* 0, or -1: the frame makes no sense, as the kernel would find. */
static int flatten(struct pair *p, const struct pkt_tx *t)
{
	uint32_t len = 0;

	for (int i = 1; i < t->niov; i++) {
		if (len + t->iov[i].iov_len > PKT_MAX_LEN)
			return -1;
		memcpy(p->flat + len, t->iov[i].iov_base, t->iov[i].iov_len);
		len += (uint32_t)t->iov[i].iov_len;
	}
	if (len != t->len || len < NET_ETH_LEN)
		return -1;
	if (t->csum_start && t->csum_start + t->csum_offset + 2u > len)
		return -1;
	if (!t->gso_size)
		return len <= p->cfg.mtu + (uint32_t)NET_ETH_LEN ? 0 : -1;
	return t->csum_start == NET_HDR_LEN && t->hdr_len >= NET_HDR_LEN + 20 && t->hdr_len < len
		       ? 0
		       : -1;
}

static void send_one(struct pair *p, struct pair_io *from, const struct pkt_tx *t)
{
	struct wire_frame *last = NULL;
	uint16_t flags = 0;

	if (flatten(p, t)) {
		from->st.tx_errors++;
	} else if (t->gso_size && p->cfg.segment) {
		last = send_cut(p, from, t);
	} else {
		/* A checksum over a whole GSO frame exists on no wire: it stays unfilled. */
		if (t->csum_start && p->cfg.checksum && !t->gso_size)
			fill_csum(p->flat, t->len, t->csum_start, t->csum_offset);
		else if (t->csum_start)
			flags = PKT_RX_CSUM_NONE;
		last = wire(p, from, p->flat, t->len, t->gso_size, flags);
	}
	from->st.tx_frames++;
	from->st.tx_bytes += t->len;
	if (!p->cfg.async) {
		from->st.tx_copied_bytes += t->len;
	} else if (last) {
		last->cookie = t->cookie;
		last->has_cookie = true;
	} else {
		give_cookie(from, t->cookie);
	}
}

static int pair_tx_burst(struct pktio *io, struct pkt_tx *v, int n)
{
	struct pair_io *from = io_of(io);
	struct pair *p = from->pair;

	from->st.tx_calls++;
	for (int i = 0; i < n; i++) {
		bool full = p->cfg.async && from->done_n >= p->cfg.frames;

		if (full || !p->free || chance(p, p->cfg.nobufs)) {
			from->st.tx_nobufs++;
			return i ? i : -ENOBUFS;
		}
		send_one(p, from, &v[i]);
	}
	return n;
}

static int pair_tx_done(struct pktio *io, void **cookies, int max)
{
	struct pair_io *p = io_of(io);
	int n = 0;

	for (; n < max && p->done_n; n++, p->done_n--) {
		cookies[n] = p->done[p->done_head];
		p->done_head = (p->done_head + 1) % done_size(p->pair);
	}
	return n;
}

/* --- receive --------------------------------------------------------------------------------- */

static int pair_rx_burst(struct pktio *io, struct pkt_rx *v, int max)
{
	struct pair_io *to = io_of(io);
	int n = 0;

	to->st.rx_calls++;
	while (n < max && to->first && to->first->due <= to->pair->now) {
		struct wire_frame *f = to->first;

		to->first = f->next;
		*(f->next ? &f->next->prev : &to->last) = NULL;
		v[n++] = (struct pkt_rx){.data = f->data,
					 .len = f->len,
					 .wire_len = f->len,
					 .gso_size = f->gso_size,
					 .flags = f->flags};
		f->next = to->held;
		to->held = f;
		to->st.rx_frames++;
		to->st.rx_bytes += f->len;
		to->pair->st.delivered++;
	}
	return n;
}

static void pair_rx_done(struct pktio *io)
{
	struct pair_io *to = io_of(io);

	while (to->held) {
		struct wire_frame *f = to->held;

		to->held = f->next;
		frame_free(to->pair, &to->pair->io[!to->end], f);
	}
}

static void pair_stats_of(const struct pktio *io, struct pktio_stats *s)
{
	*s = io_of(io)->st;
}

static int pair_open(struct pktio **out, const struct pktio_cfg *cfg, struct errbuf *e)
{
	(void)out;
	(void)cfg;
	return errf(e, -ENOTSUP, "the pair back end is made by pair_new()");
}

static void pair_close(struct pktio *io)
{
	(void)io; /* the pair owns its ends */
}

static const struct pktio_ops pktio_pair = {
	.name = "pair",
	.open = pair_open,
	.rx_burst = pair_rx_burst,
	.rx_done = pair_rx_done,
	.tx_burst = pair_tx_burst,
	.tx_done = pair_tx_done,
	.stats = pair_stats_of,
	.close = pair_close,
};

/* --- the pair -------------------------------------------------------------------------------- */

static int init_ends(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

		p->io[i] = (struct pair_io){.pair = p, .end = i};
		p->io[i].io = (struct pktio){
			.ops = &pktio_pair, .fd = -1, .tx_sync = !p->cfg.async, .mtu = p->cfg.mtu};
		memcpy(p->io[i].io.mac, mac, 6);
		p->io[i].io.mac[5] = (uint8_t)(1 + i);
		p->io[i].done = calloc(done_size(p), sizeof(void *));
		if (!p->io[i].done)
			return -ENOMEM;
	}
	return 0;
}

int pair_new(struct pair **out, const struct pair_cfg *cfg, struct errbuf *e)
{
	struct pair *p = calloc(1, sizeof *p);

	if (!p)
		return errf(e, -ENOMEM, "no memory for a pair");
	p->cfg = *cfg;
	p->cfg.frames = cfg->frames ? cfg->frames : FRAMES_DEFAULT;
	p->cfg.mtu = cfg->mtu ? cfg->mtu : 1500;
	rng_seed(&p->rng, cfg->seed);
	p->frames = calloc(p->cfg.frames, sizeof *p->frames);
	p->mem = mmap(NULL, (size_t)p->cfg.frames * SLOT_LEN, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->mem == MAP_FAILED)
		p->mem = NULL;
	if (init_ends(p) || !p->frames || !p->mem) {
		pair_free(p);
		return errf(e, -ENOMEM, "no memory for %u frames of a pair", cfg->frames);
	}
	for (uint32_t i = p->cfg.frames; i-- > 0;) {
		p->frames[i].data = p->mem + (size_t)i * SLOT_LEN;
		p->frames[i].next = p->free;
		p->free = &p->frames[i];
	}
	*out = p;
	return 0;
}

void pair_free(struct pair *p)
{
	if (p->mem)
		munmap(p->mem, (size_t)p->cfg.frames * SLOT_LEN);
	free(p->io[0].done);
	free(p->io[1].done);
	free(p->frames);
	free(p);
}

struct pktio *pair_end(struct pair *p, int end)
{
	return &p->io[end].io;
}

void pair_set_time(struct pair *p, uint64_t now_ns)
{
	p->now = now_ns;
}

uint64_t pair_next(const struct pair *p)
{
	uint64_t a = p->io[0].first ? p->io[0].first->due : UINT64_MAX;
	uint64_t b = p->io[1].first ? p->io[1].first->due : UINT64_MAX;

	return a < b ? a : b;
}

void pair_get_stats(const struct pair *p, struct pair_stats *s)
{
	*s = p->st;
}
