/* smart: an NVMe drive's own account of its health (NVMe 1.4, 5.14.1.2, log page 02h).
 *
 * A drive that throttled makes a measurement of it invalid. Reading takes an admin command: call
 * before and after a run, not within. Needs root.
 */
#ifndef COLLECTORS_SMART_H
#define COLLECTORS_SMART_H

#include <stdint.h>

#include "base/errbuf.h"

#define SMART_LOG_BYTES 512

struct smart {
	unsigned int critical_warning; /* bits; 0 is well */
	double temp_c;
	uint64_t throttle_n; /* times it went over to a thermal management level */
	uint64_t throttle_s; /* seconds in one */
};

/* The controller of a whole disk, "nvme0n1". A descriptor, or -errno with a sentence. */
int smart_open(const char *sys_root, const char *disk, struct errbuf *e);
int smart_read(int fd, struct smart *out, struct errbuf *e);
/* How the log is read: libnvme, or a test's drive. 0, -1 and errno, or an NVMe status. */
extern int (*smart_get_log)(int fd, uint8_t log[SMART_LOG_BYTES]);
void smart_decode(const uint8_t log[SMART_LOG_BYTES], struct smart *out);

#endif
