/* Fuzzes everything below TCP: a sequence of hostile frames through net_parse(), the neighbour
 * table and the answers. Input: records of 2 bytes length (big-endian), 1 byte enum pkt_rx_flags, 1
 * byte seconds that pass, then the frame. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "stacks/atlas/net/ether.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void one_frame(struct net_if *n, uint8_t *frame, uint32_t len, uint8_t flags, uint64_t now)
{
	struct pkt_rx rx = {.data = frame, .len = len, .wire_len = len, .flags = flags & 7};
	uint8_t out[NET_CTL_MAX];
	struct net_pkt p;

	switch (net_parse(n, &rx, &p)) {
	case NET_DROP:
		check(p.why < NET_WHY_N);
		break;
	case NET_TCP:
		check(p.l4_len >= 20 && p.l4 >= frame + NET_HDR_LEN &&
		      p.l4 + p.l4_len <= frame + len);
		net_learn(n, &p, now);
		net_mac(n, &p.src, now);
		break;
	case NET_ARP:
	case NET_ECHO:
		check(net_answer(n, &p, now, out) <= NET_CTL_MAX);
		break;
	case NET_UNREACH:
		check(p.quote.code == 4 ? p.quote.mtu > 0 : p.quote.mtu == 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, ip4[4] = {198, 18, 0, 2};
	static const uint8_t gw4[4] = {198, 18, 0, 254};
	struct ipaddr ip = ipaddr_v4(ip4), gw = ipaddr_v4(gw4);
	uint8_t out[NET_CTL_MAX];
	uint64_t now = NSEC_PER_SEC;
	static struct net_if n;

	log_init("fuzz", LOG_ERR);
	check(net_if_init(&n, mac, &ip, 24, &gw, 1500, NULL) == 0);
	while (size >= 4) {
		uint32_t len = (uint32_t)(data[0] << 8 | data[1]);
		uint8_t flags = data[2], *frame;

		now += data[3] * NSEC_PER_SEC;
		data += 4;
		size -= 4;
		len = len < size ? len : (uint32_t)size;
		frame = malloc(len ? len : 1); /* exactly as long: a step past the end is seen */
		check(frame != NULL);
		memcpy(frame, data, len);
		one_frame(&n, frame, len, flags, now);
		free(frame);
		data += len;
		size -= len;
		for (int i = 0; net_poll(&n, now, out) > 0; i++)
			check(i < NEIGH_SETS * NEIGH_WAYS + 2);
	}
	return 0;
}
