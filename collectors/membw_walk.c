/* membw, the known walk: threads that read memory line by line, so that what a counter says can be
 * compared with what was read, and the machine's own limit is known.
 *
 * Each thread has its own buffer and reads it in order again and again; all buffers together are
 * several times the last-level cache, so every line comes from memory (but for the small part that
 * stays cached between passes, which an LRU cache does not keep).
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "collectors/membw.h"

#define THREADS_MAX 64
#define MIN_BUFFER  (32u << 20)
#define MAX_BUFFER  (512u << 20)
#define STRETCH	    (1u << 20) /* read between two looks at the clock */

struct walker {
	pthread_t thread;
	int cpu;
	const uint64_t *buf;
	size_t len;
	uint64_t until_ns;
	double bytes;
	uint64_t sum; /* so that nothing is optimised away */
};

static uint64_t read_stretch(const uint64_t *p)
{
	uint64_t a = 0, b = 0;

	for (size_t i = 0; i < STRETCH / 8; i += 16) { /* one word of each 64-byte line */
		a += p[i];
		b += p[i + 8];
	}
	return a + b;
}

static void *walk(void *arg)
{
	struct walker *w = arg;
	cpu_set_t one;
	size_t at = 0;

	CPU_ZERO(&one);
	CPU_SET(w->cpu, &one);
	pthread_setaffinity_np(pthread_self(), sizeof one, &one);
	while (clock_ns() < w->until_ns) {
		w->sum += read_stretch(w->buf + at / 8);
		w->bytes += STRETCH;
		at = at + 2 * STRETCH <= w->len ? at + STRETCH : 0;
	}
	return NULL;
}

static int start_all(struct walker *w, int n)
{
	int started = 0;

	while (started < n && pthread_create(&w[started].thread, NULL, walk, &w[started]) == 0)
		started++;
	return started;
}

double membw_walk(const cpu_set_t *cpus, uint64_t llc_bytes, unsigned int ms, double *s)
{
	struct walker w[THREADS_MAX] = {0};
	int n = CPU_COUNT(cpus) < THREADS_MAX ? CPU_COUNT(cpus) : THREADS_MAX, k = 0;
	uint64_t each = n ? 8 * llc_bytes / (unsigned int)n : 0, t0;
	double bytes = 0;
	char *all;

	each = each < MIN_BUFFER ? MIN_BUFFER : each > MAX_BUFFER ? MAX_BUFFER : each;
	each &= ~(uint64_t)(STRETCH - 1);
	all = n ? mmap(NULL, each * (size_t)n, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)
		: MAP_FAILED;
	if (all == MAP_FAILED)
		return 0;
	t0 = clock_ns();
	for (int cpu = 0; cpu < CPU_SETSIZE && k < n; cpu++)
		if (CPU_ISSET(cpu, cpus)) {
			w[k] = (struct walker){.cpu = cpu,
					       .buf = (uint64_t *)(all + each * (size_t)k),
					       .len = each,
					       .until_ns = t0 + ms * NSEC_PER_MSEC};
			k++;
		}
	n = start_all(w, n);
	for (int i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		bytes += w[i].bytes;
	}
	*s = (double)(clock_ns() - t0) / NSEC_PER_SEC;
	munmap(all, each * (size_t)(k ? k : 1));
	return bytes;
}
