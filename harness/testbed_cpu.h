/* testbed_cpu: which disk holds the content, which CPUs take its interrupts, and how CPUs are
 * shared out between server and client. Reads /proc and /sys below injectable roots, changes
 * nothing; any thread.
 */
#ifndef HARNESS_TESTBED_CPU_H
#define HARNESS_TESTBED_CPU_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errbuf.h"

#define DISK_IRQS_MAX 2048

struct disk_irqs {
	int n;
	int irq[DISK_IRQS_MAX];
};

/* "0-3,8" as in cpuset(7) -> set. 0 or -EINVAL. */
int cpulist_parse(const char *s, cpu_set_t *out);
/* How many are in such a list, of CPUs or of nodes; 0 if it is none. */
int cpulist_count(const char *s);
/* The reverse of cpulist_parse; returns buf, cut at its end. */
const char *cpulist_text(const cpu_set_t *set, char *buf, size_t size);
/* The form that rps_cpus takes: "00000001,80000000", as many words as ncpu needs. */
const char *cpumask_text(const cpu_set_t *set, int ncpu, char *buf, size_t size);

/* Whole-disk device ("vda", "md0") under `path`, or under its first parent that exists. 0, or
 * -errno
 * (-ENODEV: no block device, for example tmpfs). */
int disk_of_path(const char *sys_root, const char *proc_root, const char *path, char disk[64]);
/* The interrupts of that disk (of all its members if it is stacked). 0, or -ENOENT. */
int disk_irqs_find(const char *sys_root, const char *proc_root, const char *disk,
		   struct disk_irqs *out);
/* Their counts so far, summed per CPU. 0 or -errno. */
int disk_irqs_count(const char *proc_root, const struct disk_irqs *irqs, uint64_t *per_cpu,
		    int ncpu);

/* The CPUs that take them: those with at least 1 % of the counts, or by affinity where nothing has
 * been counted yet. Empty set if unknown. */
void disk_irq_cpus(const char *proc_root, const struct disk_irqs *irqs, cpu_set_t *out);

struct cpu_split {
	cpu_set_t server, client;
	char warning[256]; /* empty if all is well */
};

/* Share `avail` out: "auto" or lists. `irq_cpus` may be empty. 0, or -EINVAL with a sentence. One
 * CPU alone goes to both sides, with a warning. */
int cpu_split(struct cpu_split *out, const char *server, const char *client, const cpu_set_t *avail,
	      const cpu_set_t *irq_cpus, const char *sys_root, struct errbuf *e);

#endif
