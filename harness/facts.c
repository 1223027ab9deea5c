/* facts: the machine and its kernel.
 *
 * One idea: a fact that costs results their meaning (a hypervisor that takes pages back, a counter
 * that is not permitted, cores that change their clock) is marked, with the setting that ends it.
 *
 * Documentation/ABI/testing/sysfs-devices-system-cpu; Intel DDIO: MSR IIO_LLC_WAYS, 0xC8B, of Xeon
 * servers from Haswell to Ice Lake ("Reexamining DDIO", ATC 2020).
 */
#include "harness/facts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "harness/child.h"
#include "harness/testbed_cpu.h"

#define IIO_LLC_WAYS 0xc8b
#define CPU_DIR	     "%s/devices/system/cpu/"

bool facts_line(char *buf, size_t len, const char *fmt, ...)
{
	char path[400];
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(path, sizeof path, fmt, ap);
	va_end(ap);
	buf[0] = 0;
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(buf, (int)len, f))
		buf[0] = 0;
	fclose(f);
	buf[strcspn(buf, "\n")] = 0;
	return buf[0] != 0;
}

bool facts_live(const struct facts_roots *r)
{
	return !strcmp(r->proc, "/proc") && !strcmp(r->sys, "/sys");
}

/* The value of the first "key : value" or "key value" line of a file. */
static bool value_of(char *buf, size_t len, const char *root, const char *file, const char *key)
{
	char path[300], line[4096];
	size_t n = strlen(key);
	FILE *f;

	buf[0] = 0;
	snprintf(path, sizeof path, "%s/%s", root, file);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		char *p = line + n;

		if (strncmp(line, key, n) != 0 || (*p != ':' && !isspace((unsigned char)*p)))
			continue;
		p += strspn(p, " \t:");
		p[strcspn(p, "\n")] = 0;
		snprintf(buf, len, "%s", p);
		break;
	}
	if (f)
		fclose(f);
	return buf[0] != 0;
}

static double mem_gib(const struct facts_roots *r, const char *key)
{
	char text[64];

	return value_of(text, sizeof text, r->proc, "meminfo", key) ? strtod(text, NULL) / (1 << 20)
								    : 0;
}

static void look_cpu(struct findings *l, const struct facts_roots *r)
{
	char model[128], online[128], smt[16], sockets[16];
	int cpus;

	if (!value_of(model, sizeof model, r->proc, "cpuinfo", "model name"))
		snprintf(model, sizeof model, "unknown model");
	cpus = facts_line(online, sizeof online, CPU_DIR "online", r->sys) ? cpulist_count(online)
									   : 0;
	if (!facts_line(smt, sizeof smt, CPU_DIR "smt/control", r->sys))
		snprintf(smt, sizeof smt, "unknown");
	else if (!strncmp(smt, "not", 3)) /* notsupported, notimplemented */
		snprintf(smt, sizeof smt, "none");
	facts_line(sockets, sizeof sockets, "%s/devices/system/node/online", r->sys);
	findings_add(l, "machine", "cpu", FINDING_FACT, "%s; %d CPUs (%s), SMT %s", model, cpus,
		     online, smt);
	if (cpus == 1)
		findings_add(l, "machine", "cores", FINDING_WARN,
			     "one CPU: server and client share it, CPU figures mean little; use a "
			     "machine with two or more");
	if (*sockets)
		findings_add(l, "machine", "numa", FINDING_FACT, "%d node%s",
			     cpulist_count(sockets), cpulist_count(sockets) == 1 ? "" : "s");
}

/* The largest cache of CPU 0: its index, -1 if there is none. */
static int llc_index(const struct facts_roots *r, uint64_t *bytes)
{
	int best = -1;

	*bytes = 0;
	for (int i = 0; i < 8; i++) {
		char text[32];
		uint64_t size;

		if (!facts_line(text, sizeof text, CPU_DIR "cpu0/cache/index%d/size", r->sys, i) ||
		    units_size(text, &size) || size < *bytes)
			continue;
		*bytes = size;
		best = i;
	}
	return best;
}

static void look_ddio(struct findings *l, const struct facts_roots *r)
{
	char vendor[64], path[64];
	uint64_t ways = 0;
	int fd;

	value_of(vendor, sizeof vendor, r->proc, "cpuinfo", "vendor_id");
	if (strcmp(vendor, "GenuineIntel") != 0) {
		findings_add(l, "machine", "ddio ways", FINDING_FACT,
			     "not readable: only Intel's Xeon tells (this is %s)",
			     *vendor ? vendor : "another vendor");
		return;
	}
	if (!facts_live(r))
		return;
	snprintf(path, sizeof path, "/dev/cpu/0/msr");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		findings_add(l, "machine", "ddio ways", FINDING_NO,
			     "%s can't be opened; as root: modprobe msr (a virtual machine has "
			     "none: look on the host)",
			     path);
		return;
	}
	if (pread(fd, &ways, sizeof ways, IIO_LLC_WAYS) == sizeof ways)
		findings_add(l, "machine", "ddio ways", FINDING_FACT, "%d (mask 0x%llx)",
			     __builtin_popcountll(ways), (unsigned long long)ways);
	else
		findings_add(l, "machine", "ddio ways", FINDING_NO,
			     "this CPU has no register for it (MSR C8Bh: Xeon, Haswell to Ice "
			     "Lake), or the hypervisor hides it");
	close(fd);
}

static void look_llc(struct findings *l, const struct facts_roots *r)
{
	char shared[128], ways[16], size[32];
	uint64_t bytes;
	int i = llc_index(r, &bytes);

	if (i < 0) {
		findings_add(l, "machine", "llc", FINDING_WARN,
			     "size unknown: set content.hot to well above it yourself");
	} else {
		facts_line(shared, sizeof shared, CPU_DIR "cpu0/cache/index%d/shared_cpu_list",
			   r->sys, i);
		facts_line(ways, sizeof ways, CPU_DIR "cpu0/cache/index%d/ways_of_associativity",
			   r->sys, i);
		findings_add(l, "machine", "llc", FINDING_FACT, "%s, %s ways, shared by %d CPUs",
			     units_size_text(bytes, size, sizeof size),
			     *ways && strcmp(ways, "0") ? ways : "unknown", cpulist_count(shared));
	}
	look_ddio(l, r);
}

static void look_memory(struct findings *l, const struct facts_roots *r)
{
	char huge[32];

	value_of(huge, sizeof huge, r->proc, "meminfo", "HugePages_Total");
	findings_add(l, "machine", "memory", FINDING_FACT,
		     "%.1f GiB, %.1f free for use; %s huge pages reserved", mem_gib(r, "MemTotal"),
		     mem_gib(r, "MemAvailable"), *huge ? huge : "no");
}

static void look_clock(struct findings *l, const struct facts_roots *r)
{
	char governor[32], turbo[16], idle[32];
	bool on = false;

	facts_line(idle, sizeof idle, CPU_DIR "cpuidle/current_driver", r->sys);
	if (facts_line(turbo, sizeof turbo, CPU_DIR "intel_pstate/no_turbo", r->sys))
		on = turbo[0] == '0';
	else if (facts_line(turbo, sizeof turbo, CPU_DIR "cpufreq/boost", r->sys))
		on = turbo[0] == '1';
	if (!facts_line(governor, sizeof governor, CPU_DIR "cpu0/cpufreq/scaling_governor", r->sys))
		findings_add(l, "machine", "clock", FINDING_FACT,
			     "not ours to set (no cpufreq); idle driver %s", *idle ? idle : "none");
	else
		findings_add(l, "machine", "clock",
			     strcmp(governor, "performance") ? FINDING_WARN : FINDING_FACT,
			     "governor %s%s, turbo %s, idle driver %s", governor,
			     strcmp(governor, "performance")
				     ? " (cores change their clock: cpupower frequency-set -g "
				       "performance)"
				     : "",
			     on ? "on" : "off or unknown", *idle ? idle : "none");
}

/* A hypervisor that gets free pages back makes the next use of them dear. */
static void look_reporting(struct findings *l, const struct facts_roots *r, bool guest)
{
	char text[128], order[16];
	bool reporting = false;

	for (int i = 0; i < 64 && !reporting; i++) { /* VIRTIO_BALLOON_F_REPORTING is bit 5 */
		char driver[300], path[200];
		ssize_t n;

		if (!facts_line(text, sizeof text, "%s/bus/virtio/devices/virtio%d/features",
				r->sys, i))
			continue;
		snprintf(path, sizeof path, "%s/bus/virtio/devices/virtio%d/driver", r->sys, i);
		n = readlink(path, driver, sizeof driver - 1);
		driver[n > 0 ? n : 0] = 0;
		reporting = strstr(driver, "virtio_balloon") && strlen(text) > 5 && text[5] == '1';
	}
	facts_line(order, sizeof order, "%s/module/page_reporting/parameters/page_reporting_order",
		   r->sys);
	if (reporting)
		findings_add(l, "machine", "free pages", FINDING_WARN,
			     "go back to the hypervisor (balloon with free-page reporting, order "
			     "%s) and are dear when used again: keep content.cache_budget",
			     *order ? order : "unknown");
	else
		findings_add(l, "machine", "free pages", FINDING_FACT, "stay with this %s",
			     guest ? "guest (no free-page reporting)" : "machine");
	if (facts_line(text, sizeof text, "%s/module/damon_reclaim/parameters/enabled", r->sys))
		findings_add(l, "machine", "damon reclaim",
			     text[0] == 'Y' ? FINDING_WARN : FINDING_FACT, "%s",
			     text[0] == 'Y' ? "on: cold pages are taken away in the middle of a "
					      "run; echo N > "
					      "/sys/module/damon_reclaim/parameters/enabled"
					    : "off");
	else
		findings_add(l, "machine", "damon reclaim", FINDING_FACT, "not in this kernel");
}

static bool look_kind(struct findings *l, const struct facts_roots *r)
{
	char flags[4096], product[64], type[32];
	bool guest;

	value_of(flags, sizeof flags, r->proc, "cpuinfo", "flags");
	guest = strstr(flags, " hypervisor") != NULL;
	facts_line(product, sizeof product, "%s/class/dmi/id/product_name", r->sys);
	facts_line(type, sizeof type, "%s/hypervisor/type", r->sys);
	findings_add(l, "machine", "kind", FINDING_FACT, "%s%s%s%s%s",
		     guest ? "virtual machine" : "no hypervisor seen", *product ? ", " : "",
		     product, *type ? ", " : "", type);
	return guest;
}

/* --- the kernel --- */

/* All "CONFIG_X=y" lines in one text, or NULL. The caller frees it. */
static char *kernel_config(const struct facts_roots *r, const char *release)
{
	char cmd[400];
	const char *argv[] = {"sh", "-c", cmd, NULL};
	struct child_spec s = {.argv = argv, .keep_fd = -1};
	struct errbuf e;
	char *out = NULL;

	snprintf(cmd, sizeof cmd,
		 "if [ -r %s/config.gz ]; then gzip -dc %s/config.gz; else cat "
		 "/boot/config-%.100s; fi 2>/dev/null | grep '^CONFIG'",
		 r->proc, r->proc, release);
	if (child_capture(&s, 5 * NSEC_PER_SEC, &out, &e) || !out || !*out) {
		free(out);
		return NULL;
	}
	return out;
}

static void look_config(struct findings *l, const struct facts_roots *r, const char *release)
{
	static const struct {
		const char *option, *use;
	} wanted[] = {
		{"TLS", "nginx:ktls"},
		{"NET_SCH_NETEM", "comparing the WAN box with netem"},
		{"MEMCG", "the page-cache budget"},
		{"IO_URING", "atlas's storage"},
		{"BPF_SYSCALL", "disk latency by tracing"},
		{"FTRACE", "disk latency by tracing"},
		{"X86_CPU_RESCTRL", "memory bandwidth by resctrl"},
		{"VFIO_PCI", "the storage back end vfio"},
		{"BLK_DEV_NVME", "NVMe drives"},
		{"MODULES", "the storage back end diskmap"},
	};
	char *config = kernel_config(r, release), off[400] = "", find[64];
	size_t at = 0;

	if (!config) {
		findings_add(l, "kernel", "options", FINDING_FACT,
			     "unknown: neither %s/config.gz nor /boot/config-%s", r->proc, release);
		return;
	}
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		snprintf(find, sizeof find, "CONFIG_%s=", wanted[i].option);
		if (!strstr(config, find) && at < sizeof off)
			at += (size_t)snprintf(off + at, sizeof off - at, "%s%s (%s)",
					       at ? ", " : "", wanted[i].option, wanted[i].use);
	}
	if (*off)
		findings_add(l, "kernel", "options", FINDING_WARN,
			     "off: %s; a distribution's kernel has them", off);
	else
		findings_add(l, "kernel", "options", FINDING_FACT, "all that are of use are on");
	free(config);
}

static void look_settings(struct findings *l, const struct facts_roots *r)
{
	char text[4096], thp[64], perf[16];

	facts_line(text, sizeof text, "%s/cmdline", r->proc);
	if (strstr(text, "init_on_alloc=1"))
		findings_add(l, "kernel", "init_on_alloc", FINDING_WARN,
			     "on: the kernel clears each page it takes, which is memory traffic; "
			     "boot with init_on_alloc=0");
	if (strstr(text, "mitigations=off"))
		findings_add(l, "kernel", "mitigations", FINDING_WARN,
			     "off: system calls are cheaper than on most machines");
	if (facts_line(perf, sizeof perf, "%s/sys/kernel/perf_event_paranoid", r->proc))
		findings_add(l, "kernel", "perf events", FINDING_FACT,
			     "kernel.perf_event_paranoid = %s%s", perf,
			     atoi(perf) > 0 && geteuid() ? ": run as root, or sysctl "
							   "kernel.perf_event_paranoid=0"
							 : "");
	if (facts_line(thp, sizeof thp, "%s/kernel/mm/transparent_hugepage/enabled", r->sys))
		findings_add(l, "kernel", "huge pages", FINDING_FACT, "transparent: %s", thp);
	if (facts_line(text, 16, "%s/sys/kernel/nmi_watchdog", r->proc) && text[0] == '1')
		findings_add(l, "kernel", "nmi watchdog", FINDING_WARN,
			     "on: it takes a hardware counter; sysctl kernel.nmi_watchdog=0");
}

static void look_limits(struct findings *l, const struct facts_roots *r)
{
	struct rlimit rl;

	if (!facts_live(r))
		return;
	if (!getrlimit(RLIMIT_NOFILE, &rl))
		findings_add(l, "kernel", "open files",
			     rl.rlim_max >= 20000 ? FINDING_FACT : FINDING_WARN, "%llu a process%s",
			     (unsigned long long)rl.rlim_max,
			     rl.rlim_max >= 20000 ? ""
						  : ": 16,000 connections need 20,000; raise the "
						    "hard limit (ulimit -Hn, limits.conf)");
	if (getrlimit(RLIMIT_MEMLOCK, &rl))
		return;
	if (rl.rlim_max == RLIM_INFINITY || !geteuid())
		findings_add(l, "kernel", "locked memory", FINDING_FACT, "no limit for us");
	else
		findings_add(l, "kernel", "locked memory",
			     rl.rlim_max < 64 << 20 ? FINDING_WARN : FINDING_FACT,
			     "%llu KiB: atlas takes fewer buffers below 64 MiB a worker (ulimit "
			     "-Hl, limits.conf)",
			     (unsigned long long)rl.rlim_max >> 10);
}

void facts_machine(struct findings *l, const struct facts_roots *r)
{
	bool guest;

	look_cpu(l, r);
	look_llc(l, r);
	look_memory(l, r);
	look_clock(l, r);
	guest = look_kind(l, r);
	look_reporting(l, r, guest);
}

void facts_kernel(struct findings *l, const struct facts_roots *r)
{
	char version[256], release[128] = "";

	facts_line(version, sizeof version, "%s/version", r->proc);
	sscanf(version, "Linux version %127s", release);
	findings_add(l, "kernel", "release", FINDING_FACT, "%s", *release ? release : "unknown");
	look_config(l, r, release);
	look_settings(l, r);
	look_limits(l, r);
}
