/* variant: what each `atlas:NAME` changes, in one table.
 *
 * A variant switches one design decision off (or another implementation in), so that its worth can
 * be measured; `atlas:copy:openssl` switches two. The fields are read once at start; each names the
 * code that obeys it.
 */
#ifndef ATLAS_VARIANT_H
#define ATLAS_VARIANT_H

#include <stdbool.h>
#include <stdint.h>

struct variant {
	const char *name;  /* "" is atlas itself */
	const char *text;  /* one sentence for --help and captions */
	const char *aead;  /* tls/aead.h back end (tls ctx) */
	bool copy;	   /* seal out of place, into a second buffer (pull.c) */
	bool fifo;	   /* hand out the oldest free buffer, not the hottest (buf.c) */
	bool gso;	   /* let the interface segment (worker.c: tcp max_push, record grouping) */
	bool poll;	   /* never block when idle (worker.c) */
	uint32_t prefetch; /* bytes read ahead of what ACKs have allowed (pull.c) */
};

#define VARIANTS_JOINED 6  /* names in one */
#define VARIANT_NAME	64 /* bytes of a joined name */

/* One name, or several joined by ':' or '+', each once. NULL if there is no such variant. Static
 * storage; a joined one is valid until the thread asks for the next. */
const struct variant *variant_find(const char *name);
/* Entry i of the table, NULL past its end. */
const struct variant *variant_at(unsigned int i);

#endif
