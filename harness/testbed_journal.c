/* testbed_journal: see the header.
 *
 * One idea: undoing is idempotent, so a journal may name things that were never made, and a restore
 * that is itself killed can be repeated. A line is one write(2) to a file in memory: whatever
 * happened before a SIGKILL is in it.
 *
 * Limits: a setting that two runs changed goes back when the last of them ends.
 */
#include "harness/testbed_journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/proc.h"
#include "harness/testbed_ns.h"

#define MADE_NETNS_DIR ".made-netns-dir" /* marker: NETNS_DIR was not there before us */
#define JOURNAL_MAX    65536
#define LINE_MAX_      512
#define TERM_WAIT_MS   2000
#define KILL_WAIT_MS   5000

static const char *journal_path(const char *id, char buf[128])
{
	snprintf(buf, 128, "%s/%s", JOURNAL_DIR, id);
	return buf;
}

/* Is the directory free of journals? */
static bool no_journals(void)
{
	DIR *d = opendir(JOURNAL_DIR);
	struct dirent *de;
	bool none = true;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			none = false;
	if (d)
		closedir(d);
	return none;
}

int journal_lock(struct errbuf *e)
{
	struct stat here, there;
	int fd;

	for (;;) {
		if (mkdir(JOURNAL_DIR, 0755) && errno != EEXIST)
			return errf(e, -errno, "can't make %s: %s; run as root", JOURNAL_DIR,
				    strerror(errno));
		fd = open(JOURNAL_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			return errf(e, -errno, "can't open %s: %s; run as root", JOURNAL_DIR,
				    strerror(errno));
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX) == 0 && fstat(fd, &here) == 0 &&
		    stat(JOURNAL_DIR, &there) == 0 && here.st_ino == there.st_ino)
			break;
		close(fd); /* removed by its last user while we waited */
	}
	if (access(NETNS_DIR, F_OK) && access(JOURNAL_DIR, W_OK) == 0) {
		int mark =
			open(JOURNAL_DIR "/" MADE_NETNS_DIR, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (mark >= 0)
			close(mark);
	}
	return fd;
}

void journal_unlock(int fd)
{
	if (no_journals()) {
		if (access(JOURNAL_DIR "/" MADE_NETNS_DIR, F_OK) == 0) {
			rmdir(NETNS_DIR); /* stays if others use it by now */
			unlink(JOURNAL_DIR "/" MADE_NETNS_DIR);
		}
		rmdir(JOURNAL_DIR);
	}
	close(fd);
}

int journal_begin(const char *id, struct errbuf *e)
{
	char path[128], owner[64];
	int fd = open(journal_path(id, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return errf(e, -errno, "can't make the journal %s: %s", path, strerror(errno));
	close(fd);
	snprintf(owner, sizeof owner, "%d %llu", (int)getpid(), proc_start_time((int)getpid()));
	return journal_add(id, "owner", owner, e);
}

int journal_add(const char *id, const char *kind, const char *text, struct errbuf *e)
{
	char path[128], line[LINE_MAX_];
	int n = snprintf(line, sizeof line, "%s %s\n", kind, text), fd, err = 0;

	if (n >= (int)sizeof line || strchr(text, '\n'))
		return errf(e, -EINVAL, "can't note '%.100s' in the journal: too long", text);
	fd = open(journal_path(id, path), O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		err = errf(e, -errno, "can't write the journal %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

/* The whole journal, terminated; the caller frees it. NULL if there is none. */
static char *journal_read(const char *id)
{
	char path[128], *text = calloc(1, JOURNAL_MAX);
	int fd = open(journal_path(id, path), O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (text && fd >= 0)
		n = read(fd, text, JOURNAL_MAX - 1);
	if (fd >= 0)
		close(fd);
	if (n >= 0)
		return text;
	free(text);
	return NULL;
}

/* The value a journal remembers for `path`, still to be put back. */
static bool journal_value(const char *id, const char *path, char *value, size_t size)
{
	char *text = journal_read(id), *save, *line;
	const size_t len = strlen(path);
	bool found = false;

	for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "file ", 5) == 0 && strncmp(line + 5, path, len) == 0 &&
		    line[5 + len] == '\t') {
			snprintf(value, size, "%s", line + 5 + len + 1);
			found = true;
		} else if (strncmp(line, "done ", 5) == 0 && strcmp(line + 5, path) == 0) {
			found = false;
		}
	}
	free(text);
	return found;
}

/* The same in any journal but `id`. */
static bool other_value(const char *id, const char *path, char *value, size_t size)
{
	DIR *d = opendir(JOURNAL_DIR);
	struct dirent *de;
	bool found = false;

	while (!found && d && (de = readdir(d)))
		if (de->d_name[0] != '.' && strcmp(de->d_name, id) != 0)
			found = journal_value(de->d_name, path, value, size);
	if (d)
		closedir(d);
	return found;
}

int journal_add_file(const char *id, const char *path, struct errbuf *e)
{
	char value[256], line[LINE_MAX_];
	FILE *f;

	if (journal_value(id, path, value, sizeof value))
		return 0;
	if (!other_value(id, path, value, sizeof value)) {
		f = fopen(path, "re");
		if (!f || !fgets(value, sizeof value, f)) {
			int err = f ? EIO : errno;

			if (f)
				fclose(f);
			return errf(e, -err, "can't read %s: %s", path, strerror(err));
		}
		fclose(f);
		value[strcspn(value, "\n")] = '\0';
	}
	if (snprintf(line, sizeof line, "%s\t%s", path, value) >= (int)sizeof line)
		return errf(e, -ENAMETOOLONG, "can't note %s in the journal: too long", path);
	return journal_add(id, "file", line, e);
}

static void put_back(const char *id, const char *path, const char *value)
{
	char ignored[256];
	int fd;

	if (other_value(id, path, ignored, sizeof ignored))
		return; /* still in use; the last one puts it back */
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		log_warn("can't put %s back to '%s': %s", path, value, strerror(errno));
	if (fd >= 0)
		close(fd);
}

bool journal_others_have(const char *id, const char *path)
{
	char ignored[256];

	return other_value(id, path, ignored, sizeof ignored);
}

void journal_file_back(const char *id, const char *path)
{
	char value[256];

	if (!journal_value(id, path, value, sizeof value))
		return;
	put_back(id, path, value);
	journal_add(id, "done", path, NULL);
}

/* Send sig to every process in the namespace; how many there were. */
static int signal_namespace(uint64_t inode, int sig)
{
	DIR *d = opendir("/proc");
	struct dirent *de;
	int n = 0;

	while (inode && d && (de = readdir(d))) {
		char path[300];
		int pid = atoi(de->d_name);

		snprintf(path, sizeof path, "/proc/%s/ns/net", de->d_name);
		if (pid > 1 && pid != getpid() && ns_inode(path) == inode) {
			kill(pid, sig);
			n++;
		}
	}
	if (d)
		closedir(d);
	return n;
}

static int signal_cgroup(const char *dir, int sig)
{
	char path[LINE_MAX_ + 32];
	FILE *f;
	int pid, n = 0;

	snprintf(path, sizeof path, "%s/cgroup.procs", dir);
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1)
		if (pid > 1 && pid != getpid()) {
			kill(pid, sig);
			n++;
		}
	if (f)
		fclose(f);
	return n;
}

/* Signal whatever lives in what this line names. */
static int signal_line(const char *line, int sig)
{
	char path[LINE_MAX_];

	if (strncmp(line, "netns ", 6) == 0) {
		snprintf(path, sizeof path, "%s/%s", NETNS_DIR, line + 6);
		return signal_namespace(ns_inode(path), sig);
	}
	return strncmp(line, "cgroup ", 7) == 0 ? signal_cgroup(line + 7, sig) : 0;
}

/* SIGTERM, 2 s, SIGKILL, 5 s: until nobody is left in there. */
static void end_processes(char *const *lines, int n)
{
	const struct timespec tick = {.tv_nsec = 20000000};

	for (int ms = 0; ms < TERM_WAIT_MS + KILL_WAIT_MS; ms += 20) {
		int left = 0, sig = ms == 0 ? SIGTERM : ms < TERM_WAIT_MS ? 0 : SIGKILL;

		for (int i = 0; i < n; i++)
			left += signal_line(lines[i], sig);
		if (!left)
			return;
		nanosleep(&tick, NULL);
	}
	log_warn("processes of a dead run do not end; see ip netns pids");
}

static void undo_line(const char *id, char *line)
{
	char value[256], *tab;
	struct timespec tick = {.tv_nsec = 20000000};

	if (strncmp(line, "netns ", 6) == 0)
		ns_remove(line + 6);
	else if (strncmp(line, "cgroup ", 7) == 0)
		for (int i = 0; i < 50 && rmdir(line + 7) && errno == EBUSY; i++)
			nanosleep(&tick, NULL); /* the last process is still on its way out */
	else if (strncmp(line, "file ", 5) == 0 && (tab = strchr(line, '\t'))) {
		*tab = '\0';
		if (journal_value(id, line + 5, value, sizeof value))
			put_back(id, line + 5, value);
	}
}

void journal_undo(const char *id, bool kill_first)
{
	char *lines[1024], *text = journal_read(id), *save, path[128];
	int n = 0;

	if (!text)
		return;
	for (char *p = strtok_r(text, "\n", &save); p && n < 1024; p = strtok_r(NULL, "\n", &save))
		lines[n++] = p;
	if (kill_first)
		end_processes(lines, n);
	for (int i = n; i-- > 0;)
		undo_line(id, lines[i]);
	unlink(journal_path(id, path));
	free(text);
}

/* A journal without a readable owner was cut off by its writer's death. */
static bool owner_alive(const char *id)
{
	char *text = journal_read(id);
	unsigned long long started = 0;
	int pid = 0;
	bool alive;

	alive = text && sscanf(text, "owner %d %llu", &pid, &started) == 2 && started &&
		proc_start_time(pid) == started;
	free(text);
	return alive;
}

int journal_undo_dead(void)
{
	DIR *d = opendir(JOURNAL_DIR);
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' && !owner_alive(de->d_name)) {
			journal_undo(de->d_name, true);
			n++;
		}
	if (d)
		closedir(d);
	return n;
}
