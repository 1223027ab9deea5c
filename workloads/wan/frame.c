/* frame: parsing and cutting of forwarded frames.
 *
 * A run of the segments of a GSO packet is again a GSO packet: sequence number, lengths, IP ID and
 * the pseudo-header sum in the checksum field move, FIN and PSH belong to the last segment and CWR
 * to the first. So a lost segment costs a cut, not a copy, and what is left still travels in large
 * pieces. Every changed header word goes into the checksum incrementally (RFC 1624).
 *
 * Limits: GSO of TCP over IPv4. Fragments pass as what they are, packets without ports.
 */
#include "workloads/wan/frame.h"

#include <errno.h>
#include <string.h>

#include "base/rng.h"
#include "stacks/atlas/net/csum.h"

#define ETH_LEN	  14
#define IP_LEN	  20
#define TCP_LEN	  20
#define PROTO_TCP 6
#define PROTO_UDP 17
#define FLAG_FIN  1
#define FLAG_PSH  8
#define FLAG_CWR  128
#define IP_OFFSET 0x1fff

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* A 16-bit word of a header becomes `v`; `check` is the header's checksum field. */
static void change16(uint8_t *word, uint16_t v, uint8_t *check)
{
	uint16_t old, now = htons(v), c;

	memcpy(&old, word, 2);
	memcpy(&c, check, 2);
	c = csum_update(c, old, now);
	memcpy(check, &c, 2);
	memcpy(word, &now, 2);
}

/* The same number for both directions: the ends are put in order. */
static uint64_t flow_of(const uint8_t *ip, const uint8_t *l4, bool ports, enum wan_dir dir)
{
	uint32_t a = get32(ip + 12), b = get32(ip + 16);
	uint16_t pa = ports ? get16(l4) : 0, pb = ports ? get16(l4 + 2) : 0;
	uint64_t client = (uint64_t)a << 16 | pa, server = (uint64_t)b << 16 | pb;

	if (dir == WAN_DOWN) {
		uint64_t t = client;

		client = server;
		server = t;
	}
	return rng_mix(rng_mix(client) + server + ip[9]);
}

/* GSO fields make sense for this frame? Fills segs. */
static int check_gso(struct wan_frame *f)
{
	f->segs = 1;
	if (!f->gso_size)
		return 0;
	if (!f->l4 || !f->csum || f->csum_start != f->l4 || !f->body_len)
		return -EINVAL;
	f->segs = (uint16_t)((f->body_len + f->gso_size - 1) / f->gso_size);
	if (f->segs == 1)
		f->gso_size = 0;
	return 0;
}

int wan_frame_parse(struct wan_frame *f, const struct pkt_rx *rx, enum wan_dir dir)
{
	const uint8_t *ip = rx->data + ETH_LEN, *l4;
	uint32_t ihl, tot, l4_at, proto;

	if (rx->len < ETH_LEN + IP_LEN || rx->len < rx->wire_len || get16(rx->data + 12) != 0x0800)
		return -EINVAL;
	ihl = (ip[0] & 15u) * 4;
	tot = get16(ip + 2);
	if (ip[0] >> 4 != 4 || ihl < IP_LEN || tot < ihl || tot > rx->len - ETH_LEN)
		return -EINVAL;
	if (ip[8] <= 1)
		return -ETIME;
	l4_at = ETH_LEN + ihl;
	l4 = rx->data + l4_at;
	proto = get16(ip + 6) & IP_OFFSET ? 0 : ip[9];
	f->hdr_len = (uint8_t)l4_at;
	f->l4 = 0;
	if (proto == PROTO_TCP && tot >= ihl + TCP_LEN && (l4[12] >> 4) * 4u >= TCP_LEN &&
	    tot >= ihl + (l4[12] >> 4) * 4u) {
		f->l4 = (uint8_t)l4_at;
		f->hdr_len = (uint8_t)(l4_at + (l4[12] >> 4) * 4u);
	}
	memcpy(f->hdr, rx->data, f->hdr_len);
	memcpy(f->dst, ip + 16, 4);
	f->flow = flow_of(ip, l4, f->l4 || (proto == PROTO_UDP && tot >= ihl + 8), dir);
	f->body_len = ETH_LEN + tot - f->hdr_len;
	f->nbody = f->body_len > 0;
	f->body[0] = (struct iovec){rx->data + f->hdr_len, f->body_len};
	f->gso_size = rx->gso_size;
	f->csum = rx->flags & PKT_RX_CSUM_NONE;
	f->csum_start = f->csum_offset = 0;
	if (f->csum && (f->l4 || proto == PROTO_UDP)) {
		f->csum_start = (uint16_t)l4_at;
		f->csum_offset = f->l4 ? 16 : 6;
	} else if (f->csum) {
		return -EINVAL; /* nobody else leaves a checksum open */
	}
	return check_gso(f);
}

uint32_t wan_frame_seg_len(const struct wan_frame *f, uint32_t i)
{
	uint32_t at = i * f->gso_size;

	if (!f->gso_size || f->body_len - at < f->gso_size)
		return f->hdr_len + f->body_len - at;
	return (uint32_t)f->hdr_len + f->gso_size;
}

/* Bytes [at, at + len) of the body, as pieces behind the header. */
static void take_body(const struct wan_frame *f, uint32_t at, uint32_t len, struct pkt_tx *t)
{
	for (int i = 0; i < f->nbody && len; i++) {
		uint32_t have = (uint32_t)f->body[i].iov_len, n;

		if (at >= have) {
			at -= have;
			continue;
		}
		n = have - at < len ? have - at : len;
		t->iov[t->niov++] = (struct iovec){(uint8_t *)f->body[i].iov_base + at, n};
		t->len += n;
		len -= n;
		at = 0;
	}
}

static void cut_headers(const struct wan_frame *f, uint8_t *h, uint32_t first, uint32_t at,
			uint32_t len)
{
	uint8_t *ip = h + ETH_LEN, *tcp = h + f->l4;
	uint16_t old_l4 = (uint16_t)(get16(ip + 2) - (f->l4 - ETH_LEN));
	uint16_t new_l4 = (uint16_t)(f->hdr_len - f->l4 + len);
	uint32_t seq = get32(tcp + 4) + at;
	uint16_t sum;

	change16(ip + 2, (uint16_t)(f->hdr_len - ETH_LEN + len), ip + 10);
	change16(ip + 4, (uint16_t)(get16(ip + 4) + first), ip + 10);
	put16(tcp + 4, (uint16_t)(seq >> 16));
	put16(tcp + 6, (uint16_t)seq);
	if (at)
		tcp[13] &= (uint8_t)~FLAG_CWR;
	if (at + len < f->body_len)
		tcp[13] &= (uint8_t) ~(FLAG_FIN | FLAG_PSH);
	/* The field holds the sum of the pseudo-header, not complemented, with the length in it. */
	memcpy(&sum, tcp + 16, 2);
	sum = csum_fold((uint32_t)sum + (uint16_t)~htons(old_l4) + htons(new_l4));
	memcpy(tcp + 16, &sum, 2);
}

void wan_frame_cut(const struct wan_frame *f, uint32_t first, uint32_t n, const uint8_t src_mac[6],
		   const uint8_t dst_mac[6], uint8_t *hdr, struct pkt_tx *t)
{
	uint8_t *ip = hdr + ETH_LEN;
	uint32_t at = first * f->gso_size, len = f->body_len - at;

	memcpy(hdr, f->hdr, f->hdr_len);
	memcpy(hdr, dst_mac, 6);
	memcpy(hdr + 6, src_mac, 6);
	change16(ip + 8, (uint16_t)(get16(ip + 8) - 0x100), ip + 10); /* TTL is the upper byte */
	if (n < f->segs) {
		len = n * f->gso_size < len ? n * f->gso_size : len;
		cut_headers(f, hdr, first, at, len);
	}
	t->iov[1] = (struct iovec){hdr, f->hdr_len};
	t->niov = 2;
	t->len = f->hdr_len;
	t->gso_size = len > f->gso_size ? f->gso_size : 0;
	t->hdr_len = f->hdr_len;
	t->csum_start = f->csum_start;
	t->csum_offset = f->csum_offset;
	t->cookie = NULL;
	take_body(f, at, len, t);
}
