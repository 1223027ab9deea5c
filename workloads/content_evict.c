/* content: out of the page cache.
 *
 * One idea: FADV_DONTNEED is a request, not an order (it skips dirty and mapped pages, and pages
 * still in a CPU's batch), so every file is synced before and counted after. cachestat(2) counts
 * without mapping (Linux 6.5); mincore(2) does where it is missing.
 *
 * Limits: pages that another process holds mapped stay, and are reported. On a file system that
 * lives in memory the pages are the content: there is nothing to drop.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "workloads/content.h"

#ifndef SYS_cachestat
#define SYS_cachestat                                                                              \
	451 /* the same number on every architecture; newer than Debian 12's headers */
#endif

#define TRIES 3

struct cs_range {
	uint64_t off, len;
};

struct cs {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* Pages of an open file in the page cache, by mincore(2). */
static int64_t resident_mincore(int fd, uint64_t len)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t pages = (len + page - 1) / page;
	unsigned char *vec;
	void *map;
	int64_t n = 0;

	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	vec = malloc(pages);
	if (!vec || mincore(map, len, vec)) {
		n = vec ? -errno : -ENOMEM;
	} else {
		for (size_t i = 0; i < pages; i++)
			n += vec[i] & 1;
	}
	free(vec);
	munmap(map, len);
	return n;
}

static int64_t resident(int fd)
{
	struct cs_range all = {0, 0}; /* len 0: to the end */
	struct cs cs;
	struct stat st;

	if (syscall(SYS_cachestat, fd, &all, &cs, 0) == 0)
		return (int64_t)cs.cached;
	if (fstat(fd, &st))
		return -errno;
	return st.st_size ? resident_mincore(fd, (uint64_t)st.st_size) : 0;
}

static int64_t evict_file(int fd)
{
	int64_t left = 0;

	for (int i = 0; i < TRIES; i++) {
		if (fdatasync(fd) && errno != EROFS && errno != EINVAL)
			return -errno;
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		left = resident(fd);
		if (left <= 0)
			break;
	}
	return left;
}

/* Objects [first, first + n). Pages left, or -errno with a sentence. */
static int64_t evict_range(const char *dir, int dir_fd, uint64_t first, uint32_t n,
			   struct errbuf *e)
{
	int64_t left = 0;

	for (uint32_t i = 0; i < n; i++) {
		char path[32];
		int64_t r;
		int fd;

		content_path(first + i, path);
		fd = openat(dir_fd, path + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return errf(e, -errno, "%s%s: %s; the next run makes missing objects again",
				    dir, path, strerror(errno));
		r = evict_file(fd);
		close(fd);
		if (r < 0)
			return errf(e, (int)r, "%s%s: can't drop it from the page cache: %s", dir,
				    path, strerror((int)-r));
		left += r;
	}
	return left;
}

static bool in_memory(int fd)
{
	struct statfs s;

	return fstatfs(fd, &s) == 0 && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC);
}

int64_t content_evict(const char *dir, const struct content *c, struct errbuf *e)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t hot, cold;

	if (dir_fd < 0)
		return errf(e, -errno, "content directory %s: %s", dir, strerror(errno));
	if (in_memory(dir_fd)) {
		close(dir_fd);
		return 0;
	}
	hot = evict_range(dir, dir_fd, 0, c->hot, e);
	cold = hot < 0 ? 0 : evict_range(dir, dir_fd, CONTENT_COLD, c->cold, e);
	close(dir_fd);
	if (hot < 0 || cold < 0)
		return hot < 0 ? hot : cold;
	return hot + cold;
}
