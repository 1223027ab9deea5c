/* treeio: bytes that a process and its descendants have had read from storage. */
#ifndef HARNESS_TREEIO_H
#define HARNESS_TREEIO_H

#include <stdint.h>
#include <sys/types.h>

/* Sum of read_bytes of /proc/PID/io (proc(5)): what they caused the block layer to fetch,
 * read-ahead included, page-cache hits not. -errno if the root can't be read (not root, gone). */
int64_t treeio_read_bytes(const char *proc_root, pid_t root);

#endif
