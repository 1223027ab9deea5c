/* tcp_parse: the one place that reads TCP headers from the wire.
 *
 * Input is hostile: every length is checked before it is used, and an option whose length is wrong
 * ends the list without spoiling the segment (RFC 9293 3.1 "MUST-6, MUST-7").
 *
 * Limits: urgent data is not interpreted (the pointer is ignored), authentication options are
 * skipped like unknown ones.
 */
#include <errno.h>
#include <string.h>

#include "stacks/atlas/tcp/tcp.h"

enum {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WSCALE = 3,
	OPT_SACK_OK = 4,
	OPT_SACK = 5,
	OPT_TS = 8
};

#define HDR_MIN	   20
#define WSCALE_MAX 14 /* RFC 7323 2.3 */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void parse_sack(const uint8_t *p, uint32_t len, struct tcp_seg *out)
{
	for (; len >= 8 && out->nsack < TCP_SACK_MAX; p += 8, len -= 8) {
		out->sack[out->nsack].start = get32(p);
		out->sack[out->nsack].end = get32(p + 4);
		out->nsack++;
	}
}

/* One option with its data, `len` including kind and length bytes. */
static void parse_option(const uint8_t *p, uint32_t len, struct tcp_seg *out)
{
	bool syn = out->flags & TCP_SYN;

	switch (p[0]) {
	case OPT_MSS:
		if (len == 4 && syn)
			out->mss = get16(p + 2);
		break;
	case OPT_WSCALE:
		if (len == 3 && syn)
			out->wscale = (int8_t)(p[2] > WSCALE_MAX ? WSCALE_MAX : p[2]);
		break;
	case OPT_SACK_OK:
		if (len == 2 && syn)
			out->sack_ok = true;
		break;
	case OPT_SACK:
		if (len >= 10 && (len - 2) % 8 == 0)
			parse_sack(p + 2, len - 2, out);
		break;
	case OPT_TS:
		if (len == 10) {
			out->ts_ok = true;
			out->tsval = get32(p + 2);
			out->tsecr = get32(p + 6);
		}
		break;
	default:
		break;
	}
}

static void parse_options(const uint8_t *p, uint32_t len, struct tcp_seg *out)
{
	/* What nearly every segment carries: NOP NOP TS (RFC 7323 appendix A) */
	if (len == 12 && p[0] == OPT_NOP && p[1] == OPT_NOP && p[2] == OPT_TS && p[3] == 10) {
		parse_option(p + 2, 10, out);
		return;
	}
	while (len) {
		if (p[0] == OPT_END)
			return;
		if (p[0] == OPT_NOP) {
			p++, len--;
			continue;
		}
		if (len < 2 || p[1] < 2 || p[1] > len)
			return;
		parse_option(p, p[1], out);
		len -= p[1];
		p += p[1];
	}
}

int tcp_parse(const uint8_t *l4, uint32_t len, struct tcp_seg *out)
{
	uint32_t off;

	if (len < HDR_MIN)
		return -EINVAL;
	off = (l4[12] >> 4) * 4u;
	if (off < HDR_MIN || off > len)
		return -EINVAL;
	out->t.rport = get16(l4);
	out->t.lport = get16(l4 + 2);
	out->seq = get32(l4 + 4);
	out->ack = get32(l4 + 8);
	out->flags = l4[13];
	out->wnd = get16(l4 + 14);
	out->mss = 0;
	out->wscale = -1;
	out->sack_ok = out->ts_ok = false;
	out->tsval = out->tsecr = 0;
	out->nsack = 0;
	out->gso_size = 0;
	out->data = l4 + off;
	out->len = len - off;
	if (off > HDR_MIN)
		parse_options(l4 + HDR_MIN, off - HDR_MIN, out);
	return 0;
}
