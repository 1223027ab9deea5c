/* catalog_take: the extents of all files of a directory, from the file system that holds them.
 *
 * Order: sync, then FIEMAP of each file, then hashes of its samples read by direct I/O: what is
 * hashed is what lies on the device. See catalog.h for what is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "stacks/atlas/nvme/catalog.h"

#define BATCH 64 /* extents a FIEMAP call */

struct taking {
	struct catalog *c;
	struct errbuf *e;
	const char *root;
	dev_t dev;
	uint32_t room;
	int err;
};

static struct taking *walking; /* nftw has no argument */

static int read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	char *ok = f ? fgets(buf, (int)size, f) : NULL;

	if (f)
		fclose(f);
	if (!ok)
		return -ENOENT;
	buf[strcspn(buf, "\n")] = 0;
	for (size_t n = strlen(buf); n > 0 && buf[n - 1] == ' '; n--)
		buf[n - 1] = 0;
	return 0;
}

/* The disk below the file system, through /sys/dev/block. */
static int find_disk(struct taking *t)
{
	static const char *const serial[] = {"%s/device/serial", "%s/../device/serial", "%s/serial",
					     "%s/../serial"};
	static const char *const nsid[] = {"%s/nsid", "%s/../nsid"};
	char dir[64], path[128], text[64];

	snprintf(dir, sizeof dir, "/sys/dev/block/%u:%u", major(t->dev), minor(t->dev));
	if (!major(t->dev) || access(dir, F_OK))
		return errf(t->e, -ENODEV,
			    "%s does not lie on a disk of its own (overlay, tmpfs, btrfs, "
			    "network?): its blocks "
			    "can't be read directly",
			    t->root);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, i ? "%s/md" : "%s/dm", dir);
		if (!access(path, F_OK))
			return errf(t->e, -ENODEV,
				    "%s lies on a %s device, whose blocks are spread or changed",
				    t->root, i ? "RAID (md)" : "device-mapper (dm)");
	}
	snprintf(path, sizeof path, "%s/start", dir);
	if (!read_line(path, text, sizeof text))
		t->c->part_off = strtoull(text, NULL, 10) * 512;
	for (int i = 0; i < 4 && !t->c->serial[0]; i++) {
		snprintf(path, sizeof path, serial[i], dir);
		read_line(path, t->c->serial, sizeof t->c->serial);
	}
	for (int i = 0; i < 2 && !t->c->nsid; i++) {
		snprintf(path, sizeof path, nsid[i], dir);
		if (!read_line(path, text, sizeof text))
			t->c->nsid = (uint32_t)strtoul(text, NULL, 10);
	}
	return 0;
}

static int find_fs(struct taking *t)
{
	char node[64], sb[CATALOG_SB_BYTES];
	struct statfs s;
	int fd, err;

	if (statfs(t->root, &s))
		return errf(t->e, -errno, "%s: %s", t->root, strerror(errno));
	if (s.f_type == 0xef53)
		strcpy(t->c->fs, "ext4");
	else if (s.f_type == 0x58465342)
		strcpy(t->c->fs, "xfs");
	else
		return errf(t->e, -EOPNOTSUPP,
			    "%s is neither ext4 nor XFS: its blocks can't be read directly",
			    t->root);
	t->c->block = (uint32_t)s.f_bsize;
	snprintf(node, sizeof node, "/dev/block/%u:%u", major(t->dev), minor(t->dev));
	fd = open(node, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) { /* no udev */
		snprintf(node, sizeof node, "/dev/.dcn-%u-%u", major(t->dev), minor(t->dev));
		if (!mknod(node, S_IFBLK | 0600, t->dev))
			fd = open(node, O_RDONLY | O_CLOEXEC);
		unlink(node);
	}
	if (fd < 0)
		return errf(t->e, -errno, "cannot read the superblock of %s: %s (root?)", t->root,
			    strerror(errno));
	/* the partition's own device: without the partition's offset */
	err = pread(fd, sb, sizeof sb, strcmp(t->c->fs, "ext4") ? 0 : 1024) == sizeof sb
		      ? catalog_sb_read(t->c, sb, t->c)
		      : -EIO;
	close(fd);
	return err ? errf(t->e, err, "the superblock of %s can't be read", t->root) : 0;
}

const char *catalog_refusal(uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *why;
	} t[] = {
		{FIEMAP_EXTENT_DATA_INLINE, "is stored inside its inode"},
		{FIEMAP_EXTENT_DATA_ENCRYPTED, "is encrypted by the file system"},
		{FIEMAP_EXTENT_ENCODED, "is compressed by the file system"},
		{FIEMAP_EXTENT_UNWRITTEN, "has blocks that were allocated and never written"},
		{FIEMAP_EXTENT_SHARED, "shares blocks with another file"},
		{FIEMAP_EXTENT_DELALLOC, "is not on the disk yet"},
		{FIEMAP_EXTENT_UNKNOWN, "is not on the disk yet"},
		{FIEMAP_EXTENT_NOT_ALIGNED, "is not aligned to blocks"},
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (flags & t[i].flag)
			return t[i].why;
	return NULL;
}

static int add_extent(struct taking *t, struct catalog_file *f, const struct fiemap_extent *x)
{
	const char *why = catalog_refusal(x->fe_flags);
	uint64_t end =
		f->extents ? f->extent[f->extents - 1].off + f->extent[f->extents - 1].len : 0;
	struct catalog_extent *grown;

	if (x->fe_logical >= f->size) /* allocated beyond the end: never read */
		return 0;
	if (why)
		return errf(t->e, -EOPNOTSUPP, "%s/%s %s: it can't be read from the device",
			    t->root, f->path, why);
	if (x->fe_logical != end)
		return errf(t->e, -EOPNOTSUPP,
			    "%s/%s has a hole at byte %llu: it can't be read from the device",
			    t->root, f->path, (unsigned long long)end);
	grown = realloc(f->extent, (f->extents + 1) * sizeof *grown);
	if (!grown || f->extents >= CATALOG_EXTENTS_MAX)
		return errf(t->e, -ENOMEM, "no memory for the extents of %s", f->path);
	f->extent = grown;
	f->extent[f->extents++] = (struct catalog_extent){
		x->fe_logical, t->c->part_off + x->fe_physical, x->fe_length};
	return 0;
}

static int take_extents(struct taking *t, struct catalog_file *f, int fd)
{
	_Alignas(struct fiemap) char
		room[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
	struct fiemap *m = (struct fiemap *)room;
	uint64_t at = 0;
	int err = 0;

	while (at < f->size && !err) {
		memset(room, 0, sizeof room);
		m->fm_start = at;
		m->fm_length = f->size - at;
		m->fm_flags = FIEMAP_FLAG_SYNC;
		m->fm_extent_count = BATCH;
		if (ioctl(fd, FS_IOC_FIEMAP, m))
			return errf(t->e, -errno, "%s/%s: the file system tells no extents: %s",
				    t->root, f->path, strerror(errno));
		if (!m->fm_mapped_extents)
			break;
		for (uint32_t i = 0; i < m->fm_mapped_extents && !err; i++) {
			err = add_extent(t, f, &m->fm_extents[i]);
			at = m->fm_extents[i].fe_logical + m->fm_extents[i].fe_length;
		}
	}
	if (!err && f->size &&
	    (!f->extents ||
	     f->extent[f->extents - 1].off + f->extent[f->extents - 1].len < f->size))
		err = errf(t->e, -EOPNOTSUPP, "%s/%s has a hole at its end", t->root, f->path);
	return err;
}

static int take_hashes(struct taking *t, struct catalog_file *f, int fd)
{
	static _Alignas(4096) char buf[CATALOG_SAMPLE];

	for (int i = 0; i < CATALOG_SAMPLES; i++) {
		ssize_t n = pread(fd, buf, sizeof buf, (off_t)catalog_sample_at(f, i));

		if (n < 0)
			return errf(t->e, -errno, "cannot read %s/%s: %s", t->root, f->path,
				    strerror(errno));
		f->hash[i] = catalog_hash(buf, (uint32_t)n);
	}
	return 0;
}

static int take_file(struct taking *t, const char *path, const struct stat *st, const char *rel)
{
	struct fsxattr xa;
	struct catalog_file *f;
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW), err;

	if (fd < 0)
		return errf(t->e, -errno, "cannot open %s: %s", path, strerror(errno));
	if (t->c->files == t->room) {
		uint32_t room = t->room ? t->room * 2 : 256;

		f = room <= CATALOG_FILES_MAX ? realloc(t->c->file, room * sizeof *f) : NULL;
		if (!f) {
			close(fd);
			return errf(t->e, -ENOMEM, "too many files below %s", t->root);
		}
		t->c->file = f;
		t->room = room;
	}
	f = &t->c->file[t->c->files];
	*f = (struct catalog_file){
		.path = strdup(rel),
		.size = (uint64_t)st->st_size,
		.mtime_ns =
			(uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec,
		.ino = st->st_ino,
	};
	t->c->files++;
	err = f->path ? 0 : errf(t->e, -ENOMEM, "no memory");
	if (!err && !ioctl(fd, FS_IOC_FSGETXATTR, &xa) && xa.fsx_xflags & FS_XFLAG_REALTIME)
		err = errf(t->e, -EOPNOTSUPP, "%s lies on the realtime device of XFS", path);
	if (!err)
		err = take_extents(t, f, fd);
	if (!err)
		err = take_hashes(t, f, fd);
	close(fd);
	return err;
}

static int on_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct taking *t = walking;
	const char *rel = path + strlen(t->root);

	(void)ftw;
	while (*rel == '/')
		rel++;
	if (type == FTW_F && S_ISREG(st->st_mode))
		t->err = take_file(t, path, st, rel);
	return t->err;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct catalog_file *)a)->path,
		      ((const struct catalog_file *)b)->path);
}

int catalog_take(struct catalog *c, const char *root, struct errbuf *e)
{
	struct taking t = {.c = c, .e = e, .root = root};
	struct stat st;
	int fd, err;

	memset(c, 0, sizeof *c);
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		err = errf(e, -errno, "%s: %s", root, strerror(errno));
		if (fd >= 0)
			close(fd);
		return err;
	}
	t.dev = st.st_dev;
	syncfs(fd);
	close(fd);
	err = find_disk(&t);
	if (!err)
		err = find_fs(&t);
	if (!err) {
		walking = &t;
		if (nftw(root, on_entry, 16, FTW_PHYS | FTW_MOUNT) < 0 && !t.err)
			t.err = errf(e, -errno, "cannot walk %s: %s", root, strerror(errno));
		walking = NULL;
		err = t.err;
	}
	if (err)
		catalog_free(c);
	else if (c->files)
		qsort(c->file, c->files, sizeof *c->file, by_path);
	return err;
}

int catalog_write(const char *root, const char *path, struct errbuf *e)
{
	struct catalog c;
	int err = catalog_take(&c, root, e), files;

	if (err)
		return err;
	err = catalog_save(&c, path, e);
	files = (int)c.files;
	catalog_free(&c);
	return err ? err : files;
}
