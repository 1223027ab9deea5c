/* packet: the pktio back end that needs nothing but a network interface: AF_PACKET.
 *
 * Receive: a TPACKET_V2 ring shared with the kernel, slots of 2 KiB or as asked. A classic BPF
 * filter takes ARP and IPv4 frames for our own address and nothing that this host sent itself.
 * Nearly every frame is an ACK and fits its slot; a longer one (a request merged by GSO) is also
 * queued whole by the kernel (PACKET_COPY_THRESH, TP_STATUS_COPY) and read into a side buffer, so
 * that PKT_RX_TRUNC is never given out. If that queue was full the frame counts as dropped by the
 * network: TCP repeats it.
 *
 * Transmit: a second socket, bound with protocol 0 so that it receives nothing. sendmmsg gathers
 * virtio header | headers | payload pieces; the kernel copies them once into pages of its own, so a
 * frame is done when the call returns (tx_sync). One GSO packet of up to 64 KiB costs little more
 * than one of 1.5 KB: the virtio header tells the kernel how to cut it and where the checksum
 * belongs. A queueing discipline is bypassed: ENOBUFS from the driver says "later", the caller
 * keeps the frame. On that way the kernel does not cut GSO frames in software, it throws them away
 * with the same ENOBUFS: where the interface does not segment by itself, or keeps refusing a GSO
 * frame (64 KiB and longer, a lowered gso_max_size), the ordinary way is taken.
 *
 * Limits: Ethernet interfaces; one queue a worker, spread by the kernel's flow hash
 * (PACKET_FANOUT), which sends all ARP to one of them. Needs CAP_NET_RAW in the network namespace.
 *
 * packet(7), Documentation/networking/packet_mmap.rst, VIRTIO 1.1 5.1.6.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stacks/atlas/net/pktio.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define STUCK_MAX     32 /* refusals of a GSO frame in a row before the bypass is given up */
#define SLOT_DEFAULT  2048
#define BLOCK_LEN     (256 * 1024) /* at least */
#define PAGE_LEN      4096
#define SLOTS_DEFAULT 4096
#define SLOTS_MAX     65536
#define LONG_BUFS     4 /* frames longer than a slot that one burst may hold */
#define LONG_LEN      (sizeof(struct virtio_net_hdr) + PKT_MAX_LEN)
#define SNDBUF	      (256 << 20) /* the driver's ENOBUFS is the limit, not the socket */
#define RCVBUF	      (16 << 20)  /* for frames longer than a slot */

struct packet_io {
	struct pktio io;
	int tx_fd, ifindex;
	uint8_t *ring;
	size_t ring_len, slot_len;
	unsigned int slots, head, held; /* slots [head - held, head) are the caller's */
	unsigned int long_used;
	uint8_t *long_buf; /* LONG_BUFS of LONG_LEN */
	bool bypass;	   /* no queueing discipline in between */
	unsigned int stuck;
	struct pktio_stats st;
	struct virtio_net_hdr vh[PKTIO_BURST];
	struct mmsghdr mm[PKTIO_BURST];
};

static struct packet_io *packet_of(const struct pktio *io)
{
	return (struct packet_io *)io;
}

/* --- receive --------------------------------------------------------------------------------- */

static struct tpacket2_hdr *slot(const struct packet_io *p, unsigned int i)
{
	return (struct tpacket2_hdr *)(p->ring + (size_t)i * p->slot_len);
}

static void fill_rx(struct pkt_rx *v, uint8_t *frame, uint32_t len, const struct virtio_net_hdr *vh,
		    const struct tpacket2_hdr *h)
{
	v->time_ns = h->tp_sec * 1000000000ull + h->tp_nsec;
	v->data = frame;
	v->len = v->wire_len = len;
	v->gso_size = vh->gso_type == VIRTIO_NET_HDR_GSO_NONE ? 0 : vh->gso_size;
	v->flags = 0;
	if (vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		v->flags |= PKT_RX_CSUM_NONE;
	else if (vh->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		v->flags |= PKT_RX_CSUM_GOOD;
}

/* The whole of a frame that was longer than its slot, from the socket's queue. Returns 0 if it
 * can't be had: the frame is lost. */
static int read_long(struct packet_io *p, struct pkt_rx *v, const struct tpacket2_hdr *h)
{
	uint8_t *b = p->long_buf + (size_t)p->long_used * LONG_LEN;
	struct virtio_net_hdr vh;
	ssize_t n;

	p->st.rx_calls++;
	n = recv(p->io.fd, b, LONG_LEN, MSG_DONTWAIT | MSG_TRUNC);
	if (n < (ssize_t)(sizeof vh + ETH_HLEN) || (size_t)n > LONG_LEN)
		return 0;
	p->long_used++;
	memcpy(&vh, b, sizeof vh);
	fill_rx(v, b + sizeof vh, (uint32_t)((size_t)n - sizeof vh), &vh, h);
	return 1;
}

static int packet_rx_burst(struct pktio *io, struct pkt_rx *v, int max)
{
	struct packet_io *p = packet_of(io);
	int n = 0;

	while (n < max && p->held < p->slots) {
		struct tpacket2_hdr *h = slot(p, p->head);
		uint32_t status = __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
		struct virtio_net_hdr vh;
		uint8_t *frame = (uint8_t *)h + h->tp_mac;

		if (!(status & TP_STATUS_USER))
			break;
		if (h->tp_len > h->tp_snaplen) {
			if ((status & TP_STATUS_COPY) && p->long_used == LONG_BUFS)
				break; /* the next burst takes it */
			if ((status & TP_STATUS_COPY) && read_long(p, &v[n], h))
				p->st.rx_bytes += v[n++].len;
			else
				p->st.rx_dropped++;
		} else {
			memcpy(&vh, frame - sizeof vh, sizeof vh);
			fill_rx(&v[n], frame, h->tp_snaplen, &vh, h);
			p->st.rx_bytes += v[n++].len;
		}
		p->head = p->head + 1 == p->slots ? 0 : p->head + 1;
		p->held++;
	}
	p->st.rx_frames += (uint64_t)n;
	return n;
}

static void packet_rx_done(struct pktio *io)
{
	struct packet_io *p = packet_of(io);
	unsigned int i = (p->head + p->slots - p->held) % p->slots;

	for (; p->held; p->held--, i = i + 1 == p->slots ? 0 : i + 1)
		__atomic_store_n(&slot(p, i)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	p->long_used = 0;
}

/* --- transmit -------------------------------------------------------------------------------- */

static void fill_vnet(struct virtio_net_hdr *vh, const struct pkt_tx *t)
{
	memset(vh, 0, sizeof *vh);
	if (t->csum_start) {
		vh->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vh->csum_start = t->csum_start;
		vh->csum_offset = t->csum_offset;
	}
	if (t->gso_size) {
		vh->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		vh->gso_size = t->gso_size;
		vh->hdr_len = t->hdr_len;
	}
}

/* Is this errno about one frame, so that the ones behind it may pass? */
static int frame_is_bad(int err)
{
	return err == EINVAL || err == EMSGSIZE || err == EFAULT;
}

static int set_int(int fd, int level, int name, int v)
{
	return setsockopt(fd, level, name, &v, sizeof v) ? -errno : 0;
}

/* The kernel had no room. Is it always the same GSO frame that it can't take on the short way? */
static int refused(struct packet_io *p, const struct pkt_tx *first)
{
	p->st.tx_nobufs++;
	if (p->bypass && first->gso_size && ++p->stuck == STUCK_MAX)
		p->bypass = set_int(p->tx_fd, SOL_PACKET, PACKET_QDISC_BYPASS, 0) != 0;
	return -ENOBUFS;
}

static int packet_tx_burst(struct pktio *io, struct pkt_tx *v, int n)
{
	struct packet_io *p = packet_of(io);
	int r;

	if (n > PKTIO_BURST)
		n = PKTIO_BURST;
	for (int i = 0; i < n; i++) {
		fill_vnet(&p->vh[i], &v[i]);
		v[i].iov[0] = (struct iovec){.iov_base = &p->vh[i], .iov_len = sizeof p->vh[i]};
		p->mm[i].msg_hdr.msg_iov = v[i].iov;
		p->mm[i].msg_hdr.msg_iovlen = v[i].niov;
	}
	do {
		p->st.tx_calls++;
		r = sendmmsg(p->tx_fd, p->mm, (unsigned int)n, MSG_DONTWAIT);
	} while (r < 0 && errno == EINTR);
	if (r < 0) {
		if (frame_is_bad(errno)) {
			p->st.tx_errors++; /* it will never pass: taken, and gone */
			return 1;
		}
		if (errno != ENOBUFS && errno != EAGAIN)
			p->st.tx_errors++; /* link down: kept, like a full queue */
		return refused(p, v);
	}
	p->stuck = 0;
	p->st.tx_frames += (uint64_t)r;
	for (int i = 0; i < r; i++)
		p->st.tx_bytes += v[i].len;
	p->st.tx_copied_bytes = p->st.tx_bytes;
	return r;
}

/* Everything is done when tx_burst returns. */
static int packet_tx_done(struct pktio *io, void **cookies, int max)
{
	(void)io;
	(void)cookies;
	(void)max;
	return 0;
}

/* Reading SO_ERROR takes the error, and with it POLLERR. */
static int packet_trouble(struct pktio *io)
{
	struct packet_io *p = packet_of(io);
	struct ifreq r = {.ifr_ifindex = p->ifindex};
	socklen_t len = sizeof(int);
	int err;

	getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return ioctl(p->tx_fd, SIOCGIFNAME, &r) && errno == ENODEV ? -ENODEV : 0;
}

static void packet_stats(const struct pktio *io, struct pktio_stats *s)
{
	struct packet_io *p = packet_of(io);
	struct tpacket_stats k;
	socklen_t len = sizeof k;

	/* The kernel zeroes its counters when they are read, so they are added up here. */
	if (getsockopt(io->fd, SOL_PACKET, PACKET_STATISTICS, &k, &len) == 0)
		p->st.rx_dropped += k.tp_drops;
	*s = p->st;
}

/* --- open and close -------------------------------------------------------------------------- */

/* Would the kernel answer for our address too? */
static int kernel_owns(const uint8_t ip4[4], char *ifname, size_t size)
{
	struct ifaddrs *list, *a;
	int owns = 0;

	if (getifaddrs(&list))
		return 0;
	for (a = list; a && !owns; a = a->ifa_next) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)a->ifa_addr;

		if (!in || in->sin_family != AF_INET || memcmp(&in->sin_addr, ip4, 4) != 0)
			continue;
		snprintf(ifname, size, "%s", a->ifa_name);
		owns = 1;
	}
	freeifaddrs(list);
	return owns;
}

static int check_interface(struct packet_io *p, const struct pktio_cfg *cfg, int *ifindex,
			   struct errbuf *e)
{
	const uint8_t *ip = cfg->ip4;
	char owner[IF_NAMESIZE];
	struct ifreq r = {0};
	int fd = p->tx_fd;

	if (strlen(cfg->ifname) >= sizeof r.ifr_name)
		return errf(e, -ENODEV, "interface name %s is longer than 15 characters",
			    cfg->ifname);
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", cfg->ifname);
	if (ioctl(fd, SIOCGIFINDEX, &r))
		return errf(e, -ENODEV,
			    "no interface %s in this network namespace; `ip link` lists those "
			    "there are",
			    cfg->ifname);
	*ifindex = p->ifindex = r.ifr_ifindex;
	if (ioctl(fd, SIOCGIFFLAGS, &r) || !(r.ifr_flags & IFF_UP))
		return errf(e, -ENETDOWN, "interface %s is down; `ip link set %s up` brings it up",
			    cfg->ifname, cfg->ifname);
	if (ioctl(fd, SIOCGIFHWADDR, &r) || r.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return errf(e, -EINVAL, "interface %s is not Ethernet; choose one that is",
			    cfg->ifname);
	memcpy(p->io.mac, r.ifr_hwaddr.sa_data, 6);
	if (ioctl(fd, SIOCGIFMTU, &r))
		return errf(e, -errno, "MTU of %s: %s", cfg->ifname, strerror(errno));
	p->io.mtu = (uint16_t)(r.ifr_mtu > 65535 ? 65535 : r.ifr_mtu);
	if (!cfg->filter && kernel_owns(ip, owner, sizeof owner))
		return errf(e, -EADDRINUSE,
			    "the kernel owns %u.%u.%u.%u on %s and would reset our connections; "
			    "give us "
			    "another address, or remove it with `ip addr del`",
			    ip[0], ip[1], ip[2], ip[3], owner);
	return 0;
}

/* ARP to us or to all, IPv4 to our MAC and address, nothing with a VLAN tag. */
static int set_filter(int fd, const struct pktio_cfg *cfg)
{
	const uint8_t *ip4 = cfg->ip4;
	uint32_t ip =
		(uint32_t)ip4[0] << 24 | (uint32_t)ip4[1] << 16 | (uint32_t)ip4[2] << 8 | ip4[3];
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 8),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_BROADCAST, 6, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct ethhdr, h_proto)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETH_HLEN + 16),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ip, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0x40000),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.len = sizeof code / sizeof code[0], .filter = code};

	if (cfg->filter)
		prog = (struct sock_fprog){.len = cfg->filter_len,
					   .filter = (struct sock_filter *)cfg->filter};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) ? -errno : 0;
}

static int bind_to(int fd, int ifindex, uint16_t proto)
{
	struct sockaddr_ll sl = {.sll_family = AF_PACKET, .sll_ifindex = ifindex};

	sl.sll_protocol = htons(proto);
	return bind(fd, (struct sockaddr *)&sl, sizeof sl) ? -errno : 0;
}

static int open_ring(struct packet_io *p, const struct pktio_cfg *cfg)
{
	unsigned int slots = cfg->rx_slots ? cfg->rx_slots : SLOTS_DEFAULT;
	unsigned int len = cfg->slot_len <= SLOT_DEFAULT
				   ? SLOT_DEFAULT
				   : (cfg->slot_len + PAGE_LEN - 1) / PAGE_LEN * PAGE_LEN;
	unsigned int per_block = (BLOCK_LEN + len - 1) / len, blocks;
	struct tpacket_req q;

	slots = slots > SLOTS_MAX ? SLOTS_MAX : slots;
	blocks = (slots + per_block - 1) / per_block;
	q = (struct tpacket_req){.tp_block_size = per_block * len,
				 .tp_block_nr = blocks,
				 .tp_frame_size = len,
				 .tp_frame_nr = blocks * per_block};
	p->slot_len = len;
	if (setsockopt(p->io.fd, SOL_PACKET, PACKET_RX_RING, &q, sizeof q))
		return -errno;
	p->slots = q.tp_frame_nr;
	p->ring_len = (size_t)q.tp_block_size * blocks;
	p->ring = mmap(NULL, p->ring_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		       p->io.fd, 0);
	if (p->ring == MAP_FAILED) {
		p->ring = NULL;
		return -errno;
	}
	return 0;
}

/* Until the group is joined every socket gets every frame: forget those. */
static int join_fanout(struct packet_io *p, const struct pktio_cfg *cfg)
{
	int err, arg = cfg->fanout_id | PACKET_FANOUT_HASH << 16;

	if (cfg->queues < 2)
		return 0;
	err = set_int(p->io.fd, SOL_PACKET, PACKET_FANOUT, arg);
	if (err)
		return err;
	for (struct pkt_rx v[PKTIO_BURST]; packet_rx_burst(&p->io, v, PKTIO_BURST) > 0;)
		packet_rx_done(&p->io);
	packet_rx_done(&p->io);
	memset(&p->st, 0, sizeof p->st);
	return 0;
}

static int open_rx(struct packet_io *p, const struct pktio_cfg *cfg, int ifindex, struct errbuf *e)
{
	int fd = p->io.fd, err;

	err = set_int(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
	if (!err)
		err = set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (!err)
		err = set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	if (!err)
		err = set_int(fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
	if (!err)
		err = set_filter(fd, cfg);
	if (err)
		return errf(e, err,
			    "AF_PACKET socket option refused (%s); Linux 4.20 or later is needed",
			    strerror(-err));
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF))
		set_int(fd, SOL_SOCKET, SO_RCVBUF, RCVBUF); /* as much as an ordinary user may */
	err = open_ring(p, cfg);
	if (err)
		return errf(e, err, "receive ring of %u slots for %s: %s; ask for fewer",
			    cfg->rx_slots ? cfg->rx_slots : SLOTS_DEFAULT, cfg->ifname,
			    strerror(-err));
	/* Only now may frames come: the filter and the ring are in place. */
	err = bind_to(fd, ifindex, ETH_P_ALL);
	if (!err)
		err = join_fanout(p, cfg);
	if (err)
		return errf(e, err, "bind to %s (queue %u of %u): %s", cfg->ifname, cfg->queue,
			    cfg->queues, strerror(-err));
	return 0;
}

/* Does the interface cut GSO frames by itself? */
static bool has_tso(int fd, const char *ifname)
{
	struct ethtool_value v = {.cmd = ETHTOOL_GTSO};
	struct ifreq r = {.ifr_data = (char *)&v};

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", ifname);
	return ioctl(fd, SIOCETHTOOL, &r) == 0 && v.data;
}

static int open_tx(struct packet_io *p, const struct pktio_cfg *cfg, int ifindex, struct errbuf *e)
{
	int fd = p->tx_fd, err;

	err = set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	p->bypass = has_tso(fd, cfg->ifname);
	if (!err && p->bypass)
		err = set_int(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
	if (!err)
		err = bind_to(fd, ifindex, 0);
	if (err)
		return errf(e, err, "AF_PACKET transmit socket on %s: %s", cfg->ifname,
			    strerror(-err));
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SNDBUF))
		set_int(fd, SOL_SOCKET, SO_SNDBUF, SNDBUF);
	return 0;
}

static void packet_close(struct pktio *io)
{
	struct packet_io *p = packet_of(io);

	if (p->ring)
		munmap(p->ring, p->ring_len);
	if (p->io.fd >= 0)
		close(p->io.fd);
	if (p->tx_fd >= 0)
		close(p->tx_fd);
	free(p->long_buf);
	free(p);
}

static int packet_open(struct pktio **out, const struct pktio_cfg *cfg, struct errbuf *e)
{
	struct packet_io *p = calloc(1, sizeof *p);
	int ifindex = 0, err;

	if (!p)
		return errf(e, -ENOMEM, "no memory for the packet back end");
	p->io = (struct pktio){.ops = &pktio_packet, .tx_sync = 1};
	p->io.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = -errno;
	p->tx_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->io.fd < 0 || p->tx_fd < 0) {
		errf(e, err,
		     "AF_PACKET: %s; raw packets need CAP_NET_RAW: run as root, or under `unshare "
		     "-rn`",
		     strerror(-err));
		goto fail;
	}
	p->long_buf = malloc(LONG_BUFS * LONG_LEN);
	if (!p->long_buf) {
		err = errf(e, -ENOMEM, "no memory for the packet back end");
		goto fail;
	}
	err = check_interface(p, cfg, &ifindex, e);
	if (!err)
		err = open_tx(p, cfg, ifindex, e);
	if (!err)
		err = open_rx(p, cfg, ifindex, e);
	if (err)
		goto fail;
	*out = &p->io;
	return 0;
fail:
	packet_close(&p->io);
	return err;
}

const struct pktio_ops pktio_packet = {
	.name = "packet",
	.open = packet_open,
	.rx_burst = packet_rx_burst,
	.rx_done = packet_rx_done,
	.tx_burst = packet_tx_burst,
	.tx_done = packet_tx_done,
	.trouble = packet_trouble,
	.stats = packet_stats,
	.close = packet_close,
};
