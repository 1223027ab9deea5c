/* port: one side of the WAN box: frames in by a packet socket, frames out in bursts to neighbours
 * whose MAC the kernel knows.
 *
 * One thread. Blocks only in wan_port_open(), and for at most a millisecond when the kernel has no
 * room.
 */
#ifndef WORKLOADS_WAN_PORT_H
#define WORKLOADS_WAN_PORT_H

#include "stacks/atlas/net/pktio.h"
#include "workloads/wan/frame.h"
#include "workloads/wan/path.h"

#define WAN_NEIGHBOURS 256

struct wan_neighbour {
	uint8_t ip[4], mac[6];
	bool used, known;
	uint64_t looked; /* ns, last look into the kernel's table */
	uint64_t asked;	 /* last time the kernel was made to ask */
};

struct wan_port {
	const char *name;
	struct pktio *io;
	int arp_fd;
	struct wan_neighbour neighbour[WAN_NEIGHBOURS];
	struct pkt_tx tx[PKTIO_BURST];
	uint8_t hdr[PKTIO_BURST][WAN_HDR_MAX];
	int ntx;
	uint64_t tx_dropped, tx_waits;
};

/* `take`: receive what the kernel would forward, that is all unicast IPv4 but for the box's own two
 * addresses; else nothing. `whole`: make room for frames of 64 KiB. */
int wan_port_open(struct wan_port *p, const char *ifname, bool take, bool whole,
		  const uint8_t own[2][4], struct errbuf *e);
void wan_port_close(struct wan_port *p);

/* Find out the MAC of an address on this side, without waiting. NULL: not known yet. */
const uint8_t *wan_port_resolve(struct wan_port *p, const uint8_t ip4[4], uint64_t now);
/* For a path: out.ctx is the port. */
struct wan_out wan_port_out(struct wan_port *p);

#endif
