/* leases: see leases.h.
 *
 * The one idea: a reader counts itself in before it looks at the flag, and the thread sets the flag
 * before it looks at the count, so that one of them sees the other. The signal of a broken lease
 * goes to the thread alone (F_SETOWN_EX), which waits for it; nobody is interrupted.
 *
 * Limits: one descriptor a file. /proc/sys/fs/lease-break-time (45 s) bounds how long reads may
 * take.
 */
#include "stacks/atlas/nvme/leases.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAKE_NS 100000000L /* to see that it is to end */

struct lease {
	int fd;
	_Atomic uint32_t reading;
	_Atomic bool broken;
};

struct leases {
	struct lease *l;
	uint32_t n;
	pthread_t thread;
	_Atomic pid_t tid; /* of the thread, 0: not running yet */
	_Atomic bool stop;
};

bool leases_begin(struct leases *l, uint32_t i)
{
	atomic_fetch_add(&l->l[i].reading, 1);
	if (!atomic_load(&l->l[i].broken))
		return true;
	atomic_fetch_sub(&l->l[i].reading, 1);
	return false;
}

void leases_end(struct leases *l, uint32_t i)
{
	atomic_fetch_sub(&l->l[i].reading, 1);
}

static void give_up(struct lease *f)
{
	struct timespec pause = {.tv_nsec = 1000000};

	atomic_store(&f->broken, true);
	while (atomic_load(&f->reading))
		nanosleep(&pause, NULL);
	fcntl(f->fd, F_SETLEASE, F_UNLCK);
}

static void *watch(void *arg)
{
	struct timespec ts = {.tv_nsec = WAKE_NS};
	struct leases *l = arg;
	siginfo_t si;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGIO); /* the queue of signals overflowed: it could be any file */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	atomic_store(&l->tid, (pid_t)syscall(SYS_gettid));
	while (!atomic_load(&l->stop)) {
		int sig = sigtimedwait(&set, &si, &ts);

		for (uint32_t i = 0; sig > 0 && i < l->n; i++)
			if (l->l[i].fd >= 0 && (sig == SIGIO || l->l[i].fd == si.si_fd))
				give_up(&l->l[i]);
	}
	return NULL;
}

static int take_one(struct leases *l, struct lease *f, const struct catalog_file *c,
		    const char *root, struct errbuf *e)
{
	struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = atomic_load(&l->tid)};
	char path[4096];
	struct stat st;

	if ((size_t)snprintf(path, sizeof path, "%s/%s", root, c->path) >= sizeof path)
		return errf(e, -ENAMETOOLONG, "%s: the path is too long", c->path);
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd < 0)
		return errf(e, -errno, "cannot open %s: %s%s", path, strerror(errno),
			    errno == EMFILE ? " (raise ulimit -n)" : "");
	/* Sign up first: a break between lease and owner would be told to nobody. */
	if (fcntl(f->fd, F_SETOWN_EX, &owner) || fcntl(f->fd, F_SETSIG, SIGRTMIN) ||
	    fcntl(f->fd, F_SETLEASE, F_RDLCK))
		return errf(e, -errno, "no lease on %s: %s", path,
			    errno == EAGAIN   ? "a program has it open for writing"
			    : errno == EACCES ? "it belongs to another user (CAP_LEASE)"
					      : strerror(errno));
	/* F_SETLEASE makes the caller the owner again. */
	if (fcntl(f->fd, F_SETOWN_EX, &owner))
		return errf(e, -errno, "no lease on %s: %s", path, strerror(errno));
	if (fstat(f->fd, &st) || (uint64_t)st.st_size != c->size || st.st_ino != c->ino ||
	    (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec != c->mtime_ns)
		return errf(e, -ESTALE,
			    "%s has changed since the catalogue was taken: take it anew", path);
	/* Broken in between: the lease is on its way out. */
	if (fcntl(f->fd, F_GETLEASE) != F_RDLCK)
		atomic_store(&f->broken, true);
	return 0;
}

int leases_take(struct leases **out, const struct catalog *c, const char *root, struct errbuf *e)
{
	struct leases *l = calloc(1, sizeof *l);
	int err;

	*out = NULL;
	if (!l || !(l->l = calloc(c->files ? c->files : 1, sizeof *l->l))) {
		free(l);
		return errf(e, -ENOMEM, "no memory for %u leases", c->files);
	}
	for (uint32_t i = 0; i < c->files; i++)
		l->l[i].fd = -1;
	l->n = c->files;
	err = -pthread_create(&l->thread, NULL, watch, l);
	if (err) {
		free(l->l);
		free(l);
		return errf(e, err, "cannot start a thread: %s", strerror(-err));
	}
	while (!atomic_load(&l->tid))
		usleep(100);
	for (uint32_t i = 0; i < c->files && !err; i++)
		err = take_one(l, &l->l[i], &c->file[i], root, e);
	if (err)
		leases_drop(l);
	else
		*out = l;
	return err;
}

void leases_drop(struct leases *l)
{
	if (!l)
		return;
	atomic_store(&l->stop, true);
	pthread_join(l->thread, NULL);
	for (uint32_t i = 0; i < l->n; i++)
		if (l->l[i].fd >= 0)
			close(l->l[i].fd); /* ends the lease */
	free(l->l);
	free(l);
}
