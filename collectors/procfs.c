/* procfs: see procfs.h. */
#include "collectors/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

int procfs_open(const char *root, const char *path, struct errbuf *e)
{
	char full[512];
	int fd;

	snprintf(full, sizeof full, "%s/%s", root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errf(e, -errno, "%s can't be read: %s", full, strerror(errno));
	return fd;
}

int procfs_read(int fd, struct procfs_text *t)
{
	int n = 0;

	while (n < PROCFS_TEXT - 1) {
		ssize_t r = pread(fd, t->s + n, (size_t)(PROCFS_TEXT - 1 - n), n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (int)r;
	}
	t->n = n;
	t->s[n] = '\0';
	return n;
}

int procfs_slurp(const char *root, const char *path, char *buf, int cap)
{
	int fd = procfs_open(root, path, NULL);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, buf, (size_t)cap - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return (int)n;
	if (n && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return (int)n;
}

int procfs_u64(const char *root, const char *path, uint64_t *out)
{
	char text[64], *end;
	int n = procfs_slurp(root, path, text, sizeof text);

	if (n < 0)
		return n;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return errno ? -errno : end == text || *end ? -EINVAL : 0;
}

const char *procfs_line(const struct procfs_text *t, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = t->s; p; p = strchr(p, '\n')) {
		p += strspn(p, " \t\n");
		if (strncmp(p, key, n) == 0 && p[n] && strchr(" \t:", p[n]))
			return p + n + 1;
	}
	return NULL;
}

int procfs_numbers(const char *p, uint64_t *out, int max)
{
	int n = 0;

	while (n < max) {
		char *end;

		p += strspn(p, " \t");
		if (*p < '0' || *p > '9')
			break;
		out[n++] = strtoull(p, &end, 10);
		p = end;
	}
	return n;
}

bool procfs_delta(uint64_t before, uint64_t now, uint64_t *delta)
{
	*delta = now - before;
	if (now >= before)
		return true;
	/* Near the top of 32 bits before, near 0 now: wrapped; anything else is a new beginning. */
	*delta = now + (1ull << 32) - before;
	return before < 1ull << 32 && before >= 3ull << 30 && now < 1ull << 30;
}

bool collector_option(const char *options, const char *key, char *buf, int cap)
{
	size_t n = strlen(key);

	for (const char *p = options; p && *p;) {
		p += strspn(p, " ");
		if (strncmp(p, key, n) == 0 && p[n] == '=') {
			snprintf(buf, (size_t)cap, "%.*s", (int)strcspn(p + n + 1, ";"), p + n + 1);
			return true;
		}
		p += strcspn(p, ";");
		p += *p == ';';
	}
	return false;
}

bool procfs_cpus(const char *list, cpu_set_t *out)
{
	CPU_ZERO(out);
	do {
		char *end;
		unsigned long lo = strtoul(list, &end, 10), hi = lo;

		if (end == list)
			return false;
		if (*end == '-')
			hi = strtoul(end + 1, &end, 10);
		if (hi < lo || hi >= CPU_SETSIZE)
			return false;
		for (; lo <= hi; lo++)
			CPU_SET(lo, out);
		list = end + (*end == ',');
	} while (*list);
	return true;
}

uint64_t collector_now(const struct collector_env *env, uint64_t t_ns)
{
	return strcmp(env->proc_root, "/proc") == 0 ? clock_ns() : t_ns;
}
