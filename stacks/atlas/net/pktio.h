/* pktio: bursts of raw Ethernet frames in and out of one interface queue.
 *
 * A back end is a const table of hooks (packet: AF_PACKET; pair: in memory, for tests). One struct
 * pktio belongs to one worker thread; no hook may be called from two threads, none blocks (`open`
 * and `close` may), none allocates after `open`.
 *
 * Frames may be GSO-sized in both directions (up to 64 KiB of payload behind one header) and may
 * come without a checksum, as virtio-net describes it (VIRTIO 1.1, 5.1.6).
 */
#ifndef ATLAS_NET_PKTIO_H
#define ATLAS_NET_PKTIO_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/errbuf.h"

#define PKTIO_BURST 64	  /* most frames one call takes or gives */
#define PKT_IOV_MAX 16	  /* pieces of one transmitted frame, the back end's own included */
#define PKT_MAX_LEN 65549 /* Ethernet header + the largest IPv4 packet */

enum pkt_rx_flags {
	PKT_RX_CSUM_NONE = 1, /* the checksum was not filled in yet (local peer): do not verify */
	PKT_RX_CSUM_GOOD = 2, /* the device has verified it */
	PKT_RX_TRUNC = 4,     /* `len` < `wire_len`: only the head of the frame is here */
};

struct pkt_rx {
	uint8_t *data;	   /* the Ethernet header; writable, valid until rx_done */
	uint32_t len;	   /* bytes at data */
	uint32_t wire_len; /* bytes the frame had */
	uint16_t gso_size; /* segment size if the frame stands for several, else 0 */
	uint16_t flags;	   /* enum pkt_rx_flags */
	uint64_t time_ns;  /* when it came, CLOCK_REALTIME; 0: not known */
};

struct pkt_tx {
	struct iovec iov[PKT_IOV_MAX]; /* [0] is the back end's; the caller fills [1, niov), */
	uint16_t niov;		       /* iov[1] starting with the Ethernet header */
	uint16_t gso_size;	       /* MSS to segment by, 0 = send as it is */
	uint16_t hdr_len;	       /* Ethernet to TCP header, bytes; used if gso_size */
	uint16_t csum_start;  /* L4 header from the frame's start; 0 = checksum is complete */
	uint16_t csum_offset; /* checksum field from csum_start; it holds the pseudo sum */
	uint32_t len;	      /* sum of iov[1..niov) */
	void *cookie;	      /* the caller's, comes back through tx_done */
};

struct pktio_stats {
	uint64_t rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_calls, rx_calls;
	uint64_t tx_nobufs;	  /* the kernel had no room: frames kept by the caller */
	uint64_t tx_errors;	  /* frames the kernel refused for good, or the link was down */
	uint64_t tx_copied_bytes; /* bytes this back end knows to be copied on the way out */
};

struct sock_filter;

struct pktio_cfg {
	const char *ifname;
	unsigned int queue, queues; /* this worker of how many: receive fanout by flow */
	uint16_t fanout_id;
	uint8_t ip4[4]; /* only frames for this address, and ARP, are taken (classic BPF) */
	unsigned int rx_slots;
	unsigned int slot_len; /* bytes; 0 = 2048. Longer frames cost one more system call */
	/* A classic BPF program instead of the one for ip4, which is then ignored. May be NULL. */
	const struct sock_filter *filter;
	unsigned short filter_len; /* instructions */
};

struct pktio; /* first member of every back end: const struct pktio_ops *ops */

struct pktio_ops {
	const char *name;
	/* `*out` is the caller's until close. -errno with a sentence in `e`. */
	int (*open)(struct pktio **out, const struct pktio_cfg *cfg, struct errbuf *e);
	/* Up to max frames, which stay valid until rx_done. Returns their count, 0 if none. */
	int (*rx_burst)(struct pktio *io, struct pkt_rx *v, int max);
	void (*rx_done)(struct pktio *io); /* gives back everything the last rx_burst gave */
	/* Takes the first k of n frames in order and returns k; 0 < k < n or -ENOBUFS: the rest
	 * stays the caller's, to be offered again later. Memory of a taken frame must stay
	 * untouched until tx_done returns its cookie; if `tx_sync`, it is done when tx_burst
	 * returns and tx_done is never needed. */
	int (*tx_burst)(struct pktio *io, struct pkt_tx *v, int n);
	int (*tx_done)(struct pktio *io, void **cookies, int max);
	/* For when poll(2) says POLLERR of fd: takes the error. 0: the link is down or was, go on;
	 * -ENODEV: the interface has gone. NULL where that can't happen. */
	int (*trouble)(struct pktio *io);
	void (*stats)(const struct pktio *io, struct pktio_stats *s);
	void (*close)(struct pktio *io);
};

struct pktio {
	const struct pktio_ops *ops;
	int fd;	     /* becomes readable when frames wait; -1: poll by calling */
	int tx_sync; /* see tx_burst */
	uint8_t mac[6];
	uint16_t mtu;
};

extern const struct pktio_ops pktio_packet;

#endif
