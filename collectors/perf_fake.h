/* For the collectors' tests: a machine of made-up counters behind perf_calls.
 *
 * Every event that a test lets open counts `per_s` a second of its own time; fake_now_s is that
 * time. Descriptors are numbers of nothing, so a forgotten close shows in fake_open.
 */
#ifndef COLLECTORS_PERF_FAKE_H
#define COLLECTORS_PERF_FAKE_H

#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <string.h>

#include "collectors/perf.h"

#define FAKE_MAX  256
#define FAKE_BASE 100000

static struct {
	int cpu, used;
	struct perf_event_attr attr;
	double per_s, share;
} fake[FAKE_MAX];

static int fake_n, fake_open;
static double fake_now_s;
static int fake_unplugged = -1;	   /* this CPU's events stop ... */
static double fake_unplugged_at_s; /* ... then */

/* The test's machine: 0 and *per_s, *share, or an errno. */
static int (*fake_rule)(const struct perf_event_attr *attr, int cpu, double *per_s, double *share);

static int fake_on_open(struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd,
			unsigned long flags)
{
	double per_s = 0, share = 1;
	int err = pid == -1 && cpu >= 0 && flags ? fake_rule(attr, cpu, &per_s, &share) : EINVAL;

	(void)group_fd;
	if (!err && fake_n == FAKE_MAX)
		err = EMFILE;
	if (err) {
		errno = err;
		return -1;
	}
	fake[fake_n].attr = *attr;
	fake[fake_n].cpu = cpu;
	fake[fake_n].per_s = per_s;
	fake[fake_n].share = share;
	fake[fake_n].used = 1;
	fake_open++;
	return FAKE_BASE + fake_n++;
}

static ssize_t fake_on_read(int fd, void *buf, size_t n)
{
	struct perf_reading *r = buf;
	int i = fd - FAKE_BASE;
	double now_s = fake_now_s;

	if (n != sizeof *r || i < 0 || i >= fake_n) {
		errno = EBADF;
		return -1;
	}
	if (fake[i].cpu == fake_unplugged && now_s > fake_unplugged_at_s)
		now_s = fake_unplugged_at_s;
	r->value = (uint64_t)(fake[i].per_s * fake[i].share * now_s);
	r->enabled_ns = (uint64_t)(now_s * 1e9);
	r->running_ns = (uint64_t)(now_s * 1e9 * fake[i].share);
	return (ssize_t)n;
}

static int fake_on_close(int fd)
{
	if (fake[fd - FAKE_BASE].used)
		fake_open--;
	fake[fd - FAKE_BASE].used = 0;
	return 0;
}

static inline void fake_machine(int (*rule)(const struct perf_event_attr *, int, double *,
					    double *))
{
	memset(fake, 0, sizeof fake);
	fake_n = fake_open = 0;
	fake_now_s = 1;
	fake_unplugged = -1;
	fake_rule = rule;
	perf_calls = (struct perf_calls){fake_on_open, fake_on_read, fake_on_close};
}

#endif
