/* catalog_test: what is decided about extents and inodes, from made-up ones. The rest of the
 * catalogue is in extents_test, real file systems in tests/guest. */
#include <errno.h>
#include <linux/fiemap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stacks/atlas/nvme/catalog.h"

static void put(uint8_t *p, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
}

static void refusals(void **state)
{
	static const struct {
		uint32_t flags;
		const char *word;
	} t[] = {
		{FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_NOT_ALIGNED, "inside its inode"},
		{FIEMAP_EXTENT_DATA_ENCRYPTED | FIEMAP_EXTENT_ENCODED, "encrypted"},
		{FIEMAP_EXTENT_ENCODED, "compressed"},
		{FIEMAP_EXTENT_UNWRITTEN, "never written"},
		{FIEMAP_EXTENT_SHARED, "shares blocks"},
		{FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_UNKNOWN, "not on the disk yet"},
		{FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_LAST, "not on the disk yet"},
		{FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_NOT_ALIGNED, "not aligned"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		const char *why = catalog_refusal(t[i].flags);

		assert_non_null(why);
		if (!strstr(why, t[i].word))
			fail_msg("flags %x: %s", t[i].flags, why);
	}
	assert_null(catalog_refusal(0));
	assert_null(catalog_refusal(FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED));
}

/* 4 groups of 19200 blocks of 4 KiB, 8 inodes of 512 bytes each. */
static void make_sb(uint8_t *sb)
{
	memset(sb, 0, CATALOG_SB_BYTES);
	put(sb + 84, 19200, 4);
	put(sb + 88, 4, 4);
	sb[120] = 12;
	sb[122] = 9;
	sb[123] = 3;
	sb[124] = 15;
}

static void inode_places(void **state)
{
	struct catalog c = {.part_off = 1 << 20};
	uint8_t sb[CATALOG_SB_BYTES];

	(void)state;
	make_sb(sb);
	/* inode 128: group 0, block 16, first of it */
	assert_int_equal(catalog_inode_at(&c, sb, 128), (1 << 20) + 16 * 4096);
	assert_int_equal(catalog_inode_at(&c, sb, 131), (1 << 20) + 16 * 4096 + 3 * 512);
	/* group 2, block 5, inode 1 */
	assert_int_equal(catalog_inode_at(&c, sb, 2ull << 18 | 5 << 3 | 1),
			 (1 << 20) + (2 * 19200 + 5) * 4096ull + 512);
	assert_int_equal(catalog_inode_at(&c, sb, 19200ull << 3), 0); /* beyond the group */
	assert_int_equal(catalog_inode_at(&c, sb, ~0ull), 0);
	sb[120] = 200;
	assert_int_equal(catalog_inode_at(&c, sb, 128), 0);
}

static void inode_checks(void **state)
{
	const uint64_t sec = 1700000000, nsec = 123456789;
	struct catalog_file f = {.path = (char *)(uintptr_t) "a",
				 .size = 5000,
				 .ino = 131,
				 .mtime_ns = sec * 1000000000u + nsec};
	uint8_t i[CATALOG_INODE_BYTES] = {0x49, 0x4e, 0x81, 0xa4, 3};
	struct errbuf e;

	(void)state;
	put(i + 40, f.mtime_ns + 0x80000000ull * 1000000000u, 8); /* bigtime */
	put(i + 56, 5000, 8);
	put(i + 120, 8, 8);
	put(i + 152, 131, 8);
	assert_int_equal(catalog_inode_check(&f, i, &e), 0);
	i[47]++;
	assert_int_equal(catalog_inode_check(&f, i, &e), -ESTALE);
	assert_non_null(strstr(e.s, "a has changed"));
	put(i + 120, 0, 8); /* seconds and nanoseconds */
	put(i + 40, sec, 4);
	put(i + 44, nsec, 4);
	assert_int_equal(catalog_inode_check(&f, i, &e), 0);
	i[63]++;
	assert_int_equal(catalog_inode_check(&f, i, &e), -ESTALE);
	i[63]--;
	i[2] = i[3] = 0; /* a free inode has no mode */
	assert_int_equal(catalog_inode_check(&f, i, &e), -ESTALE);
	assert_non_null(strstr(e.s, "was removed"));
	i[2] = 0x41; /* a directory now */
	assert_int_equal(catalog_inode_check(&f, i, &e), -ESTALE);
	i[2] = 0x81;
	i[159]++;
	assert_int_equal(catalog_inode_check(&f, i, &e), -ESTALE);
	i[159]--;
	assert_int_equal(catalog_inode_check(&f, i, &e), 0);
	i[0] = 0;
	assert_int_equal(catalog_inode_check(&f, i, &e), -ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals),
		cmocka_unit_test(inode_places),
		cmocka_unit_test(inode_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
