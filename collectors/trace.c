/* trace: see trace.h.
 *
 * tracefs is often not mounted, and mounting it would change the host: the new mount calls give a
 * detached mount, a descriptor that only we see and that goes with us.
 */
#include "collectors/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int detached_tracefs(void)
{
	int fs = fsopen("tracefs", FSOPEN_CLOEXEC), mnt, err;

	if (fs < 0)
		return -errno;
	mnt = fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ? -1
							       : fsmount(fs, FSMOUNT_CLOEXEC, 0);
	err = errno;
	close(fs);
	return mnt < 0 ? -err : mnt;
}

int trace_dir(const char *sys_root, struct errbuf *e)
{
	static const char *const places[] = {"kernel/tracing", "kernel/debug/tracing"};
	int fd;

	for (int i = 0; i < 2; i++) {
		char path[512];

		snprintf(path, sizeof path, "%s/%s/events/block", sys_root, places[i]);
		if (access(path, R_OK))
			continue;
		snprintf(path, sizeof path, "%s/%s", sys_root, places[i]);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	fd = strcmp(sys_root, "/sys") == 0 ? detached_tracefs() : -ENOENT;
	if (fd == -EPERM || fd == -EACCES)
		return errf(e, fd, "tracepoints need root (tracefs can't be read)");
	if (fd < 0)
		return errf(e, fd,
			    "the kernel has no tracefs (CONFIG_FTRACE, CONFIG_EVENT_TRACING)");
	return fd;
}

int trace_point_get(int dir, const char *system, const char *name, struct trace_point *p,
		    struct errbuf *e)
{
	char path[256];
	const char *id;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "events/%s/%s/format", system, name);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errf(e, -errno, "the kernel has no tracepoint %s:%s that may be read: %s",
			    system, name, strerror(errno));
	n = read(fd, p->format, sizeof p->format - 1);
	close(fd);
	p->format[n > 0 ? n : 0] = '\0';
	id = strstr(p->format, "\nID: ");
	if (!id || sscanf(id, "\nID: %d", &p->id) != 1)
		return errf(e, -EPROTO, "tracefs describes %s:%s in an unknown way", system, name);
	return 0;
}

bool trace_point_field(const struct trace_point *p, const char *name, struct trace_field *f)
{
	size_t len = strlen(name);

	for (const char *line = strstr(p->format, "\tfield:"); line;
	     line = strstr(line + 1, "\tfield:")) {
		const char *semi = strchr(line, ';'), *end = semi, *at;

		if (!semi)
			return false;
		if (end[-1] == ']')
			while (end > line && *end != '[')
				end--;
		if ((size_t)(end - line) > len && strncmp(end - len, name, len) == 0 &&
		    end[-(ptrdiff_t)len - 1] == ' ') {
			at = strstr(semi, "offset:");
			return at && sscanf(at, "offset:%d;\tsize:%d;", &f->offset, &f->size) == 2;
		}
	}
	return false;
}
