/* facts: what a reader of results must know about the host, and an administrator can change: CPU
 * and cache, memory, kernel, network interfaces, disks. Reads /proc and /sys below given roots,
 * changes nothing. The live roots ("/proc", "/sys") also ask the kernel what no file tells.
 */
#ifndef HARNESS_FACTS_H
#define HARNESS_FACTS_H

#include "harness/finding.h"

struct facts_roots {
	const char *proc, *sys;
};

void facts_machine(struct findings *l, const struct facts_roots *r);
void facts_kernel(struct findings *l, const struct facts_roots *r);
/* Groups "network interfaces" and "disks". */
void facts_devices(struct findings *l, const struct facts_roots *r);

/* For both: first line of a file, without its end; "" and false if there is none. */
bool facts_line(char *buf, size_t len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool facts_live(const struct facts_roots *r);

#endif
