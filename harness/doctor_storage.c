/* doctor: the storage and network back ends of atlas: can this machine run each, and if not, what
 * would help. What decides is asked for itself: a ring is set up, a file opened with O_DIRECT, a
 * socket made; devices are looked for below /dev and /sys. Nothing is bound or loaded.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "harness/doctor.h"

#define XFS_MAGIC 0x58465342
#define GROUP	  "storage back ends"

/* The first entry of a directory whose name begins with `prefix`; "" if none. */
static const char *first_entry(const char *dir, const char *prefix, char *buf, size_t len)
{
	DIR *d = opendir(dir);
	struct dirent *de;

	buf[0] = 0;
	while (d && !*buf && (de = readdir(d)))
		if (de->d_name[0] != '.' && !strncmp(de->d_name, prefix, strlen(prefix)))
			snprintf(buf, len, "%.63s", de->d_name);
	if (d)
		closedir(d);
	return buf;
}

/* Can files there be read past the page cache, and where do they lie? 0 or errno for each. */
static void try_file(const char *dir, int *direct, int *extents)
{
	struct fiemap fm = {.fm_length = 4096};
	char path[300];
	int fd;

	*direct = *extents = EACCES;
	snprintf(path, sizeof path, "%s/dcn-doctor-XXXXXX", dir);
	fd = mkstemp(path);
	if (fd < 0)
		return;
	*extents = ioctl(fd, FS_IOC_FIEMAP, &fm) ? errno : 0;
	close(fd);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	*direct = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	unlink(path);
}

static void look_uring(struct findings *l, const char *dir, int direct)
{
	struct io_uring_params p = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 1, &p), err = errno;

	if (fd >= 0)
		close(fd);
	if (fd >= 0 && !direct)
		findings_add(l, GROUP, "uring", FINDING_YES,
			     "io_uring works, and O_DIRECT in %s: the default", dir);
	else if (fd >= 0)
		findings_add(l, GROUP, "uring", FINDING_NO,
			     "no O_DIRECT in %s (%s): put the content on a disk, by DCN_CONTENT",
			     dir, strerror(direct));
	else if (err == ENOSYS)
		findings_add(l, GROUP, "uring", FINDING_NO,
			     "this kernel has no io_uring: CONFIG_IO_URING, 5.10 or later");
	else
		findings_add(l, GROUP, "uring", FINDING_NO,
			     "io_uring can't be set up (%s): sysctl kernel.io_uring_disabled=0, "
			     "and allow it in the container's seccomp profile",
			     strerror(err));
}

static void look_extents(struct findings *l, const char *dir, int extents)
{
	struct statfs s;
	const char *fs = NULL;

	if (statfs(dir, &s))
		s.f_type = 0;
	if (s.f_type == EXT4_SUPER_MAGIC)
		fs = "ext4";
	if (s.f_type == XFS_MAGIC)
		fs = "XFS";
	if (!extents && fs)
		findings_add(l, GROUP, "extents", geteuid() ? FINDING_NO : FINDING_YES,
			     "%s is %s: its files can be read from the raw disk%s", dir, fs,
			     geteuid() ? ", by root" : "");
	else
		findings_add(l, GROUP, "extents", FINDING_NO,
			     "%s is on another file system (0x%lx), where the blocks of files are "
			     "not known, or not fixed: put the content on ext4 or XFS, by "
			     "DCN_CONTENT",
			     dir, (unsigned long)s.f_type);
}

static void look_passthru(struct findings *l)
{
	char name[64], path[80];

	if (!*first_entry("/dev", "ng", name, sizeof name)) {
		findings_add(l, GROUP, "passthru", FINDING_NO,
			     "no NVMe character device (/dev/ng0n1): needs an NVMe drive and "
			     "kernel 5.19 or later");
		return;
	}
	snprintf(path, sizeof path, "/dev/%s", name);
	if (access(path, R_OK))
		findings_add(l, GROUP, "passthru", FINDING_NO, "%s: %s; run as root", path,
			     strerror(errno));
	else
		findings_add(l, GROUP, "passthru", FINDING_YES, "%s; kernel 6.1 or later is fast",
			     path);
}

/* An NVMe controller on PCI (class 01 08), whoever drives it: its address. */
static const char *nvme_pci(char *buf, size_t len)
{
	DIR *d = opendir("/sys/bus/pci/devices");
	struct dirent *de;

	buf[0] = 0;
	while (d && !*buf && (de = readdir(d))) {
		char path[320], class[16] = "";
		FILE *f;

		snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", de->d_name);
		f = fopen(path, "re");
		if (f && fgets(class, sizeof class, f) && !strncmp(class, "0x0108", 6))
			snprintf(buf, len, "%.63s", de->d_name);
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return buf;
}

static void look_vfio(struct findings *l)
{
	char bdf[64], group[64];

	if (!*nvme_pci(bdf, sizeof bdf))
		findings_add(l, GROUP, "vfio", FINDING_NO,
			     "no NVMe controller on PCI; needs a drive that is not mounted");
	else if (!*first_entry("/sys/kernel/iommu_groups", "", group, sizeof group))
		findings_add(l, GROUP, "vfio", FINDING_NO,
			     "no IOMMU: switch on VT-d or AMD-Vi in the BIOS, and boot with "
			     "intel_iommu=on (AMD: on by itself)");
	else if (access("/dev/vfio/vfio", F_OK))
		findings_add(l, GROUP, "vfio", FINDING_NO, "no /dev/vfio/vfio: modprobe vfio-pci");
	else if (geteuid())
		findings_add(l, GROUP, "vfio", FINDING_NO,
			     "drives are bound to vfio-pci by root only");
	else
		findings_add(l, GROUP, "vfio", FINDING_YES, "%s could be taken (--device vfio:%s)",
			     bdf, bdf);
}

static void look_diskmap(struct findings *l)
{
	char name[64];

	if (*first_entry("/dev", "diskmap", name, sizeof name))
		findings_add(l, GROUP, "diskmap", FINDING_YES, "/dev/%s", name);
	else
		findings_add(l, GROUP, "diskmap", FINDING_NO,
			     "our kernel module is not loaded: build it in "
			     "stacks/atlas/nvme/diskmap (needs kernel headers and an NVMe drive), "
			     "insmod, bind a drive");
}

void doctor_storage(struct findings *l, const char *dir)
{
	int direct, extents;

	try_file(dir, &direct, &extents);
	look_uring(l, dir, direct);
	look_extents(l, dir, extents);
	look_passthru(l);
	look_vfio(l);
	look_diskmap(l);
	findings_add(l, GROUP, "sim", FINDING_YES, "always: a controller in software");
}

void doctor_network(struct findings *l)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), err = errno;

	if (fd >= 0)
		close(fd);
	if (fd >= 0)
		findings_add(l, "network back ends", "packet", FINDING_YES, "AF_PACKET");
	else if (err == EPERM)
		findings_add(l, "network back ends", "packet", FINDING_YES,
			     "AF_PACKET, in a user namespace that dcn makes");
	else
		findings_add(l, "network back ends", "packet", FINDING_NO,
			     "no AF_PACKET (%s): CONFIG_PACKET", strerror(err));
}
