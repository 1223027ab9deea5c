/* identify: fields of Identify Controller (NVM Express 1.4 figure 247) and Identify Namespace
 * (245). */
#include "stacks/atlas/nvme/identify.h"

#include <errno.h>
#include <string.h>

static size_t copy_text(const uint8_t *from, size_t len, char *out, size_t size)
{
	size_t n = 0;

	while (len > 0 && from[len - 1] == ' ')
		len--;
	for (size_t i = 0; i < len && n + 1 < size; i++)
		out[n++] = from[i] >= 0x20 && from[i] < 0x7f ? (char)from[i] : '?';
	out[n] = 0;
	return n;
}

void identify_model(const uint8_t *page, char *out, size_t size)
{
	size_t n = copy_text(page + 24, 40, out, size);

	if (n + 2 < size) {
		out[n++] = ' ';
		copy_text(page + 4, 20, out + n, size - n);
	}
}

uint32_t identify_max_io(const uint8_t *page, uint32_t cap)
{
	uint8_t mdts = page[77];

	return mdts && mdts < 20 && (4096u << mdts) < cap ? 4096u << mdts : cap;
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8); /* little endian hosts only, as the rings */
	return v;
}

int identify_ns(const uint8_t *page, struct nvme_ns_info *out)
{
	uint64_t blocks = le64(page);
	const uint8_t *format = page + 128 + 4 * (page[26] & 15);
	uint8_t shift = format[2];

	if (!blocks)
		return -ENXIO;
	if (format[0] || format[1] || shift < 9 || shift > 12)
		return -EOPNOTSUPP;
	if (blocks > UINT64_MAX >> shift)
		return -ENXIO;
	out->block = 1u << shift;
	out->bytes = blocks << shift;
	return 0;
}
