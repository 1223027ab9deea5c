/* uring_poll: can completions on the device below a path be polled for (IOPOLL), and how?
 *
 * Limits: a read that the block layer splits hangs a polled ring of Linux 6.1 (its parts complete
 * in queues that nobody polls; seen with QEMU's controller): so commands are no longer than what
 * the device takes in one piece, and devices with chunks of their own are not polled. Source:
 * Documentation/ABI/stable/sysfs-block.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "stacks/atlas/nvme/uring_priv.h"

/* A number from the request queue's directory; -1: it is not there. */
static long queue_number(dev_t dev, const char *name)
{
	static const char *const place[] = {"queue", "../queue"}; /* a disk, a partition */
	char path[96], text[32];

	for (int i = 0; i < 2; i++) {
		ssize_t n;
		int fd;

		snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s/%s", major(dev), minor(dev),
			 place[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof text - 1);
		close(fd);
		if (n <= 0)
			return -1;
		text[n] = 0;
		return strtol(text, NULL, 10);
	}
	return -1;
}

int uring_poll_limit(const char *path, uint32_t *max_io, struct errbuf *e)
{
	long bytes, segments;
	struct stat st;
	dev_t dev;

	if (!*path)
		return errf(e, -EOPNOTSUPP,
			    "no polling: this ring opens files, which a polled one can't; name one "
			    "as uring:/path");
	if (stat(path, &st))
		return -errno; /* opening it will say so */
	dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	switch (queue_number(dev, "io_poll")) {
	case -1:
		return errf(e, -EOPNOTSUPP, "no polling: %s lies on no disk of its own", path);
	case 0:
		return errf(e, -EOPNOTSUPP,
			    "no polling: the driver of %s keeps no poll queues; for NVMe load it "
			    "with nvme.poll_queues=N",
			    path);
	default:
		break;
	}
	bytes = queue_number(dev, "max_sectors_kb") * 1024;
	segments = queue_number(dev, "max_segments");
	if (bytes < 4096 || segments < 2 || queue_number(dev, "chunk_sectors") > 0)
		return errf(e, -EOPNOTSUPP,
			    "no polling: the kernel splits commands for %s, which polled ones do "
			    "not survive",
			    path);
	if (bytes > (segments - 1) * 4096)
		bytes = (segments - 1) * 4096;
	*max_io = (uint32_t)(bytes / 4096 * 4096);
	return 0;
}
