/* limits: will descriptors and ports suffice? Asked before the first connection is opened. */
#ifndef LOAD_LIMITS_H
#define LOAD_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

/* Raise the soft limit on open files as far as `connections` needs; -EMFILE with the sentence that
 * names the limit and the fix. */
int limits_files(uint32_t connections, struct errbuf *e);
/* Local ports for connections to one address and port; -EADDRNOTAVAIL with a sentence. */
int limits_ports(uint32_t connections, struct errbuf *e);

/* Pure parts, for tests. */
int limits_check_files(uint32_t connections, uint64_t hard, struct errbuf *e);
int limits_check_ports(uint32_t connections, uint32_t lo, uint32_t hi, uint32_t reserved,
		       struct errbuf *e);
/* Ports counted in a list as in ip_local_reserved_ports ("8080,9148-9150") that lie in [lo, hi]. */
uint32_t limits_count_reserved(const char *list, uint32_t lo, uint32_t hi);

#endif
