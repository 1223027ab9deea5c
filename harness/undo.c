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
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "harness/cgroup.h"

#define SCRATCH	 "/tmp/dcn-"
#define WATCHDOG "/proc/sys/kernel/nmi_watchdog" /* pcm-memory switches it off */

static int journal = -1;
static char journal_path[64];
static bool file_known; /* the journal has it: as it was before the run */

/* Field 22 of /proc/PID/stat, 0 if there is no such process. */
static unsigned long long start_time(pid_t pid)
{
	char path[48], buf[1024], *p;
	unsigned long long t = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof buf - 1);
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	p = strrchr(buf, ')'); /* the name may hold anything */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		sscanf(p, "%llu", &t);
	return t;
}

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

int undo_open(struct errbuf *e)
{
	snprintf(journal_path, sizeof journal_path, UNDO_DIR "/run-%d.undo", (int)getpid());
	for (int turn = 0; journal < 0 && turn < 5; turn++) { /* another run may just remove it */
		mkdir(UNDO_DIR, 0755);
		journal = open(journal_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	}
	if (journal < 0 && geteuid()) /* a user namespace and all in it ends with us */
		return 0;
	if (journal < 0)
		return errf(e, -errno, "%s: %s", journal_path, strerror(errno));
	flock(journal, LOCK_EX | LOCK_NB); /* held while we live: restore asks for it */
	return 0;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
void undo_pid(pid_t pid)
{
	line("pid %llu %llu\n", NULL, (unsigned long long)pid, start_time(pid));
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
	rmdir(UNDO_DIR); /* if it was the last one */
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

static int play(const char *path)
{
	unsigned long long pid, started;
	char s[512], arg[480];
	FILE *f = fopen(path, "r");
	int n = 0;

	if (!f)
		return 0;
	while (fgets(s, sizeof s, f)) {
		if (sscanf(s, "pid %llu %llu", &pid, &started) == 2) {
			if (pid > 1 && started && start_time((pid_t)pid) == started) {
				log_info("killing process %llu", pid);
				n += !kill((pid_t)pid, SIGKILL);
			}
		} else if (sscanf(s, "cgroup %479[^\n]", arg) == 1 && !access(arg, F_OK)) {
			log_info("removing cgroup %s", arg);
			n += !cgroup_remove(arg);
		} else if (sscanf(s, "dir %479[^\n]", arg) == 1 && !access(arg, F_OK)) {
			log_info("removing %s", arg);
			n += !undo_remove_dir(arg);
		} else if (sscanf(s, "file " WATCHDOG " %1[01]", arg) == 1) {
			n += put_back(WATCHDOG, arg[0]);
		}
	}
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
