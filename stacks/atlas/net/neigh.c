/* neigh: who we are on the link and whom we know there: ARP, ICMP echo, the neighbour table.
 *
 * One idea: no packet ever waits for ARP if the peer spoke first. The source MAC of a SYN is a
 * guess (STALE) that is used at once, while a unicast ARP request confirms it in the background; so
 * only connections that we would open ourselves, or a gateway that never spoke, need to wait.
 *
 *   FREE --lookup--> INCOMPLETE --reply--> REACHABLE --60 s--> STALE --reply--> REACHABLE
 *   FREE --SYN-----> STALE          three requests without an answer: --> FAILED --5 s--> asked
 * again
 *
 * An ARP reply is believed only if we asked; a request is merged into what we know (RFC 826), which
 * anyone on the link could abuse, as with any ARP.
 *
 * Limits: 512 neighbours in sets of four; the least recently used of a set makes room. One address.
 * Echo requests longer than the MTU come as fragments and are not answered.
 *
 * RFC 826, 1122 2.3.2 and 3.2.2.6, 5227 (announcing, defending), 4861 7.3 (the states).
 */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "stacks/atlas/net/ether.h"

#define NEIGH_TRIES   3
#define PROBE_NS      (1 * NSEC_PER_SEC)
#define REACHABLE_NS  (60 * NSEC_PER_SEC)
#define FAILED_NS     (5 * NSEC_PER_SEC)
#define ANNOUNCES     2 /* RFC 5227 2.3: two, two seconds apart */
#define ANNOUNCE_NS   (2 * NSEC_PER_SEC)
#define DEFEND_NS     (10 * NSEC_PER_SEC) /* RFC 5227 2.4(b) */
#define ECHO_NS	      NSEC_PER_MSEC	  /* 1,000 echo replies a second ... */
#define ECHO_BURST    50		  /* ... and as many at once */
#define ARP_FRAME_LEN 42
#define ARP_REQUEST   1
#define ARP_REPLY     2

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t no_mac[6], no_ip[4];

int net_if_init(struct net_if *n, const uint8_t mac[6], const struct ipaddr *ip, int prefix,
		const struct ipaddr *gw, uint16_t mtu, struct errbuf *e)
{
	char text[IPADDR_TEXT];
	uint32_t a, g;

	if (!ipaddr_is_v4(ip))
		return errf(e, -EINVAL, "%s is not an IPv4 address; only IPv4 is spoken here",
			    ipaddr_text(ip, text));
	if (prefix < 1 || prefix > 32)
		return errf(e, -EINVAL, "prefix length /%d of %s is not between 1 and 32", prefix,
			    ipaddr_text(ip, text));
	memset(n, 0, sizeof *n);
	memcpy(n->mac, mac, 6);
	memcpy(n->ip4, ipaddr_v4_bytes(ip), 4);
	n->prefix = prefix;
	n->mtu = mtu;
	n->mask = htonl(0xffffffffu << (32 - prefix));
	n->announces = ANNOUNCES;
	n->timer = UINT64_MAX;
	if (!gw)
		return 0;
	if (!ipaddr_is_v4(gw))
		return errf(e, -EINVAL, "gateway %s is not an IPv4 address", ipaddr_text(gw, text));
	memcpy(n->gw4, ipaddr_v4_bytes(gw), 4);
	memcpy(&a, n->ip4, 4);
	memcpy(&g, n->gw4, 4);
	if ((a & n->mask) != (g & n->mask) || a == g)
		return errf(e, -EINVAL, "gateway %s is not another host on our own /%d network",
			    ipaddr_text(gw, text), prefix);
	return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static bool has_mac(const struct neigh *g)
{
	return g->state == NEIGH_STALE || g->state == NEIGH_REACHABLE;
}

static struct neigh *set_of(struct net_if *n, const uint8_t *ip)
{
	uint32_t a;

	memcpy(&a, ip, 4);
	return n->neigh[(a * 0x9e3779b1u) >> 25]; /* the 7 top bits: NEIGH_SETS */
}
_Static_assert(NEIGH_SETS == 128, "set_of() takes 7 bits");

static struct neigh *find(struct net_if *n, const uint8_t *ip)
{
	struct neigh *set = set_of(n, ip);

	for (int i = 0; i < NEIGH_WAYS; i++)
		if (set[i].state != NEIGH_FREE && memcmp(set[i].ip, ip, 4) == 0)
			return &set[i];
	return NULL;
}

/* An entry for `ip`, which has none: free, or the least recently used of its set. The gateway is
 * never the victim: everybody behind it would pay. */
static struct neigh *make(struct net_if *n, const uint8_t *ip, uint64_t now)
{
	struct neigh *set = set_of(n, ip), *v = NULL;

	for (int i = 0; i < NEIGH_WAYS; i++) {
		if (set[i].state == NEIGH_FREE) {
			v = &set[i];
			break;
		}
		if (memcmp(set[i].ip, n->gw4, 4) == 0)
			continue;
		if (!v || set[i].used < v->used)
			v = &set[i];
	}
	if (v->state != NEIGH_FREE)
		n->stats.neigh_evicted++;
	memset(v, 0, sizeof *v);
	memcpy(v->ip, ip, 4);
	v->used = now;
	return v;
}
_Static_assert(NEIGH_WAYS > 1, "make() finds a victim beside the gateway");

static void plan(struct net_if *n, uint64_t when)
{
	if (when < n->timer)
		n->timer = when;
}

static void probe(struct net_if *n, struct neigh *g, uint64_t now)
{
	if (g->probing)
		return;
	g->probing = true;
	g->tries = 0;
	g->due = now;
	plan(n, now);
}

static void set_mac(struct net_if *n, struct neigh *g, const uint8_t *mac)
{
	if (has_mac(g) && memcmp(g->mac, mac, 6) == 0)
		return;
	memcpy(g->mac, mac, 6);
	n->gen++;
}

static void confirm(struct net_if *n, struct neigh *g, const uint8_t *mac, uint64_t now)
{
	set_mac(n, g, mac);
	g->state = NEIGH_REACHABLE;
	g->probing = false;
	g->tries = 0;
	g->due = now + REACHABLE_NS;
}

/* A MAC that somebody claims; good enough to use until it is confirmed. */
static void guess(struct net_if *n, struct neigh *g, const uint8_t *mac)
{
	set_mac(n, g, mac);
	g->state = NEIGH_STALE;
}

/* The address whose MAC we need for `ip`; NULL if it is off the link and there is no gateway. */
static const uint8_t *next_hop(const struct net_if *n, const uint8_t *ip)
{
	uint32_t a, own;

	memcpy(&a, ip, 4);
	memcpy(&own, n->ip4, 4);
	if ((a & n->mask) == (own & n->mask))
		return ip;
	return memcmp(n->gw4, no_ip, 4) == 0 ? NULL : n->gw4;
}

const uint8_t *net_mac(struct net_if *n, const struct ipaddr *dst, uint64_t now_ns)
{
	const uint8_t *hop = next_hop(n, ipaddr_v4_bytes(dst));
	struct neigh *g;

	if (!hop)
		return NULL;
	g = find(n, hop);
	if (!g) {
		g = make(n, hop, now_ns);
		g->state = NEIGH_INCOMPLETE;
		probe(n, g, now_ns);
		return NULL;
	}
	g->used = now_ns;
	if (g->state == NEIGH_FAILED && now_ns >= g->due)
		g->state = NEIGH_INCOMPLETE;
	if (g->state == NEIGH_REACHABLE && now_ns >= g->due)
		g->state = NEIGH_STALE;
	if (g->state == NEIGH_STALE || g->state == NEIGH_INCOMPLETE)
		probe(n, g, now_ns);
	return has_mac(g) ? g->mac : NULL;
}

void net_learn(struct net_if *n, const struct net_pkt *p, uint64_t now_ns)
{
	const uint8_t *hop = next_hop(n, ipaddr_v4_bytes(&p->src));
	struct neigh *g;

	if (!hop)
		return;
	g = find(n, hop);
	if (!g)
		g = make(n, hop, now_ns);
	if (!has_mac(g)) {
		guess(n, g, p->src_mac);
		g->probing = false; /* start over, by unicast, at the next lookup */
	}
}

/* --- frames ---------------------------------------------------------------------------------- */

static uint32_t arp_frame(struct net_if *n, uint8_t *b, uint16_t op, const uint8_t *to,
			  const uint8_t *tha, const uint8_t *tpa)
{
	static const uint8_t fixed[8] = {0x08, 0x06, 0, 1, 8, 0, 6, 4};

	memcpy(b, to, 6);
	memcpy(b + 6, n->mac, 6);
	memcpy(b + 12, fixed, sizeof fixed);
	b[20] = 0;
	b[21] = (uint8_t)op;
	memcpy(b + 22, n->mac, 6);
	memcpy(b + 28, n->ip4, 4);
	memcpy(b + 32, tha, 6);
	memcpy(b + 38, tpa, 4);
	n->stats.arp_out++;
	return ARP_FRAME_LEN;
}

static uint32_t announce(struct net_if *n, uint8_t *buf)
{
	return arp_frame(n, buf, ARP_REQUEST, broadcast, no_mac, n->ip4);
}

/* Somebody else uses our address. We stay (RFC 5227 2.4(b)): a server that moved away would be gone
 * anyway, and only a person can tell which of the two is wrong. */
static uint32_t defend(struct net_if *n, const struct net_arp *a, uint64_t now, uint8_t *buf)
{
	struct ipaddr ip = ipaddr_v4(n->ip4);
	char text[IPADDR_TEXT];

	if (n->stats.conflicts++ == 0)
		log_warn("%02x:%02x:%02x:%02x:%02x:%02x also claims our address %s: take it away "
			 "from "
			 "that host or give this server another one",
			 a->sha[0], a->sha[1], a->sha[2], a->sha[3], a->sha[4], a->sha[5],
			 ipaddr_text(&ip, text));
	if (now < n->defend_due)
		return 0;
	n->defend_due = now + DEFEND_NS;
	return announce(n, buf);
}

static uint32_t answer_arp(struct net_if *n, const struct net_arp *a, uint64_t now, uint8_t *buf)
{
	bool for_us = memcmp(a->tpa, n->ip4, 4) == 0;
	bool probe_only = memcmp(a->spa, no_ip, 4) == 0; /* RFC 5227 2.1.1: it has no address yet */
	const uint8_t *hop = next_hop(n, a->spa);
	struct neigh *g;

	if (memcmp(a->sha, n->mac, 6) == 0)
		return 0; /* our own, reflected */
	if (memcmp(a->spa, n->ip4, 4) == 0)
		return defend(n, a, now, buf);
	if (!probe_only && hop == a->spa) {
		g = find(n, a->spa);
		if (a->op == ARP_REPLY) {
			if (g && g->probing && for_us)
				confirm(n, g, a->sha, now);
		} else if (g) {
			if (!has_mac(g) || memcmp(g->mac, a->sha, 6) != 0)
				guess(n, g, a->sha);
		} else if (for_us) {
			guess(n, make(n, a->spa, now), a->sha);
		}
	}
	if (a->op != ARP_REQUEST || !for_us)
		return 0;
	return arp_frame(n, buf, ARP_REPLY, a->sha, a->sha, a->spa);
}

/* RFC 1122 3.2.2.6. The request becomes the reply: addresses exchanged, type 0, options left out.
 */
static uint32_t answer_echo(struct net_if *n, const struct net_pkt *p, uint64_t now, uint8_t *buf)
{
	uint32_t limit = n->mtu < NET_CTL_MAX - NET_ETH_LEN ? n->mtu : NET_CTL_MAX - NET_ETH_LEN;
	uint8_t *icmp = buf + NET_HDR_LEN;
	struct net_hdr h;
	uint16_t check;

	if (NET_IP4_LEN + p->l4_len > limit) {
		n->stats.drop[NET_WHY_ICMP]++;
		return 0;
	}
	if (n->echo_tokens_ns < now)
		n->echo_tokens_ns = now;
	if (n->echo_tokens_ns >= now + ECHO_BURST * ECHO_NS) {
		n->stats.drop[NET_WHY_RATE]++;
		return 0;
	}
	n->echo_tokens_ns += ECHO_NS;
	/* Back where it came from: no look-up that a flood could use to fill the table. */
	net_hdr_init(&h, n, p->src_mac, &p->dst, &p->src, 1);
	net_hdr_write(&h, buf, p->l4_len, 0);
	memcpy(icmp, p->l4, p->l4_len);
	icmp[0] = 0;
	memset(icmp + 2, 0, 2);
	check = (uint16_t)~csum_add(icmp, p->l4_len, 0);
	memcpy(icmp + 2, &check, 2);
	n->stats.echo_out++;
	return NET_HDR_LEN + p->l4_len;
}

uint32_t net_answer(struct net_if *n, const struct net_pkt *p, uint64_t now_ns, uint8_t *buf)
{
	if (p->kind == NET_ARP)
		return answer_arp(n, &p->arp, now_ns, buf);
	if (p->kind == NET_ECHO)
		return answer_echo(n, p, now_ns, buf);
	return 0;
}

/* --- what we send unasked -------------------------------------------------------------------- */

/* A request is due for `g`: by unicast to the MAC we have, or to everybody. 0 when it was the last
 * straw: nobody answered. */
static uint32_t probe_due(struct net_if *n, struct neigh *g, uint64_t now, uint8_t *buf)
{
	const uint8_t *to = has_mac(g) && g->tries < NEIGH_TRIES - 1 ? g->mac : broadcast;

	if (g->tries == NEIGH_TRIES) {
		if (has_mac(g))
			n->gen++;
		g->state = NEIGH_FAILED;
		g->probing = false;
		g->due = now + FAILED_NS;
		n->stats.neigh_failed++;
		return 0;
	}
	g->tries++;
	g->due = now + PROBE_NS;
	return arp_frame(n, buf, ARP_REQUEST, to, no_mac, g->ip);
}

uint32_t net_poll(struct net_if *n, uint64_t now_ns, uint8_t *buf)
{
	uint64_t next = UINT64_MAX;

	if (n->announces && now_ns >= n->announce_due) {
		n->announces--;
		n->announce_due = now_ns + ANNOUNCE_NS;
		return announce(n, buf);
	}
	if (now_ns < n->timer)
		return 0;
	for (int i = 0; i < NEIGH_SETS * NEIGH_WAYS; i++) {
		struct neigh *g = &n->neigh[i / NEIGH_WAYS][i % NEIGH_WAYS];
		uint32_t len;

		if (g->state == NEIGH_FREE || !g->probing)
			continue;
		if (now_ns >= g->due) {
			len = probe_due(n, g, now_ns, buf);
			if (len)
				return len; /* n->timer is still past: the rest comes next call */
		}
		if (g->probing && g->due < next)
			next = g->due;
	}
	n->timer = next;
	return 0;
}

uint64_t net_next_timer(const struct net_if *n)
{
	if (n->announces && n->announce_due < n->timer)
		return n->announce_due;
	return n->timer;
}
