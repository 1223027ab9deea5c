/* variant: the table of variant.h. To add one: a line here, and the one place that obeys it. */
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

const struct variant *variant_find(const char *name)
{
	for (unsigned int i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}
