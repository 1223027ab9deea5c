/* resid: see resid.h. cachestat(2) (Linux 6.5) answers without mapping; mincore(2) is the fallback.
 * Neither touches the pages. */
#include "workloads/load/resid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workloads/content.h"

#define NR_CACHESTAT 451 /* the same on every architecture; not in the headers of older systems */

struct cachestat_range_ {
	uint64_t off, len;
};

struct cachestat_ {
	uint64_t nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
};

void resid_init(struct resid *r, const char *dir, uint64_t object_size)
{
	memset(r, 0, sizeof *r);
	snprintf(r->dir, sizeof r->dir, "%s", dir);
	r->object_size = object_size;
}

int64_t resid_cachestat(int fd, uint64_t size)
{
	struct cachestat_range_ range = {.off = 0, .len = size};
	struct cachestat_ st = {0};

	if (syscall(NR_CACHESTAT, fd, &range, &st, 0) != 0)
		return -errno;
	return (int64_t)st.nr_cache;
}

int64_t resid_mincore(int fd, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page;
	unsigned char *vec = malloc(pages ? pages : 1);
	int64_t n = 0;
	void *map;

	if (!vec)
		return -ENOMEM;
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		n = -errno;
		goto out;
	}
	if (mincore(map, size, vec) != 0)
		n = -errno;
	for (uint64_t i = 0; n >= 0 && i < pages; i++)
		n += vec[i] & 1;
	munmap(map, size);
out:
	free(vec);
	return n;
}

void resid_sample(struct resid *r, uint64_t id)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char path[600], name[32];
	int64_t n = -ENOSYS;
	int fd;

	snprintf(path, sizeof path, "%s%s", r->dir, content_path(id, name));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		r->failures++;
		return;
	}
	if (!r->no_cachestat) {
		n = resid_cachestat(fd, r->object_size);
		r->no_cachestat = n < 0;
	}
	if (n < 0)
		n = resid_mincore(fd, r->object_size);
	close(fd);
	if (n < 0) {
		r->failures++;
		return;
	}
	n = (uint64_t)n * 2 > r->object_size / page; /* more than half of the pages */
	if (id < CONTENT_COLD) {
		r->hot_samples++;
		r->hot_resident += (uint64_t)n;
	} else {
		r->cold_samples++;
		r->cold_resident += (uint64_t)n;
	}
}
