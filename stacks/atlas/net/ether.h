/* ether: the one place that parses and builds packets below TCP: Ethernet, ARP, IPv4, ICMP.
 *
 * Everything received is hostile. net_parse() checks every length once and hands out a struct
 * net_pkt whose pointers stay inside the frame; what is wrong is dropped in silence and counted by
 * reason. TCP itself is not parsed here: `l4`, `l4_len` are ready for tcp_parse().
 *
 * One struct net_if belongs to one worker thread. No system call, no allocation, no clock of its
 * own
 * (`now_ns` is CLOCK_MONOTONIC or virtual). Addresses of packets are struct ipaddr, so that IPv6
 * can come without changing a caller.
 *
 * RFC 791, 792, 826, 1071, 1122 3.2, 1191, 5227, 6864, 6890.
 */
#ifndef ATLAS_NET_ETHER_H
#define ATLAS_NET_ETHER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "base/ipaddr.h"
#include "stacks/atlas/net/csum.h"
#include "stacks/atlas/net/pktio.h"

#define NET_ETH_LEN   14
#define NET_IP4_LEN   20
#define NET_HDR_LEN   (NET_ETH_LEN + NET_IP4_LEN) /* what net_hdr_write() writes */
#define NET_CTL_MAX   1514 /* longest frame net_answer() or net_poll() builds */
#define NET_PROTO_TCP 6
#define NET_TTL	      64

enum net_kind {
	NET_DROP,    /* say nothing; net_pkt.why says why */
	NET_TCP,     /* l4, l4_len, src, dst; checksum verified or vouched for */
	NET_ARP,     /* for net_answer() */
	NET_ECHO,    /* ICMP echo request: for net_answer() */
	NET_UNREACH, /* destination unreachable quoting a TCP segment of ours: `quote` */
};

enum net_why {
	NET_WHY_SHORT,	   /* a header does not fit into the frame */
	NET_WHY_TRUNC,	   /* only the head of the frame is here: as if it were lost */
	NET_WHY_NOT_OURS,  /* another MAC or IP address, or a broadcast */
	NET_WHY_ETHERTYPE, /* neither ARP nor IPv4 */
	NET_WHY_ARP,	   /* malformed ARP */
	NET_WHY_IP_HDR,	   /* version, header length or total length wrong */
	NET_WHY_IP_CSUM,
	NET_WHY_FRAGMENT,
	NET_WHY_MARTIAN, /* a source address nobody may send from (RFC 1122 3.2.1.3, 6890) */
	NET_WHY_PROTO,	 /* neither TCP nor ICMP */
	NET_WHY_L4_CSUM,
	NET_WHY_ICMP, /* a type we have no use for, or malformed */
	NET_WHY_RATE, /* more echo requests than we answer */
	NET_WHY_N,
};
extern const char *const net_why_name[NET_WHY_N]; /* for statistics: "ip_csum" ... */

/* A TCP segment of ours that an ICMP message quotes. Anyone can forge it: TCP must check `seq`
 * (RFC 5927). */
struct net_quote {
	struct ipaddr local, remote;
	uint16_t lport, rport; /* host byte order */
	uint32_t seq;
	uint8_t code; /* 4: fragmentation needed, `mtu` is what fits; else 0 there */
	uint16_t mtu;
};

struct net_arp {
	uint16_t op; /* 1 request, 2 reply */
	uint8_t sha[6], spa[4], tha[6], tpa[4];
};

/* One parsed frame; pointers are borrowed from the frame. */
struct net_pkt {
	enum net_kind kind;
	enum net_why why;	/* if NET_DROP */
	const uint8_t *src_mac; /* 6 bytes */
	struct ipaddr src, dst; /* not for ARP */
	uint8_t *l4;		/* TCP or ICMP header */
	uint32_t l4_len;	/* bytes from there to the end of the IP packet */
	uint16_t gso_size;	/* the frame stands for segments of this size; 0: for one */
	struct net_quote quote;
	struct net_arp arp;
};

#define NEIGH_SETS 128
#define NEIGH_WAYS 4

enum neigh_state {
	NEIGH_FREE,
	NEIGH_INCOMPLETE, /* asked for, MAC unknown */
	NEIGH_STALE,	  /* MAC usable, not confirmed (lately) */
	NEIGH_REACHABLE,
	NEIGH_FAILED, /* nobody answered; not asked again before `due` */
};

struct neigh {
	uint8_t ip[4], mac[6];
	uint8_t state; /* enum neigh_state */
	uint8_t tries; /* requests sent since the last answer */
	bool probing;  /* `due` is the time of the next request */
	uint64_t due;  /* next request, end of REACHABLE or of FAILED */
	uint64_t used; /* last time looked up: the eviction order */
};

struct net_stats {
	uint64_t drop[NET_WHY_N];
	uint64_t tcp, arp_in, echo_in, unreach_in, arp_out, echo_out;
	uint64_t neigh_failed, neigh_evicted, conflicts;
};

/* Who we are on one interface, and whom we know there. Private but for the first block and stats.
 */
struct net_if {
	uint8_t mac[6], ip4[4], gw4[4]; /* gw4 0.0.0.0: none */
	int prefix;
	uint16_t mtu;
	uint32_t gen; /* changes whenever a known neighbour's MAC does: cached headers are old then
		       */
	struct net_stats stats;

	uint32_t mask; /* network byte order */
	uint8_t announces;
	uint64_t announce_due, defend_due, timer;
	uint64_t echo_tokens_ns; /* time up to which echo replies are paid for */
	struct neigh neigh[NEIGH_SETS][NEIGH_WAYS];
};

/* Set up; announces itself (RFC 5227 2.3) from the first net_poll() on. `gw` may be NULL. 0 or
 * -EINVAL with a sentence (gateway not on the link, impossible prefix). */
int net_if_init(struct net_if *n, const uint8_t mac[6], const struct ipaddr *ip, int prefix,
		const struct ipaddr *gw, uint16_t mtu, struct errbuf *e);

/* Parse one received frame. Counts in n->stats; returns out->kind. */
enum net_kind net_parse(struct net_if *n, const struct pkt_rx *rx, struct net_pkt *out);

/* --- neighbours (neigh.c) ------------------------------------------------------------------- */

/* Handle NET_ARP and NET_ECHO: learns from it and writes the answer, a complete frame without
 * offload, to `buf` (NET_CTL_MAX bytes). Returns its length, 0 for no answer. */
uint32_t net_answer(struct net_if *n, const struct net_pkt *p, uint64_t now_ns, uint8_t *buf);

/* The next control frame of our own that is due (announcement, ARP request), into `buf`
 * (NET_CTL_MAX bytes). Returns its length, 0 if none. Call until it returns 0; cheap when idle. */
uint32_t net_poll(struct net_if *n, uint64_t now_ns, uint8_t *buf);
/* When to call net_poll() next; UINT64_MAX if nothing is planned. */
uint64_t net_next_timer(const struct net_if *n);

/* Remember the sender's MAC of a SYN as a guess, so that the answer needs no wait. Never replaces
 * what was confirmed: a guess is used at once and confirmed by ARP meanwhile. */
void net_learn(struct net_if *n, const struct net_pkt *p, uint64_t now_ns);

/* MAC to which packets for `dst` go (itself, or the gateway if it is not on the link), borrowed
 * until the next call of any net_ function. NULL: not known; an ARP request is under way. Cheap
 * enough to be called per frame. */
const uint8_t *net_mac(struct net_if *n, const struct ipaddr *dst, uint64_t now_ns);

/* --- building ------------------------------------------------------------------------------- */

/* Ethernet and IPv4 header of one destination, ready but for length and id. */
struct net_hdr {
	uint8_t b[NET_HDR_LEN];
	uint16_t ip_sum;     /* of the header with length and id 0 */
	uint16_t pseudo_sum; /* of the pseudo-header with length 0 */
};

void net_hdr_init(struct net_hdr *h, const struct net_if *n, const uint8_t dst_mac[6],
		  const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto);

/* Only the MAC changed (n->gen moved, net_mac() gave another one). */
static inline void net_hdr_set_mac(struct net_hdr *h, const uint8_t dst_mac[6])
{
	memcpy(h->b, dst_mac, 6);
}

/* Write both headers (NET_HDR_LEN bytes) for a packet with l4_len bytes behind them, at most
 * 65,515; DF is set (path MTU discovery), so `id` may be anything (RFC 6864). */
static inline void net_hdr_write(const struct net_hdr *h, uint8_t *out, uint32_t l4_len,
				 uint16_t id)
{
	uint16_t len = htons((uint16_t)(NET_IP4_LEN + l4_len)), idn = htons(id), check;

	memcpy(out, h->b, NET_HDR_LEN);
	check = (uint16_t)~csum_fold((uint32_t)h->ip_sum + len + idn);
	memcpy(out + NET_ETH_LEN + 2, &len, 2);
	memcpy(out + NET_ETH_LEN + 4, &idn, 2);
	memcpy(out + NET_ETH_LEN + 10, &check, 2);
}

/* What the checksum field of TCP must hold when the device fills it in (pkt_tx.csum_start): the sum
 * of the pseudo-header, as in memory. */
static inline uint16_t net_hdr_pseudo(const struct net_hdr *h, uint32_t l4_len)
{
	return csum_fold((uint32_t)h->pseudo_sum + htons((uint16_t)l4_len));
}

/* The whole TCP checksum in software, for when offload is off: the pieces are the TCP header (its
 * checksum field 0) and payload, l4_len bytes in all. Result as in memory. */
static inline uint16_t net_hdr_l4_csum(const struct net_hdr *h, const struct iovec *iov, int niov,
				       uint32_t l4_len)
{
	return (uint16_t)~csum_iov(iov, niov, net_hdr_pseudo(h, l4_len));
}

#endif
