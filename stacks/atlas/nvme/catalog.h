/* catalog: where the bytes of files lie on a device, taken while their file system was mounted.
 *
 * catalog_take() walks a directory, asks the file system for the extents of each regular file
 * (FIEMAP), and refuses whatever can't be read as plain blocks: unwritten, inline, encrypted,
 * compressed, shared or not yet allocated extents, holes, and file systems that don't lie on one
 * partition of one disk (overlay, dm, md, btrfs, XFS realtime). What says later whether the
 * catalogue still holds: the superblock's UUID and (ext4) mount count and mount time, (XFS)
 * each file's inode, and hashes of sampled blocks of every file.
 *
 * A catalogue is a JSON file. Blocking; any thread. Source: Documentation/filesystems/fiemap.rst,
 * Documentation/filesystems/ext4/super.rst.
 */
#ifndef ATLAS_NVME_CATALOG_H
#define ATLAS_NVME_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

#define CATALOG_FILES_MAX   (1u << 20)
#define CATALOG_EXTENTS_MAX (1u << 22)
#define CATALOG_SAMPLE	    4096u
#define CATALOG_SAMPLES	    3
#define CATALOG_SB_BYTES    1024u
#define CATALOG_INODE_BYTES 256u

struct catalog_extent {
	uint64_t off, phys,
		len; /* bytes: in the file, on the device (partition included), length */
};

struct catalog_file {
	char *path; /* below the root, no leading slash */
	uint64_t size, mtime_ns, ino;
	uint64_t hash[CATALOG_SAMPLES]; /* of the blocks at catalog_sample_at() */
	struct catalog_extent *extent;
	uint32_t extents;
};

struct catalog {
	char fs[8]; /* ext4, xfs */
	char uuid[40];
	uint32_t mount_count, mount_time; /* 0: the file system does not count */
	char serial[64];		  /* of the disk, "" unknown */
	uint32_t nsid;			  /* of the disk, 0 unknown */
	uint32_t block;			  /* of the file system */
	uint64_t part_off;		  /* bytes before the file system on the disk */
	struct catalog_file *file;	  /* sorted by path */
	uint32_t files;
};

/* 0, or -errno with a sentence that names the file and the reason. */
int catalog_take(struct catalog *c, const char *root, struct errbuf *e);
/* Why an extent with these flags (FIEMAP_EXTENT_*) can't be read as blocks, NULL: it can. */
const char *catalog_refusal(uint32_t flags);
/* Take it and save it to `path`: how many files, or -errno. */
int catalog_write(const char *root, const char *path, struct errbuf *e);
int catalog_save(const struct catalog *c, const char *path, struct errbuf *e);
int catalog_load(struct catalog *c, const char *path, struct errbuf *e);
void catalog_free(struct catalog *c);

/* NULL if there is none. */
const struct catalog_file *catalog_find(const struct catalog *c, const char *path);
/* Offset of sample i: start, middle, end; multiples of CATALOG_SAMPLE. */
uint64_t catalog_sample_at(const struct catalog_file *f, int i);
/* Of up to CATALOG_SAMPLE bytes; only those of the file, not what follows it in its last block. */
uint64_t catalog_hash(const void *p, uint32_t len);
/* Device offset of the superblock (CATALOG_SB_BYTES are compared). */
uint64_t catalog_sb_at(const struct catalog *c);
/* Fill uuid, mount_count, mount_time of `out` from a superblock of c->fs. -EINVAL: it is none. */
int catalog_sb_read(const struct catalog *c, const void *sb, struct catalog *out);
/* XFS: device offset of an inode (CATALOG_INODE_BYTES of it are looked at), by its superblock; 0:
 * there can be none. And is it still that of the file? 0, or -ESTALE with a sentence. */
uint64_t catalog_inode_at(const struct catalog *c, const void *sb, uint64_t ino);
int catalog_inode_check(const struct catalog_file *f, const void *inode, struct errbuf *e);
/* Does this superblock say that nothing was mounted since? 0, or -ESTALE with a sentence. */
int catalog_sb_check(const struct catalog *c, const void *sb, struct errbuf *e);

#endif
