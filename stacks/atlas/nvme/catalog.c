/* catalog: the JSON file, look-up, and the checks that it still holds. See catalog.h.
 *
 * A catalogue is input: every number is checked on loading, so that a wrong one can at worst name
 * other blocks of the same device, which the hashes then find.
 */
#include "stacks/atlas/nvme/catalog.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#define VERSION 1

uint64_t catalog_hash(const void *p, uint32_t len)
{
	uint64_t h = rng_mix(len + 1), w;
	const char *b = p;

	for (; len >= 8; len -= 8, b += 8) {
		memcpy(&w, b, 8);
		h = rng_mix(h ^ w);
	}
	for (; len; len--, b++)
		h = rng_mix(h ^ (uint8_t)*b);
	return h;
}

uint64_t catalog_sample_at(const struct catalog_file *f, int i)
{
	uint64_t last = f->size ? (f->size - 1) / CATALOG_SAMPLE : 0;

	return last * (uint64_t)i / (CATALOG_SAMPLES - 1) * CATALOG_SAMPLE;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct catalog_file *)a)->path,
		      ((const struct catalog_file *)b)->path);
}

const struct catalog_file *catalog_find(const struct catalog *c, const char *path)
{
	struct catalog_file key = {.path = (char *)(uintptr_t)path};

	return c->files ? bsearch(&key, c->file, c->files, sizeof *c->file, by_path) : NULL;
}

void catalog_free(struct catalog *c)
{
	for (uint32_t i = 0; i < c->files; i++) {
		free(c->file[i].path);
		free(c->file[i].extent);
	}
	free(c->file);
	memset(c, 0, sizeof *c);
}

/* ---- superblocks ---- */

uint64_t catalog_sb_at(const struct catalog *c)
{
	return c->part_off + (strcmp(c->fs, "ext4") ? 0 : 1024);
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void uuid_text(const uint8_t *u, char out[40])
{
	int n = 0;

	for (int i = 0; i < 16; i++)
		n += snprintf(out + n, (size_t)(40 - n),
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
}

int catalog_sb_read(const struct catalog *c, const void *sb, struct catalog *out)
{
	const uint8_t *p = sb;

	if (!strcmp(c->fs, "ext4")) { /* super.rst: s_magic 0x38, s_uuid 0x68, s_mnt_count 0x34,
					 s_mtime 0x2c */
		if (p[0x38] != 0x53 || p[0x39] != 0xef)
			return -EINVAL;
		uuid_text(p + 0x68, out->uuid);
		out->mount_count = p[0x34] | (uint32_t)p[0x35] << 8;
		out->mount_time = le32(p + 0x2c);
		return 0;
	}
	if (memcmp(p, "XFSB", 4))
		return -EINVAL;
	uuid_text(p + 32, out->uuid);
	out->mount_count = out->mount_time = 0;
	return 0;
}

int catalog_sb_check(const struct catalog *c, const void *sb, struct errbuf *e)
{
	struct catalog now = {.files = 0};

	if (catalog_sb_read(c, sb, &now))
		return errf(e, -ESTALE,
			    "there is no %s file system at byte %" PRIu64
			    " of this device: the catalogue "
			    "belongs to another one",
			    c->fs, c->part_off);
	if (strcmp(now.uuid, c->uuid))
		return errf(e, -ESTALE, "the catalogue is of file system %s, the device holds %s",
			    c->uuid, now.uuid);
	if (now.mount_count != c->mount_count || now.mount_time != c->mount_time)
		return errf(e, -ESTALE,
			    "the file system was mounted again after the catalogue was taken "
			    "(mount count %u, "
			    "then %u): take it anew",
			    now.mount_count, c->mount_count);
	return 0;
}

/* ---- JSON ---- */

static json_t *file_json(const struct catalog_file *f)
{
	json_t *extents = json_array(), *hashes = json_array();

	for (uint32_t i = 0; i < f->extents; i++)
		json_array_append_new(extents, json_pack("[I,I,I]", (json_int_t)f->extent[i].off,
							 (json_int_t)f->extent[i].phys,
							 (json_int_t)f->extent[i].len));
	for (int i = 0; i < CATALOG_SAMPLES; i++) {
		char t[20];

		snprintf(t, sizeof t, "%016" PRIx64, f->hash[i]);
		json_array_append_new(hashes, json_string(t));
	}
	return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o}", "path", f->path, "size",
			 (json_int_t)f->size, "mtime_ns", (json_int_t)f->mtime_ns, "ino",
			 (json_int_t)f->ino, "hashes", hashes, "extents", extents);
}

int catalog_save(const struct catalog *c, const char *path, struct errbuf *e)
{
	json_t *files = json_array(), *top;
	int err = 0;

	for (uint32_t i = 0; i < c->files; i++)
		json_array_append_new(files, file_json(&c->file[i]));
	top = json_pack("{s:i, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:o}", "version", VERSION,
			"fs", c->fs, "uuid", c->uuid, "mount_count", (json_int_t)c->mount_count,
			"mount_time", (json_int_t)c->mount_time, "serial", c->serial, "nsid",
			(json_int_t)c->nsid, "block", (json_int_t)c->block, "partition_offset",
			(json_int_t)c->part_off, "files", files);
	if (!top || json_dump_file(top, path, JSON_COMPACT))
		err = errf(e, -EIO, "cannot write the catalogue %s: %s", path, strerror(errno));
	json_decref(top);
	return err;
}

static bool get_u64(const json_t *o, uint64_t *out)
{
	if (!json_is_integer(o) || json_integer_value(o) < 0)
		return false;
	*out = (uint64_t)json_integer_value(o);
	return true;
}

static bool get_extent(const json_t *o, const struct catalog *c, struct catalog_extent *x)
{
	return get_u64(json_array_get(o, 0), &x->off) && get_u64(json_array_get(o, 1), &x->phys) &&
	       get_u64(json_array_get(o, 2), &x->len) && x->len && x->off % c->block == 0 &&
	       x->phys % 512 == 0 && x->len % c->block == 0 && x->phys <= INT64_MAX - x->len &&
	       x->off <= INT64_MAX - x->len;
}

/* Extents must cover the file from its start to its end, without holes. */
static bool covers(const struct catalog_file *f)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < f->extents; i++) {
		if (f->extent[i].off != at)
			return false;
		at += f->extent[i].len;
	}
	return at >= f->size;
}

/* Below the root: it names a file for leases.c too. */
static bool good_path(const char *p)
{
	if (!p || !*p || *p == '/')
		return false;
	for (; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
		if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/'))
			return false;
	return true;
}

static bool get_file(const json_t *o, const struct catalog *c, struct catalog_file *f)
{
	const char *path = json_string_value(json_object_get(o, "path"));
	const json_t *x = json_object_get(o, "extents"), *h = json_object_get(o, "hashes");
	size_t n = json_array_size(x);

	if (!good_path(path) || n > CATALOG_EXTENTS_MAX ||
	    !get_u64(json_object_get(o, "size"), &f->size) ||
	    !get_u64(json_object_get(o, "mtime_ns"), &f->mtime_ns) ||
	    !get_u64(json_object_get(o, "ino"), &f->ino))
		return false;
	f->path = strdup(path);
	f->extent = calloc(n ? n : 1, sizeof *f->extent);
	if (!f->path || !f->extent)
		return false;
	f->extents = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		if (!get_extent(json_array_get(x, i), c, &f->extent[i]))
			return false;
	for (size_t i = 0; i < CATALOG_SAMPLES; i++) {
		const char *t = json_string_value(json_array_get(h, i));

		if (!t || sscanf(t, "%" SCNx64, &f->hash[i]) != 1)
			return false;
	}
	return covers(f);
}

static void get_text(const json_t *top, const char *key, char *out, size_t size)
{
	const char *t = json_string_value(json_object_get(top, key));

	snprintf(out, size, "%s", t ? t : "");
}

static int get_all(struct catalog *c, const json_t *top)
{
	const json_t *files = json_object_get(top, "files");
	size_t n = json_array_size(files);
	uint64_t v[5];

	if (json_integer_value(json_object_get(top, "version")) != VERSION ||
	    n > CATALOG_FILES_MAX || !get_u64(json_object_get(top, "mount_count"), &v[0]) ||
	    !get_u64(json_object_get(top, "mount_time"), &v[1]) ||
	    !get_u64(json_object_get(top, "nsid"), &v[2]) ||
	    !get_u64(json_object_get(top, "block"), &v[3]) ||
	    !get_u64(json_object_get(top, "partition_offset"), &v[4]))
		return -EINVAL;
	get_text(top, "fs", c->fs, sizeof c->fs);
	get_text(top, "uuid", c->uuid, sizeof c->uuid);
	get_text(top, "serial", c->serial, sizeof c->serial);
	c->mount_count = (uint32_t)v[0];
	c->mount_time = (uint32_t)v[1];
	c->nsid = (uint32_t)v[2];
	c->block = (uint32_t)v[3];
	c->part_off = v[4];
	if (c->block < 512 || c->block > 65536 || c->block & (c->block - 1) || c->part_off % 512)
		return -EINVAL;
	c->file = calloc(n ? n : 1, sizeof *c->file);
	if (!c->file)
		return -ENOMEM;
	for (c->files = 0; c->files < n;) {
		struct catalog_file *f = &c->file[c->files++];

		if (!get_file(json_array_get(files, c->files - 1), c, f))
			return -EINVAL;
	}
	qsort(c->file, c->files, sizeof *c->file, by_path);
	return 0;
}

int catalog_load(struct catalog *c, const char *path, struct errbuf *e)
{
	json_error_t je;
	json_t *top = json_load_file(path, 0, &je);
	int err;

	memset(c, 0, sizeof *c);
	if (!top)
		return errf(e, -EINVAL, "%s:%d: cannot read the catalogue: %s", path, je.line,
			    je.text);
	err = get_all(c, top);
	json_decref(top);
	if (err) {
		char name[100];

		snprintf(name, sizeof name, "%.90s",
			 c->files && c->file[c->files - 1].path ? c->file[c->files - 1].path
								: "its head");
		catalog_free(c);
		return errf(e, err,
			    "%s is no catalogue that atlas-catalog wrote (at %s): take it anew",
			    path, name);
	}
	return 0;
}
