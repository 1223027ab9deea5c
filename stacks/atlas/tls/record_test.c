/* record: what a peer may send after its Finished, and what it may not.
 *
 * The connections start open with known secrets; the peer's records are made by the test kit,
 * directly on EVP.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/tls/testkit.h"

#define AES128 0x1301
#define AES256 0x1302

static struct kit_cert cert;

struct fixture {
	struct tls_ctx *t;
	struct kit_server s;
	struct kit_peer peer;
	struct kit_buf in; /* records for the server */
};

static void start(struct fixture *f, const struct aead_ops *aead, uint16_t suite, uint64_t limit)
{
	struct tls_ctx_cfg cfg = {
		.cert_file = cert.cert, .key_file = cert.key, .aead = aead, .record_limit = limit};
	struct errbuf e;

	*f = (struct fixture){.t = tls_ctx_new(&cfg, &e)};
	assert_non_null(f->t);
	kit_open(&f->s, &f->peer, f->t, suite, 1);
}

static void end(struct fixture *f)
{
	kit_server_free(&f->s);
	kit_free(&f->in);
	tls_ctx_free(f->t);
}

static int give(struct fixture *f)
{
	/* Exactly as long as the input: a sanitizer sees reads beyond it. */
	uint8_t *p = malloc(f->in.n);
	int err;

	memcpy(p, f->in.p, f->in.n);
	err = tls_input(f->s.c, p, f->in.n);
	free(p);
	f->in.n = 0;
	return err;
}

static int send_record(struct fixture *f, uint8_t type, const void *p, size_t n, size_t pad)
{
	kit_seal(&f->peer, type, p, n, pad, &f->in);
	return give(f);
}

static void expect_record(struct fixture *f, uint8_t want_type, const void *want, size_t n)
{
	uint8_t type, out[CIPHERTEXT_MAX];

	assert_int_equal(kit_open_record(&f->peer, &f->s.wire, &type, out), n);
	assert_int_equal(type, want_type);
	assert_memory_equal(out, want, n);
}

/* The connection is dead, and the alert was the last it said. */
static void expect_alert(struct fixture *f, enum alert a)
{
	uint8_t want[2] = {2, (uint8_t)a};

	expect_record(f, REC_ALERT, want, 2);
	assert_int_equal(f->s.wire.n, 0);
	assert_int_equal(tls_conn_state(f->s.c), TLS_FAILED);
	assert_int_not_equal(strlen(tls_why(f->s.c)), 0);
	assert_int_equal(tls_input(f->s.c, (const uint8_t *)"x", 1), -EPROTO);
	assert_int_equal(tls_write(f->s.c, (const uint8_t *)"x", 1), -EPIPE);
	assert_int_equal(tls_key_update(f->s.c), -EPIPE);
	tls_close(f->s.c);
	assert_int_equal(f->s.wire.n, 0);
}

/* RFC 8448 section 3, after the handshake: the client's data and close_notify in, the server's out.
 */
static void rfc8448_conversation(void **state)
{
	static const uint8_t cs[32] = {0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d,
				       0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
				       0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87,
				       0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
	static const uint8_t ss[32] = {0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56,
				       0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
				       0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a,
				       0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};
	static const uint8_t in[] = {
		0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf,
		0xfa, 0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa,
		0x66, 0xbc, 0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5,
		0x4a, 0x9a, 0x20, 0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2,
		0x97, 0x70, 0x14, 0xbd, 0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49,
		0x15, 0xe4, 0x17, 0x03, 0x03, 0x00, 0x13, 0xc9, 0x87, 0x27, 0x60, 0x65, 0x56, 0x66,
		0xb7, 0x4d, 0x7f, 0xf1, 0x15, 0x3e, 0xfd, 0x6d, 0xb6, 0xd0, 0xb0, 0xe3};
	/* Number 1: 0 was the ticket there. Number 2: close_notify. */
	static const uint8_t out[] = {
		0x17, 0x03, 0x03, 0x00, 0x43, 0x2e, 0x93, 0x7e, 0x11, 0xef, 0x4a, 0xc7, 0x40, 0xe5,
		0x38, 0xad, 0x36, 0x00, 0x5f, 0xc4, 0xa4, 0x69, 0x32, 0xfc, 0x32, 0x25, 0xd0, 0x5f,
		0x82, 0xaa, 0x1b, 0x36, 0xe3, 0x0e, 0xfa, 0xf9, 0x7d, 0x90, 0xe6, 0xdf, 0xfc, 0x60,
		0x2d, 0xcb, 0x50, 0x1a, 0x59, 0xa8, 0xfc, 0xc4, 0x9c, 0x4b, 0xf2, 0xe5, 0xf0, 0xa2,
		0x1c, 0x00, 0x47, 0xc2, 0xab, 0xf3, 0x32, 0x54, 0x0d, 0xd0, 0x32, 0xe1, 0x67, 0xc2,
		0x95, 0x5d, 0x17, 0x03, 0x03, 0x00, 0x13, 0xb5, 0x8f, 0xd6, 0x71, 0x66, 0xeb, 0xf5,
		0x99, 0xd2, 0x47, 0x20, 0xcf, 0xbe, 0x7e, 0xfa, 0x7a, 0x88, 0x64, 0xa9};
	struct fixture f;
	uint64_t first;

	(void)state;
	start(&f, &aead_ipsec_mb, AES128, 0);
	tls_free(f.s.c);
	f.s.c = tls_conn_new(f.t, &kit_io, &f.s);
	assert_int_equal(tls_conn_open(f.s.c, tls_suite_by_id(AES128), cs, ss), 0);

	assert_int_equal(tls_input(f.s.c, in, sizeof in), 0);
	assert_int_equal(f.s.data.n, 50);
	for (unsigned int i = 0; i < 50; i++)
		assert_int_equal(f.s.data.p[i], i);
	assert_int_equal(tls_conn_state(f.s.c), TLS_PEER_CLOSED);

	tls_epoch_put(tls_reserve(f.s.c, 1, &first));
	assert_int_equal(tls_write(f.s.c, f.s.data.p, 50), 0);
	tls_close(f.s.c);
	/* Their alert has level 1 too: the same bytes. */
	assert_int_equal(f.s.wire.n, sizeof out);
	assert_memory_equal(f.s.wire.p, out, sizeof out);
	end(&f);
}

/* Several records, cut at every byte into two inputs, and into single bytes. */
static void split_anywhere(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\n\r\n";
	static const uint8_t ku[] = {24, 0, 0, 1, 0};
	struct fixture f;
	size_t n;

	(void)state;
	for (size_t cut = 0;; cut++) {
		start(&f, cut & 1 ? &aead_openssl : &aead_ipsec_mb, cut & 2 ? AES256 : AES128, 0);
		kit_seal(&f.peer, REC_DATA, (const uint8_t *)text, 7, 0, &f.in);
		kit_seal(&f.peer, REC_DATA, NULL, 0, 3, &f.in);
		kit_seal(&f.peer, REC_HANDSHAKE, ku, 5, 0, &f.in);
		kit_next_key(&f.peer, f.peer.tx_secret, &f.peer.tx_seq);
		kit_seal(&f.peer, REC_DATA, (const uint8_t *)text + 7, sizeof text - 8, 9, &f.in);
		n = f.in.n;
		if (cut < n) {
			assert_int_equal(tls_input(f.s.c, f.in.p, cut), 0);
			assert_int_equal(tls_input(f.s.c, f.in.p + cut, n - cut), 0);
		} else {
			for (size_t i = 0; i < n; i++)
				assert_int_equal(tls_input(f.s.c, f.in.p + i, 1), 0);
		}
		assert_int_equal(f.s.data.n, sizeof text - 1);
		assert_memory_equal(f.s.data.p, text, sizeof text - 1);
		assert_int_equal(f.s.wire.n, 0);
		end(&f);
		if (cut == n)
			break;
	}
}

static void random_lengths_and_cuts(void **state)
{
	uint8_t *sent = malloc(1 << 22);
	struct rng r;

	(void)state;
	rng_seed(&r, 3);
	for (int k = 0; k < 8; k++) {
		struct fixture f;
		size_t n = 0;

		start(&f, k & 1 ? &aead_openssl : &aead_ipsec_mb, k & 2 ? AES256 : AES128, 0);
		for (int i = 0; i < 100; i++) {
			size_t len = rng_below(&r, 3) ? rng_below(&r, 300)
						      : rng_below(&r, TLS_RECORD_MAX + 1);
			size_t pad = rng_below(&r, 2) ? 0 : rng_below(&r, 100);

			if (len + pad > TLS_RECORD_MAX)
				pad = 0;
			for (size_t j = 0; j < len; j++)
				sent[n + j] = (uint8_t)rng_u64(&r);
			kit_seal(&f.peer, REC_DATA, sent + n, len, pad, &f.in);
			n += len;
		}
		for (size_t at = 0; at < f.in.n;) {
			size_t take = 1 + rng_below(&r, rng_below(&r, 4) ? 1500 : 60000);

			if (take > f.in.n - at)
				take = f.in.n - at;
			assert_int_equal(tls_input(f.s.c, f.in.p + at, take), 0);
			at += take;
		}
		assert_int_equal(f.s.data.n, n);
		assert_memory_equal(f.s.data.p, sent, n);
		end(&f);
	}
	free(sent);
}

/* Records of every kind that end the connection, with the alert each deserves. */
static void bad_records(void **state)
{
	static const struct {
		uint8_t type, len;
		uint8_t bytes[8];
		enum alert alert;
	} v[] = {
		{REC_CCS, 1, {1}, ALERT_UNEXPECTED_MESSAGE},
		{24, 3, {1, 2, 3}, ALERT_UNEXPECTED_MESSAGE}, /* heartbeat */
		{0xff, 1, {0}, ALERT_UNEXPECTED_MESSAGE},
		{REC_ALERT, 0, {0}, ALERT_UNEXPECTED_MESSAGE},
		{REC_HANDSHAKE, 0, {0}, ALERT_UNEXPECTED_MESSAGE},
		{REC_ALERT, 1, {1}, ALERT_DECODE_ERROR},
		{REC_ALERT, 4, {1, 0, 1, 0}, ALERT_DECODE_ERROR},
		{REC_HANDSHAKE, 4, {1, 0, 0, 1}, ALERT_UNEXPECTED_MESSAGE},   /* ClientHello */
		{REC_HANDSHAKE, 1, {11}, ALERT_UNEXPECTED_MESSAGE},	      /* Certificate */
		{REC_HANDSHAKE, 1, {4}, ALERT_UNEXPECTED_MESSAGE},	      /* ticket */
		{REC_HANDSHAKE, 4, {20, 0, 0, 32}, ALERT_UNEXPECTED_MESSAGE}, /* Finished */
		{REC_HANDSHAKE, 5, {24, 0, 0, 1, 2}, ALERT_ILLEGAL_PARAMETER},
		{REC_HANDSHAKE, 4, {24, 0, 0, 0}, ALERT_DECODE_ERROR},
		{REC_HANDSHAKE, 4, {24, 0, 0, 2}, ALERT_DECODE_ERROR},
		{REC_HANDSHAKE, 6, {24, 0, 0, 2, 0, 0}, ALERT_DECODE_ERROR},
		{REC_HANDSHAKE, 6, {24, 0, 0, 1, 0, 24}, ALERT_UNEXPECTED_MESSAGE},
		{REC_HANDSHAKE, 8, {24, 0x7f, 0xff, 0xff, 0}, ALERT_DECODE_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct fixture f;

		start(&f, &aead_ipsec_mb, AES128, 0);
		assert_int_equal(send_record(&f, v[i].type, v[i].bytes, v[i].len, i % 3), -EPROTO);
		expect_alert(&f, v[i].alert);
		end(&f);
	}
}

static void records_in_the_clear(void **state)
{
	static const uint8_t v[][7] = {
		{REC_CCS, 3, 3, 0, 1, 1},	{REC_ALERT, 3, 3, 0, 2, 1, 0},
		{REC_HANDSHAKE, 3, 3, 0, 1, 1}, {0, 3, 3, 0, 1},
		{'G', 'E', 'T', ' ', '/', ' '},
	};

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct fixture f;

		start(&f, &aead_ipsec_mb, AES128, 0);
		kit_add(&f.in, v[i], 7);
		assert_int_equal(give(&f), -EPROTO);
		expect_alert(&f, ALERT_UNEXPECTED_MESSAGE);
		end(&f);
	}
}

static void header_limits(void **state)
{
	static const struct {
		uint8_t hdr[5];
		enum alert alert;
	} v[] = {
		{{23, 3, 3, 0x41, 0x01}, ALERT_RECORD_OVERFLOW}, /* 16384 + 257 */
		{{23, 3, 3, 0xff, 0xff}, ALERT_RECORD_OVERFLOW},
		{{23, 3, 3, 0, 15}, ALERT_BAD_RECORD_MAC},
		{{23, 3, 3, 0, 0}, ALERT_BAD_RECORD_MAC},
	};

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct fixture f;

		start(&f, &aead_ipsec_mb, AES128, 0);
		kit_add(&f.in, v[i].hdr, 5);
		assert_int_equal(give(&f), -EPROTO); /* at the header: no body is waited for */
		expect_alert(&f, v[i].alert);
		end(&f);
	}
}

/* 16384 bytes and no padding are allowed, as are fewer with padding up to 16385 in all; more not,
 * although the ciphertext may be longer. */
static void plaintext_limit(void **state)
{
	static const struct {
		size_t n, pad;
		bool ok;
	} v[] = {{16384, 0, true},  {16000, 384, true},	 {0, 16384, true},   {16385, 0, false},
		 {16384, 1, false}, {100, 16385, false}, {16384, 239, false}};
	uint8_t *p = calloc(1, 17000);

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct fixture f;

		start(&f, &aead_ipsec_mb, AES256, 0);
		assert_int_equal(send_record(&f, REC_DATA, p, v[i].n, v[i].pad),
				 v[i].ok ? 0 : -EPROTO);
		if (v[i].ok)
			assert_int_equal(f.s.data.n, v[i].n);
		else
			expect_alert(&f, ALERT_RECORD_OVERFLOW);
		end(&f);
	}
	free(p);
}

/* A record of padding alone has no content type. */
static void padding_alone(void **state)
{
	static const size_t pads[] = {0, 1, 100};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct fixture f;

		start(&f, &aead_ipsec_mb, AES128, 0);
		assert_int_equal(send_record(&f, 0, NULL, 0, pads[i]), -EPROTO);
		expect_alert(&f, ALERT_UNEXPECTED_MESSAGE);
		end(&f);
	}
}

/* One flipped bit, a record twice, a record left out. */
static void bad_mac(void **state)
{
	struct tls_stats st;

	(void)state;
	for (int i = 0; i < 60; i++) {
		struct fixture f;

		start(&f, i & 1 ? &aead_openssl : &aead_ipsec_mb, AES128, 0);
		kit_seal(&f.peer, REC_DATA, (const uint8_t *)"0123456789", 10, 0, &f.in);
		if (i < 27) {
			f.in.p[5 + i] ^= (uint8_t)(1u << i % 8);
		} else if (i < 28) {
			f.in.p[1] ^= 1; /* the version is not looked at, but authenticated */
		} else if (i < 30) {
			assert_int_equal(tls_input(f.s.c, f.in.p, f.in.n), 0);
		} else {
			f.in.n = 0;
			kit_seal(&f.peer, REC_DATA, (const uint8_t *)"x", 1, 0, &f.in);
		}
		f.s.data.n = 0;
		assert_int_equal(give(&f), -EPROTO);
		assert_int_equal(f.s.data.n, 0);
		expect_alert(&f, ALERT_BAD_RECORD_MAC);
		tls_get_stats(f.t, &st);
		assert_int_equal(st.bad_records, 1);
		assert_int_equal(st.alerts_out, 1);
		end(&f);
	}
}

static void alerts_in(void **state)
{
	struct tls_stats st;
	struct fixture f;

	(void)state;
	/* close_notify at either level; what follows is ignored; our side still writes. */
	for (uint8_t level = 1; level <= 2; level++) {
		uint8_t msg[2] = {level, 0};

		start(&f, &aead_ipsec_mb, AES128, 0);
		kit_seal(&f.peer, REC_ALERT, msg, 2, 0, &f.in);
		kit_add(&f.in, (const uint8_t *)"garbage", 7);
		assert_int_equal(give(&f), 0);
		assert_int_equal(tls_conn_state(f.s.c), TLS_PEER_CLOSED);
		assert_int_equal(tls_input(f.s.c, (const uint8_t *)"more", 4), 0);
		assert_int_equal(tls_write(f.s.c, (const uint8_t *)"rest", 4), 0);
		expect_record(&f, REC_DATA, "rest", 4);
		tls_close(f.s.c);
		expect_record(&f, REC_ALERT, "\1\0", 2);
		tls_close(f.s.c);
		assert_int_equal(f.s.wire.n, 0);
		end(&f);
	}
	/* All others are fatal, whatever their level; nothing is answered. */
	for (unsigned int i = 1; i < 256; i++) {
		uint8_t msg[2] = {(uint8_t)(1 + i % 2), (uint8_t)i};

		if (i == ALERT_USER_CANCELED)
			continue;
		start(&f, &aead_ipsec_mb, AES128, 0);
		assert_int_equal(send_record(&f, REC_ALERT, msg, 2, 0), -EPROTO);
		assert_int_equal(tls_conn_state(f.s.c), TLS_FAILED);
		assert_int_equal(f.s.wire.n, 0);
		tls_get_stats(f.t, &st);
		assert_int_equal(st.alerts_in, 1);
		end(&f);
	}
	start(&f, &aead_ipsec_mb, AES128, 0);
	assert_int_equal(send_record(&f, REC_ALERT, "\1\x5a", 2, 0), 0); /* user_canceled */
	assert_int_equal(tls_conn_state(f.s.c), TLS_OPEN);
	assert_int_equal(send_record(&f, REC_ALERT, "\1\0", 2, 0), 0);
	assert_int_equal(tls_conn_state(f.s.c), TLS_PEER_CLOSED);
	end(&f);
}

/* KeyUpdate in one record, in pieces over records, and with an answer asked for. */
static void key_update_in(void **state)
{
	uint8_t ku[] = {24, 0, 0, 1, 0};
	struct tls_stats st;
	struct fixture f;

	(void)state;
	start(&f, &aead_ipsec_mb, AES256, 0);
	for (size_t piece = 1; piece <= 5; piece++) {
		ku[4] = piece & 1; /* 1: update_requested */
		for (size_t i = 0; i < 5; i += piece)
			kit_seal(&f.peer, REC_HANDSHAKE, ku + i, i + piece > 5 ? 5 - i : piece, 0,
				 &f.in);
		kit_next_key(&f.peer, f.peer.tx_secret, &f.peer.tx_seq);
		kit_seal(&f.peer, REC_DATA, (const uint8_t *)"new", 3, 0, &f.in);
		f.s.data.n = 0;
		assert_int_equal(give(&f), 0);
		assert_int_equal(f.s.data.n, 3);
		if (!ku[4]) {
			assert_int_equal(f.s.wire.n, 0);
			continue;
		}
		expect_record(&f, REC_HANDSHAKE, "\x18\0\0\1\0", 5);
		kit_next_key(&f.peer, f.peer.rx_secret, &f.peer.rx_seq);
		assert_int_equal(tls_write(f.s.c, (const uint8_t *)"also new", 8), 0);
		expect_record(&f, REC_DATA, "also new", 8);
	}
	tls_get_stats(f.t, &st);
	assert_int_equal(st.key_updates_in, 5);
	assert_int_equal(st.key_updates_out, 3);
	end(&f);
}

/* A handshake message in pieces may not be interrupted; the old key is dead after a KeyUpdate. */
static void key_update_misuse(void **state)
{
	struct fixture f;
	struct kit_peer old;

	(void)state;
	for (int i = 0; i < 2; i++) {
		start(&f, &aead_ipsec_mb, AES128, 0);
		kit_seal(&f.peer, REC_HANDSHAKE, (const uint8_t *)"\x18\0", 2, 0, &f.in);
		kit_seal(&f.peer, i ? REC_DATA : REC_ALERT, (const uint8_t *)"\1\0", 2, 0, &f.in);
		assert_int_equal(give(&f), -EPROTO);
		expect_alert(&f, ALERT_UNEXPECTED_MESSAGE);
		end(&f);
	}
	start(&f, &aead_ipsec_mb, AES128, 0);
	old = f.peer;
	assert_int_equal(send_record(&f, REC_HANDSHAKE, "\x18\0\0\1\0", 5, 0), 0);
	old.tx_seq = 1;
	kit_seal(&old, REC_DATA, (const uint8_t *)"old", 3, 0, &f.in);
	assert_int_equal(give(&f), -EPROTO);
	expect_alert(&f, ALERT_BAD_RECORD_MAC);
	end(&f);
}

/* Many requests before the caller answers are one upcall; later ones ask again. */
static void key_update_answered_later(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, &aead_ipsec_mb, AES128, 0);
	f.s.manual_rekey = true;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(send_record(&f, REC_HANDSHAKE, "\x18\0\0\1\1", 5, 0), 0);
		kit_next_key(&f.peer, f.peer.tx_secret, &f.peer.tx_seq);
	}
	assert_int_equal(f.s.key_update_calls, 1);
	assert_int_equal(tls_key_update(f.s.c), 0);
	expect_record(&f, REC_HANDSHAKE, "\x18\0\0\1\0", 5);
	assert_int_equal(send_record(&f, REC_HANDSHAKE, "\x18\0\0\1\1", 5, 0), 0);
	assert_int_equal(f.s.key_update_calls, 2);
	/* Nothing may follow our close_notify. */
	kit_next_key(&f.peer, f.peer.tx_secret, &f.peer.tx_seq);
	tls_key_update(f.s.c);
	tls_close(f.s.c);
	f.s.wire.n = 0;
	assert_int_equal(send_record(&f, REC_HANDSHAKE, "\x18\0\0\1\1", 5, 0), 0);
	assert_int_equal(f.s.key_update_calls, 2);
	assert_int_equal(f.s.wire.n, 0);
	end(&f);
}

/* Work that carries no data is limited; data resets the count. */
static void floods(void **state)
{
	static const struct {
		uint8_t type, len;
		const char *p;
	} v[] = {{REC_DATA, 0, ""}, {REC_HANDSHAKE, 5, "\x18\0\0\1\0"}, {REC_ALERT, 2, "\1\x5a"}};

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct fixture f;

		start(&f, &aead_openssl, AES128, 0);
		for (int n = 0; n < 2 * QUIET_MAX + 1; n++) {
			int want = n == 2 * QUIET_MAX ? -EPROTO : 0;

			assert_int_equal(send_record(&f, v[i].type, v[i].p, v[i].len, 0), want);
			if (v[i].type == REC_HANDSHAKE)
				kit_next_key(&f.peer, f.peer.tx_secret, &f.peer.tx_seq);
			if (n == QUIET_MAX - 1)
				assert_int_equal(send_record(&f, REC_DATA, "x", 1, 0), 0);
		}
		expect_alert(&f, ALERT_UNEXPECTED_MESSAGE);
		end(&f);
	}
}

/* The peer's key half worn out: we ask for a new one, together with our own change. */
static void read_key_wears_out(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, &aead_ipsec_mb, AES128, 100);
	for (int i = 0; i < 50; i++)
		assert_int_equal(send_record(&f, REC_DATA, "x", 1, 0), 0);
	assert_int_equal(f.s.key_update_calls, 1);
	expect_record(&f, REC_HANDSHAKE, "\x18\0\0\1\1", 5);
	end(&f);
}

/* Several connections share one expanded read key; buffers of split records come back; the steady
 * state takes no memory. */
static void steady_state(void **state)
{
	enum { CONNS = 5 };
	struct fixture f[CONNS];
	struct tls_ctx *t;
	uint64_t allocs = 0;

	(void)state;
	start(&f[0], &aead_openssl, AES128, 0);
	t = f[0].t;
	for (int i = 1; i < CONNS; i++) {
		f[i] = (struct fixture){.t = t};
		kit_open(&f[i].s, &f[i].peer, t, i & 1 ? AES256 : AES128, (uint8_t)(10 * i));
	}
	for (int turn = 0; turn < 200; turn++) {
		for (int i = 0; i < CONNS; i++) {
			struct fixture *c = &f[i];

			kit_seal(&c->peer, REC_DATA, (const uint8_t *)"0123456789", 10, 0, &c->in);
			assert_int_equal(tls_input(c->s.c, c->in.p, 7), 0);
		}
		for (int i = 0; i < CONNS; i++) {
			struct fixture *c = &f[i];

			c->s.data.n = c->s.wire.n = 0;
			assert_int_equal(tls_input(c->s.c, c->in.p + 7, c->in.n - 7), 0);
			assert_int_equal(c->s.data.n, 10);
			c->in.n = 0;
			assert_int_equal(tls_write(c->s.c, (const uint8_t *)"answer", 6), 0);
		}
		if (turn == 0)
			allocs = t->allocs;
	}
	assert_int_equal(t->allocs, allocs);
	for (int i = 1; i < CONNS; i++) {
		kit_server_free(&f[i].s);
		kit_free(&f[i].in);
	}
	/* What the last connection left in the shared context is gone with it. */
	assert_int_equal(t->rd_id, 0);
	end(&f[0]);
}

/* More connections in the middle of a record than the spare list holds, of both sizes, some of
 * which never finish. */
static void partial_records(void **state)
{
	enum { CONNS = 3 * PART_KEEP };
	static struct fixture f[CONNS];
	static uint8_t big[TLS_RECORD_MAX];

	(void)state;
	start(&f[0], &aead_ipsec_mb, AES128, 0);
	for (int i = 1; i < CONNS; i++) {
		f[i] = (struct fixture){.t = f[0].t};
		kit_open(&f[i].s, &f[i].peer, f[0].t, AES128, (uint8_t)i);
	}
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < CONNS; i++) {
			kit_seal(&f[i].peer, REC_DATA, big, i & 1 ? sizeof big : 50, 0, &f[i].in);
			assert_int_equal(tls_input(f[i].s.c, f[i].in.p, 40), 0);
			if (round)
				continue;
			assert_int_equal(tls_input(f[i].s.c, f[i].in.p + 40, f[i].in.n - 40), 0);
			f[i].in.n = 0;
		}
	assert_true(f[0].t->part[0].n <= PART_KEEP && f[0].t->part[1].n <= PART_KEEP);
	for (int i = CONNS - 1; i > 0; i--) {
		kit_server_free(&f[i].s);
		kit_free(&f[i].in);
	}
	end(&f[0]);
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
		cmocka_unit_test(rfc8448_conversation),
		cmocka_unit_test(split_anywhere),
		cmocka_unit_test(random_lengths_and_cuts),
		cmocka_unit_test(bad_records),
		cmocka_unit_test(records_in_the_clear),
		cmocka_unit_test(header_limits),
		cmocka_unit_test(plaintext_limit),
		cmocka_unit_test(padding_alone),
		cmocka_unit_test(bad_mac),
		cmocka_unit_test(alerts_in),
		cmocka_unit_test(key_update_in),
		cmocka_unit_test(key_update_misuse),
		cmocka_unit_test(key_update_answered_later),
		cmocka_unit_test(floods),
		cmocka_unit_test(read_key_wears_out),
		cmocka_unit_test(steady_state),
		cmocka_unit_test(partial_records),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
