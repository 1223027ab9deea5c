/* Fuzzes what the WAN box does with a frame: parsing, holding, cutting. Input: 1 byte flags (1:
 * checksum not filled in, 2: direction), 2 bytes GSO size, then the frame. Cut into any runs, the
 * pieces must add up. */
#include <stdlib.h>
#include <string.h>

#include "workloads/wan/frame.h"
#include "workloads/wan/hold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

/* Segments [first, first + n) as a frame; returns its body's length. */
static uint32_t cut(const struct wan_frame *f, uint32_t first, uint32_t n)
{
	static const uint8_t mac[6];
	uint8_t hdr[WAN_HDR_MAX];
	struct pkt_tx t;
	uint32_t len = 0;

	memset(&t, 0, sizeof t);
	wan_frame_cut(f, first, n, mac, mac, hdr, &t);
	check(t.niov <= PKT_IOV_MAX && t.iov[1].iov_len == f->hdr_len);
	for (int i = 2; i < t.niov; i++) {
		volatile uint8_t last = ((uint8_t *)t.iov[i].iov_base)[t.iov[i].iov_len - 1];

		(void)last;
		len += (uint32_t)t.iov[i].iov_len;
	}
	check(t.len == f->hdr_len + len && (!t.gso_size || len > t.gso_size));
	return len;
}

static void check_frame(const struct wan_frame *f, uint32_t step)
{
	uint32_t len = 0, wire = 0;

	for (uint32_t i = 0; i < f->segs; i += step)
		len += cut(f, i, f->segs - i < step ? f->segs - i : step);
	check(len == f->body_len);
	for (uint32_t i = 0; i < f->segs; i++)
		wire += wan_frame_seg_len(f, i) - f->hdr_len;
	check(wire == f->body_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wan_hold *hold;
	struct pkt_rx rx = {0};
	struct wan_frame f;
	uint32_t h;

	if (!hold)
		hold = wan_hold_new();
	if (size < 3 || size > PKT_MAX_LEN)
		return 0;
	rx.flags = data[0] & 1 ? PKT_RX_CSUM_NONE : 0;
	rx.gso_size = (uint16_t)(data[1] << 8 | data[2]);
	rx.len = rx.wire_len = (uint32_t)size - 3;
	rx.data = malloc(rx.len ? rx.len : 1);
	check(rx.data != NULL);
	memcpy(rx.data, data + 3, rx.len);
	if (wan_frame_parse(&f, &rx, data[0] & 2 ? WAN_UP : WAN_DOWN) == 0) {
		check_frame(&f, 1);
		check_frame(&f, 7);
		h = wan_hold_put(hold, &f);
		check(h != WAN_NO_FRAME);
		check_frame(wan_hold_get(hold, h), 3);
		wan_hold_unref(hold, h);
		check(wan_hold_frames(hold) == 0);
	}
	free(rx.data);
	return 0;
}
