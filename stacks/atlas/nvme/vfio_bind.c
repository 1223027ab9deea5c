/* vfio_bind: drivers of a PCI device through sysfs. See vfio_bind.h.
 *
 * The state file holds "OLD_DRIVER PID\n"; its name is the device's address. It goes away only
 * after the old driver has the device again.
 */
#include "stacks/atlas/nvme/vfio_bind.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_DIR "/run/dcn/pci"
#define SYS_PCI	  "/sys/bus/pci/devices"

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return 0;
}

/* Last part of a symbolic link; "" if there is none. */
static void link_name(const char *path, char *buf, size_t size)
{
	char t[PATH_MAX], *slash;
	ssize_t n = readlink(path, t, sizeof t - 1);

	t[n > 0 ? n : 0] = 0;
	slash = strrchr(t, '/');
	snprintf(buf, size, "%.60s", slash ? slash + 1 : t);
}

static void driver_of(const char *bdf, char *buf, size_t size)
{
	char path[128];

	snprintf(path, sizeof path, SYS_PCI "/%.32s/driver", bdf);
	link_name(path, buf, size);
}

static int check_device(const char *bdf, struct errbuf *e)
{
	char path[128], class[16];

	if (strlen(bdf) != 12 || strspn(bdf, "0123456789abcdefABCDEF:.") != 12)
		return errf(e, -EINVAL, "\"%s\" is no PCI address: write 0000:01:00.0", bdf);
	snprintf(path, sizeof path, SYS_PCI "/%s/class", bdf);
	if (read_text(path, class, sizeof class))
		return errf(e, -ENODEV, "there is no PCI device %s: see lspci -D", bdf);
	if (strncmp(class, "0x0108", 6))
		return errf(e, -EINVAL, "%s is no NVMe controller (class %s)", bdf, class);
	return 0;
}

/* Is a block device of this name claimed by a file system, md, dm or swap? */
static int check_free(const char *name, const char *bdf, struct errbuf *e)
{
	char path[300];
	int fd;

	snprintf(path, sizeof path, "/dev/%s", name);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENXIO)
		return 0;
	return errf(e, -errno, "%s is %s: taking its controller %s from the kernel is refused",
		    path, errno == EBUSY ? "mounted or otherwise in use" : strerror(errno), bdf);
}

/* Calls check_free for the directories "nvme*n*" below /sys/.../BDF/nvme/nvmeX. */
static int check_namespaces(const char *bdf, struct errbuf *e)
{
	char path[600];
	struct dirent *c, *b;
	DIR *ctrls, *d;
	int err = 0;

	snprintf(path, sizeof path, SYS_PCI "/%s/nvme", bdf);
	ctrls = opendir(path);
	while (ctrls && !err && (c = readdir(ctrls))) {
		if (strncmp(c->d_name, "nvme", 4))
			continue;
		snprintf(path, sizeof path, SYS_PCI "/%s/nvme/%s", bdf, c->d_name);
		d = opendir(path);
		while (d && !err && (b = readdir(d)))
			if (!strncmp(b->d_name, "nvme", 4))
				err = check_free(b->d_name, bdf, e);
		if (d)
			closedir(d);
	}
	if (ctrls)
		closedir(ctrls);
	return err;
}

static int save_state(const char *bdf, const char *driver, struct errbuf *e)
{
	char path[128], text[128];
	int fd, len;

	mkdir("/run/dcn", 0755);
	mkdir(STATE_DIR, 0755);
	snprintf(path, sizeof path, STATE_DIR "/%s", bdf);
	len = snprintf(text, sizeof text, "%s %d\n", *driver ? driver : "-", (int)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, (size_t)len) != len) {
		int err = errf(e, -errno, "cannot note in %s which driver %s had: %s", path, bdf,
			       strerror(errno));

		if (fd >= 0)
			close(fd);
		return err;
	}
	close(fd);
	return 0;
}

/* Unbind, steer to `driver` ("" = any), probe. */
static int rebind(const char *bdf, const char *driver)
{
	char path[128], text[80], now[64];
	int err;

	snprintf(path, sizeof path, SYS_PCI "/%s/driver_override", bdf);
	snprintf(text, sizeof text, "%s\n", driver);
	err = write_text(path, text);
	if (err)
		return err;
	driver_of(bdf, now, sizeof now);
	if (*now) {
		snprintf(path, sizeof path, SYS_PCI "/%s/driver/unbind", bdf);
		err = write_text(path, bdf);
		if (err)
			return err;
	}
	return write_text("/sys/bus/pci/drivers_probe", bdf);
}

int pci_take(const char *bdf, const char *driver, bool *taken, struct errbuf *e)
{
	char old[64], now[64], path[128];
	int err = check_device(bdf, e);

	*taken = false;
	if (err)
		return err;
	driver_of(bdf, old, sizeof old);
	if (!strcmp(old, driver))
		return 0;
	err = check_namespaces(bdf, e);
	if (!err)
		err = save_state(bdf, old, e);
	if (err)
		return err;
	err = rebind(bdf, driver);
	driver_of(bdf, now, sizeof now);
	if (err || strcmp(now, driver)) {
		rebind(bdf, "");
		snprintf(path, sizeof path, STATE_DIR "/%s", bdf);
		unlink(path);
		return errf(e, err ? err : -ENODEV,
			    "cannot bind %s to %s (%s): is the module loaded (modprobe %s), and "
			    "are you "
			    "root?",
			    bdf, driver, err ? strerror(-err) : "the driver did not take it",
			    driver);
	}
	*taken = true;
	return 0;
}

int pci_give_back(const char *bdf, struct errbuf *e)
{
	char path[128], text[128], old[64] = "", now[64];
	int err;

	snprintf(path, sizeof path, STATE_DIR "/%.32s", bdf);
	err = read_text(path, text, sizeof text);
	if (!err && sscanf(text, "%63s", old) != 1)
		err = -EINVAL;
	if (err)
		return errf(e, err, "%s does not say which driver %s had", path, bdf);
	err = rebind(bdf, "");
	driver_of(bdf, now, sizeof now);
	if (!err && strcmp(old, "-") && strcmp(now, old))
		err = -ENODEV;
	if (err)
		return errf(e, err,
			    "%s could not be given back to %s (%s): echo %s > "
			    "/sys/bus/pci/drivers/%s/bind",
			    bdf, old, strerror(-err), bdf, old);
	unlink(path);
	return 0;
}

int pci_iommu_group(const char *bdf, struct errbuf *e)
{
	char path[128], name[32];

	snprintf(path, sizeof path, SYS_PCI "/%.32s/iommu_group", bdf);
	link_name(path, name, sizeof name);
	if (!*name)
		return errf(
			e, -ENODEV,
			"%s is behind no IOMMU, so user space can't drive it safely: enable VT-d "
			"or "
			"AMD-Vi in the firmware (and intel_iommu=on), or use uring, passthru or "
			"diskmap",
			bdf);
	return atoi(name);
}

int nvme_vfio_restore(struct errbuf *e)
{
	DIR *d = opendir(STATE_DIR);
	struct dirent *f;
	int given = 0, err = 0;

	while (d && (f = readdir(d))) {
		char path[600], text[128];
		int pid, one;

		snprintf(path, sizeof path, STATE_DIR "/%s", f->d_name);
		if (f->d_name[0] == '.' || read_text(path, text, sizeof text))
			continue;
		if (sscanf(text, "%*s %d", &pid) != 1 || (pid > 0 && !kill(pid, 0)))
			continue; /* in use */
		one = pci_give_back(f->d_name, e);
		if (one)
			err = one;
		else
			given++;
	}
	if (d)
		closedir(d);
	return err ? err : given;
}
