/* core_test: atlas's core with everything real but TCP: files on disk, io_uring, TLS records, HTTP.
 *
 * TCP is a stub that grants windows of the test's choosing, asks for ranges again as if they had
 * been lost, and collects what is pushed. The linker takes these functions instead of the
 * archive's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/core.h"
#include "stacks/atlas/store.h"

#define FILE_BYTES (700 * 1000 + 13)
#define WIRE_MAX   (2 << 20)

/* ---- the stub TCP ---- */

struct tcp_conn {
	void *user;
	struct tcp_tuple t;
	uint64_t nxt, una, avail, window; /* window: absolute end of what may be sent */
	struct tcp_want again;
	bool ended, aborted;
	uint8_t wire[WIRE_MAX];
	uint64_t sent_again, mismatch;
	uint32_t min_pull;
	uint64_t pushes; /* of new bytes, that left */
	uint32_t full;	 /* tcp_full_segment() */
	uint64_t shorts; /* pushes in mid-stream that end in less than a full segment */
};

static struct tcp_conn peer;

bool tcp_next(struct tcp_conn *c, struct tcp_want *w)
{
	uint64_t end = c->window < c->avail ? c->window : c->avail;

	if (c->aborted)
		return false;
	if (c->again.len) {
		*w = c->again;
		c->again.len = 0;
		return true;
	}
	if (end <= c->nxt)
		return false;
	*w = (struct tcp_want){.off = c->nxt, .len = (uint32_t)(end - c->nxt)};
	return true;
}

int tcp_push(struct tcp_conn *c, uint64_t off, const struct iovec *iov, int niov, uint32_t len,
	     void *cookie, uint64_t now_ns)
{
	bool fresh = off == c->nxt;
	uint32_t room = fresh ? (c->window > off ? (uint32_t)(c->window - off) : 0) : len, done = 0;
	uint32_t total = 0;

	(void)cookie;
	(void)now_ns;
	assert_false(c->aborted);
	assert_true(niov <= TCP_IOV_MAX);
	assert_true(off + len <= WIRE_MAX);
	for (int i = 0; i < niov; i++) {
		const uint8_t *p = iov[i].iov_base;

		total += (uint32_t)iov[i].iov_len;
		for (size_t k = 0; k < iov[i].iov_len && done < room; k++, done++) {
			if (!fresh && c->wire[off + done] != p[k])
				c->mismatch++;
			c->wire[off + done] = p[k];
		}
	}
	assert_int_equal(total, len);
	c->shorts += fresh && c->full && len % c->full && off + len < c->avail;
	if (fresh && done)
		c->pushes++;
	if (fresh)
		c->nxt += done;
	else
		c->sent_again += done;
	return (int)done;
}

void tcp_avail(struct tcp_conn *c, uint64_t end)
{
	assert_true(end >= c->avail);
	c->avail = end;
	if (c->window > c->nxt && end > c->nxt)
		conn_tcp_ops.want(NULL, c);
}

void tcp_unwant(struct tcp_conn *c, const struct tcp_want *w)
{
	assert_true(w->rexmit);
	c->again = *w;
}

void tcp_end(struct tcp_conn *c)
{
	c->ended = true;
}

void tcp_abort(struct tcp_conn *c)
{
	c->aborted = true;
}

void tcp_rx_resume(struct tcp_conn *c)
{
	(void)c;
}

void tcp_set_min_pull(struct tcp_conn *c, uint32_t bytes)
{
	c->min_pull = bytes;
}

uint32_t tcp_full_segment(const struct tcp_conn *c)
{
	return c->full;
}

uint64_t tcp_snd_nxt(const struct tcp_conn *c)
{
	return c->nxt;
}

void *tcp_user(const struct tcp_conn *c)
{
	return c->user;
}

/* ---- the rig ---- */

struct rig {
	struct options opt;
	struct worker w;
	struct wstats st;
	char dir[64];
	uint8_t *file;
	SSL_CTX *client_ctx;
	SSL *client;
	BIO *in, *out;
	uint64_t fed; /* wire bytes given to the client */
};

static struct rig rig;

static void path_in(char *buf, size_t n, const char *name)
{
	snprintf(buf, n, "%s/%s", rig.dir, name);
}

static void write_file(uint64_t seed)
{
	char path[128];
	struct rng r;
	int fd;

	rng_seed(&r, seed);
	for (size_t i = 0; i < FILE_BYTES; i++)
		rig.file[i] = (uint8_t)rng_u64(&r);
	path_in(path, sizeof path, "obj");
	fd = open(path, O_WRONLY | O_CREAT, 0644); /* in place: the same inode */
	assert_true(fd >= 0);
	assert_int_equal(write(fd, rig.file, FILE_BYTES), FILE_BYTES);
	fsync(fd);
	close(fd);
}

static void certificate(char *cert, char *key, size_t n)
{
	char cmd[512];

	path_in(cert, n, "c.pem");
	path_in(key, n, "k.pem");
	snprintf(
		cmd, sizeof cmd,
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
		"-subj /CN=t -keyout %s -out %s 2>/dev/null",
		key, cert);
	assert_int_equal(system(cmd), 0);
}

static void rig_up(const char *variant, unsigned int buffers, bool tls)
{
	struct errbuf e = {{0}};
	char cert[128], key[128];
	struct worker *w = &rig.w;
	char *argv[] = {"atlas", "--if", "x", "--ip", "198.18.0.2/24", "--root", rig.dir, NULL};

	memset(&rig, 0, sizeof rig);
	memset(&peer, 0, sizeof peer);
	snprintf(rig.dir, sizeof rig.dir, "/var/tmp/dcn-core-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	rig.file = malloc(FILE_BYTES);
	write_file(1);
	optind = 1;
	assert_int_equal(options_parse(&rig.opt, 7, argv, &e), 0);
	rig.opt.variant = variant_find(variant);
	rig.opt.buffers = buffers;
	rig.opt.io_window = buffers < 16 ? buffers / 2 : 16;
	rig.opt.tls_port = 443;
	w->opt = &rig.opt;
	w->st = &rig.st;
	w->now = clock_ns();
	w->max_push = rig.opt.variant->gso ? GSO_MAX : 1448;
	TAILQ_INIT(&w->serve);
	if (nvme_open(&w->nvme,
		      &(struct nvme_cfg){.device = "uring:",
					 .region_bytes = (size_t)buffers * BUF_STRIDE,
					 .depth = 64,
					 .max_ns = 64},
		      &e))
		fail_msg("%s", e.s);
	assert_int_equal(bufs_init(w, &e), 0);
	if (store_open(&w->store, w, rig.dir, 60, &e))
		fail_msg("%s", e.s);
	peer.t.lport = tls ? 443 : 80;
	if (tls) {
		certificate(cert, key, sizeof cert);
		w->tls =
			tls_ctx_new(&(struct tls_ctx_cfg){.cert_file = cert,
							  .key_file = key,
							  .aead = aead_find(rig.opt.variant->aead)},
				    &e);
		if (!w->tls)
			fail_msg("%s", e.s);
		rig.client_ctx = SSL_CTX_new(TLS_client_method());
		rig.client = SSL_new(rig.client_ctx);
		rig.in = BIO_new(BIO_s_mem());
		rig.out = BIO_new(BIO_s_mem());
		SSL_set_bio(rig.client, rig.in, rig.out);
		SSL_set_connect_state(rig.client);
	}
	peer.user = conn_tcp_ops.accept(w, &peer, &peer.t);
	assert_non_null(peer.user);
	assert_int_equal(peer.min_pull, rig.opt.record_size + TLS_OVERHEAD); /* one record */
	peer.window = 1 << 20;
}

static void rig_down(void)
{
	struct worker *w = &rig.w;
	char cmd[128];

	conn_tcp_ops.event(w, &peer, TCP_EV_CLOSED, TCP_R_DONE);
	while (nvme_outstanding(w->nvme))
		nvme_consume_completions(w->nvme, 64);
	assert_int_equal(w->free_bufs, w->nbufs); /* no buffer is lost, whatever happened */
	assert_int_equal(w->reading, 0);
	assert_int_equal(rig.st.conns, 0);
	store_close(w->store);
	nvme_close(w->nvme);
	bufs_free(w);
	extents_free(w);
	conns_free(w);
	if (w->tls)
		tls_ctx_free(w->tls);
	SSL_free(rig.client);
	SSL_CTX_free(rig.client_ctx);
	free(rig.file);
	snprintf(cmd, sizeof cmd, "rm -r %s", rig.dir);
	assert_int_equal(system(cmd), 0);
}

static void turn(void)
{
	rig.w.now = clock_ns();
	store_turn(rig.w.store);
	pull_serve(&rig.w);
	nvme_sqsync(rig.w.nvme);
	if (nvme_consume_completions(rig.w.nvme, 64) == 0 && rig.w.reading)
		usleep(20);
}

/* Until nothing moves any more. */
static void settle(void)
{
	do
		turn();
	while (rig.w.reading || !TAILQ_EMPTY(&rig.w.serve));
}

static void to_server(const void *p, size_t n)
{
	assert_int_equal(conn_tcp_ops.rx(NULL, &peer, p, (uint32_t)n), n);
}

/* Client records to the server, server bytes to the client. */
static void shuttle(void)
{
	uint8_t buf[4096];
	int n;

	while ((n = BIO_read(rig.out, buf, sizeof buf)) > 0)
		to_server(buf, (size_t)n);
	if (peer.nxt > rig.fed) {
		BIO_write(rig.in, peer.wire + rig.fed, (int)(peer.nxt - rig.fed));
		rig.fed = peer.nxt;
	}
}

static void handshake(void)
{
	int tries = 0;

	while (SSL_do_handshake(rig.client) != 1) {
		shuttle();
		turn();
		assert_true(++tries < 100);
	}
	shuttle();
}

static void ack(uint64_t off)
{
	peer.una = off;
	conn_tcp_ops.acked(NULL, &peer, off);
}

static void grant(uint64_t window)
{
	peer.window = window;
	conn_tcp_ops.want(NULL, &peer);
}

static void again(uint64_t off, uint32_t len)
{
	peer.again = (struct tcp_want){.off = off, .len = len, .rexmit = true};
	conn_tcp_ops.want(NULL, &peer);
	for (int i = 0; i < 2000 && !peer.aborted && (peer.again.len || rig.w.reading); i++)
		turn();
}

static const char request[] = "GET /obj HTTP/1.1\r\nHost: x\r\n\r\n";

static void ask(void)
{
	if (rig.client) {
		assert_int_equal(SSL_write(rig.client, request, sizeof request - 1),
				 sizeof request - 1);
		shuttle();
	} else {
		to_server(request, sizeof request - 1);
	}
}

static void run_until_all_sent(void)
{
	for (int i = 0; i < 20000 && peer.nxt < peer.avail && !peer.aborted; i++)
		turn();
}

/* The response's text as the client sees it, into buf. Returns its length. */
static size_t client_text(uint8_t *buf, size_t max)
{
	size_t n = 0;
	int k;

	if (!rig.client) {
		memcpy(buf, peer.wire, peer.nxt);
		return peer.nxt;
	}
	shuttle();
	while ((k = SSL_read(rig.client, buf + n, (int)(max - n))) > 0)
		n += (size_t)k;
	assert_int_equal(SSL_get_error(rig.client, k), SSL_ERROR_WANT_READ);
	return n;
}

static void expect_body(const uint8_t *file)
{
	uint8_t *text = malloc(WIRE_MAX);
	size_t n = client_text(text, WIRE_MAX);
	uint8_t *body = memmem(text, n, "\r\n\r\n", 4);

	assert_non_null(body);
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	body += 4;
	assert_int_equal(n - (size_t)(body - text), FILE_BYTES);
	assert_memory_equal(body, file, FILE_BYTES);
	free(text);
}

/* ---- the tests ---- */

static void whole(const char *variant, bool tls)
{
	rig_up(variant, 32, tls);
	if (tls)
		handshake();
	ask();
	run_until_all_sent();
	expect_body(rig.file);
	ack(peer.nxt);
	rig_down();
}

static void test_every_variant(void **state)
{
	const struct variant *v;

	(void)state;
	for (unsigned int i = 0; (v = variant_at(i)); i++) {
		whole(v->name, false);
		whole(v->name, true);
	}
	whole("copy:openssl:prefetch:fifo", true); /* joined */
	whole("copy+nogso", true);
	whole("prefetch:nogso", false);
}

/* Windows from one byte to some records, ACKs that lag, ranges asked for again. */
static void windows(bool tls, uint64_t seed, unsigned int buffers)
{
	struct rng r;

	rng_seed(&r, seed);
	rig_up("", buffers, tls);
	if (tls)
		handshake();
	peer.window = peer.nxt;
	peer.full = (const uint32_t[]){0, 1448, 64}[seed % 3];
	ask();
	for (int i = 0; i < 100000 && (peer.nxt < peer.avail || peer.avail == peer.window); i++) {
		uint64_t max = rng_below(&r, 4) ? 40000 : 200;

		if (peer.window < WIRE_MAX)
			grant(peer.nxt + 1 + rng_below(&r, max));
		for (int k = 0; k < 3; k++)
			turn();
		if (peer.nxt > peer.una && rng_below(&r, 3) == 0) {
			uint64_t off = peer.una + rng_below(&r, peer.nxt - peer.una);

			again(off, (uint32_t)(1 + rng_below(&r, peer.nxt - off)));
		}
		if (rng_below(&r, 2))
			ack(peer.una + rng_below(&r, peer.nxt - peer.una + 1));
		if (peer.avail && peer.nxt == peer.avail && peer.nxt > FILE_BYTES)
			break;
	}
	assert_int_equal(peer.mismatch, 0);
	assert_true(peer.sent_again > 0);
	expect_body(rig.file);
	rig_down();
}

static void test_windows_plain(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		windows(false, seed, 32);
}

static void test_windows_tls(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		windows(true, seed, 32);
}

/* A wide window becomes as many reads as it needs at once, wherever in the stream the response is.
 */
static void reads_at_once(bool tls)
{
	unsigned int pull_bytes, pulls;

	rig_up("", 32, tls);
	peer.window = WIRE_MAX;
	if (tls)
		handshake();
	for (int response = 0; response < 2; response++) {
		ask();
		for (int i = 0; i < 1000 && !rig.w.reading; i++) {
			store_turn(rig.w.store); /* the first time, the file is opened */
			pull_serve(&rig.w);
		}
		pull_bytes = rig.opt.pull_recs * rig.opt.record_size;
		pulls = (FILE_BYTES + pull_bytes - 1) / pull_bytes;
		assert_true(pulls <= rig.opt.io_window);
		assert_int_equal(rig.w.reading, pulls);
		run_until_all_sent();
		ack(peer.nxt);
	}
	rig_down();
}

static void test_reads_at_once(void **state)
{
	(void)state;
	reads_at_once(false);
	reads_at_once(true);
}

/* The end of a pull that fills no segment leaves with the beginning of the next one, which is being
 * read, in whatever order the two completions come. */
static void short_ends(bool tls, uint32_t full)
{
	uint64_t copied;

	rig_up("", 32, tls);
	peer.window = WIRE_MAX;
	if (tls)
		handshake();
	ask();
	for (int i = 0; i < 1000 && !peer.avail; i++)
		store_turn(rig.w.store);
	peer.full = full;
	peer.shorts = 0;
	run_until_all_sent();
	copied = rig.st.bytes_copied;
	expect_body(rig.file);
	assert_true(full ? copied > full : copied == 0);
	assert_true(copied <= full * (uint64_t)rig.st.reads);
	assert_int_equal(peer.shorts, 0);
	ack(peer.nxt);
	rig_down();
}

static void test_short_ends(void **state)
{
	(void)state;
	short_ends(false, 1448);
	short_ends(true, 1448);
	short_ends(true, 64);
	short_ends(true, 0);
	short_ends(false, 0);
}

/* ACKs as a network paces them: each opens the window by two segments. TCP's rule is played here
 * (want only when a smallest pull is open, or nothing is in flight). Then no byte is read twice,
 * and what leaves are records, not segments. */
static void paced_acks(bool tls, uint32_t min_pull)
{
	uint64_t told, start;

	rig_up("", 32, tls);
	if (tls)
		handshake();
	peer.min_pull = min_pull;
	start = peer.una = peer.window = peer.nxt;
	ask();
	peer.window = told = start + 64000;
	conn_tcp_ops.want(NULL, &peer);
	while (peer.nxt < peer.avail || peer.avail < FILE_BYTES) {
		settle();
		peer.una = peer.una + 2920 < peer.nxt ? peer.una + 2920 : peer.nxt;
		conn_tcp_ops.acked(NULL, &peer, peer.una);
		peer.window = peer.una + 64000;
		if (peer.window - told < peer.min_pull && peer.window < peer.avail &&
		    peer.nxt > peer.una) {
			peer.window = told; /* not opened yet */
			continue;
		}
		told = peer.window;
		conn_tcp_ops.want(NULL, &peer);
	}
	expect_body(rig.file);
	assert_int_equal(rig.st.bufs_stolen, 0);
	assert_true(rig.st.bytes_read < FILE_BYTES + 8192);
	if (min_pull) {
		/* an opening ends one record and begins the next: two frames */
		assert_true(peer.pushes <= 2 * (peer.nxt - start) / min_pull + 8);
		assert_true(rig.st.reads <= FILE_BYTES / rig.opt.record_size + 2);
	} else {
		assert_true(peer.pushes > (peer.nxt - start) / 2920 / 2); /* the rule matters */
	}
	ack(peer.nxt);
	rig_down();
}

static void test_paced_acks(void **state)
{
	(void)state;
	paced_acks(true, 15872 + TLS_OVERHEAD);
	paced_acks(false, 15872 + TLS_OVERHEAD);
	paced_acks(true, 0);
}

/* Buffers: as many as asked for, apart by a page more than they hold, within the region. */
static void test_buffer_layout(void **state)
{
	struct worker *w = &rig.w;
	size_t bytes;
	uint8_t *region;

	(void)state;
	rig_up("", 7, false);
	region = nvme_region(w->nvme, &bytes);
	assert_int_equal(w->nbufs, 7);
	for (unsigned int i = 0; i < w->nbufs; i++) {
		assert_int_equal((w->bufs[i].mem - region) % 4096, 0);
		assert_true(w->bufs[i].mem + BUF_BYTES <= region + bytes);
		assert_true(i == 0 || w->bufs[i].mem - w->bufs[i - 1].mem == BUF_STRIDE);
	}
	assert_true(BUF_STRIDE % (64 << 10) != 0);
	rig_down();
}

static void test_few_buffers(void **state)
{
	(void)state;
	windows(true, 9, 4);
	windows(false, 9, 4);
}

/* The file changes while its records are unacknowledged: not one byte of another plaintext may
 * leave under a key and nonce that were used. */
static void test_file_overwritten(void **state)
{
	uint64_t sent;

	(void)state;
	rig_up("", 32, true);
	handshake();
	ask();
	run_until_all_sent();
	sent = peer.sent_again;
	again(peer.nxt - 100000, 50000);
	assert_int_equal(peer.sent_again - sent, 50000);
	assert_int_equal(peer.mismatch, 0);
	write_file(2);
	again(peer.nxt - 100000, 50000);
	assert_true(peer.aborted);
	assert_int_equal(peer.sent_again - sent, 50000);
	assert_int_equal(rig.st.guard_resets, 1);
	rig_down();
}

/* ... also for bytes of a record of which only a part was sent so far. */
static void test_file_overwritten_held(void **state)
{
	uint64_t start;

	(void)state;
	rig_up("", 4, true);
	handshake();
	start = peer.nxt;
	grant(start + 3000); /* the head and a part of the first record */
	ask();
	settle();
	assert_int_equal(peer.nxt, start + 3000);
	assert_false(TAILQ_EMPTY(&rig.w.held));
	pull_steal(TAILQ_FIRST(&rig.w.held));
	write_file(3);
	grant(start + 200000);
	for (int i = 0; i < 200 && !peer.aborted; i++)
		turn();
	assert_true(peer.aborted);
	assert_int_equal(peer.nxt, start + 3000);
	assert_int_equal(rig.st.guard_resets, 1);
	rig_down();
}

/* Truncated under our feet: a closed connection and a counter, never wrong bytes. */
static void test_file_truncated(void **state)
{
	char path[128];

	(void)state;
	rig_up("", 32, false);
	path_in(path, sizeof path, "obj");
	grant(0);
	ask();
	turn();
	assert_int_equal(truncate(path, 1000), 0);
	grant(1 << 20);
	for (int i = 0; i < 2000 && !peer.aborted; i++)
		turn();
	assert_true(peer.aborted);
	assert_int_equal(rig.st.read_errors, 1);
	rig_down();
}

/* The client asks for a new key in the middle of a response. */
static void test_key_update_in_response(void **state)
{
	(void)state;
	rig_up("", 32, true);
	handshake();
	peer.window = peer.nxt + 100000;
	ask();
	settle();
	assert_true(peer.nxt >= 100000);
	assert_int_equal(SSL_key_update(rig.client, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(rig.client), 1);
	shuttle();
	grant(1 << 20);
	run_until_all_sent();
	expect_body(rig.file);
	again(1000, 60000); /* under the old key */
	again(peer.nxt - 60000, 60000);
	assert_int_equal(peer.mismatch, 0);
	rig_down();
}

static void test_pipelined(void **state)
{
	static const char two[] =
		"GET /obj HTTP/1.1\r\nHost: x\r\n\r\nHEAD /obj HTTP/1.1\r\nHost: x\r\n\r\n"
		"GET /no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

	(void)state;
	rig_up("", 32, false);
	for (size_t i = 0; i < sizeof two - 1; i++)
		to_server(two + i, 1);
	for (int i = 0; i < 5000 && !peer.ended; i++) {
		turn();
		if (peer.nxt > peer.una)
			ack(peer.nxt);
	}
	assert_true(peer.ended);
	run_until_all_sent();
	assert_non_null(memmem(peer.wire + FILE_BYTES, WIRE_MAX - FILE_BYTES, "404 ", 4));
	assert_int_equal(rig.st.responses, 3);
	rig_down();
}

static void test_guard(void **state)
{
	uint64_t valid[1] = {0};
	uint8_t store[TAGS_SMALL][16], a[16] = {1}, b[16] = {2};
	struct tags t = {.cap = TAGS_SMALL, .valid = valid, .tag = store};
	struct extent x = {.tags = &t};

	(void)state;
	assert_int_equal(extent_guard(&x, 5, a), 0);
	assert_int_equal(extent_guard(&x, 5, a), 0);
	assert_int_equal(extent_guard(&x, 5, b), -EBADMSG);
	assert_int_equal(extent_guard(&x, 6, b), 0);
	x.acked_rec = 6;
	assert_int_equal(extent_guard(&x, 5, b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_every_variant),
		cmocka_unit_test(test_windows_plain),
		cmocka_unit_test(test_windows_tls),
		cmocka_unit_test(test_short_ends),
		cmocka_unit_test(test_reads_at_once),
		cmocka_unit_test(test_paced_acks),
		cmocka_unit_test(test_buffer_layout),
		cmocka_unit_test(test_few_buffers),
		cmocka_unit_test(test_file_overwritten),
		cmocka_unit_test(test_file_overwritten_held),
		cmocka_unit_test(test_file_truncated),
		cmocka_unit_test(test_key_update_in_response),
		cmocka_unit_test(test_pipelined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
