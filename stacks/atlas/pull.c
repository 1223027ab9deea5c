/* pull: reads that follow the window, seals that follow the reads (theory: core.h).
 *
 * A connection gets one read a turn of the serve queue, so the I/O window is shared round robin.
 * A pull starts on a record boundary and covers whole records, because a record can only be sealed
 * whole; what of it the window does not cover yet is held in the buffer.
 *
 * DESIGN.md section 4; paper, 3.2 and figure 5.
 */
#include "stacks/atlas/core.h"

#include <errno.h>
#include <string.h>

#include "stacks/atlas/store.h"
#include "stacks/atlas/trace.h"

static void pull_done(struct iodesc *io, int res);

/* ---- geometry ---- */

static uint32_t rec_wire(const struct extent *x)
{
	return x->rec + (x->epoch ? TLS_OVERHEAD : 0);
}

static uint32_t rec_len(const struct extent *x, uint64_t rec)
{
	uint64_t left = x->body_len - rec * x->rec;

	return left < x->rec ? (uint32_t)left : x->rec;
}

/* Lay `b` over records [rec0, rec0 + n) of x, fewer if the buffer is too small. */
static void pull_layout(const struct worker *w, struct buf *b, struct extent *x, uint64_t rec0,
			uint64_t n)
{
	uint32_t block = store_block(x->file), bytes;
	uint64_t pos = x->body_off + rec0 * x->rec;

	b->skew = (uint32_t)(pos % block);
	if (n > w->opt->pull_recs)
		n = w->opt->pull_recs;
	for (;; n--) {
		uint64_t left = x->body_len - rec0 * x->rec;

		bytes = (uint32_t)(n * x->rec < left ? n * x->rec : left);
		b->padded = (b->skew + bytes + block - 1) / block * block;
		if (b->padded <= BUF_BYTES)
			break;
	}
	b->rec0 = rec0;
	b->nrec = (uint32_t)n;
	b->bytes = bytes;
	b->off = x->off + rec0 * rec_wire(x);
	b->len = bytes + (x->epoch ? (uint32_t)n * TLS_OVERHEAD : 0);
}

/* Pieces of the wire bytes [from, to) of a ready pull, offsets relative to b->off. */
static int pull_iov(const struct buf *b, uint32_t from, uint32_t to, struct iovec *iov)
{
	const struct extent *x = b->ext;
	uint8_t *payload = (b->twin ? b->twin->mem : b->mem) + b->skew;
	uint32_t at = 0;
	int n = 0;

	for (uint32_t i = 0; i <= b->nrec && at < to; i++) {
		/* what lies before payload i: header 0, or trailer i-1 and header i */
		uint32_t glue = !x->epoch      ? 0
				: i == 0       ? TLS_HDR
				: i == b->nrec ? TLS_TRAIL
					       : TLS_OVERHEAD;
		const struct {
			uint8_t *p;
			uint32_t len;
		} part[2] = {
			{(uint8_t *)b->side + (i ? TLS_HDR + (i - 1) * TLS_OVERHEAD : 0), glue},
			{payload + (size_t)i * x->rec, i < b->nrec ? rec_len(x, b->rec0 + i) : 0},
		};

		for (int k = 0; k < 2; k++) {
			uint32_t lo = from > at ? from - at : 0;
			uint32_t hi = to < at + part[k].len ? to - at : part[k].len;

			if (at < to && lo < hi) {
				iov[n].iov_base = part[k].p + lo;
				iov[n++].iov_len = hi - lo;
			}
			at += part[k].len;
		}
	}
	return n;
}

/* ---- reading ---- */

static void held_remove(struct worker *w, struct buf *b)
{
	if (!b->on_held)
		return;
	TAILQ_REMOVE(&w->held, b, held);
	b->on_held = false;
}

/* A buffer (two for atlas:copy) with the read of [rec0, rec0 + n) of x under way. NULL: no buffer,
 * the I/O window is full, or the device's queue is. */
static struct buf *pull_read(struct conn *c, struct extent *x, uint64_t rec0, uint64_t n)
{
	struct worker *w = c->w;
	struct buf *b, *twin = NULL;
	int err;

	if (w->reading >= w->opt->io_window)
		return NULL;
	b = buf_take(w);
	if (!b)
		return NULL;
	if (w->opt->variant->copy && x->epoch) {
		twin = buf_take(w);
		if (!twin)
			goto fail;
	}
	pull_layout(w, b, x, rec0, n);
	b->twin = twin;
	b->conn = c;
	b->ext = x;
	ref_get(&x->ref);
	b->state = BUF_READING;
	b->io = (struct iodesc){.nsid = store_nsid(x->file),
				.len = b->padded,
				.off = x->body_off + rec0 * x->rec - b->skew,
				.buf = b->mem,
				.cb = pull_done,
				.cookie = b};
	err = nvme_read(w->nvme, &b->io);
	if (err)
		goto fail;
	w->reading++;
	trace_touch(TOUCH_ISSUE, b->mem, b->padded);
	stat_add(&w->st->reads, 1);
	return b;
fail:
	ref_put(w, &b->ref);
	return NULL;
}

/* Records whose tags the extent can hold end here. */
static uint64_t tag_limit(const struct extent *x)
{
	return x->tags ? x->acked_rec + x->tags->cap : UINT64_MAX;
}

/* Start one read of new bytes below `limit`. false: no capacity now. */
static bool pull_new(struct conn *c, struct extent *x, uint64_t limit)
{
	uint32_t wire = rec_wire(x);
	uint64_t rec0 = (c->next_pull - x->off) / wire;
	uint64_t nrec = (x->body_len + x->rec - 1) / x->rec;
	uint64_t upto = (limit - x->off + wire - 1) / wire, sent;
	struct buf *b;

	if (upto > nrec)
		upto = nrec;
	if (upto > tag_limit(x))
		upto = tag_limit(x);
	if (upto <= rec0)
		return true; /* an ACK will make room for tags */
	b = pull_read(c, x, rec0, upto - rec0);
	if (!b)
		return false;
	b->want.rexmit = false;
	sent = tcp_snd_nxt(c->tcp) > b->off ? tcp_snd_nxt(c->tcp) - b->off : 0;
	b->fresh = b->bytes - (uint32_t)(sent < b->bytes ? sent : b->bytes);
	TAILQ_INSERT_TAIL(&c->pulls, b, link);
	c->next_pull = b->off + b->len;
	c->cursor = x;
	return true;
}

/* Produce a range that was sent before. false: no capacity, ask again. */
static bool pull_again(struct conn *c, const struct tcp_want *want)
{
	struct extent *x = extent_at(c, want->off);
	struct tcp_want rest = *want;
	uint32_t wire, n;
	uint64_t rec0, end;
	struct buf *b;

	if (!x)
		return true; /* acknowledged meanwhile */
	end = want->off + want->len;
	if (x->stored) {
		struct iovec iov = {.iov_base = x->data + (want->off - x->off)};

		n = (uint32_t)((end < x->off + x->len ? end : x->off + x->len) - want->off);
		iov.iov_len = n;
		tcp_push(c->tcp, want->off, &iov, 1, n, &x->ref, c->w->now);
	} else {
		wire = rec_wire(x);
		rec0 = (want->off - x->off) / wire;
		if (end > x->off + x->len)
			end = x->off + x->len;
		b = pull_read(c, x, rec0, (end - x->off + wire - 1) / wire - rec0);
		if (!b)
			return false;
		stat_add(&c->w->st->bytes_reread, b->bytes);
		end = end < b->off + b->len ? end : b->off + b->len;
		b->want = (struct tcp_want){
			.off = want->off, .len = (uint32_t)(end - want->off), .rexmit = true};
		TAILQ_INSERT_TAIL(&c->rexmits, b, link);
		n = b->want.len;
	}
	if (n < want->len) {
		rest.off += n;
		rest.len -= n;
		tcp_unwant(c->tcp, &rest);
	}
	return true;
}

/* ---- serving ---- */

void pull_queue(struct conn *c)
{
	if (c->on_serve || c->aborted || !c->tcp)
		return;
	TAILQ_INSERT_TAIL(&c->w->serve, c, serve);
	c->on_serve = true;
}

/* One turn of one connection. false: capacity ran out before it had its turn. */
static bool serve_one(struct conn *c, bool *again)
{
	struct tcp_want want;
	struct extent *x;
	uint64_t limit;

	*again = false;
	for (;;) {
		if (!tcp_next(c->tcp, &want)) {
			c->want_more = false;
			pull_transmit(c);
			return true;
		}
		if (!want.rexmit)
			break;
		if (!pull_again(c, &want)) {
			tcp_unwant(c->tcp, &want);
			return false;
		}
	}
	limit = want.off + want.len + c->w->opt->variant->prefetch;
	if (limit > c->stream_end)
		limit = c->stream_end;
	if (c->next_pull < want.off)
		c->next_pull = want.off;
	while (c->next_pull < limit && (x = extent_at(c, c->next_pull)) && x->stored)
		c->next_pull = x->off + x->len;
	c->want_more = c->next_pull < limit;
	if (c->want_more) {
		x = extent_at(c, c->next_pull);
		if (!x || !pull_new(c, x, limit))
			return x == NULL;
		*again = c->next_pull < limit &&
			 (c->next_pull - x->off) / rec_wire(x) < tag_limit(x);
		c->want_more = false;
	}
	pull_transmit(c);
	return true;
}

void pull_serve(struct worker *w)
{
	for (int turns = 2 * TXQ_LEN; turns && !TAILQ_EMPTY(&w->serve); turns--) {
		struct conn *c = TAILQ_FIRST(&w->serve);
		bool again;

		if (w->reading >= w->opt->io_window || w->txq.congested)
			return;
		TAILQ_REMOVE(&w->serve, c, serve);
		c->on_serve = false;
		if (c->aborted || !c->tcp)
			continue;
		if (!serve_one(c, &again)) {
			c->on_serve = true;
			TAILQ_INSERT_HEAD(&w->serve, c, serve);
			return;
		}
		if (again)
			pull_queue(c);
	}
}

/* ---- sealing and sending ---- */

/* 0, or -EBADMSG when a record is not the one that was sealed before. */
static int pull_seal(struct worker *w, struct buf *b)
{
	enum stage was = stage_enter(&w->stages, STAGE_seal);
	struct extent *x = b->ext;
	uint8_t *p = b->mem + b->skew;
	bool same = true;

	for (uint32_t i = 0; i < b->nrec && same; i++, p += x->rec) {
		uint64_t rec = b->rec0 + i, seq = x->first_seq + rec;
		uint8_t *hdr = b->side + i * TLS_OVERHEAD, *trail = hdr + TLS_HDR;

		if (b->twin)
			tls_seal_copy(x->epoch, seq, p, b->twin->mem + (p - b->mem),
				      rec_len(x, rec), hdr, trail);
		else
			tls_seal(x->epoch, seq, p, rec_len(x, rec), hdr, trail);
		same = extent_guard(x, rec, trail + 1) == 0;
	}
	stage_enter(&w->stages, was);
	if (!same)
		return -EBADMSG;
	trace_touch(TOUCH_CPU_READ, b->mem + b->skew, b->bytes);
	trace_touch(TOUCH_CPU_WRITE, (b->twin ? b->twin->mem : b->mem) + b->skew, b->bytes);
	stat_add(&w->st->bytes_sealed, b->bytes);
	if (b->twin)
		stat_add(&w->st->bytes_copied, b->bytes);
	return 0;
}

static void rexmit_ready(struct conn *c, struct buf *b)
{
	struct iovec iov[TCP_IOV_MAX];
	uint32_t from = (uint32_t)(b->want.off - b->off);
	int n = pull_iov(b, from, from + b->want.len, iov);

	TAILQ_REMOVE(&c->rexmits, b, link);
	tcp_push(c->tcp, b->want.off, iov, n, b->want.len, &b->ref, c->w->now);
	b->conn = NULL;
	ref_put(c->w, &b->ref);
}

static void pull_done(struct iodesc *io, int res)
{
	struct buf *b = io->cookie;
	struct conn *c = b->conn;
	struct worker *w;

	if (res > 0)
		trace_touch(TOUCH_DMA_IN, b->mem, (uint32_t)res);
	if (!c) { /* b->io.cookie's worker is reached through the extent's file */
		w = store_worker(b->ext->file);
		w->reading--;
		ref_put(w, &b->ref);
		return;
	}
	w = c->w;
	w->reading--;
	b->state = BUF_READY;
	if (res < 0 || (uint32_t)res < b->skew + b->bytes) {
		stat_add(&w->st->read_errors, 1);
		conn_abort(c);
		return;
	}
	stat_add(&w->st->bytes_read, (uint64_t)res);
	if (b->ext->epoch && pull_seal(w, b)) {
		stat_add(&w->st->guard_resets, 1);
		conn_abort(c);
		return;
	}
	if (b->want.rexmit)
		rexmit_ready(c, b);
	else
		pull_transmit(c);
}

/* Of `len` bytes up to the end of pull b: those that should leave now. Where the window is small an
 * end that fills no segment waits for the next pull, if that is under way. */
static uint32_t full_segments(struct conn *c, const struct buf *b, uint32_t len)
{
	const struct buf *next = TAILQ_NEXT(b, link);
	uint32_t mss = tcp_full_segment(c->tcp), part = mss ? len % mss : 0;

	if (part > PRE_BYTES || !next || next->off != b->off + b->len)
		return len;
	return len - part;
}

/* `len` bytes in the `n` pieces of iov leave in front of b, in one frame. A byte has one place in
 * `pre`, whatever of the frame is made again: one may be queued already. */
static uint32_t put_before(struct conn *c, struct buf *b, struct iovec *iov, int n, uint32_t len,
			   int *niov, struct txref **ref)
{
	uint32_t body = full_segments(c, b, len + b->len);
	uint8_t *p = b->pre + PRE_BYTES - len;

	body = body > len ? body - len : b->len;
	for (int i = 0; i < n; p += iov[i++].iov_len)
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
	iov[0] = (struct iovec){.iov_base = b->pre + PRE_BYTES - len, .iov_len = len};
	*niov = 1 + pull_iov(b, 0, body, iov + 1);
	*ref = &b->ref;
	return len + body;
}

/* The last `left` bytes of pull b, or its end together with the next one. */
static uint32_t gather_pull(struct conn *c, struct buf *b, uint32_t left, struct iovec *iov,
			    int *niov, struct txref **ref)
{
	uint32_t len = full_segments(c, b, left), from = b->len - left;
	struct buf *next = TAILQ_NEXT(b, link);

	if (!len && next->state != BUF_READY)
		return 0;
	*niov = pull_iov(b, from, len ? from + len : b->len, iov);
	*ref = &b->ref;
	if (len)
		return len;
	stat_add(&c->w->st->bytes_copied, left);
	return put_before(c, next, iov, *niov, left, niov, ref);
}

/* Bytes that can leave from `off` on: stored ones, a ready pull, or a short head together with the
 * pull that follows it. Returns their count, 0: nothing (yet). */
static uint32_t gather(struct conn *c, uint64_t off, struct iovec *iov, int *niov,
		       struct txref **ref)
{
	struct buf *b = TAILQ_FIRST(&c->pulls);
	struct extent *x;
	uint32_t len;

	if (b && off >= b->off) {
		if (b->state != BUF_READY)
			return 0;
		return gather_pull(c, b, b->len - (uint32_t)(off - b->off), iov, niov, ref);
	}
	x = extent_at(c, off);
	if (!x || !x->stored)
		return 0;
	len = (uint32_t)(x->off + x->len - off);
	if (len <= STORED_SMALL && TAILQ_NEXT(x, link) && !TAILQ_NEXT(x, link)->stored) {
		if (b ? b->state != BUF_READY && b->off == off + len : c->want_more)
			return 0; /* the body is on its way */
		if (b && b->off == off + len && b->len + len <= GSO_MAX) {
			iov[0] = (struct iovec){.iov_base = x->data + (x->len - len),
						.iov_len = len};
			return put_before(c, b, iov, 1, len, niov, ref);
		}
	}
	iov[0] = (struct iovec){.iov_base = x->data + (x->len - len), .iov_len = len};
	*niov = 1;
	*ref = &x->ref;
	return len;
}

/* Give back pulls that were sent whole. */
static void pulls_sent(struct conn *c)
{
	uint64_t nxt = tcp_snd_nxt(c->tcp);
	struct buf *b;

	while ((b = TAILQ_FIRST(&c->pulls)) && b->off + b->len <= nxt) {
		held_remove(c->w, b);
		TAILQ_REMOVE(&c->pulls, b, link);
		b->conn = NULL;
		stat_add(&c->w->st->bytes_body, b->fresh);
		ref_put(c->w, &b->ref);
	}
}

/* Transmit, in stream order, what is ready and the window allows. */
void pull_transmit(struct conn *c)
{
	struct stages *stages = &c->w->stages;
	enum stage was = stage_enter(stages, STAGE_tcp);
	struct iovec iov[TCP_IOV_MAX];
	struct txref *ref;
	struct buf *b;
	int niov, sent;

	while (c->tcp && !c->aborted) {
		uint64_t off = tcp_snd_nxt(c->tcp);
		uint32_t len = off < c->stream_end ? gather(c, off, iov, &niov, &ref) : 0;

		if (!len)
			break;
		sent = tcp_push(c->tcp, off, iov, niov, len, ref, c->w->now);
		if (sent <= 0)
			break;
		pulls_sent(c);
		if ((uint32_t)sent < len)
			break;
	}
	b = TAILQ_FIRST(&c->pulls);
	if (b && b->state == BUF_READY && !b->on_held) {
		TAILQ_INSERT_TAIL(&c->w->held, b, held);
		b->on_held = true;
	}
	stage_enter(stages, was);
}

/* ---- letting go ---- */

static void pull_drop(struct conn *c, struct buf_list *list, struct buf *b)
{
	held_remove(c->w, b);
	TAILQ_REMOVE(list, b, link);
	b->conn = NULL;
	if (b->state != BUF_READING) /* else the completion gives it back */
		ref_put(c->w, &b->ref);
}

void pull_drop_all(struct conn *c)
{
	struct buf *b;

	while ((b = TAILQ_FIRST(&c->pulls)))
		pull_drop(c, &c->pulls, b);
	while ((b = TAILQ_FIRST(&c->rexmits)))
		pull_drop(c, &c->rexmits, b);
}

void pull_steal(struct buf *b)
{
	struct conn *c = b->conn;
	uint64_t nxt = tcp_snd_nxt(c->tcp);
	struct buf *next;

	c->next_pull = b->off > nxt ? b->off : nxt;
	for (; b; b = next) {
		next = TAILQ_NEXT(b, link);
		pull_drop(c, &c->pulls, b);
	}
}
