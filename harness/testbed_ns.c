/* testbed_ns: namespaces.
 *
 * One idea: a namespace is configured from inside, by a short-lived child that enters it. The
 * parent never leaves its own namespace, so nothing can be done to the host's network by mistake,
 * and a failure ends with the child.
 *
 * Limits: Linux 4.9 and later. namespaces(7), user_namespaces(7), ip-netns(8).
 */
#include "harness/testbed_ns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

bool ns_is_privileged(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		return false;
	return d[0].effective & (1u << CAP_SYS_ADMIN) && d[0].effective & (1u << CAP_NET_ADMIN);
}

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

int ns_enter_user(struct errbuf *e)
{
	const unsigned int uid = geteuid(), gid = getegid();
	char map[64];
	int err;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return errf(e, -errno,
			    "no right to make network namespaces, and this kernel gives ordinary "
			    "users none (%s); run as root, or allow user namespaces (sysctl "
			    "user.max_user_namespaces, kernel.unprivileged_userns_clone)",
			    strerror(errno));
	write_text("/proc/self/setgroups", "deny"); /* before gid_map; missing on old kernels */
	snprintf(map, sizeof map, "0 %u 1", uid);
	err = write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "0 %u 1", gid);
	if (!err)
		err = write_text("/proc/self/gid_map", map);
	if (err)
		return errf(e, err, "user namespace: can't map our own user: %s; run as root",
			    strerror(-err));
	/* /run/netns must be writable: /run becomes a private one. */
	if (mount("dcn", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"))
		return errf(e, -errno,
			    "user namespace: can't mount a private /run: %s; run as root",
			    strerror(errno));
	return 0;
}

/* In a child: fresh network namespace, bound to its file. */
static int ns_make_child(void *arg, struct errbuf *e)
{
	const char *path = arg;

	if (unshare(CLONE_NEWNET))
		return errf(e, -errno, "can't make a network namespace: %s; run as root",
			    strerror(errno));
	if (mount("/proc/self/ns/net", path, "none", MS_BIND, NULL))
		return errf(e, -errno, "can't bind a network namespace to %s: %s", path,
			    strerror(errno));
	return 0;
}

/* Fork, run, take result and sentence home. */
static int in_child(int (*fn)(void *arg, struct errbuf *e), void *arg, struct errbuf *e)
{
	struct {
		int err;
		struct errbuf e;
	} res = {.err = -ECHILD};
	int pipefd[2], status;
	ssize_t n;
	pid_t pid, parent = getpid();

	if (pipe2(pipefd, O_CLOEXEC))
		return errf(e, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0) {
		close(pipefd[0]);
		close(pipefd[1]);
		return errf(e, -errno, "fork: %s", strerror(errno));
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is made after a restore */
		if (getppid() != parent)
			_exit(1);
		res.e.s[0] = '\0';
		res.err = fn(arg, &res.e);
		n = write(pipefd[1], &res, sizeof res);
		_exit(n == sizeof res ? 0 : 1);
	}
	close(pipefd[1]);
	do
		n = read(pipefd[0], &res, sizeof res);
	while (n < 0 && errno == EINTR);
	close(pipefd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n != sizeof res)
		return errf(e, -ECHILD, "a helper process died (status %#x)", (unsigned int)status);
	if (res.err && e)
		*e = res.e;
	return res.err;
}

int ns_make(const char *name, struct errbuf *e)
{
	char path[128];
	int fd, err;

	if (mkdir(NETNS_DIR, 0755) && errno != EEXIST)
		return errf(e, -errno, "can't make %s: %s", NETNS_DIR, strerror(errno));
	snprintf(path, sizeof path, "%s/%s", NETNS_DIR, name);
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return errf(e, -errno, "can't make %s: %s", path, strerror(errno));
	close(fd);
	err = in_child(ns_make_child, path, e);
	if (!err) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		err = errf(e, -errno, "can't open %s: %s", path, strerror(errno));
	}
	ns_remove(name);
	return err;
}

void ns_remove(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", NETNS_DIR, name);
	umount2(path, MNT_DETACH);
	unlink(path);
}

struct call {
	int fd;
	int (*fn)(void *arg, struct errbuf *e);
	void *arg;
};

static int ns_call_child(void *arg, struct errbuf *e)
{
	const struct call *c = arg;

	if (setns(c->fd, CLONE_NEWNET))
		return errf(e, -errno, "can't enter a network namespace: %s", strerror(errno));
	/* A sysfs shows the network namespace it was mounted in. A failure shows later, as files
	 * that are missing. */
	if (unshare(CLONE_NEWNS) == 0 && mount("", "/", "none", MS_SLAVE | MS_REC, NULL) == 0)
		mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	return c->fn(c->arg, e);
}

int ns_call(int ns_fd, int (*fn)(void *arg, struct errbuf *e), void *arg, struct errbuf *e)
{
	struct call c = {.fd = ns_fd, .fn = fn, .arg = arg};

	return in_child(ns_call_child, &c, e);
}

uint64_t ns_inode(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}
