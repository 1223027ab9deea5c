/* epoch: record numbers, keys that outlive their use, and sealing that always gives the same bytes.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/tls/testkit.h"

static struct kit_cert cert;

struct fixture {
	struct tls_ctx *t;
	struct kit_server s;
	struct kit_peer peer;
};

static void start(struct fixture *f, const struct aead_ops *aead, uint16_t suite, uint64_t limit)
{
	struct tls_ctx_cfg cfg = {
		.cert_file = cert.cert, .key_file = cert.key, .aead = aead, .record_limit = limit};
	struct errbuf e;

	*f = (struct fixture){.t = tls_ctx_new(&cfg, &e)};
	assert_non_null(f->t);
	kit_open(&f->s, &f->peer, f->t, suite, 5);
}

static void end(struct fixture *f)
{
	kit_server_free(&f->s);
	tls_ctx_free(f->t);
}

static void fill(struct rng *r, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rng_u64(r);
}

/* The body record as the wire has it, appended to the server's output. */
static void put_record(struct fixture *f, struct tls_epoch *e, uint64_t seq, const uint8_t *p,
		       size_t n, bool copy)
{
	uint8_t hdr[TLS_HDR], trail[TLS_TRAIL], *body = malloc(n + 1);

	if (copy) {
		tls_seal_copy(e, seq, p, body, n, hdr, trail);
	} else {
		memcpy(body, p, n);
		tls_seal(e, seq, body, n, hdr, trail);
	}
	kit_add(&f->s.wire, hdr, TLS_HDR);
	kit_add(&f->s.wire, body, n);
	kit_add(&f->s.wire, trail, TLS_TRAIL);
	free(body);
}

static void expect_record(struct fixture *f, uint8_t want_type, const void *want, size_t n)
{
	uint8_t type, out[CIPHERTEXT_MAX];

	assert_int_equal(kit_open_record(&f->peer, &f->s.wire, &type, out), n);
	assert_int_equal(type, want_type);
	assert_memory_equal(out, want, n);
}

/* Heads as stored bytes, bodies as ranges, in the stream's order; sealed in any order, any number
 * of times, in place or not; the peer's record layer agrees. */
static void ranges_between_stored_bytes(void **state)
{
	static uint8_t body[40][TLS_RECORD_MAX];
	struct rng r;

	(void)state;
	rng_seed(&r, 11);
	for (int k = 0; k < 4; k++) {
		struct fixture f;
		size_t len[40];
		uint64_t n = 0;

		start(&f, k & 1 ? &aead_openssl : &aead_ipsec_mb, k & 2 ? 0x1302 : 0x1301, 0);
		for (int turn = 0; turn < 10; turn++) {
			struct tls_epoch *e;
			uint64_t first, count = rng_below(&r, 5);

			assert_int_equal(tls_write(f.s.c, (const uint8_t *)"head", 4), 0);
			n++;
			expect_record(&f, REC_DATA, "head", 4);
			e = tls_reserve(f.s.c, count, &first);
			assert_non_null(e);
			assert_int_equal(first, n);
			n += count;
			for (uint64_t i = 0; i < count; i++) {
				len[i] = rng_below(&r, TLS_RECORD_MAX + 1);
				fill(&r, body[i], len[i]);
			}
			/* Ahead of the stream and backwards: must change nothing. */
			for (uint64_t i = count; i-- > 0; f.s.wire.n = 0)
				put_record(&f, e, first + i, body[i], len[i], i & 1);
			for (uint64_t i = 0; i < count; i++)
				put_record(&f, e, first + i, body[i], len[i], turn & 1);
			for (uint64_t i = 0; i < count; i++)
				expect_record(&f, REC_DATA, body[i], len[i]);
			tls_epoch_put(e);
		}
		end(&f);
	}
}

/* The same bytes give the same record, and the back ends agree. */
static void deterministic(void **state)
{
	static uint8_t p[TLS_RECORD_MAX];
	struct kit_buf first = {0};
	struct rng r;

	(void)state;
	rng_seed(&r, 12);
	fill(&r, p, sizeof p);
	for (int k = 0; k < 4; k++) {
		struct fixture f;
		struct tls_epoch *e;
		uint64_t seq;

		start(&f, k & 1 ? &aead_openssl : &aead_ipsec_mb, 0x1302, 0);
		e = tls_reserve(f.s.c, 1000, &seq);
		for (size_t n = 0; n <= TLS_RECORD_MAX; n += 1 + n / 2)
			put_record(&f, e, seq + n % 1000, p, n, k & 2);
		if (k == 0) {
			kit_add(&first, f.s.wire.p, f.s.wire.n);
		} else {
			assert_int_equal(first.n, f.s.wire.n);
			assert_memory_equal(first.p, f.s.wire.p, first.n);
		}
		tls_epoch_put(e);
		end(&f);
	}
	kit_free(&first);
}

/* A range cut short by a KeyUpdate: its sent part is sealed again under the old key afterwards,
 * even when the connection is gone. */
static void old_key_lives(void **state)
{
	struct fixture f;
	struct tls_epoch *old, *now;
	struct kit_buf sent = {0};
	uint64_t a, b;

	(void)state;
	start(&f, &aead_ipsec_mb, 0x1301, 0);
	old = tls_reserve(f.s.c, 10, &a);
	put_record(&f, old, a, (const uint8_t *)"zero", 4, false);
	put_record(&f, old, a + 1, (const uint8_t *)"one", 3, false);
	kit_add(&sent, f.s.wire.p, f.s.wire.n);
	tls_unreserve(f.s.c, 8);
	assert_int_equal(tls_key_update(f.s.c), 0);
	now = tls_reserve(f.s.c, 8, &b);
	assert_ptr_not_equal(old, now);
	assert_int_equal(b, 0);
	put_record(&f, now, b, (const uint8_t *)"two", 3, false);

	expect_record(&f, REC_DATA, "zero", 4);
	expect_record(&f, REC_DATA, "one", 3);
	expect_record(&f, REC_HANDSHAKE, "\x18\0\0\1\0", 5);
	kit_next_key(&f.peer, f.peer.rx_secret, &f.peer.rx_seq);
	expect_record(&f, REC_DATA, "two", 3);

	tls_free(f.s.c);
	f.s.c = NULL;
	put_record(&f, old, a, (const uint8_t *)"zero", 4, true);
	put_record(&f, old, a + 1, (const uint8_t *)"one", 3, true);
	assert_memory_equal(f.s.wire.p, sent.p, sent.n);
	tls_epoch_put(old);
	tls_epoch_put(now);
	kit_free(&sent);
	end(&f);
}

/* tls_write() of any size: records of at most 16 KiB, a new key when the old one is worn out. */
static void writes_and_limits(void **state)
{
	static uint8_t p[50 * TLS_RECORD_MAX];
	uint8_t type, out[CIPHERTEXT_MAX];
	struct tls_stats st;
	struct fixture f;
	size_t got = 0;
	uint64_t first;
	int n;

	(void)state;
	for (size_t i = 0; i < sizeof p; i++)
		p[i] = (uint8_t)(i * 31 >> 3);
	start(&f, &aead_ipsec_mb, 0x1301, 7);
	assert_int_equal(tls_records_left(f.s.c), 7);
	assert_null(tls_reserve(f.s.c, 8, &first));
	assert_int_equal(tls_write(f.s.c, p, 0), 0);
	assert_int_equal(f.s.wire.n, 0);
	assert_int_equal(tls_write(f.s.c, p, sizeof p - 5), 0);
	while (f.s.wire.n) {
		n = kit_open_record(&f.peer, &f.s.wire, &type, out);
		assert_true(n >= 0);
		if (type == REC_HANDSHAKE) {
			kit_next_key(&f.peer, f.peer.rx_secret, &f.peer.rx_seq);
			continue;
		}
		assert_memory_equal(out, p + got, n);
		got += (size_t)n;
	}
	assert_int_equal(got, sizeof p - 5);
	tls_get_stats(f.t, &st);
	assert_int_equal(st.key_updates_out, 7); /* 50 records, 7 a key */
	assert_int_equal(tls_records_left(f.s.c), 6);
	end(&f);
}

static void close_ends_writing(void **state)
{
	struct fixture f;
	uint64_t first;

	(void)state;
	start(&f, &aead_ipsec_mb, 0x1301, 0);
	tls_close(f.s.c);
	tls_close(f.s.c);
	expect_record(&f, REC_ALERT, "\1\0", 2);
	assert_int_equal(f.s.wire.n, 0);
	assert_int_equal(tls_write(f.s.c, (const uint8_t *)"x", 1), -EPIPE);
	assert_int_equal(tls_key_update(f.s.c), -EPIPE);
	assert_null(tls_reserve(f.s.c, 1, &first));
	assert_int_equal(tls_conn_state(f.s.c), TLS_OPEN); /* it still reads */
	end(&f);
}

/* Numbers that could lead to one nonce for two plaintexts: the program stops. */
enum misuse {
	SEAL_UNRESERVED,
	UNRESERVE_SEALED,
	UNRESERVE_BEHIND,
	UNRESERVE_MANY,
	SEAL_LONG,
	PUT_TWICE,
	N_MISUSE
};

static void misuse(struct fixture *f, enum misuse m)
{
	uint8_t hdr[TLS_HDR], trail[TLS_TRAIL];
	static uint8_t p[TLS_RECORD_MAX + 1];
	uint64_t first;
	struct tls_epoch *e = tls_reserve(f->s.c, 2, &first);

	switch (m) {
	case SEAL_UNRESERVED:
		tls_unreserve(f->s.c, 1);
		tls_seal(e, first + 1, p, 1, hdr, trail);
		break;
	case UNRESERVE_SEALED:
		tls_seal(e, first, p, 1, hdr, trail);
		tls_unreserve(f->s.c, 1); /* the second: well */
		tls_unreserve(f->s.c, 1);
		break;
	case UNRESERVE_BEHIND:
		tls_write(f->s.c, p, 1);
		tls_unreserve(f->s.c, 1);
		break;
	case UNRESERVE_MANY:
		tls_unreserve(f->s.c, 3);
		break;
	case SEAL_LONG:
		tls_seal(e, first, p, sizeof p, hdr, trail);
		break;
	default:
		tls_epoch_put(e);
		e->refs = 0;
		tls_epoch_put(e);
	}
}

static void misuse_stops(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, &aead_ipsec_mb, 0x1301, 0);
	for (int m = 0; m < N_MISUSE; m++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			signal(SIGABRT, SIG_DFL);
			misuse(&f, (enum misuse)m);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
	end(&f);
}

/* What an idle connection holds: DESIGN.md allows 4 KB with TCP (about 640) and the core (about
 * 300). */
static void idle_memory(void **state)
{
	size_t conn = sizeof(struct tls_conn), epoch = sizeof(struct tls_epoch);

	(void)state;
	/* EVP's context: 1.2 KB in OpenSSL 3.0, outside of ours. */
	assert_true(conn + epoch + aead_openssl.ctx_size + 1200 <= 2560);
	assert_true(conn + epoch + aead_ipsec_mb.ctx_size <= 2560);
}

static int setup(void **state)
{
	(void)state;
	kit_cert_new(&cert, KIT_P256);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kit_cert_free(&cert);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_between_stored_bytes),
		cmocka_unit_test(deterministic),
		cmocka_unit_test(old_key_lives),
		cmocka_unit_test(writes_and_limits),
		cmocka_unit_test(close_ends_writing),
		cmocka_unit_test(misuse_stops),
		cmocka_unit_test(idle_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
