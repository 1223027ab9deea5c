/* frame: a forwarded Ethernet frame as the WAN box sees it: perhaps a GSO packet that stands for
 * many segments, of which any run can be sent as a frame of its own.
 *
 * Pure. IPv4 only; pointers are borrowed.
 */
#ifndef WORKLOADS_WAN_FRAME_H
#define WORKLOADS_WAN_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "stacks/atlas/net/pktio.h"
#include "workloads/wan/wan.h"

#define WAN_HDR_MAX  134 /* Ethernet, IPv4 and TCP with all options */
#define WAN_CHUNK    8192
#define WAN_BODY_IOV 9 /* pieces of WAN_CHUNK that the longest body needs */

_Static_assert(WAN_BODY_IOV *WAN_CHUNK >= PKT_MAX_LEN, "the longest frame fits its pieces");
_Static_assert(WAN_BODY_IOV + 2 <= PKT_IOV_MAX, "a run of a frame fits one pkt_tx");

struct wan_frame {
	uint8_t hdr[WAN_HDR_MAX]; /* Ethernet to TCP header; of other protocols what fits */
	uint8_t hdr_len;
	uint8_t l4; /* offset of the TCP header; 0: not TCP */
	uint8_t dst[4];
	bool csum; /* the TCP (UDP, ICMP) checksum is not filled in yet */
	uint16_t csum_start, csum_offset;
	uint16_t gso_size; /* 0: a single packet */
	uint16_t segs;	   /* packets on a real wire, >= 1 */
	uint32_t body_len;
	uint64_t flow; /* same for both directions and all packets of a flow */
	/* The body, in pieces; every piece but the last is WAN_CHUNK long if there are several. */
	struct iovec body[WAN_BODY_IOV];
	int nbody;
};

/* Describe a received frame. 0, or -EINVAL: not IPv4 of a shape that can be forwarded (cut off,
 * another GSO type, TTL used up: -ETIME). */
int wan_frame_parse(struct wan_frame *f, const struct pkt_rx *rx, enum wan_dir dir);

/* Length on a real wire of segment i (Ethernet header included). */
uint32_t wan_frame_seg_len(const struct wan_frame *f, uint32_t i);

/* Segments [first, first + n) as a frame to send: fills `t` (its iov[1] is `hdr`, WAN_HDR_MAX bytes
 * that must live as long as t; the body is borrowed from f). The TTL goes down by one. */
void wan_frame_cut(const struct wan_frame *f, uint32_t first, uint32_t n, const uint8_t src_mac[6],
		   const uint8_t dst_mac[6], uint8_t *hdr, struct pkt_tx *t);

#endif
