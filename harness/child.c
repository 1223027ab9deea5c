/* child: start, watch and end programs.
 *
 * One idea: between fork and exec only what is needed is done (session, parent-death signal,
 * namespace and CPUs, cgroup, descriptors), and an error there comes back through a close-on-exec
 * pipe as an errno, so "no such program" and "no right to enter the namespace" are told apart.
 */
#include "harness/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/interrupt.h"
#include "harness/undo.h"

#define CAPTURE_MAX (16 << 20)

enum step { STEP_TESTBED, STEP_CGROUP, STEP_FILES, STEP_EXEC };

struct failure {
	int step, err;
};

const char *child_which(const char *prog, char *buf, int len)
{
	const char *path = getenv("PATH");

	if (strchr(prog, '/')) {
		snprintf(buf, (size_t)len, "%s", prog);
		return access(buf, X_OK) ? NULL : buf;
	}
	if (!path || !*path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (*path) {
		size_t n = strcspn(path, ":");

		snprintf(buf, (size_t)len, "%.*s/%s", (int)n, path, prog);
		if (!access(buf, X_OK))
			return buf;
		path += n;
		path += *path == ':';
	}
	return NULL;
}

static int open_as(int fd, const char *path)
{
	int from = open(path ? path : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (from < 0 || dup2(from, fd) < 0)
		return -errno;
	return 0;
}

static int join_cgroup(const char *procs)
{
	int fd = open(procs, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "0", 1) != 1)
		err = -errno;
	close(fd);
	return err;
}

static int set_up(const struct child_spec *spec, int *step)
{
	sigset_t none;
	int null, err = 0;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	*step = STEP_CGROUP;
	if (spec->cgroup_procs)
		err = join_cgroup(spec->cgroup_procs);
	*step = STEP_FILES;
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!err && (null < 0 || dup2(null, 0) < 0))
		err = -errno;
	if (!err)
		err = open_as(1, spec->out_path);
	if (!err)
		err = open_as(2, spec->err_path);
	if (!err && spec->keep_fd >= 0 && fcntl(spec->keep_fd, F_SETFD, 0) < 0)
		err = -errno;
	if (!err && spec->tb) { /* last: opening paths is done in the host's view */
		*step = STEP_TESTBED;
		err = testbed_enter(spec->tb, spec->side);
	}
	return err;
}

static void run_child(const struct child_spec *spec, const char *prog, pid_t parent, int report)
{
	struct failure f = {STEP_TESTBED, 0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	f.err = set_up(spec, &f.step);
	if (!f.err) {
		f.step = STEP_EXEC;
		if (spec->env)
			putenv((char *)(uintptr_t)spec->env);
		execv(prog, (char *const *)spec->argv);
		f.err = -errno;
	}
	if (write(report, &f, sizeof f) != sizeof f)
		_exit(126);
	_exit(127);
}

int child_start(pid_t *out, const struct child_spec *spec, struct errbuf *e)
{
	static const char *const at[] = {"entering its namespace", "entering its cgroup",
					 "opening its files", "starting it"};
	struct failure f = {0, 0};
	pid_t pid, parent = getpid();
	char prog[512];
	int p[2];
	ssize_t n;

	if (!child_which(spec->argv[0], prog, sizeof prog))
		return errf(e, -ENOENT, "%s is not installed, or not executable", spec->argv[0]);
	if (pipe2(p, O_CLOEXEC))
		return errf(e, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		close(p[0]);
		close(p[1]);
		return errf(e, err, "%s: fork: %s", spec->argv[0], strerror(-err));
	}
	if (!pid)
		run_child(spec, prog, parent, p[1]);
	close(p[1]);
	do
		n = read(p[0], &f, sizeof f);
	while (n < 0 && errno == EINTR);
	close(p[0]);
	if (n == sizeof f) {
		waitpid(pid, NULL, 0);
		return errf(e, f.err, "%s: %s failed: %s", spec->argv[0], at[f.step],
			    strerror(-f.err));
	}
	undo_pid(pid);
	*out = pid;
	return 0;
}

int child_wait(pid_t pid, uint64_t timeout_ns, int *status)
{
	uint64_t end = clock_ns() + timeout_ns;

	for (;;) {
		pid_t r = waitpid(pid, status, WNOHANG);

		if (r == pid)
			return 1;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (clock_ns() >= end)
			return 0;
		usleep(5000);
	}
}

int child_stop(pid_t pid, uint64_t grace_ns)
{
	int status = -1;

	if (pid <= 0)
		return -1;
	kill(pid, SIGTERM);
	if (child_wait(pid, grace_ns, &status) == 1)
		return status;
	kill(pid, SIGKILL);
	child_wait(pid, 5 * NSEC_PER_SEC, &status);
	return status;
}

const char *child_status_text(int status, char *buf, int len)
{
	if (WIFSIGNALED(status))
		snprintf(buf, (size_t)len, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(buf, (size_t)len, "exited with status %d", WEXITSTATUS(status));
	return buf;
}

/* The whole file, or NULL. */
static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *buf = NULL;
	struct stat st;

	if (!f)
		return NULL;
	if (!fstat(fileno(f), &st) && st.st_size < CAPTURE_MAX) {
		buf = calloc(1, (size_t)st.st_size + 1);
		if (buf && fread(buf, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
			*buf = 0;
	}
	fclose(f);
	return buf;
}

/* Cuts `text` down to its last line that holds something. */
static const char *last_line(char *text)
{
	size_t n = text ? strlen(text) : 0;
	char *nl;

	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		text[--n] = 0;
	nl = n ? strrchr(text, '\n') : NULL;
	return nl ? nl + 1 : n ? text : "no message";
}

int child_capture(const struct child_spec *spec, uint64_t timeout_ns, char **out, struct errbuf *e)
{
	char dir[] = "/tmp/dcn-capture-XXXXXX", so[64], se[64], buf[96];
	struct child_spec s = *spec;
	uint64_t end = clock_ns() + timeout_ns;
	int status = 0, err, done = 0;
	char *text;
	pid_t pid = 0;

	*out = NULL;
	if (!mkdtemp(dir))
		return errf(e, -errno, "%s: %s", dir, strerror(errno));
	snprintf(so, sizeof so, "%s/out", dir);
	snprintf(se, sizeof se, "%s/err", dir);
	s.out_path = so;
	s.err_path = se;
	err = child_start(&pid, &s, e);
	while (!err && !done && clock_ns() < end && !interrupt_now())
		done = child_wait(pid, 100 * NSEC_PER_MSEC, &status);
	if (!err && done != 1) {
		child_stop(pid, NSEC_PER_SEC);
		err = interrupt_now() ? errf(e, -EINTR, "interrupted")
				      : errf(e, -ETIME, "%s did not end within %.0f s", s.argv[0],
					     (double)timeout_ns / 1e9);
	} else if (!err && status) {
		text = slurp(se);
		err = errf(e, -EPROTO, "%s %s: %.200s", s.argv[0],
			   child_status_text(status, buf, sizeof buf), last_line(text));
		free(text);
	}
	if (!err) {
		*out = slurp(so);
		err = *out ? 0 : errf(e, -ENOMEM, "%s: output can't be read", s.argv[0]);
	}
	unlink(so);
	unlink(se);
	rmdir(dir);
	return err;
}

void child_adopt(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* Pids of our children now. */
static int children(pid_t *out, int max)
{
	char path[64];
	int n = 0, pid;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (n < max && fscanf(f, "%d", &pid) == 1)
		out[n++] = pid;
	fclose(f);
	return n;
}

void child_reap_strays(void)
{
	pid_t pid[256];
	int n;

	for (int turn = 0; turn < 20; turn++) { /* killing one may hand us its children */
		n = children(pid, 256);
		if (!n)
			return;
		for (int i = 0; i < n; i++) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
		}
	}
}
