/* ether: parsing of received frames and header templates.
 *
 * One idea: a frame is walked once from the outside in, each step takes a bounds-checked piece and
 * the first thing that is wrong ends it with a reason. Nothing is ever answered from here.
 *
 * Limits: Ethernet II without VLAN tags (the kernel strips those), IPv4 only, no fragments (we send
 * DF and TCP peers discover the path MTU), no UDP. A frame that is not there as a whole is dropped:
 * cut off behind the header, its FIN and its checksum would lie.
 *
 * RFC 791 (IPv4), 826 (ARP), 792 and 1191 (ICMP), 1122 3.2.1 (what to discard silently).
 */
#include "stacks/atlas/net/ether.h"

#include <errno.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP_ 0x0806
#define ARP_LEN	       28
#define IP_FRAG_BITS   0x3fff /* MF and the offset; DF and the reserved bit do not matter */
#define ICMP_PROTO     1
#define TCP_LEN_MIN    20
#define ICMP_UNREACH   3
#define ICMP_ECHO_REQ  8
#define UNREACH_FRAG   4 /* fragmentation needed and DF set */

const char *const net_why_name[NET_WHY_N] = {
	[NET_WHY_SHORT] = "short",
	[NET_WHY_TRUNC] = "trunc",
	[NET_WHY_NOT_OURS] = "not_ours",
	[NET_WHY_ETHERTYPE] = "ethertype",
	[NET_WHY_ARP] = "arp",
	[NET_WHY_IP_HDR] = "ip_header",
	[NET_WHY_IP_CSUM] = "ip_checksum",
	[NET_WHY_FRAGMENT] = "fragment",
	[NET_WHY_MARTIAN] = "martian",
	[NET_WHY_PROTO] = "protocol",
	[NET_WHY_L4_CSUM] = "l4_checksum",
	[NET_WHY_ICMP] = "icmp",
	[NET_WHY_RATE] = "rate",
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static enum net_kind drop(struct net_pkt *out, enum net_why why)
{
	out->why = why;
	return NET_DROP;
}

static bool mac_is(const uint8_t *mac, const uint8_t *want)
{
	return memcmp(mac, want, 6) == 0;
}

/* May this unicast packet come from `ip` (RFC 1122 3.2.1.3, RFC 6890)? */
static bool martian(const struct net_if *n, const uint8_t *ip)
{
	uint32_t a, own, host = ntohl(~n->mask);

	if (ip[0] == 0 || ip[0] == 127 || ip[0] >= 224)
		return true;
	if (memcmp(ip, n->ip4, 4) == 0)
		return true;
	memcpy(&a, ip, 4);
	memcpy(&own, n->ip4, 4);
	if ((a & n->mask) != (own & n->mask) || n->prefix > 30)
		return false;
	a = ntohl(a) & host;
	return a == 0 || a == host; /* our network's own or broadcast address */
}

static enum net_kind parse_arp(const struct net_if *n, const struct pkt_rx *rx, struct net_pkt *out)
{
	static const uint8_t fixed[6] = {0, 1, 8, 0, 6, 4}, zero[6];
	const uint8_t *a = rx->data + NET_ETH_LEN;
	static const uint8_t bcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (!mac_is(rx->data, n->mac) && !mac_is(rx->data, bcast))
		return drop(out, NET_WHY_NOT_OURS);
	if (rx->len < NET_ETH_LEN + ARP_LEN)
		return drop(out, NET_WHY_SHORT);
	if (memcmp(a, fixed, sizeof fixed) != 0)
		return drop(out, NET_WHY_ARP);
	out->arp.op = get16(a + 6);
	memcpy(out->arp.sha, a + 8, 6);
	memcpy(out->arp.spa, a + 14, 4);
	memcpy(out->arp.tha, a + 18, 6);
	memcpy(out->arp.tpa, a + 24, 4);
	if (out->arp.op != 1 && out->arp.op != 2)
		return drop(out, NET_WHY_ARP);
	if ((out->arp.sha[0] & 1) || mac_is(out->arp.sha, zero))
		return drop(out, NET_WHY_ARP);
	return NET_ARP;
}

/* Next lower MTU of RFC 1191 7.1, for routers that do not say theirs. */
static uint16_t plateau(uint16_t tot_len)
{
	static const uint16_t mtu[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296};

	for (unsigned int i = 0; i < sizeof mtu / sizeof mtu[0]; i++)
		if (mtu[i] < tot_len)
			return mtu[i];
	return 68;
}

/* Destination unreachable: `p` is the ICMP header, then the IP header it quotes and at least eight
 * bytes of TCP, which hold the ports and the sequence number. */
static enum net_kind parse_unreach(const struct net_if *n, const uint8_t *p, uint32_t len,
				   struct net_pkt *out)
{
	const uint8_t *ip = p + 8, *tcp;
	struct net_quote *q = &out->quote;
	uint32_t ihl;

	if (len < 8 + NET_IP4_LEN + 8)
		return drop(out, NET_WHY_ICMP);
	ihl = (ip[0] & 15u) * 4;
	if (ip[0] >> 4 != 4 || ihl < NET_IP4_LEN || len < 8 + ihl + 8)
		return drop(out, NET_WHY_ICMP);
	if (ip[9] != NET_PROTO_TCP || memcmp(ip + 12, n->ip4, 4) != 0 ||
	    (get16(ip + 6) & 0x1fff) != 0)
		return drop(out, NET_WHY_ICMP);
	tcp = ip + ihl;
	q->local = ipaddr_v4(ip + 12);
	q->remote = ipaddr_v4(ip + 16);
	q->lport = get16(tcp);
	q->rport = get16(tcp + 2);
	q->seq = get32(tcp + 4);
	q->code = p[1];
	q->mtu = 0;
	if (q->code == UNREACH_FRAG) {
		q->mtu = get16(p + 6);
		if (q->mtu == 0)
			q->mtu = plateau(get16(ip + 2));
	}
	return NET_UNREACH;
}

static enum net_kind parse_icmp(const struct net_if *n, const struct pkt_rx *rx,
				struct net_pkt *out)
{
	if (out->l4_len < 8)
		return drop(out, NET_WHY_SHORT);
	/* CSUM_GOOD speaks of TCP; nobody offloads ICMP. */
	if (!(rx->flags & PKT_RX_CSUM_NONE) && csum_add(out->l4, out->l4_len, 0) != 0xffff)
		return drop(out, NET_WHY_L4_CSUM);
	if (out->l4[0] == ICMP_ECHO_REQ && out->l4[1] == 0)
		return NET_ECHO;
	if (out->l4[0] == ICMP_UNREACH)
		return parse_unreach(n, out->l4, out->l4_len, out);
	return drop(out, NET_WHY_ICMP);
}

static enum net_kind parse_tcp(const struct pkt_rx *rx, struct net_pkt *out)
{
	const uint8_t *s = ipaddr_v4_bytes(&out->src), *d = ipaddr_v4_bytes(&out->dst);

	if (out->l4_len < TCP_LEN_MIN)
		return drop(out, NET_WHY_SHORT);
	if (!(rx->flags & (PKT_RX_CSUM_NONE | PKT_RX_CSUM_GOOD))) {
		uint16_t sum = csum_pseudo4(s, d, NET_PROTO_TCP, out->l4_len);

		if (csum_add(out->l4, out->l4_len, sum) != 0xffff)
			return drop(out, NET_WHY_L4_CSUM);
	}
	return NET_TCP;
}

static enum net_kind parse_ip4(const struct net_if *n, const struct pkt_rx *rx, struct net_pkt *out)
{
	uint8_t *ip = rx->data + NET_ETH_LEN;
	uint32_t have = rx->len - NET_ETH_LEN, ihl, tot;

	if (!mac_is(rx->data, n->mac))
		return drop(out, NET_WHY_NOT_OURS);
	if (have < NET_IP4_LEN)
		return drop(out, NET_WHY_SHORT);
	ihl = (ip[0] & 15u) * 4;
	tot = get16(ip + 2);
	/* `have` may be more than `tot`: short frames are padded to 60 bytes. */
	if (ip[0] >> 4 != 4 || ihl < NET_IP4_LEN || ihl > tot || tot > have)
		return drop(out, NET_WHY_IP_HDR);
	if (csum_add(ip, ihl, 0) != 0xffff)
		return drop(out, NET_WHY_IP_CSUM);
	if (memcmp(ip + 16, n->ip4, 4) != 0)
		return drop(out, NET_WHY_NOT_OURS);
	if (get16(ip + 6) & IP_FRAG_BITS)
		return drop(out, NET_WHY_FRAGMENT);
	if (martian(n, ip + 12))
		return drop(out, NET_WHY_MARTIAN);
	out->src = ipaddr_v4(ip + 12);
	out->dst = ipaddr_v4(ip + 16);
	out->l4 = ip + ihl;
	out->l4_len = tot - ihl;
	if (ip[9] == NET_PROTO_TCP)
		return parse_tcp(rx, out);
	if (ip[9] == ICMP_PROTO)
		return parse_icmp(n, rx, out);
	return drop(out, NET_WHY_PROTO);
}

static enum net_kind parse(const struct net_if *n, const struct pkt_rx *rx, struct net_pkt *out)
{
	if (rx->len < NET_ETH_LEN)
		return drop(out, NET_WHY_SHORT);
	if ((rx->flags & PKT_RX_TRUNC) || rx->len < rx->wire_len)
		return drop(out, NET_WHY_TRUNC);
	out->src_mac = rx->data + 6;
	if (out->src_mac[0] & 1) /* a group address never sends */
		return drop(out, NET_WHY_MARTIAN);
	switch (get16(rx->data + 12)) {
	case ETHERTYPE_ARP_:
		return parse_arp(n, rx, out);
	case ETHERTYPE_IPV4:
		return parse_ip4(n, rx, out);
	default:
		return drop(out, NET_WHY_ETHERTYPE);
	}
}

enum net_kind net_parse(struct net_if *n, const struct pkt_rx *rx, struct net_pkt *out)
{
	out->l4 = NULL;
	out->l4_len = 0;
	out->gso_size = rx->gso_size;
	out->kind = parse(n, rx, out);
	switch (out->kind) {
	case NET_DROP:
		n->stats.drop[out->why]++;
		break;
	case NET_TCP:
		n->stats.tcp++;
		break;
	case NET_ARP:
		n->stats.arp_in++;
		break;
	case NET_ECHO:
		n->stats.echo_in++;
		break;
	case NET_UNREACH:
		n->stats.unreach_in++;
		break;
	}
	return out->kind;
}

void net_hdr_init(struct net_hdr *h, const struct net_if *n, const uint8_t dst_mac[6],
		  const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto)
{
	const uint8_t *s = ipaddr_v4_bytes(src), *d = ipaddr_v4_bytes(dst);
	uint8_t *ip = h->b + NET_ETH_LEN;

	memset(h, 0, sizeof *h);
	memcpy(h->b, dst_mac, 6);
	memcpy(h->b + 6, n->mac, 6);
	h->b[12] = ETHERTYPE_IPV4 >> 8;
	ip[0] = 0x45;
	ip[6] = 0x40; /* DF */
	ip[8] = NET_TTL;
	ip[9] = proto;
	memcpy(ip + 12, s, 4);
	memcpy(ip + 16, d, 4);
	h->ip_sum = csum_add(ip, NET_IP4_LEN, 0);
	h->pseudo_sum = csum_pseudo4(s, d, proto, 0);
}
