/* libFuzzer target: any bytes are a catalogue or a sentence. Of what was loaded each file is found
 * by its name, is covered by its extents, and comes back the same after saving. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stacks/atlas/nvme/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(const struct catalog *c, const struct catalog_file *f)
{
	const struct catalog_file *found = catalog_find(c, f->path);
	uint64_t at = 0;

	if (!found || strcmp(found->path, f->path) || f->path[0] == '/')
		abort();
	for (uint32_t i = 0; i < f->extents; i++) {
		if (f->extent[i].off != at || !f->extent[i].len || f->extent[i].len % c->block)
			abort();
		at += f->extent[i].len;
	}
	if (at < f->size)
		abort();
	for (int i = 0; i < CATALOG_SAMPLES && f->size; i++)
		if (catalog_sample_at(f, i) >= f->size || catalog_sample_at(f, i) % CATALOG_SAMPLE)
			abort();
}

static void check_again(const struct catalog *c, const char *path)
{
	struct catalog d;
	struct errbuf e;

	if (catalog_save(c, path, &e) || catalog_load(&d, path, &e))
		abort();
	if (d.files != c->files || d.block != c->block || d.part_off != c->part_off ||
	    strcmp(d.uuid, c->uuid))
		abort();
	catalog_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t sb[CATALOG_SB_BYTES] = {0};
	struct errbuf e = {""};
	struct catalog c;
	char path[32];
	int fd = memfd_create("catalog", MFD_CLOEXEC);

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (catalog_load(&c, path, &e)) {
		if (!e.s[0])
			abort();
		close(fd);
		return 0;
	}
	for (uint32_t i = 0; i < c.files; i++)
		check_file(&c, &c.file[i]);
	memcpy(sb, data, size < sizeof sb ? size : sizeof sb);
	if (!catalog_sb_check(&c, sb, &e))
		abort(); /* JSON is no superblock */
	check_again(&c, path);
	catalog_free(&c);
	close(fd);
	return 0;
}
