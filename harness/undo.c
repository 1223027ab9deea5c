/* undo: the journal of things to clean up.
 *
 * One idea: a line is on disk before the thing exists, and playing the journal is idempotent. A pid
 * is only killed if its start time is the one written down: pids are reused.
 */
#include "harness/undo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/proc.h"
#include "harness/cgroup.h"

#define SCRATCH	 "/tmp/dcn-"
#define WATCHDOG "/proc/sys/kernel/nmi_watchdog" /* pcm-memory switches it off */

static int journal = -1, turnstile = -1; /* turnstile: UNDO_DIR, locked: one run at a time */
static char journal_path[64];
static bool file_known; /* the journal has it: as it was before the run */

static void line(const char *fmt, const char *a, unsigned long long b, unsigned long long c)
{
	char s[512];
	int n;

	if (journal < 0)
		return;
	n = a ? snprintf(s, sizeof s, fmt, a) : snprintf(s, sizeof s, fmt, b, c);
	if (n < (int)sizeof s && write(journal, s, (size_t)n) == n)
		fdatasync(journal);
}

/* The process that holds a journal in UNDO_DIR, 0 if none can be named. */
static int somebody(void)
{
	DIR *d = opendir(UNDO_DIR);
	struct dirent *de;
	int pid = 0, one;

	while (d && (de = readdir(d)))
		if (sscanf(de->d_name, "run-%d.undo", &one) == 1 && proc_start_time(one))
			pid = one;
	if (d)
		closedir(d);
	return pid;
}

/* -EAGAIN: the last run was just removing the directory. */
static int pass_turnstile(struct errbuf *e)
{
	struct stat here, there;
	int pid;

	if (mkdir(UNDO_DIR, 0755) && errno != EEXIST)
		return errf(e, -errno, UNDO_DIR ": %s", strerror(errno));
	turnstile = open(UNDO_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (turnstile < 0)
		return errno == ENOENT ? -EAGAIN
				       : errf(e, -errno, UNDO_DIR ": %s", strerror(errno));
	if (!flock(turnstile, LOCK_EX | LOCK_NB)) {
		if (!fstat(turnstile, &here) && !stat(UNDO_DIR, &there) &&
		    here.st_ino == there.st_ino)
			return 0;
		close(turnstile);
		turnstile = -1;
		return -EAGAIN;
	}
	close(turnstile);
	turnstile = -1;
	pid = somebody();
	if (!pid)
		return errf(e, -EBUSY,
			    "processes of a dcn that died still run on this machine: end them with "
			    "`dcn restore`");
	return errf(e, -EBUSY,
		    "another dcn (process %d) is measuring on this machine, and two would disturb "
		    "each other: wait for it, or stop it with kill -INT %d",
		    pid, pid);
}

int undo_open(struct errbuf *e)
{
	int err = -EAGAIN;

	snprintf(journal_path, sizeof journal_path, UNDO_DIR "/run-%d.undo", (int)getpid());
	for (int turn = 0; err == -EAGAIN && turn < 50; turn++)
		err = pass_turnstile(e);
	if (err && geteuid() && err != -EBUSY) /* a user namespace and all in it ends with us */
		return 0;
	if (err)
		return err == -EAGAIN ? errf(e, err, UNDO_DIR ": does not stay") : err;
	journal = open(journal_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (journal < 0) {
		err = errf(e, -errno, "%s: %s", journal_path, strerror(errno));
		close(turnstile);
		turnstile = -1;
		return geteuid() ? 0 : err;
	}
	flock(journal, LOCK_EX | LOCK_NB); /* held while we live: restore asks for it */
	return 0;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
void undo_pid(pid_t pid)
{
	line("pid %llu %llu\n", NULL, (unsigned long long)pid, proc_start_time(pid));
}

void undo_cgroup(const char *dir)
{
	line("cgroup %s\n", dir, 0, 0);
}

void undo_dir(const char *dir)
{
	line("dir %s\n", dir, 0, 0);
}

void undo_file(const char *path, const char *text)
{
	char s[96];

	if (file_known || strcmp(path, WATCHDOG) != 0 || (*text != '0' && *text != '1'))
		return;
	file_known = true;
	snprintf(s, sizeof s, WATCHDOG " %c", *text);
	line("file %s\n", s, 0, 0);
}

#pragma GCC diagnostic pop

void undo_close(void)
{
	file_known = false;
	if (journal < 0)
		return;
	unlink(journal_path);
	close(journal);
	journal = -1;
	rmdir(UNDO_DIR); /* if nobody's journal is left */
	close(turnstile);
	turnstile = -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

int undo_remove_dir(const char *dir)
{
	if (strncmp(dir, SCRATCH, strlen(SCRATCH)) || strstr(dir, "/.."))
		return -EINVAL;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) ? -errno : 0;
}

/* 1 if it was otherwise and is as before now. */
static int put_back(const char *path, char was)
{
	char now = 0;
	int fd = open(path, O_RDWR | O_CLOEXEC), n = 0;

	if (fd < 0)
		return 0;
	if (read(fd, &now, 1) == 1 && now != was) {
		log_info("%s is %c again", path, was);
		n = pwrite(fd, &was, 1, 0) == 1;
	}
	close(fd);
	return n;
}

/* 1 if it was still that process; then it has ended on return. */
static int end_process(pid_t pid, unsigned long long started)
{
	int fd = pidfd_open(pid, 0), n = 0;

	if (fd < 0)
		return 0;
	if (proc_start_time(pid) == started) {
		struct pollfd p = {fd, POLLIN, 0};

		log_info("killing process %d", (int)pid);
		n = !pidfd_send_signal(fd, SIGKILL, NULL, 0);
		poll(&p, 1, 2000);
	}
	close(fd);
	return n;
}

/* The processes first: one that is still alive could change a setting again. */
static int play_pids(FILE *f)
{
	unsigned long long pid, started;
	char s[512];
	int n = 0;

	while (fgets(s, sizeof s, f))
		if (sscanf(s, "pid %llu %llu", &pid, &started) == 2 && pid > 1 && started)
			n += end_process((pid_t)pid, started);
	return n;
}

static int play_rest(FILE *f)
{
	char s[512], arg[480];
	int n = 0;

	while (fgets(s, sizeof s, f)) {
		if (sscanf(s, "cgroup %479[^\n]", arg) == 1 && !access(arg, F_OK)) {
			log_info("removing cgroup %s", arg);
			n += !cgroup_remove(arg);
		} else if (sscanf(s, "dir %479[^\n]", arg) == 1 && !access(arg, F_OK)) {
			log_info("removing %s", arg);
			n += !undo_remove_dir(arg);
		} else if (sscanf(s, "file " WATCHDOG " %1[01]", arg) == 1) {
			n += put_back(WATCHDOG, arg[0]);
		}
	}
	return n;
}

static int play(const char *path)
{
	FILE *f = fopen(path, "r");
	int n;

	if (!f)
		return 0;
	n = play_pids(f);
	rewind(f);
	n += play_rest(f);
	fclose(f);
	unlink(path);
	return n;
}

int undo_restore(struct errbuf *e)
{
	DIR *d = opendir(UNDO_DIR);
	struct dirent *de;
	char path[300];
	int n = 0;

	if (!d)
		return errno == ENOENT ? 0 : errf(e, -errno, UNDO_DIR ": %s", strerror(errno));
	while ((de = readdir(d))) {
		int fd, pid;

		if (sscanf(de->d_name, "run-%d.undo", &pid) != 1)
			continue;
		snprintf(path, sizeof path, UNDO_DIR "/%s", de->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!flock(fd, LOCK_EX | LOCK_NB)) /* its owner is gone */
			n += play(path);
		close(fd);
	}
	closedir(d);
	rmdir(UNDO_DIR);
	return n;
}
