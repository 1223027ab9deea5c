/* smart: see smart.h. The one file that knows libnvme. */
#include "collectors/smart.h"

#include <errno.h>
#include <fcntl.h>
#include <libnvme.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t little(const uint8_t *p, unsigned int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

void smart_decode(const uint8_t log[SMART_LOG_BYTES], struct smart *out)
{
	out->critical_warning = log[0];
	out->temp_c = (double)little(log + 1, 2) - 273;
	out->throttle_n = little(log + 216, 4) + little(log + 220, 4);
	out->throttle_s = little(log + 224, 4) + little(log + 228, 4);
}

/* /sys/block/nvme0n1/device is a link to the controller, .../nvme0; of a multipath disk to the
 * subsystem, which takes no admin commands. */
int smart_open(const char *sys_root, const char *disk, struct errbuf *e)
{
	char path[256], target[256], *name;
	ssize_t n;
	int fd;

	if (strncmp(disk, "nvme", 4) != 0)
		return errf(e, -ENODEV, "the content's disk, %s, is not NVMe", disk);
	snprintf(path, sizeof path, "%s/block/%.60s/device", sys_root, disk);
	n = readlink(path, target, sizeof target - 1);
	if (n < 0)
		return errf(e, -errno, "%s can't be read: %s", path, strerror(errno));
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(path, sizeof path, "/dev/%.60s", name ? name + 1 : target);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? errf(e, -errno, "%s can't be opened (%s): SMART needs root", path,
			     strerror(errno))
		      : fd;
}

static int from_drive(int fd, uint8_t log[SMART_LOG_BYTES])
{
	_Static_assert(sizeof(struct nvme_smart_log) == SMART_LOG_BYTES, "the log page");
	return nvme_get_log_smart(fd, NVME_NSID_ALL, false, (struct nvme_smart_log *)log);
}

int (*smart_get_log)(int fd, uint8_t log[SMART_LOG_BYTES]) = from_drive;

int smart_read(int fd, struct smart *out, struct errbuf *e)
{
	_Alignas(8) uint8_t log[SMART_LOG_BYTES];
	int r = smart_get_log(fd, log);

	if (r < 0)
		return errf(e, -errno, "the drive's SMART log can't be read: %s", strerror(errno));
	if (r > 0)
		return errf(e, -EIO, "the drive refuses its SMART log: status %xh",
			    (unsigned int)r);
	smart_decode(log, out);
	return 0;
}
