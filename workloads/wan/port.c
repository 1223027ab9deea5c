/* port: packet socket, neighbours and transmit burst of one side of the WAN box.
 *
 * Limits: neighbours must be on the link (the box sits between two subnets, each with its hosts on
 * it), at most WAN_NEIGHBOURS of them at a time. A MAC once known is asked for again every ten
 * seconds.
 */
#include "workloads/wan/port.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "workloads/wan/kernel.h"

#define SMALL_SLOTS 16384	/* requests and ACKs: 2 KiB each */
#define WHOLE_SLOTS 768		/* data: a whole GSO frame each */
#define WHOLE_LEN   (68 * 1024) /* the longest frame and the ring's own header */
#define LOOK_NS	    NSEC_PER_MSEC
#define ASK_NS	    (50 * NSEC_PER_MSEC)
#define REFRESH_NS  (10 * NSEC_PER_SEC)
#define FULL_WAITS  20 /* times of FULL_NS that a burst waits for room before it is dropped */
#define FULL_NS	    (50 * NSEC_PER_USEC)

static uint32_t word(const uint8_t ip4[4])
{
	return (uint32_t)ip4[0] << 24 | (uint32_t)ip4[1] << 16 | (uint32_t)ip4[2] << 8 | ip4[3];
}

int wan_port_open(struct wan_port *p, const char *ifname, bool take, bool whole,
		  const uint8_t own[2][4], struct errbuf *e)
{
	/* IPv4 to our MAC, for none of the box's own addresses, without a VLAN tag. */
	const struct sock_filter through[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 8),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct ethhdr, h_proto)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETH_HLEN + 16),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, word(own[0]), 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, word(own[1]), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0x40000),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct pktio_cfg cfg = {.ifname = ifname, .queues = 1, .rx_slots = 1};
	int err;

	memset(p, 0, sizeof *p);
	p->name = ifname;
	cfg.filter = take ? through : nothing;
	cfg.filter_len = take ? sizeof through / sizeof through[0] : 1;
	if (take) {
		cfg.rx_slots = whole ? WHOLE_SLOTS : SMALL_SLOTS;
		cfg.slot_len = whole ? WHOLE_LEN : 0;
	}
	p->arp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->arp_fd < 0)
		return errf(e, -errno, "socket: %s", strerror(errno));
	err = pktio_packet.open(&p->io, &cfg, e);
	if (err) {
		p->io = NULL;
		wan_port_close(p);
	}
	return err;
}

void wan_port_close(struct wan_port *p)
{
	if (p->io)
		p->io->ops->close(p->io);
	if (p->arp_fd > 0)
		close(p->arp_fd);
	p->io = NULL;
	p->arp_fd = -1;
}

/* The entry of ip4, or the one to overwrite: the emptiest, else the one longest not looked up. */
static struct wan_neighbour *entry_of(struct wan_port *p, const uint8_t ip4[4])
{
	uint32_t at = (uint32_t)rng_mix(word(ip4)) % WAN_NEIGHBOURS;
	struct wan_neighbour *oldest = NULL;

	for (int i = 0; i < 8; i++) { /* sets of eight */
		struct wan_neighbour *n = &p->neighbour[(at + (uint32_t)i) % WAN_NEIGHBOURS];

		if (n->used && memcmp(n->ip, ip4, 4) == 0)
			return n;
		if (!oldest || n->looked < oldest->looked)
			oldest = n;
	}
	memset(oldest, 0, sizeof *oldest);
	memcpy(oldest->ip, ip4, 4);
	oldest->used = true;
	return oldest;
}

const uint8_t *wan_port_resolve(struct wan_port *p, const uint8_t ip4[4], uint64_t now)
{
	struct wan_neighbour *n = entry_of(p, ip4);
	uint8_t mac[6];

	if (n->looked && now - n->looked < (n->known ? REFRESH_NS : LOOK_NS))
		return n->known ? n->mac : NULL;
	n->looked = now;
	if (wan_kernel_mac(p->arp_fd, p->name, ip4, mac) == 0) {
		memcpy(n->mac, mac, 6);
		n->known = true;
	} else if (!n->asked || now - n->asked >= ASK_NS) {
		n->asked = now;
		wan_kernel_ask(p->arp_fd, ip4);
	}
	return n->known ? n->mac : NULL;
}

static void port_flush(void *ctx)
{
	struct wan_port *p = ctx;
	int sent = 0, waits = 0;

	while (sent < p->ntx) {
		int n = p->io->ops->tx_burst(p->io, p->tx + sent, p->ntx - sent);
		struct timespec ts = {.tv_nsec = FULL_NS};

		if (n > 0) {
			sent += n;
			continue;
		}
		if (++waits > FULL_WAITS) {
			p->tx_dropped += (uint64_t)(p->ntx - sent);
			break;
		}
		p->tx_waits++;
		nanosleep(&ts, NULL);
	}
	p->ntx = 0;
}

static int port_emit(void *ctx, const struct wan_frame *f, uint32_t first, uint32_t n, uint64_t now)
{
	struct wan_port *p = ctx;
	const uint8_t *mac = wan_port_resolve(p, f->dst, now);

	if (!mac)
		return -EAGAIN;
	if (p->ntx == PKTIO_BURST)
		port_flush(p);
	wan_frame_cut(f, first, n, p->io->mac, mac, p->hdr[p->ntx], &p->tx[p->ntx]);
	p->ntx++;
	return 0;
}

struct wan_out wan_port_out(struct wan_port *p)
{
	return (struct wan_out){.emit = port_emit, .flush = port_flush, .ctx = p};
}
