/* content: the files. Made once in a directory, reused by every run and every stack.
 *
 * One idea: an object appears under its name only when its bytes are on the disk (temporary name,
 * write, sync, rename), and catalog.json appears only when all objects are right; it is removed
 * before the first change. So a run that was killed half-way leaves nothing that a later one could
 * mistake for content. Objects are written in batches and leave the page cache with their batch:
 * making 6 GiB of content must not push everything else out of memory.
 *
 * Limits: one maker at a time (a lock on the directory; the second one waits). Existing objects are
 * believed if size and two sampled blocks are right; a bit that rots in between is what the
 * client's own verification finds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "workloads/content.h"

#define CATALOG	     "catalog.json"
#define CATALOG_TMP  ".catalog.tmp"
#define BATCH_FILES  512
#define BATCH_BYTES  (64ull << 20)
#define WRITE_BYTES  (1u << 20)
#define SAMPLE_BYTES 4096u
#define SPACE_MARGIN (64ull << 20) /* kept free beside the objects */
#define INODE_MARGIN 16
#define MAX_PER_SET  1000000u /* six digits */
#define OBJECT_MAX   (1ull << 40)

/* Writing into one content directory. */
struct maker {
	const struct content *c;
	const char *dir;
	int dir_fd;
	uint8_t *buf; /* WRITE_BYTES */
	struct {
		uint64_t id;
		int fd;
	} batch[BATCH_FILES]; /* written, not yet synced and renamed */
	unsigned int batch_n;
	uint64_t batch_bytes;
	uint64_t done, total; /* bytes */
	bool (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	struct errbuf *e;
};

/* "hot/.000123.tmp", relative to the directory. */
static const char *temp_path(uint64_t id, char buf[40])
{
	char path[32];

	content_path(id, path);
	snprintf(buf, 40, "%.*s/.%s.tmp", (int)(strrchr(path, '/') - path) - 1, path + 1,
		 strrchr(path, '/') + 1);
	return buf;
}

static uint64_t object_id(const struct content *c, uint64_t n)
{
	return n < c->hot ? n : CONTENT_COLD + (n - c->hot);
}

static uint64_t object_count(const struct content *c)
{
	return (uint64_t)c->hot + c->cold;
}

static int pread_all(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Is [off, off + len) of an open object right? */
static bool sample_right(const struct content *c, uint64_t id, int fd, uint64_t off, size_t len)
{
	uint8_t buf[SAMPLE_BYTES];

	return pread_all(fd, buf, len, off) == 0 && content_check(c->seed, id, off, buf, len) == 0;
}

/* Size right, the last block and a seeded other one right? Leaves nothing of it in the page cache.
 */
static bool object_right(const struct content *c, uint64_t id, int dir_fd)
{
	char path[32];
	struct stat st;
	size_t len = c->object_size < SAMPLE_BYTES ? (size_t)c->object_size : SAMPLE_BYTES;
	int fd = openat(dir_fd, content_path(id, path) + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool right = false;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == c->object_size) {
		uint64_t last = c->object_size - len;
		uint64_t any = rng_mix(c->seed + id) % (last + 1);

		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* no read-ahead for 4 KiB */
		right = sample_right(c, id, fd, last, len) && sample_right(c, id, fd, any, len);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	close(fd);
	return right;
}

/* One sentence for whatever refuses to be written. */
static int write_error(struct maker *m, int err, const char *what)
{
	switch (-err) {
	case EROFS:
		return errf(m->e, err,
			    "%s/%s: the file system is read-only; choose another content "
			    "directory",
			    m->dir, what);
	case EACCES:
	case EPERM:
		return errf(m->e, err,
			    "%s/%s: no right to write here; choose another content "
			    "directory or change its owner",
			    m->dir, what);
	case ENOSPC:
	case EDQUOT:
		return errf(m->e, err,
			    "%s/%s: the disk or quota is full; free some space or make the "
			    "hot and cold sets smaller",
			    m->dir, what);
	default:
		return errf(m->e, err, "%s/%s: %s", m->dir, what, strerror(-err));
	}
}

/* Forget the batch after an error: temporary files go. */
static void batch_drop(struct maker *m)
{
	char tmp[40];

	while (m->batch_n) {
		m->batch_n--;
		close(m->batch[m->batch_n].fd);
		unlinkat(m->dir_fd, temp_path(m->batch[m->batch_n].id, tmp), 0);
	}
	m->batch_bytes = 0;
}

/* Bytes to the disk, names in place, pages out of the cache. */
static int batch_flush(struct maker *m)
{
	char tmp[40], path[32];

	/* One commit of the file system's journal for the whole batch. */
	for (unsigned int i = 0; i < m->batch_n; i++)
		sync_file_range(m->batch[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (m->batch_n && syncfs(m->dir_fd))
		return write_error(m, -errno, ".");
	while (m->batch_n) {
		uint64_t id = m->batch[m->batch_n - 1].id;
		int fd = m->batch[m->batch_n - 1].fd;

		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (renameat(m->dir_fd, temp_path(id, tmp), m->dir_fd, content_path(id, path) + 1))
			return write_error(m, -errno, path + 1);
		close(fd);
		m->batch_n--;
		m->done += m->c->object_size;
	}
	m->batch_bytes = 0;
	if (m->progress && !m->progress(m->arg, m->done, m->total))
		return errf(m->e, -EINTR, "content directory %s: interrupted; the next run goes on",
			    m->dir);
	return 0;
}

/* Write one object under its temporary name and put it into the batch. */
static int object_write(struct maker *m, uint64_t id)
{
	const struct content *c = m->c;
	char tmp[40];
	int err = 0, fd;

	fd = openat(m->dir_fd, temp_path(id, tmp),
		    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return write_error(m, -errno, tmp);
	m->batch[m->batch_n].id = id;
	m->batch[m->batch_n++].fd = fd;
	for (uint64_t off = 0; off < c->object_size && !err; off += WRITE_BYTES) {
		uint64_t left = c->object_size - off;
		size_t n = left < WRITE_BYTES ? (size_t)left : WRITE_BYTES;

		content_fill(c->seed, id, off, m->buf, n);
		err = pwrite_all(fd, m->buf, n, off);
		if (!err && off % BATCH_BYTES == BATCH_BYTES - WRITE_BYTES)
			err = fdatasync(fd) ? -errno
					    : 0; /* huge objects: never much dirty at once */
	}
	if (err)
		return write_error(m, err, tmp);
	m->batch_bytes += c->object_size;
	if (m->batch_n == BATCH_FILES || m->batch_bytes >= BATCH_BYTES)
		return batch_flush(m);
	return 0;
}

/* The catalogue is written like an object: whole or not at all. */
static int catalog_write(struct maker *m)
{
	json_t *o = json_pack("{s:i, s:I, s:I, s:I, s:I}", "version", 1, "seed",
			      (json_int_t)m->c->seed, "object_size", (json_int_t)m->c->object_size,
			      "hot", (json_int_t)m->c->hot, "cold", (json_int_t)m->c->cold);
	int fd, err = 0;

	fd = openat(m->dir_fd, CATALOG_TMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || !o)
		err = fd < 0 ? -errno : -ENOMEM;
	else if (json_dumpfd(o, fd, JSON_INDENT(1)) || fsync(fd))
		err = errno ? -errno : -EIO;
	if (!err && renameat(m->dir_fd, CATALOG_TMP, m->dir_fd, CATALOG))
		err = -errno;
	if (fd >= 0)
		close(fd);
	json_decref(o);
	if (err) {
		unlinkat(m->dir_fd, CATALOG_TMP, 0);
		return write_error(m, err, CATALOG);
	}
	fsync(m->dir_fd);
	return 0;
}

/* mkdir -p */
static int make_dirs(const char *dir, struct errbuf *e)
{
	char path[PATH_MAX];
	size_t len = strlen(dir);

	if (len == 0 || len >= sizeof path)
		return errf(e, -ENAMETOOLONG, "content directory '%.100s': name empty or too long",
			    dir);
	snprintf(path, sizeof path, "%s", dir);
	for (char *p = path + 1;; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return errf(e, -errno,
				    "content directory %s: can't make %s: %s; choose "
				    "another content directory",
				    dir, path, strerror(errno));
		*p = was;
		if (was == '\0')
			return 0;
	}
}

/* Remove the temporary files of a maker that was killed. Call with the lock held. */
static void sweep_temps(int dir_fd, const char *set)
{
	int fd = openat(dir_fd, set, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return; /* whoever writes here will say why it can't */
	}
	while ((de = readdir(d))) {
		size_t n = strlen(de->d_name);

		if (de->d_name[0] == '.' && n > 5 && strcmp(de->d_name + n - 4, ".tmp") == 0)
			unlinkat(dirfd(d), de->d_name, 0);
	}
	closedir(d);
}

/* Open and lock the directory, make the two sets' directories. */
static int maker_open(struct maker *m)
{
	static const char *const sets[] = {"hot", "cold"};
	int err = make_dirs(m->dir, m->e);

	if (err)
		return err;
	m->dir_fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir_fd < 0)
		return errf(m->e, -errno, "content directory %s: %s", m->dir, strerror(errno));
	if (flock(m->dir_fd, LOCK_EX | LOCK_NB)) {
		log_info("waiting for another run that makes content in %s", m->dir);
		if (flock(m->dir_fd, LOCK_EX))
			return errf(m->e, -errno, "%s: can't lock it: %s", m->dir, strerror(errno));
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (mkdirat(m->dir_fd, sets[i], 0755) && errno != EEXIST)
			return write_error(m, -errno, sets[i]);
		sweep_temps(m->dir_fd, sets[i]);
	}
	m->buf = malloc(WRITE_BYTES);
	return m->buf ? 0 : errf(m->e, -ENOMEM, "content: out of memory");
}

static void maker_close(struct maker *m)
{
	batch_drop(m);
	free(m->buf);
	if (m->dir_fd >= 0)
		close(m->dir_fd);
}

/* Enough free space and inodes for `missing` objects? */
static int space_check(struct maker *m, uint64_t missing)
{
	struct statvfs vfs;
	uint64_t block, need, have;

	if (fstatvfs(m->dir_fd, &vfs))
		return errf(m->e, -errno, "%s: can't learn its free space: %s", m->dir,
			    strerror(errno));
	block = vfs.f_frsize ? vfs.f_frsize : 4096;
	need = missing * ((m->c->object_size + block - 1) / block * block) + SPACE_MARGIN;
	have = (uint64_t)vfs.f_bavail * block;
	if (need > have)
		return errf(
			m->e, -ENOSPC,
			"content directory %s: %" PRIu64 " MiB needed, %" PRIu64
			" MiB free; make the hot and cold sets smaller or choose another content "
			"directory",
			m->dir, need >> 20, have >> 20);
	if (vfs.f_files && missing + INODE_MARGIN > vfs.f_favail)
		return errf(m->e, -ENOSPC,
			    "content directory %s: %" PRIu64 " files needed, its file "
			    "system has room for %" PRIu64,
			    m->dir, missing, (uint64_t)vfs.f_favail);
	return 0;
}

static int content_sane(const struct content *c, struct errbuf *e)
{
	if (c->object_size == 0 || c->object_size > OBJECT_MAX)
		return errf(e, -EINVAL, "object size %" PRIu64 " is impossible; 1 byte to 1 TiB",
			    c->object_size);
	if (object_count(c) == 0)
		return errf(e, -EINVAL, "content without objects: hot and cold are both 0");
	if (c->hot > MAX_PER_SET || c->cold > MAX_PER_SET)
		return errf(e, -EINVAL,
			    "%" PRIu32 " hot and %" PRIu32 " cold objects; at most %u of "
			    "each: make the objects larger",
			    c->hot, c->cold, MAX_PER_SET);
	return 0;
}

/* Find the wrong objects, then write them. `todo` has a flag an object. */
static int make_missing(struct maker *m, uint8_t *todo)
{
	const uint64_t n = object_count(m->c);
	struct content old;
	uint64_t missing = 0;
	int err;

	for (uint64_t i = 0; i < n; i++) {
		todo[i] = !object_right(m->c, object_id(m->c, i), m->dir_fd);
		missing += todo[i];
	}
	if (!missing && content_load(m->dir, &old, NULL) == 0 &&
	    memcmp(&old, m->c, sizeof old) == 0)
		return 0;
	err = space_check(m, missing);
	if (err)
		return err;
	if (unlinkat(m->dir_fd, CATALOG, 0) && errno != ENOENT)
		return write_error(m, -errno, CATALOG);
	m->total = missing * m->c->object_size;
	for (uint64_t i = 0; i < n && !err; i++)
		if (todo[i])
			err = object_write(m, object_id(m->c, i));
	if (!err)
		err = batch_flush(m);
	return err ? err : catalog_write(m);
}

int content_make(const char *dir, const struct content *c,
		 bool (*progress)(void *arg, uint64_t done, uint64_t total), void *arg,
		 struct errbuf *e)
{
	struct maker m = {
		.c = c, .dir = dir, .dir_fd = -1, .progress = progress, .arg = arg, .e = e};
	int err = content_sane(c, e);
	uint8_t *todo;

	if (err)
		return err;
	todo = calloc(object_count(c) + 1, 1); /* never of size 0 */
	if (!todo)
		return errf(e, -ENOMEM, "content: out of memory");
	err = maker_open(&m);
	if (!err)
		err = make_missing(&m, todo);
	maker_close(&m);
	free(todo);
	return err;
}

int content_load(const char *dir, struct content *out, struct errbuf *e)
{
	char path[PATH_MAX];
	json_error_t je;
	json_int_t version, seed, size, hot, cold;
	json_t *o;
	int bad;

	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, CATALOG) >= sizeof path)
		return errf(e, -ENAMETOOLONG, "content directory: name too long");
	if (access(path, R_OK))
		return errf(e, -errno, "%s: %s; is %s a content directory made by dcn?", path,
			    strerror(errno), dir);
	o = json_load_file(path, JSON_REJECT_DUPLICATES, &je);
	if (!o)
		return errf(e, -EINVAL, "%s:%d: %s; remove the file, the next run makes it again",
			    path, je.line, je.text);
	bad = json_unpack_ex(o, &je, 0, "{s:I, s:I, s:I, s:I, s:I}", "version", &version, "seed",
			     &seed, "object_size", &size, "hot", &hot, "cold", &cold);
	json_decref(o);
	if (bad)
		return errf(e, -EINVAL, "%s: %s; remove the file, the next run makes it again",
			    path, je.text);
	if (version != 1 || size <= 0 || (uint64_t)size > OBJECT_MAX || hot < 0 ||
	    hot > MAX_PER_SET || cold < 0 || cold > MAX_PER_SET || hot + cold == 0)
		return errf(e, -EINVAL,
			    "%s: impossible values; remove the file, the next run makes it "
			    "again",
			    path);
	memset(out, 0, sizeof *out);
	out->seed = (uint64_t)seed;
	out->object_size = (uint64_t)size;
	out->hot = (uint32_t)hot;
	out->cold = (uint32_t)cold;
	return 0;
}
