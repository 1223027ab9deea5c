/* testbed_cpu: server CPUs and client CPUs.
 *
 * One idea: an interrupt is work that a CPU does for a device wherever the driver fixed it, so the
 * content disk's interrupts decide which CPUs are the server's; on a VM they may all go to one CPU
 * that nobody can change. Where every CPU has a queue of its own (NVMe), interrupts come to the CPU
 * that submitted the read, and any half of the cores will do.
 *
 * Limits: interrupts that the kernel lists neither under the PCI device nor by the virtio device's
 * name are not found; then the first half of the cores is the server's. DESIGN.md section 3.
 */
#include "harness/testbed_cpu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define STACK_DEPTH 4 /* of md on dm on ...: deeper is not followed */

int cpulist_parse(const char *s, cpu_set_t *out)
{
	CPU_ZERO(out);
	while (*s) {
		char *end;
		unsigned long from, to;

		if (!isdigit((unsigned char)*s))
			return -EINVAL;
		from = to = strtoul(s, &end, 10);
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				return -EINVAL;
			to = strtoul(end + 1, &end, 10);
		}
		if (from > to || to >= CPU_SETSIZE)
			return -EINVAL;
		for (unsigned long c = from; c <= to; c++)
			CPU_SET(c, out);
		while (isspace((unsigned char)*end))
			end++;
		if (*end == ',' && end[1])
			for (end++; *end == ' '; end++)
				;
		else if (*end)
			return -EINVAL;
		s = end;
	}
	return CPU_COUNT(out) ? 0 : -EINVAL;
}

int cpulist_count(const char *s)
{
	cpu_set_t set;

	return cpulist_parse(s, &set) ? 0 : CPU_COUNT(&set);
}

const char *cpulist_text(const cpu_set_t *set, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (int c = 0; c < CPU_SETSIZE && at < size; c++) {
		int last = c;

		if (!CPU_ISSET(c, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		at += (size_t)snprintf(buf + at, size - at, last > c ? "%s%d-%d" : "%s%d",
				       at ? "," : "", c, last);
		c = last;
	}
	return buf;
}

const char *cpumask_text(const cpu_set_t *set, int ncpu, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (int w = (ncpu + 31) / 32 - 1; w >= 0 && at < size; w--) {
		unsigned int bits = 0;

		for (int b = 0; b < 32; b++)
			if (CPU_ISSET(w * 32 + b, set))
				bits |= 1u << b;
		at += (size_t)snprintf(buf + at, size - at, "%08x%s", bits, w ? "," : "");
	}
	return buf;
}

/* First line of a file into buf, without its end. */
static int read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	int err = 0;

	if (!f)
		return -errno;
	if (!fgets(buf, (int)size, f))
		err = -EIO;
	fclose(f);
	if (!err)
		buf[strcspn(buf, "\n")] = '\0';
	return err;
}

/* Device number of the file system that holds path, through its mount source where st_dev is an
 * anonymous one (btrfs, overlay on a named device). */
static dev_t device_of(const char *proc_root, dev_t dev)
{
	char path[PATH_MAX], line[2048], want[32];
	struct stat st;
	FILE *f;

	if (major(dev))
		return dev;
	snprintf(path, sizeof path, "%s/self/mountinfo", proc_root);
	snprintf(want, sizeof want, "%u:%u", major(dev), minor(dev));
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		char id[32], source[512];
		const char *tail = strstr(line, " - ");

		/* "36 35 98:0 /root /mnt rw - ext4 /dev/root rw": proc(5) */
		if (tail && sscanf(line, "%*d %*d %31s", id) == 1 && strcmp(id, want) == 0 &&
		    sscanf(tail, " - %*s %511s", source) == 1 && source[0] == '/' &&
		    stat(source, &st) == 0 && S_ISBLK(st.st_mode)) {
			dev = st.st_rdev;
			break;
		}
	}
	if (f)
		fclose(f);
	return dev;
}

int disk_of_path(const char *sys_root, const char *proc_root, const char *path, char disk[64])
{
	char p[PATH_MAX], link[PATH_MAX + 64], real[PATH_MAX];
	struct stat st;
	dev_t dev;

	snprintf(p, sizeof p, "%s", path);
	while (stat(p, &st)) { /* not made yet: its parent's disk will be its own */
		char *slash = strrchr(p, '/');

		if (!slash)
			snprintf(p, sizeof p, ".");
		else if (slash == p)
			p[1] = '\0';
		else
			*slash = '\0';
	}
	dev = device_of(proc_root, st.st_dev);
	snprintf(link, sizeof link, "%s/dev/block/%u:%u", sys_root, major(dev), minor(dev));
	if (!realpath(link, real))
		return -ENODEV;
	snprintf(link, sizeof link, "%s/partition", real);
	if (access(link, F_OK) == 0)
		*strrchr(real, '/') = '\0';
	snprintf(disk, 64, "%.63s", strrchr(real, '/') + 1);
	return 0;
}

static void irq_add(struct disk_irqs *out, int irq)
{
	for (int i = 0; i < out->n; i++)
		if (out->irq[i] == irq)
			return;
	if (out->n < DISK_IRQS_MAX)
		out->irq[out->n++] = irq;
}

/* All numbers in a directory such as msi_irqs. */
static void irqs_in_dir(const char *path, struct disk_irqs *out)
{
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (isdigit((unsigned char)de->d_name[0]))
			irq_add(out, atoi(de->d_name));
	if (d)
		closedir(d);
}

/* Interrupts whose description starts with the device's name: "virtio0-req.0", "virtio0". */
static void irqs_by_name(const char *proc_root, const char *name, struct disk_irqs *out)
{
	char path[PATH_MAX], line[16384];
	size_t len = strlen(name);
	FILE *f;

	snprintf(path, sizeof path, "%s/interrupts", proc_root);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		char *p, *end;
		long irq = strtol(line, &end, 10);

		if (end == line || *end != ':')
			continue;
		for (p = line; (p = strstr(p, name)); p += len)
			if (isspace((unsigned char)p[-1]) && !isalnum((unsigned char)p[len]))
				irq_add(out, (int)irq);
	}
	if (f)
		fclose(f);
}

/* A hardware device below /sys/devices: the nearest ancestor that has interrupts. */
static void irqs_of_device(const char *proc_root, const char *real, struct disk_irqs *out)
{
	char dir[PATH_MAX], path[PATH_MAX + 16], text[32], *slash;

	snprintf(dir, sizeof dir, "%s", real);
	while ((slash = strrchr(dir, '/')) && slash != dir) {
		if (strncmp(slash + 1, "virtio", 6) == 0 && isdigit((unsigned char)slash[7]))
			irqs_by_name(proc_root, slash + 1,
				     out); /* over MMIO there is no msi_irqs */
		snprintf(path, sizeof path, "%s/msi_irqs", dir);
		irqs_in_dir(path, out);
		snprintf(path, sizeof path, "%s/irq", dir);
		if (out->n == 0 && read_line(path, text, sizeof text) == 0 && atoi(text) > 0)
			irq_add(out, atoi(text));
		if (out->n)
			return;
		*slash = '\0';
	}
}

static void irqs_of_disk(const char *sys_root, const char *proc_root, const char *disk, int depth,
			 struct disk_irqs *out);

/* Follow each entry of a directory that names block devices or NVMe controllers. */
static void irqs_of_members(const char *sys_root, const char *proc_root, const char *dir,
			    const char *prefix, int depth, struct disk_irqs *out)
{
	DIR *d = opendir(dir);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		char path[PATH_MAX + 300], real[PATH_MAX];

		if (de->d_name[0] == '.' || strncmp(de->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, de->d_name);
		if (!realpath(path, real))
			continue;
		if (*prefix) { /* a controller under an NVMe subsystem */
			irqs_of_device(proc_root, real, out);
			continue;
		}
		snprintf(path, sizeof path, "%s/partition", real);
		if (access(path, F_OK) == 0)
			*strrchr(real, '/') = '\0';
		irqs_of_disk(sys_root, proc_root, strrchr(real, '/') + 1, depth + 1, out);
	}
	if (d)
		closedir(d);
}

static void irqs_of_disk(const char *sys_root, const char *proc_root, const char *disk, int depth,
			 struct disk_irqs *out)
{
	char path[PATH_MAX + 64], real[PATH_MAX];

	snprintf(path, sizeof path, "%s/class/block/%s", sys_root, disk);
	if (depth > STACK_DEPTH || !realpath(path, real))
		return;
	snprintf(path, sizeof path, "%s/slaves", real);
	irqs_of_members(sys_root, proc_root, path, "", depth, out);
	if (out->n)
		return;
	if (strstr(real,
		   "/nvme-subsystem/")) { /* multipath: the namespace hangs off no controller */
		*strrchr(real, '/') = '\0';
		irqs_of_members(sys_root, proc_root, real, "nvme", depth, out);
		return;
	}
	irqs_of_device(proc_root, real, out);
}

int disk_irqs_find(const char *sys_root, const char *proc_root, const char *disk,
		   struct disk_irqs *out)
{
	out->n = 0;
	irqs_of_disk(sys_root, proc_root, disk, 0, out);
	return out->n ? 0 : -ENOENT;
}

static bool irq_wanted(const struct disk_irqs *irqs, long irq)
{
	for (int i = 0; i < irqs->n; i++)
		if (irqs->irq[i] == irq)
			return true;
	return false;
}

int disk_irqs_count(const char *proc_root, const struct disk_irqs *irqs, uint64_t *per_cpu,
		    int ncpu)
{
	char path[PATH_MAX], line[16384], *p, *end;
	int cpu_of[CPU_SETSIZE], columns = 0, used;
	FILE *f;

	memset(per_cpu, 0, (size_t)ncpu * sizeof *per_cpu);
	snprintf(path, sizeof path, "%s/interrupts", proc_root);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	/* The head line names the CPUs that are online: "           CPU0       CPU2". */
	if (fgets(line, sizeof line, f))
		for (p = line;
		     columns < CPU_SETSIZE && sscanf(p, " CPU%d%n", &cpu_of[columns], &used) == 1;
		     p += used)
			columns++;
	while (fgets(line, sizeof line, f)) {
		long irq = strtol(line, &end, 10);

		if (end == line || *end != ':' || !irq_wanted(irqs, irq))
			continue;
		p = end + 1;
		for (int i = 0; i < columns; i++) {
			unsigned long long n = strtoull(p, &end, 10);

			if (end == p)
				break;
			if (cpu_of[i] >= 0 && cpu_of[i] < ncpu)
				per_cpu[cpu_of[i]] += n;
			p = end;
		}
	}
	fclose(f);
	return 0;
}

void disk_irq_cpus(const char *proc_root, const struct disk_irqs *irqs, cpu_set_t *out)
{
	static const char *const files[] = {"effective_affinity_list", "smp_affinity_list"};
	uint64_t n[CPU_SETSIZE], total = 0;
	char path[PATH_MAX], text[1024];
	cpu_set_t one;

	CPU_ZERO(out);
	if (disk_irqs_count(proc_root, irqs, n, CPU_SETSIZE) == 0)
		for (int c = 0; c < CPU_SETSIZE; c++)
			total += n[c];
	for (int c = 0; total && c < CPU_SETSIZE; c++)
		if (n[c] * 100 >= total)
			CPU_SET(c, out);
	for (int i = 0; total == 0 && i < irqs->n; i++)
		for (int k = 0; k < 2; k++) {
			snprintf(path, sizeof path, "%s/irq/%d/%s", proc_root, irqs->irq[i],
				 files[k]);
			if (read_line(path, text, sizeof text) || cpulist_parse(text, &one))
				continue;
			CPU_OR(out, out, &one);
			break;
		}
}

/* The first half of the cores; hardware threads of one core stay together. */
static void half_of(const cpu_set_t *avail, const char *sys_root, cpu_set_t *out)
{
	const int want = CPU_COUNT(avail) / 2;
	char path[PATH_MAX], text[256];
	cpu_set_t core;

	CPU_ZERO(out);
	for (int c = 0; c < CPU_SETSIZE && CPU_COUNT(out) < want; c++) {
		if (!CPU_ISSET(c, avail) || CPU_ISSET(c, out))
			continue;
		snprintf(path, sizeof path,
			 "%s/devices/system/cpu/cpu%d/topology/thread_siblings_list", sys_root, c);
		if (read_line(path, text, sizeof text) || cpulist_parse(text, &core))
			CPU_ZERO(&core);
		CPU_SET(c, &core);
		CPU_AND(&core, &core, avail);
		if (CPU_COUNT(&core) == CPU_COUNT(avail)) { /* all are threads of one core */
			CPU_ZERO(&core);
			CPU_SET(c, &core);
		}
		CPU_OR(out, out, &core);
	}
}

static bool is_auto(const char *s)
{
	return s[0] == '\0' || strcmp(s, "auto") == 0;
}

/* An explicit list, checked against what this process may use. */
static int explicit_cpus(const char *key, const char *list, const cpu_set_t *avail, cpu_set_t *out,
			 struct errbuf *e)
{
	cpu_set_t both;
	char text[256];

	if (cpulist_parse(list, out))
		return errf(e, -EINVAL,
			    "testbed.%s = %s: not a list of CPUs; write auto, or for example "
			    "0-3,8",
			    key, list);
	CPU_AND(&both, out, avail);
	if (!CPU_EQUAL(&both, out))
		return errf(e, -EINVAL, "testbed.%s = %s: this process may use CPUs %s only", key,
			    list, cpulist_text(avail, text, sizeof text));
	return 0;
}

/* rest = avail - taken */
static void others(const cpu_set_t *avail, const cpu_set_t *taken, cpu_set_t *rest)
{
	CPU_XOR(rest, avail, taken);
	CPU_AND(rest, rest, avail);
}

/* The server's share when its list is "auto" and so is the client's. */
static void auto_server(const cpu_set_t *avail, const cpu_set_t *irq_cpus, const char *sys_root,
			cpu_set_t *out)
{
	CPU_AND(out, avail, irq_cpus);
	if (CPU_COUNT(out) == 0 || CPU_COUNT(out) * 2 > CPU_COUNT(avail))
		half_of(avail, sys_root, out);
}

int cpu_split(struct cpu_split *out, const char *server, const char *client, const cpu_set_t *avail,
	      const cpu_set_t *irq_cpus, const char *sys_root, struct errbuf *e)
{
	cpu_set_t both;
	int err = 0;

	out->warning[0] = '\0';
	if (CPU_COUNT(avail) == 1) {
		out->server = out->client = *avail;
		snprintf(out->warning, sizeof out->warning,
			 "one CPU only: server and client share it, figures are not comparable");
		return 0;
	}
	if (!is_auto(server))
		err = explicit_cpus("server_cpus", server, avail, &out->server, e);
	if (!err && !is_auto(client))
		err = explicit_cpus("client_cpus", client, avail, &out->client, e);
	if (err)
		return err;
	if (is_auto(server) && is_auto(client))
		auto_server(avail, irq_cpus, sys_root, &out->server);
	else if (is_auto(server))
		others(avail, &out->client, &out->server);
	if (is_auto(client))
		others(avail, &out->server, &out->client);
	CPU_AND(&both, &out->server, &out->client);
	if (CPU_COUNT(&both))
		return errf(e, -EINVAL,
			    "testbed.server_cpus = %s and testbed.client_cpus = %s overlap; "
			    "each CPU belongs to one side",
			    server, client);
	if (!CPU_COUNT(&out->server) || !CPU_COUNT(&out->client))
		return errf(e, -EINVAL, "testbed.%s = %s leaves no CPU for the other side",
			    is_auto(server) ? "client_cpus" : "server_cpus",
			    is_auto(server) ? client : server);
	CPU_AND(&both, irq_cpus, &out->server);
	if (CPU_COUNT(irq_cpus) && !CPU_COUNT(&both))
		snprintf(out->warning, sizeof out->warning,
			 "the content disk's interrupts go to the client's CPUs: their cost is "
			 "missing from "
			 "the server's CPU figures");
	return 0;
}
