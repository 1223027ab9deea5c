/* launch: see the header.
 *
 * One idea: a server is its process group. Workers, thread pools and shells stay in it, so ending
 * the group ends everything; what left the group comes back to the driver as an orphan, which ends
 * it too.
 *
 * Limits: readiness speaks HTTP/1.1 over IPv4 literals, and TLS without checking the certificate
 * (the load does that).
 */
#include "stacks/launch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/child.h"

#define GRACE_NS  (5 * NSEC_PER_SEC)
#define PROBE_S	  1 /* limit of each step of the probe */
#define STATS_MAX (4 << 20)
#define LOG_TAIL  2048

static const char *log_path(const struct stack_env *env, char buf[320])
{
	snprintf(buf, 320, "%.300s/stack.log", env->work_dir);
	return buf;
}

int launch_start(const struct stack_env *env, struct stack_proc *p, const char *const argv[],
		 struct errbuf *e)
{
	char log[320];
	struct child_spec spec = {.argv = argv,
				  .tb = env->tb,
				  .side = TESTBED_SERVER,
				  .out_path = log_path(env, log),
				  .err_path = log,
				  .keep_fd = -1,
				  .cgroup_procs = env->cgroup_procs};

	return child_start(&p->pid, &spec, e);
}

void launch_url(const struct stack_env *env, struct stack_proc *p, const char *ip)
{
	snprintf(p->url, sizeof p->url, env->tls ? "https://%s:443" : "http://%s:80", ip);
}

/* The last line of the log that says something. */
static const char *last_words(const struct stack_env *env, char buf[LOG_TAIL])
{
	char path[320], *nl;
	FILE *f = fopen(log_path(env, path), "re");
	size_t n = 0;

	if (f) {
		if (fseek(f, -(LOG_TAIL - 1), SEEK_END))
			rewind(f);
		n = fread(buf, 1, LOG_TAIL - 1, f);
		fclose(f);
	}
	while (n && strchr(" \n\r\t", buf[n - 1]))
		n--;
	buf[n] = '\0';
	nl = strrchr(buf, '\n');
	return n == 0 ? "no message" : nl ? nl + 1 : buf;
}

/* Has the leader ended? It stays a zombie for launch_stop. */
static bool is_dead(pid_t pid)
{
	siginfo_t si = {.si_pid = 0};

	return pid <= 0 || waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) ||
	       si.si_pid == pid;
}

static int probe_connect(const char *ip, int port, struct errbuf *e)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval limit = {.tv_sec = PROBE_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		return errf(e, -EINVAL, "%s is not an IPv4 address", ip);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	errf(e, -EAGAIN, "no connection to %s:%d: %s", ip, port,
	     errno == EINPROGRESS ? "timed out" : strerror(errno));
	close(fd);
	return -EAGAIN;
}

/* Send the request, read the head of the answer; plain or through TLS. */
static ssize_t probe_exchange(int fd, bool tls, const char *req, char *ans, size_t size)
{
	SSL_CTX *ctx;
	SSL *ssl;

	if (!tls) {
		if (send(fd, req, strlen(req), MSG_NOSIGNAL) < 0)
			return -1;
		return recv(fd, ans, size, 0);
	}
	/* The process ends right after this: nothing is freed. */
	ctx = SSL_CTX_new(TLS_client_method());
	ssl = ctx ? SSL_new(ctx) : NULL;
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1 ||
	    SSL_write(ssl, req, (int)strlen(req)) <= 0)
		return -1;
	return SSL_read(ssl, ans, (int)size);
}

/* In a child of its own, inside the client's namespace. */
static int probe(const struct stack_env *env, const struct stack_proc *p, struct errbuf *e)
{
	static const char *const names[] = {"/hot/000000", "/cold/000000", "/"};
	const bool tls = strncmp(p->url, "https://", 8) == 0;
	char ip[64] = "", path[512], req[256], ans[512];
	int port = tls ? 443 : 80, name = 0, fd, err;
	unsigned int status;
	ssize_t n;

	if (sscanf(p->url, tls ? "https://%63[0-9.]:%d" : "http://%63[0-9.]:%d", ip, &port) < 1)
		return errf(e, -EINVAL, "'%s' is not http://IPV4[:PORT] or https://IPV4[:PORT]",
			    p->url);
	for (; name < 2; name++) {
		snprintf(path, sizeof path, "%.480s%s", env->content_dir, names[name]);
		if (access(path, R_OK) == 0)
			break;
	}
	err = testbed_enter(env->tb, TESTBED_CLIENT);
	if (err)
		return errf(e, err, "can't enter the client's namespace: %s", strerror(-err));
	fd = probe_connect(ip, port, e);
	if (fd < 0)
		return fd;
	snprintf(req, sizeof req,
		 "GET %s HTTP/1.1\r\nHost: %s\r\nRange: bytes=0-0\r\nConnection: close\r\n\r\n",
		 names[name], ip);
	n = probe_exchange(fd, tls, req, ans, sizeof ans - 1);
	if (n <= 0)
		return errf(e, -EAGAIN, "connected to %s, but %s", p->url,
			    tls ? "no TLS handshake or no answer" : "no answer");
	ans[n] = '\0';
	if (sscanf(ans, "HTTP/1.%*1[01] %3u", &status) != 1)
		return errf(e, -EPROTO, "%s does not answer in HTTP/1.1", p->url);
	if (status != 200 && status != 206)
		return errf(e, -EPROTO, "%s answers %u for %s; it must serve %s as its root",
			    p->url, status, names[name], env->content_dir);
	return 0;
}

int launch_ready(const struct stack_env *env, struct stack_proc *p, struct errbuf *e)
{
	struct {
		int err;
		struct errbuf e;
	} res = {.err = -EAGAIN};
	char tail[LOG_TAIL];
	int fds[2], status;
	ssize_t n = 0;
	pid_t pid;

	if (is_dead(p->pid))
		return errf(e, -ECHILD, "it ended at once: %.300s", last_words(env, tail));
	if (pipe2(fds, O_CLOEXEC))
		return errf(e, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		alarm(2 * PROBE_S);
		res.e.s[0] = '\0';
		res.err = probe(env, p, &res.e);
		_exit(write(fds[1], &res, sizeof res) != sizeof res);
	}
	close(fds[1]);
	while (pid > 0 && (n = read(fds[0], &res, sizeof res)) < 0 && errno == EINTR)
		;
	if (n != sizeof res)
		snprintf(res.e.s, sizeof res.e.s, "no answer from %s yet", p->url);
	close(fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (res.err && is_dead(p->pid))
		return errf(e, -ECHILD, "it ended: %.300s", last_words(env, tail));
	if (res.err && e)
		*e = res.e;
	return res.err;
}

int launch_ready_line(const struct stack_env *env, struct stack_proc *p, struct errbuf *e)
{
	char path[320], line[LOG_TAIL];
	FILE *f = fopen(log_path(env, path), "re");
	bool said = false;

	while (!said && f && fgets(line, sizeof line, f))
		said = strstr(line, "ready\n") != NULL;
	if (f)
		fclose(f);
	if (said)
		return launch_ready(env, p, e);
	if (is_dead(p->pid))
		return errf(e, -ECHILD, "it ended at once: %.300s", last_words(env, line));
	return errf(e, -EAGAIN, "it has not said that it is ready");
}

/* Wait for every process of the group; those whose parent died are ours by then. True when none is
 * left. */
static bool group_gone(pid_t pgid, uint64_t limit_ns)
{
	const uint64_t end = clock_ns() + limit_ns;

	for (;;) {
		while (waitpid(-pgid, NULL, WNOHANG) > 0)
			;
		if (kill(-pgid, 0) && errno == ESRCH)
			return true;
		if (clock_ns() >= end)
			return false;
		usleep(2000);
	}
}

void launch_stop(const struct stack_env *env, struct stack_proc *p)
{
	(void)env;
	if (p->pid <= 0)
		return;
	kill(-p->pid, SIGTERM); /* all: a shell in front would not pass it on */
	if (!group_gone(p->pid, GRACE_NS)) {
		kill(-p->pid, SIGKILL);
		group_gone(p->pid, GRACE_NS);
	}
	waitpid(p->pid, NULL, WNOHANG);
	p->pid = 0;
}

json_t *launch_stats(const struct stack_env *env, struct stack_proc *p)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = PROBE_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	json_t *o = NULL;
	size_t at = 0;
	char *text;
	ssize_t n;

	(void)env;
	text = malloc(STATS_MAX);
	snprintf(a.sun_path, sizeof a.sun_path, "%.107s", p->stats_path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (fd >= 0 && text && connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
		while (at < STATS_MAX && (n = read(fd, text + at, STATS_MAX - at)) > 0)
			at += (size_t)n;
		o = json_loadb(text, at, 0, NULL);
	}
	if (fd >= 0)
		close(fd);
	free(text);
	return o;
}
