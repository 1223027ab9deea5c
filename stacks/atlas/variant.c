/* variant: the table of variant.h. To add one: a line here, and the one place that obeys it.
 *
 * Names may be joined by ':' or '+', each once, in any order: "copy:openssl". Every field has one
 * name that sets it, so joined variants never contradict each other, and their order means nothing.
 */
#include "stacks/atlas/variant.h"

#include <stddef.h>
#include <string.h>

static const struct variant table[] = {
	{.name = "", .text = "the specialised stack", .aead = "ipsec-mb", .gso = true},
	{.name = "copy",
	 .text = "encrypts out of place, into a second buffer",
	 .aead = "ipsec-mb",
	 .gso = true,
	 .copy = true},
	{.name = "openssl", .text = "stock crypto: OpenSSL EVP", .aead = "openssl", .gso = true},
	{.name = "prefetch",
	 .text = "reads run 256 KiB ahead of what ACKs have allowed",
	 .aead = "ipsec-mb",
	 .gso = true,
	 .prefetch = 256 << 10},
	{.name = "fifo",
	 .text = "reuses the oldest free buffer first",
	 .aead = "ipsec-mb",
	 .gso = true,
	 .fifo = true},
	{.name = "nogso",
	 .text = "segments in software: one frame a TCP segment",
	 .aead = "ipsec-mb"},
	{.name = "poll", .text = "never blocks", .aead = "ipsec-mb", .gso = true, .poll = true},
};

const struct variant *variant_at(unsigned int i)
{
	return i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}

static const struct variant *find_one(const char *name, size_t len)
{
	for (unsigned int i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strlen(table[i].name) == len && strncmp(table[i].name, name, len) == 0)
			return &table[i];
	return NULL;
}

/* What `v` changes of atlas itself, `to` changes too. */
static void join(struct variant *to, const struct variant *v)
{
	const struct variant *plain = &table[0];

	if (strcmp(v->aead, plain->aead) != 0)
		to->aead = v->aead;
	to->gso &= v->gso;
	to->copy |= v->copy;
	to->fifo |= v->fifo;
	to->poll |= v->poll;
	to->prefetch = v->prefetch > to->prefetch ? v->prefetch : to->prefetch;
}

const struct variant *variant_find(const char *name)
{
	static _Thread_local struct variant joined;
	static _Thread_local char joined_name[VARIANT_NAME];
	const struct variant *v = find_one(name, strlen(name)), *seen[VARIANTS_JOINED];
	int n = 0;

	if (v)
		return v;
	joined = table[0];
	for (const char *p = name;; p++) {
		size_t len = strcspn(p, ":+");

		v = len ? find_one(p, len) : NULL;
		for (int i = 0; i < n && v; i++)
			if (seen[i] == v)
				v = NULL; /* twice */
		if (!v || n == VARIANTS_JOINED)
			return NULL;
		seen[n++] = v;
		join(&joined, v);
		p += len;
		if (!*p)
			break;
	}
	if (strlen(name) >= sizeof joined_name)
		return NULL;
	memcpy(joined_name, name, strlen(name) + 1);
	joined.name = joined_name;
	joined.text = "several decisions changed";
	return &joined;
}
