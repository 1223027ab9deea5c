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

/* Local ports are handed out window by window: with a hundred connections to one server the
 * kernel's search for a free port is short, with ten thousand it costs more than the connection (1
 * ms of 1.3). */
#define PORTS_WINDOW 64

struct ports {
	uint32_t lo, hi, next; /* hi = 0: unknown, the kernel searches */
};

void ports_init(struct ports *p);
/* The next window, inclusive; false if unknown. */
bool ports_window(struct ports *p, uint32_t *lo, uint32_t *hi);
/* Let a socket take its port from the next window. Before connect(); best effort (Linux 6.3). */
void ports_spread(struct ports *p, int fd);

/* Pure parts, for tests. */
int limits_check_files(uint32_t connections, uint64_t hard, struct errbuf *e);
int limits_check_ports(uint32_t connections, uint32_t lo, uint32_t hi, uint32_t reserved,
		       struct errbuf *e);
/* Ports counted in a list as in ip_local_reserved_ports ("8080,9148-9150") that lie in [lo, hi]. */
uint32_t limits_count_reserved(const char *list, uint32_t lo, uint32_t hi);

#endif
