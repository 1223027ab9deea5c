/* Fuzz: the record layer of an open connection, with keys that are known, so that inputs get past
 * the AEAD. Deterministic.
 *
 * The input is a little program; its first byte chooses suite and back end, then each step is an
 * operation and its arguments:
 *   0 n bytes      these n bytes as they are
 *   1 type pad n bytes   a proper record of that inner type, with padding
 *   2 n            n bytes of what is queued go to the server (0: all)
 *   3              the client's next key
 *   4              the server writes; 5 it reserves and seals; 6 KeyUpdate; 7 it closes
 * At the end what the server sent is opened with the keys it must have used.
 */
#include <stdlib.h>
#include <string.h>

#include "stacks/atlas/tls/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static const uint8_t *bytes(struct input *in, size_t *n)
{
	const uint8_t *p = in->p;

	if (*n > in->n)
		*n = in->n;
	in->p += *n;
	in->n -= *n;
	return p;
}

static void feed(struct kit_server *s, struct kit_buf *queue, size_t n)
{
	enum tls_state before = tls_conn_state(s->c), after;
	int err;

	if (!n || n > queue->n)
		n = queue->n;
	if (!n)
		return;
	err = tls_input(s->c, queue->p, n);
	after = tls_conn_state(s->c);
	kit_drop(queue, n);
	if ((err != 0) != (after == TLS_FAILED) || (before == TLS_FAILED && after != TLS_FAILED))
		abort();
}

static void reserve_and_seal(struct kit_server *s, uint8_t len)
{
	uint8_t hdr[TLS_HDR], body[256] = {0}, again[256] = {0}, trail[TLS_TRAIL];
	uint64_t first;
	struct tls_epoch *e = tls_reserve(s->c, 2, &first);

	if (!e)
		return;
	tls_unreserve(s->c, 1);
	for (int i = 0; i < 2; i++) {
		uint8_t tag[TLS_TRAIL];

		tls_seal(e, first, i ? again : body, len, hdr, i ? tag : trail);
		if (i && memcmp(tag, trail, sizeof tag) != 0)
			abort();
	}
	kit_add(&s->wire, hdr, sizeof hdr);
	kit_add(&s->wire, body, len);
	kit_add(&s->wire, trail, sizeof trail);
	tls_epoch_put(e);
}

/* Every byte the server sent must be a record under the right key and number. */
static void check_output(struct kit_server *s, struct kit_peer *peer)
{
	static uint8_t out[CIPHERTEXT_MAX];
	uint8_t type;

	while (s->wire.n) {
		int n = kit_open_record(peer, &s->wire, &type, out);

		if (n < 0)
			abort();
		if (type == REC_HANDSHAKE) {
			if (n != KEY_UPDATE_LEN || out[0] != HS_KEY_UPDATE)
				abort();
			kit_next_key(peer, peer->rx_secret, &peer->rx_seq);
		}
		if (type == REC_ALERT && s->wire.n)
			abort(); /* nothing may follow: all our alerts end the stream */
	}
}

static void step(struct kit_server *s, struct kit_peer *peer, struct kit_buf *queue,
		 struct input *in)
{
	uint8_t type, pad;
	size_t n;
	const uint8_t *p;

	switch (byte(in) & 7) {
	case 0:
		n = byte(in);
		p = bytes(in, &n);
		kit_add(queue, p, n);
		break;
	case 1:
		type = byte(in);
		pad = byte(in);
		n = byte(in);
		p = bytes(in, &n);
		kit_seal(peer, type, p, n, pad == 255 ? 16400 : pad, queue);
		break;
	case 2:
		feed(s, queue, byte(in));
		break;
	case 3:
		kit_next_key(peer, peer->tx_secret, &peer->tx_seq);
		break;
	case 4:
		tls_write(s->c, (const uint8_t *)"answer", byte(in) % 7);
		break;
	case 5:
		reserve_and_seal(s, byte(in));
		break;
	case 6:
		tls_key_update(s->c);
		break;
	default:
		tls_close(s->c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls_ctx *t[2];
	struct input in = {data, size};
	struct kit_server s = {0};
	struct kit_buf queue = {0};
	struct kit_peer peer;
	uint8_t mode = byte(&in);

	if (!t[0]) {
		struct kit_cert cert;
		struct tls_ctx_cfg cfg = {.record_limit = 40};
		struct errbuf e;

		kit_cert_new(&cert, KIT_P256);
		cfg.cert_file = cert.cert;
		cfg.key_file = cert.key;
		for (int i = 0; i < 2; i++) {
			cfg.aead = i ? &aead_openssl : &aead_ipsec_mb;
			t[i] = tls_ctx_new(&cfg, &e);
			if (!t[i])
				abort();
		}
		kit_cert_free(&cert);
	}
	kit_open(&s, &peer, t[mode & 1], mode & 2 ? 0x1302 : 0x1301, mode);
	s.echo = mode & 4;
	s.manual_rekey = mode & 8;
	while (in.n)
		step(&s, &peer, &queue, &in);
	feed(&s, &queue, 0);
	check_output(&s, &peer);
	kit_free(&queue);
	kit_server_free(&s);
	return 0;
}
