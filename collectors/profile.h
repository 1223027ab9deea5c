/* profile: what a sampled instruction pointer belongs to.
 *
 * Kernel addresses are named by /proc/kallsyms; the innermost function of a call chain whose name
 * is in the table decides, because copying, locking and allocating are done for whoever called.
 * User addresses belong to encryption if their file is a cipher library, otherwise to the program.
 * One thread at a time.
 */
#ifndef COLLECTORS_PROFILE_H
#define COLLECTORS_PROFILE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/errbuf.h"

enum prof_class {
	PROF_NONE, /* of a name: says nothing, look further out */
	PROF_USER,
	PROF_CRYPTO,
	PROF_NET,
	PROF_STORAGE,
	PROF_KERNEL,
	PROF_FOREIGN, /* a program that is not of the stack */
	PROF_IDLE,
	PROF_CLASSES
};

/* PROF_CRYPTO, PROF_NET, PROF_STORAGE or PROF_NONE. */
enum prof_class prof_symbol_class(const char *name);

struct prof_symbols; /* sorted addresses, a class each */

/* From a file like /proc/kallsyms. -errno with a sentence; -EACCES: addresses are hidden. */
int prof_symbols_load(struct prof_symbols **out, const char *path, struct errbuf *e);
void prof_symbols_free(struct prof_symbols *s);
/* Class of the kernel part of a call chain, innermost first; PROF_KERNEL if no name decides. */
enum prof_class prof_kernel_class(const struct prof_symbols *s, const uint64_t *ip, int n);

/* Is the file of an executable mapping one of a cipher library? */
int prof_crypto_file(const char *path);

#endif
