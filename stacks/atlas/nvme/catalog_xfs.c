/* catalog_xfs: is a file of an unmounted XFS still the one of the catalogue? XFS counts no mounts
 * in its superblock, so each file's inode is read and compared: one that was removed, written or
 * replaced says so itself.
 *
 * Limits: version 3 inodes (XFS with checksums, the default since 2014) and 2. A file that was only
 * moved (xfs_fsr) keeps its times: that is found by its sampled blocks alone. Source: XFS
 * Algorithms & Data Structures, chapters 13 (superblocks) and 16 (on-disk inode).
 */
#include <errno.h>
#include <string.h>

#include "stacks/atlas/nvme/catalog.h"

static uint64_t be(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | *p++;
	return v;
}

uint64_t catalog_inode_at(const struct catalog *c, const void *sb, uint64_t ino)
{
	const uint8_t *s = sb;
	uint64_t agblocks = be(s + 84, 4), agno, agbno;
	unsigned int blocklog = s[120], inodelog = s[122], inopblog = s[123], agblklog = s[124];

	if (blocklog > 16 || inodelog > blocklog || inopblog > 8 || agblklog > 31)
		return 0;
	agno = ino >> (inopblog + agblklog);
	agbno = ino >> inopblog & ((1ull << agblklog) - 1);
	if (agno > be(s + 88, 4) || agbno >= agblocks)
		return 0;
	return c->part_off + ((agno * agblocks + agbno) << blocklog) +
	       ((ino & ((1ull << inopblog) - 1)) << inodelog);
}

/* Seconds and nanoseconds, or (flag bigtime) nanoseconds since December 1901. */
static uint64_t mtime_ns(const uint8_t *i)
{
	bool bigtime = i[4] >= 3 && be(i + 120, 8) & 8;

	if (bigtime)
		return be(i + 40, 8) - 0x80000000ull * 1000000000u;
	return (uint64_t)(int32_t)be(i + 40, 4) * 1000000000u + be(i + 44, 4);
}

int catalog_inode_check(const struct catalog_file *f, const void *inode, struct errbuf *e)
{
	const uint8_t *i = inode;

	if (be(i, 2) != 0x494e || (be(i + 2, 2) & 0170000) != 0100000 ||
	    (i[4] >= 3 && be(i + 152, 8) != f->ino))
		return errf(e, -ESTALE,
			    "%s was removed since the catalogue was taken: take it anew", f->path);
	if (be(i + 56, 8) != f->size || mtime_ns(i) != f->mtime_ns)
		return errf(e, -ESTALE,
			    "%s has changed since the catalogue was taken: take it anew", f->path);
	return 0;
}
