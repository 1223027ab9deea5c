/* whatif: the life of atlas's buffers as a discrete-event model.
 *
 * One idea: whether data stays in the cache is decided by when which buffer is touched, and that is
 * decided by a few queues. The model has these queues and nothing else:
 *
 *	ACK      each connection is acknowledged `ack_bytes` at a time, at its share of the load,
 *	         at jittered intervals (the ACK clock in equilibrium: what the network holds is no
 *	         memory of ours), and opens its window by as much
 *	serve    round robin, one read a turn, up to the I/O window; a read covers whole records
 *from a record boundary, up to a pull (pull.c) disk     latency with jitter, then a shared transfer
 *rate; DMA in when the transfer ends cores    sealed in place in order of completion, at the rate
 *of all cores together line     frames leave in order at line rate; DMA out when a frame's turn has
 *come free     a buffer whose records were all sent goes to the free list, LIFO or FIFO; one that
 *	         the window covers in part is held; out of buffers, the longest-held one is taken
 *away and its records are read again later (buf.c, pull_steal)
 *
 * Each step touches the cache: DMA in, CPU read and write, DMA out, and for each ACK the
 * connection's state.
 *
 * Left out: everything a kernel does (this is atlas on a NIC that reads its buffers, without the
 * copy of the packet back end), descriptor rings, packet headers, ACK frames, handshakes, loss, the
 * ends of objects (streams are endless), other work in the cache, NUMA.
 *
 * If disks or cores can't follow, ACKs that a full window could not have produced are skipped: the
 * rate that was reached is part of the result.
 */
#include "collectors/whatif.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "collectors/whatif_events.h"

#define NONE	   UINT32_MAX
#define MSS	   1448
#define FRAME_MAX  65495		 /* TCP payload of one IPv4 packet */
#define STATE_BASE 0x4000000000ull	 /* connections' state, far from the buffers */
#define TIME_MAX   (600ull * 1000000000) /* simulated; a run that moves nothing ends here */
#define WARM_LEAST (32ull << 20)

enum event_type { EV_ACK, EV_DISK, EV_SEAL, EV_READY, EV_SEND, EV_SENT };

enum buf_state { BUF_FREE, BUF_READING, BUF_SEALING, BUF_READY, BUF_ORPHAN };

struct wbuf {
	enum buf_state state;
	uint32_t conn, refs;
	uint64_t off; /* place in the connection's stream */
	uint32_t len;
	uint32_t next; /* of the connection's pulls, or of the free list */
	uint32_t held_prev, held_next;
	bool held, used;
};

struct wconn {
	uint64_t sent, allowed, next_pull; /* places in the stream */
	uint32_t head, tail;		   /* pulls in stream order */
	uint32_t serve_next;
	bool queued;
};

struct list {
	uint32_t head, tail;
};

struct model {
	const struct whatif_cfg *c;
	struct llcsim *llc;
	struct events ev;
	struct rng rng;
	struct wbuf *buf;
	struct wconn *conn;
	struct list free, held, serve;
	uint64_t now, reading, busy;
	uint64_t ack_gap, cwnd; /* ns, bytes */
	uint64_t wait;		/* bytes the window must allow before a read starts; 0: any */
	uint64_t disk_free, cpu_free, line_free; /* ns: when each can begin something new */
	double ns_disk, ns_seal, ns_line;	 /* a byte */
	double reading_sum, busy_sum;		 /* buffers x ns */
	struct whatif_result r;
	int err;
};

static void at(struct model *m, uint64_t t, enum event_type type, uint32_t id, uint32_t off,
	       uint32_t len)
{
	struct event ev = {.t_ns = t, .type = type, .id = id, .off = off, .len = len};

	if (!m->err)
		m->err = events_put(&m->ev, ev);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void touch_buf(struct model *m, enum llc_kind kind, uint32_t id, uint32_t off, uint32_t len)
{
	llcsim_touch(m->llc, kind, WHATIF_BUFFERS, id * m->c->buffer_size + off, len);
}

static void touch_state(struct model *m, uint32_t conn)
{
	uint64_t p = STATE_BASE + conn * ((m->c->conn_bytes + 63) / 64 * 64);

	llcsim_touch(m->llc, LLC_READ, WHATIF_STATE, p, m->c->conn_bytes);
	llcsim_touch(m->llc, LLC_WRITE, WHATIF_STATE, p, m->c->conn_bytes / 2);
}

/* ---- the free list and the held list ---- */

static void free_put(struct model *m, uint32_t id)
{
	struct wbuf *b = &m->buf[id];

	b->state = BUF_FREE;
	b->next = NONE;
	if (m->free.head == NONE) {
		m->free.head = m->free.tail = id;
	} else if (m->c->fifo) {
		m->buf[m->free.tail].next = id;
		m->free.tail = id;
	} else {
		b->next = m->free.head;
		m->free.head = id;
	}
}

static void buf_put(struct model *m, uint32_t id)
{
	if (--m->buf[id].refs)
		return;
	m->busy--;
	free_put(m, id);
}

static void held_add(struct model *m, uint32_t id)
{
	struct wbuf *b = &m->buf[id];

	b->held = true;
	b->held_next = NONE;
	b->held_prev = m->held.tail;
	if (m->held.tail == NONE)
		m->held.head = id;
	else
		m->buf[m->held.tail].held_next = id;
	m->held.tail = id;
}

static void held_remove(struct model *m, uint32_t id)
{
	struct wbuf *b = &m->buf[id];

	if (!b->held)
		return;
	b->held = false;
	if (b->held_prev == NONE)
		m->held.head = b->held_next;
	else
		m->buf[b->held_prev].held_next = b->held_next;
	if (b->held_next == NONE)
		m->held.tail = b->held_prev;
	else
		m->buf[b->held_next].held_prev = b->held_prev;
}

/* A connection gives up the first of its pulls. */
static void pull_pop(struct model *m, struct wconn *c)
{
	uint32_t id = c->head;
	struct wbuf *b = &m->buf[id];

	held_remove(m, id);
	c->head = b->next;
	if (c->head == NONE)
		c->tail = NONE;
	if (b->state == BUF_READY)
		buf_put(m, id);
	else
		b->state = BUF_ORPHAN; /* its completion gives it back */
}

/* The longest-held buffer is taken from its connection, with what was read behind it. */
static void steal(struct model *m)
{
	struct wbuf *b = &m->buf[m->held.head];
	struct wconn *c = &m->conn[b->conn];

	c->next_pull = later(b->off, c->sent);
	while (c->head != NONE)
		pull_pop(m, c);
	m->r.stolen++;
}

static uint32_t buf_take(struct model *m)
{
	uint32_t id;

	while (m->free.head == NONE && m->held.head != NONE)
		steal(m);
	id = m->free.head;
	if (id == NONE)
		return NONE;
	m->free.head = m->buf[id].next;
	if (m->free.head == NONE)
		m->free.tail = NONE;
	m->buf[id].refs = 1;
	m->busy++;
	m->r.busy_max = later(m->r.busy_max, m->busy);
	m->r.buffers_used += !m->buf[id].used;
	m->buf[id].used = true;
	return id;
}

/* ---- sending ---- */

static void transmit(struct model *m, uint32_t conn)
{
	struct wconn *c = &m->conn[conn];

	while (c->head != NONE) {
		uint32_t id = c->head, n;
		struct wbuf *b = &m->buf[id];
		uint64_t end = b->off + b->len < c->allowed ? b->off + b->len : c->allowed, start;

		if (b->state != BUF_READY)
			return;
		if (end <= c->sent) {
			if (!b->held)
				held_add(m, id);
			return;
		}
		n = (uint32_t)(end - c->sent);
		n = n > FRAME_MAX ? FRAME_MAX : n;
		start = later(m->now, m->line_free);
		m->line_free = start + (uint64_t)(n * m->ns_line);
		b->refs++;
		at(m, start, EV_SEND, id, (uint32_t)(c->sent - b->off), n);
		c->sent += n;
		if (c->sent == b->off + b->len)
			pull_pop(m, c);
	}
}

/* ---- reading ---- */

static bool wants_read(const struct model *m, const struct wconn *c)
{
	return c->allowed > c->next_pull && c->allowed - c->next_pull >= m->wait;
}

static void serve_queue(struct model *m, uint32_t conn)
{
	struct wconn *c = &m->conn[conn];

	if (c->queued || !wants_read(m, c))
		return;
	c->queued = true;
	c->serve_next = NONE;
	if (m->serve.head == NONE)
		m->serve.head = conn;
	else
		m->conn[m->serve.tail].serve_next = conn;
	m->serve.tail = conn;
}

static void read_start(struct model *m, uint32_t conn, uint32_t id)
{
	struct wconn *c = &m->conn[conn];
	struct wbuf *b = &m->buf[id];
	uint64_t rec = m->c->record_size, most = m->c->pull / rec, n, latency;
	double jitter = m->c->disk_jitter / 100 * (2 * rng_unit(&m->rng) - 1);

	b->state = BUF_READING;
	b->conn = conn;
	b->off = c->next_pull / rec * rec;
	n = (c->allowed - b->off + (m->wait ? 0 : rec - 1)) / rec;
	n = n < most ? n : most;
	b->len = (uint32_t)(n * rec);
	b->next = NONE;
	if (c->head == NONE)
		c->head = id;
	else
		m->buf[c->tail].next = id;
	c->tail = id;
	c->next_pull = b->off + b->len;
	m->reading++;
	m->r.disk_bytes += b->len;
	/* the access, then the transfer, for which it may have to wait */
	latency = (uint64_t)((double)m->c->disk_latency * (1 + jitter));
	m->disk_free = later(m->disk_free, m->now) + (uint64_t)(b->len * m->ns_disk);
	at(m, later(m->disk_free, m->now + latency), EV_DISK, id, 0, 0);
}

static void serve(struct model *m)
{
	while (m->serve.head != NONE && m->reading < m->c->io_window) {
		uint32_t conn = m->serve.head, id;
		struct wconn *c = &m->conn[conn];

		if (wants_read(m, c)) {
			id = buf_take(m);
			if (id == NONE)
				return;
			/* the theft may have been from this very connection */
			read_start(m, conn, id);
		}
		m->serve.head = c->serve_next;
		c->queued = false;
		serve_queue(m, conn);
	}
}

/* ---- events ---- */

static void on_ack(struct model *m, uint32_t conn)
{
	struct wconn *c = &m->conn[conn];
	uint64_t gap = m->ack_gap / 2 + rng_below(&m->rng, m->ack_gap + 1);

	at(m, m->now + gap, EV_ACK, conn, 0, 0);
	if (c->allowed - c->sent >= m->cwnd)
		return; /* all of the window is still ours: there is nothing to acknowledge */
	touch_state(m, conn);
	c->allowed += m->c->ack_bytes;
	serve_queue(m, conn);
	transmit(m, conn);
}

static void on_disk(struct model *m, uint32_t id)
{
	struct wbuf *b = &m->buf[id];
	uint64_t start = later(m->now, m->cpu_free);

	m->reading--;
	touch_buf(m, LLC_DMA_IN, id, 0, b->len);
	if (b->state == BUF_ORPHAN) {
		buf_put(m, id);
		return;
	}
	b->state = BUF_SEALING;
	m->cpu_free = start + (m->c->tls ? (uint64_t)(b->len * m->ns_seal) : 0);
	at(m, start, EV_SEAL, id, 0, 0);
	at(m, m->cpu_free, EV_READY, id, 0, 0);
}

static void on_seal(struct model *m, uint32_t id)
{
	struct wbuf *b = &m->buf[id];

	if (b->state == BUF_ORPHAN || !m->c->tls)
		return;
	for (uint32_t off = 0; off < b->len; off += (uint32_t)m->c->record_size) {
		touch_buf(m, LLC_READ, id, off, (uint32_t)m->c->record_size);
		touch_buf(m, LLC_WRITE, id, off, (uint32_t)m->c->record_size);
	}
}

static void on_ready(struct model *m, uint32_t id)
{
	struct wbuf *b = &m->buf[id];

	if (b->state == BUF_ORPHAN) {
		buf_put(m, id);
		return;
	}
	b->state = BUF_READY;
	transmit(m, b->conn);
}

static void on_send(struct model *m, const struct event *ev)
{
	touch_buf(m, LLC_DMA_OUT, ev->id, ev->off, ev->len);
	at(m, m->now + (uint64_t)(ev->len * m->ns_line), EV_SENT, ev->id, 0, ev->len);
}

static void step(struct model *m)
{
	struct event ev = events_take(&m->ev);
	double dt = (double)(ev.t_ns - m->now);

	m->reading_sum += dt * (double)m->reading;
	m->busy_sum += dt * (double)m->busy;
	m->now = ev.t_ns;
	switch ((enum event_type)ev.type) {
	case EV_ACK:
		on_ack(m, ev.id);
		break;
	case EV_DISK:
		on_disk(m, ev.id);
		break;
	case EV_SEAL:
		on_seal(m, ev.id);
		break;
	case EV_READY:
		on_ready(m, ev.id);
		break;
	case EV_SEND:
		on_send(m, &ev);
		break;
	case EV_SENT:
		m->r.net_bytes += ev.len;
		buf_put(m, ev.id);
		break;
	}
	serve(m);
}

/* ---- a run ---- */

static void clear(struct model *m)
{
	uint64_t warm = m->r.net_bytes;

	m->r = (struct whatif_result){.warm_bytes = warm, .busy_max = m->busy};
	m->reading_sum = m->busy_sum = 0;
	for (uint64_t i = 0; i < m->c->buffers; i++) {
		m->buf[i].used = m->buf[i].state != BUF_FREE;
		m->r.buffers_used += m->buf[i].used;
	}
	llcsim_reset(m->llc);
}

/* What the window must allow before a read starts: as asked for, but half the window at most, and
 * whole records. A window of less than two records can't wait for one. */
static uint64_t wait_bytes(const struct model *m)
{
	uint64_t rec = m->c->record_size, most = m->cwnd / 2 / rec * rec;
	uint64_t bytes = (m->c->min_pull + rec - 1) / rec * rec;

	bytes = bytes < m->c->pull / rec * rec ? bytes : m->c->pull / rec * rec;
	return bytes < most ? bytes : most;
}

static int set_up(struct model *m, struct errbuf *e)
{
	const struct whatif_cfg *c = m->c;
	double rate = (double)c->line_rate / 8 * c->load / 100 / (double)c->connections;
	int err = whatif_cache(&m->llc, c, e);

	if (err)
		return err;
	m->buf = calloc(c->buffers, sizeof *m->buf);
	m->conn = calloc(c->connections, sizeof *m->conn);
	if (!m->buf || !m->conn)
		return errf(e, -ENOMEM, "out of memory");
	rng_seed(&m->rng, c->seed);
	m->free = m->held = m->serve = (struct list){NONE, NONE};
	for (uint64_t i = c->buffers; i-- > 0;)
		free_put(m, (uint32_t)i);
	m->cwnd = later((uint64_t)(rate * (double)c->rtt / 1e9), 10 * MSS);
	m->ack_gap = (uint64_t)((double)c->ack_bytes / rate * 1e9);
	m->cwnd = later(m->cwnd, 4 * c->ack_bytes);
	m->wait = wait_bytes(m);
	m->ns_disk = 8e9 / (double)c->disk_rate;
	m->ns_seal = 1e9 / (double)(c->seal_rate * c->cores);
	m->ns_line = 8e9 / (double)c->line_rate;
	for (uint64_t i = 0; i < c->connections; i++) {
		struct wconn *w = &m->conn[i];

		/* a record is not aligned with anything at the start */
		w->sent = m->wait ? 0 : rng_below(&m->rng, c->record_size);
		w->next_pull = w->sent;
		w->allowed = w->sent + (m->wait ? rng_below(&m->rng, m->wait) : 0);
		w->head = w->tail = NONE;
		at(m, rng_below(&m->rng, m->ack_gap + 1), EV_ACK, (uint32_t)i, 0, 0);
	}
	return m->err;
}

/* Until that many more bytes were sent. */
static void advance(struct model *m, uint64_t bytes)
{
	uint64_t until = m->r.net_bytes + bytes;

	while (m->r.net_bytes < until && m->now < TIME_MAX && !m->err)
		step(m);
}

/* What must be cycled through for the start to be forgotten: the cache, the pool, and of each
 * connection a read. */
static uint64_t round_bytes(const struct model *m)
{
	const struct whatif_cfg *c = m->c;
	uint64_t memory = later(c->llc, c->buffers * c->buffer_size);

	return later(later(memory, c->connections * later(c->record_size, m->wait)), WARM_LEAST);
}

int whatif_run(const struct whatif_cfg *c, struct whatif_result *r, struct errbuf *e)
{
	struct model m = {.c = c};
	uint64_t t0, round;
	int err = set_up(&m, e);

	if (!err) {
		round = round_bytes(&m);
		advance(&m, 2 * round);
		t0 = m.now;
		clear(&m);
		advance(&m, round);
		err = m.err;
		m.r.span_ns = m.now - t0;
		m.r.buffers = c->buffers;
		if (m.r.span_ns) {
			m.r.reading_mean = m.reading_sum / (double)m.r.span_ns;
			m.r.busy_mean = m.busy_sum / (double)m.r.span_ns;
		}
		whatif_counts(m.llc, &m.r);
		*r = m.r;
		if (!err && !m.r.net_bytes)
			err = errf(e, -EINVAL,
				   "the model sent nothing: more buffers, a larger I/O "
				   "window or a faster disk");
	}
	llcsim_free(m.llc);
	events_free(&m.ev);
	free(m.buf);
	free(m.conn);
	return err;
}
