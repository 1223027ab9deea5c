/* identify: what Identify pages say, for the back ends that read them. Private to this room.
 *
 * The pages come from a device and are not trusted further than their length. NVM Express 1.4 5.15.
 */
#ifndef ATLAS_NVME_IDENTIFY_H
#define ATLAS_NVME_IDENTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "stacks/atlas/nvme/nvme.h"

enum { NVME_ADMIN_IDENTIFY = 0x06 };
enum { NVME_CNS_NS = 0, NVME_CNS_CTRL = 1, NVME_CNS_NS_LIST = 2 };

/* "MODEL SERIAL", spaces trimmed, only printable characters. */
void identify_model(const uint8_t *page, char *out, size_t size);
/* Longest transfer in bytes: MDTS (in pages of 4 KiB), at most `cap`. */
uint32_t identify_max_io(const uint8_t *page, uint32_t cap);
/* Size and block of a namespace. -ENXIO: not there; -EOPNOTSUPP: metadata, or blocks beyond 4 KiB.
 */
int identify_ns(const uint8_t *page, struct nvme_ns_info *out);

#endif
