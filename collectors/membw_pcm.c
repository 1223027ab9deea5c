/* membw, from Intel PCM's pcm-memory, run as a subprocess that prints CSV ten times a second.
 *
 * Two header lines name the columns, which vary by platform: the first by owner (SKT0 ... System),
 * the second by content. A dead channel has empty fields; a busy PMU shows as -1 or nan: such rows
 * are dropped, and so is a line that ends too early. Rates are integrated over the time between
 * rows.
 *
 * PCM switches the NMI watchdog off and only switches it on again if it ends well: its state is
 * saved before and restored after; the run's journal has it too, so that `dcn restore` can after a
 * kill, when PCM ends by itself (its pipe is closed). PCM_NO_RDT keeps it away from resctrl.
 *
 * Limits: the first row comes after about a second, which open() waits for.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "collectors/membw.h"
#include "collectors/procfs.h"

#define LINE_MAX_BYTES 16384
#define START_MS       5000
#define INTERVAL       "0.1"
#define WATCHDOG       "/proc/sys/kernel/nmi_watchdog"

struct membw_source {
	pid_t pid;
	int out, err; /* the latter is kept open: without a reader PCM would be killed by a word */
	char line[LINE_MAX_BYTES], header[LINE_MAX_BYTES];
	int len, lines;
	struct pcm_csv csv;
	uint64_t last_ns;
	int rows;
	bool dead;
	struct membw_totals t;
	char watchdog; /* its state before, 0 unknown */
};

/* --- CSV --- */

/* The next field, trimmed; false at the end of the line. */
static bool next_field(const char **p, char *out, size_t cap)
{
	size_t n;

	if (!*p)
		return false;
	*p += strspn(*p, " ");
	n = strcspn(*p, ",\r\n");
	snprintf(out, cap, "%.*s", (int)n, *p);
	while (*out && out[strlen(out) - 1] == ' ')
		out[strlen(out) - 1] = '\0';
	*p = (*p)[n] == ',' ? *p + n + 1 : NULL;
	return true;
}

static void name_column(struct pcm_csv *c, int column, const char *owner, const char *what)
{
	unsigned int socket;

	if (!strcmp(owner, "System")) {
		if (!strcmp(what, "Read"))
			c->all_read = column;
		if (!strcmp(what, "Write"))
			c->all_write = column;
	} else if (sscanf(owner, "SKT%u", &socket) == 1 && socket < MEMBW_SOCKETS) {
		if (!strncmp(what, "Mem Read", 8))
			c->read[socket] = column;
		if (!strncmp(what, "Mem Write", 9))
			c->write[socket] = column;
		c->sockets = (int)socket + 1 > c->sockets ? (int)socket + 1 : c->sockets;
	}
}

bool pcm_header(struct pcm_csv *c, const char *line1, const char *line2)
{
	char owner[32], what[64];

	*c = (struct pcm_csv){.all_read = -1, .all_write = -1};
	for (int i = 0; i < MEMBW_SOCKETS; i++)
		c->read[i] = c->write[i] = -1;
	while (next_field(&line2, what, sizeof what)) {
		if (!next_field(&line1, owner, sizeof owner))
			*owner = '\0';
		if (c->columns == PCM_COLUMNS)
			return false;
		name_column(c, c->columns++, owner, what);
	}
	if (!*what && c->columns) /* lines end with a comma */
		c->columns--;
	return c->all_read >= 0 && c->all_write >= 0;
}

static bool usable(double v)
{
	return isfinite(v) && v >= 0;
}

bool pcm_values(const struct pcm_csv *c, const char *line, struct pcm_row *r)
{
	double v[PCM_COLUMNS];
	char field[64];
	int n = 0;

	while (n < PCM_COLUMNS && next_field(&line, field, sizeof field)) {
		char *end;

		v[n] = strtod(field, &end);
		if (end == field || *end)
			v[n] = NAN;
		n++;
	}
	if (n < c->columns || !usable(v[c->all_read]) || !usable(v[c->all_write]))
		return false;
	*r = (struct pcm_row){.read = v[c->all_read], .write = v[c->all_write]};
	for (int i = 0; i < c->sockets; i++) {
		r->socket_read[i] = c->read[i] >= 0 ? v[c->read[i]] : NAN;
		r->socket_write[i] = c->write[i] >= 0 ? v[c->write[i]] : NAN;
	}
	return true;
}

/* --- the subprocess --- */

static void on_row(struct membw_source *s, const char *line)
{
	uint64_t now = clock_ns();
	double seconds = s->last_ns ? (double)(now - s->last_ns) / NSEC_PER_SEC : 0;
	struct pcm_row r;

	if (!pcm_values(&s->csv, line, &r))
		return; /* the next good row stands for this time too */
	s->last_ns = now;
	s->rows++;
	s->t.read += r.read * 1e6 * seconds;
	s->t.write += r.write * 1e6 * seconds;
	s->t.total = s->t.read + s->t.write;
	s->t.sockets = s->csv.sockets;
	for (int i = 0; i < s->csv.sockets; i++) {
		s->t.socket_read[i] += r.socket_read[i] * 1e6 * seconds;
		s->t.socket_write[i] += r.socket_write[i] * 1e6 * seconds;
	}
}

static void on_line(struct membw_source *s)
{
	s->lines++;
	if (s->csv.columns) {
		on_row(s, s->line);
		return;
	}
	/* The header is two lines of which the second begins with "Date"; others may come before.
	 */
	if (strncmp(s->line, "Date", 4) == 0 && !pcm_header(&s->csv, s->header, s->line))
		s->csv.columns = 0;
	memcpy(s->header, s->line, sizeof s->header);
}

static void take_output(struct membw_source *s)
{
	for (;;) {
		char c[4096];
		ssize_t n = read(s->out, c, sizeof c);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			s->dead = true;
		if (n <= 0)
			return;
		for (ssize_t i = 0; i < n; i++) {
			if (c[i] != '\n' && s->len < LINE_MAX_BYTES - 1) {
				s->line[s->len++] = c[i];
			} else if (c[i] == '\n') {
				s->line[s->len] = '\0';
				s->len = 0;
				on_line(s);
			}
		}
	}
}

static char watchdog_state(void)
{
	char text[8] = "";

	return procfs_slurp("/", WATCHDOG, text, sizeof text) > 0 ? text[0] : 0;
}

static void restore_watchdog(char state)
{
	int fd;

	if (!state || watchdog_state() == state)
		return;
	fd = open(WATCHDOG, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, &state, 1) != 1)
		state = 0; /* nothing more can be done */
	close(fd);
}

/* `go` gives a byte once the run's journal has this process; if the parent died before, none. */
static void run_pcm(int go, int out, int err)
{
	sigset_t none;
	char c;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (read(go, &c, 1) != 1)
		_exit(126);
	setenv("PCM_NO_RDT", "1", 1);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(127);
	execlp("pcm-memory", "pcm-memory", INTERVAL, "-csv", "-nc", "-f", (char *)NULL);
	dprintf(STDERR_FILENO, "pcm-memory can't be run (%s); install the package pcm\n",
		strerror(errno));
	_exit(127);
}

/* The last line of what it said that sounds like a reason, or the last of all. (With -silent it
 * would not say any.) */
static void complaint(int fd, struct errbuf *e)
{
	static const char *const sounds[] = {"nsupported", "rror", "denied", "annot", "can't"};
	char text[4096], *line, *best = NULL, *save = NULL;
	ssize_t n = read(fd, text, sizeof text - 1);
	bool found = false;

	text[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
		bool reason = false;

		for (size_t i = 0; i < sizeof sounds / sizeof *sounds; i++)
			reason |= strstr(line, sounds[i]) != NULL;
		if (reason || !found)
			best = line;
		found |= reason;
	}
	for (size_t end = best ? strlen(best) : 0; end && strchr(". ", best[end - 1]);)
		best[--end] = '\0';
	errf(e, 0, "pcm-memory gives no numbers: %s", best ? best : "it said nothing");
}

static void pcm_close(struct membw_source *s)
{
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		for (int i = 0; i < 200 && waitpid(s->pid, NULL, WNOHANG) == 0; i++) {
			if (i == 100)
				kill(s->pid, SIGKILL);
			usleep(10000);
		}
	}
	if (s->out >= 0)
		close(s->out);
	if (s->err >= 0)
		close(s->err);
	restore_watchdog(s->watchdog);
	free(s);
}

static int make_pipes(int p[3][2])
{
	static const int flags[3] = {O_CLOEXEC | O_NONBLOCK, O_CLOEXEC | O_NONBLOCK, O_CLOEXEC};

	for (int i = 0; i < 3; i++)
		if (pipe2(p[i], flags[i])) {
			int err = -errno;

			while (i--)
				close(p[i][0]), close(p[i][1]);
			return err;
		}
	return 0;
}

static int spawn(struct membw_source *s, const struct collector_env *env, struct errbuf *e)
{
	enum { OUT, ERR, GO };

	int p[3][2], err = make_pipes(p);

	if (err)
		return errf(e, err, "no pipe: %s", strerror(-err));
	s->pid = fork();
	if (s->pid == 0) {
		close(p[GO][1]);
		run_pcm(p[GO][0], p[OUT][1], p[ERR][1]);
	}
	if (s->pid > 0 && env->started)
		env->started(s->pid);
	if (s->pid < 0 || write(p[GO][1], "g", 1) != 1)
		err = errf(e, -EAGAIN, "pcm-memory can't be started");
	close(p[GO][0]);
	close(p[GO][1]);
	close(p[OUT][1]);
	close(p[ERR][1]);
	s->out = p[OUT][0];
	s->err = p[ERR][0];
	return err;
}

static int pcm_open(struct membw_source **out, const struct collector_env *env, struct errbuf *e)
{
	struct membw_source *s = calloc(1, sizeof *s);
	uint64_t until = clock_ns() + START_MS * NSEC_PER_MSEC;
	int err;

	if (!s)
		return errf(e, -ENOMEM, "out of memory");
	s->out = s->err = -1;
	s->watchdog = watchdog_state();
	if (s->watchdog && env->remember)
		env->remember(WATCHDOG, (char[]){s->watchdog, '\0'});
	s->t.share = 1;
	err = spawn(s, env, e);
	while (!err && !s->rows && !s->dead && clock_ns() < until) {
		struct pollfd p = {s->out, POLLIN, 0};

		poll(&p, 1, 100);
		take_output(s);
	}
	if (!err && !s->rows) {
		complaint(s->err, e);
		err = -ENOENT;
	}
	if (err) {
		pcm_close(s);
		return err;
	}
	*out = s;
	return 0;
}

static void pcm_read(struct membw_source *s, struct membw_totals *t)
{
	take_output(s);
	*t = s->t;
	t->valid = !s->dead;
}

const struct membw_source_ops membw_pcm = {
	.id = MEMBW_PCM,
	.apart = true,
	.dram = true,
	.lag_ms = 300,
	.open = pcm_open,
	.read = pcm_read,
	.close = pcm_close,
};
