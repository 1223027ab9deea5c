/* leases: the promise that files keep their blocks while they are read past their mounted file
 * system.
 *
 * Each file is held open with a read lease (fcntl(2) F_SETLEASE). Whoever wants to change it (open
 * for writing, truncate) waits in the kernel until the lease is given up; a thread does that once
 * the reads in flight on that file have ended, and from then on the file is not served. Removing a
 * file breaks no lease, but its blocks stay its own while it is held open.
 *
 * leases_begin() and leases_end() enclose each read; any thread, no call into the kernel.
 */
#ifndef ATLAS_NVME_LEASES_H
#define ATLAS_NVME_LEASES_H

#include <stdbool.h>

#include "stacks/atlas/nvme/catalog.h"

struct leases;

/* Opens and leases every file of `c` below `root`; each must still be what the catalogue says
 * (size, mtime, inode). 0, or -errno with a sentence: -ESTALE changed, -EAGAIN open for writing,
 * -EACCES not the owner's (needs CAP_LEASE), -EMFILE. */
int leases_take(struct leases **out, const struct catalog *c, const char *root, struct errbuf *e);
/* No reads are in flight any more. NULL is fine. */
void leases_drop(struct leases *l);

/* A read of file `i` of the catalogue starts; false: its lease is broken, don't. */
bool leases_begin(struct leases *l, uint32_t i);
void leases_end(struct leases *l, uint32_t i);

#endif
