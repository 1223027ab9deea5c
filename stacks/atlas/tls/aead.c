/* aead: the registry of AES-GCM back ends. */
#include "stacks/atlas/tls/aead.h"

#include <string.h>

const struct aead_ops *aead_find(const char *name)
{
	static const struct aead_ops *const all[] = {&aead_ipsec_mb, &aead_openssl};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}
