/* machine: what a reader of results must know about the host.
 *
 * First-touch cost: in a virtual machine a page that the hypervisor has taken back can cost ten
 * times a recycled one, and an uncapped page cache pays it for every byte (DESIGN.md section 3).
 */
#include "harness/machine.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "harness/testbed_cpu.h"

#define TOUCH_BYTES (64u << 20)

/* First line of a file, without its newline; "" if none. */
static void first_line(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "r");

	buf[0] = 0;
	if (!f)
		return;
	if (!fgets(buf, (int)len, f))
		buf[0] = 0;
	buf[strcspn(buf, "\n")] = 0;
	fclose(f);
}

/* Value of the first line of `path` that starts with `key`, after its ':' or '='. */
static void field(const char *path, const char *key, char *buf, size_t len)
{
	FILE *f = fopen(path, "r");
	char line[512], *p;

	while (f && fgets(line, sizeof line, f)) {
		if (strncmp(line, key, strlen(key)))
			continue;
		p = line + strcspn(line, ":=");
		p += *p != 0;
		p += strspn(p, " \t\"");
		p[strcspn(p, "\"\n")] = 0;
		snprintf(buf, len, "%s", p);
		break;
	}
	if (f)
		fclose(f);
}

static void read_llc(struct machine *m)
{
	char path[128], text[128];
	uint64_t size;

	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
		first_line(path, text, sizeof text);
		if (!*text || units_size(text, &size) || size < m->llc_bytes)
			continue;
		m->llc_bytes = size;
		snprintf(path, sizeof path,
			 "/sys/devices/system/cpu/cpu0/cache/index%d/shared_cpu_list", i);
		first_line(path, text, sizeof text);
		m->llc_shared = cpulist_count(text);
	}
}

void machine_read(struct machine *m)
{
	char text[128] = "";
	struct utsname u;
	struct rlimit rl;

	memset(m, 0, sizeof *m);
	m->first_touch_us = m->retouch_us = NAN;
	snprintf(m->cpu, sizeof m->cpu, "unknown");
	field("/proc/cpuinfo", "model name", m->cpu, sizeof m->cpu);
	field("/etc/os-release", "PRETTY_NAME", m->os, sizeof m->os);
	if (!uname(&u))
		snprintf(m->kernel, sizeof m->kernel, "%s %s %s", u.sysname, u.release, u.machine);
	m->cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	m->mem_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	if (!getrlimit(RLIMIT_NOFILE, &rl))
		m->nofile = rl.rlim_max;
	first_line("/sys/class/dmi/id/product_name", text, sizeof text);
	snprintf(m->host_kind, sizeof m->host_kind, "%.63s", text);
	if (!*text) {
		FILE *f = fopen("/proc/cpuinfo", "r");
		char line[4096];

		while (f && fgets(line, sizeof line, f))
			if (!strncmp(line, "flags", 5)) {
				snprintf(m->host_kind, sizeof m->host_kind, "%s",
					 strstr(line, " hypervisor") ? "virtual machine"
								     : "bare metal");
				break;
			}
		if (f)
			fclose(f);
	}
	read_llc(m);
}

static double touch(volatile char *p, size_t n)
{
	uint64_t t0 = clock_ns();

	for (size_t i = 0; i < n; i += 4096)
		p[i] = 1;
	return (double)(clock_ns() - t0) / 1e3 / ((double)n / 4096);
}

void machine_touch(struct machine *m)
{
	char *p =
		mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	madvise(p, TOUCH_BYTES, MADV_NOHUGEPAGE);
	m->first_touch_us = touch(p, TOUCH_BYTES);
	madvise(p, TOUCH_BYTES, MADV_DONTNEED);
	m->retouch_us = touch(p, TOUCH_BYTES);
	munmap(p, TOUCH_BYTES);
}

json_t *machine_json(const struct machine *m)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "cpu", m->cpu, "kernel",
			      m->kernel, "os", m->os, "machine", m->host_kind, "cpus", m->cpus,
			      "mem_bytes", (json_int_t)m->mem_bytes, "llc_bytes",
			      (json_int_t)m->llc_bytes, "nofile_limit", (json_int_t)m->nofile);

	if (!j)
		return NULL;
	if (!m->llc_bytes)
		json_object_set_new(j, "llc_bytes", json_null());
	if (isfinite(m->first_touch_us)) {
		json_object_set_new(j, "first_touch_us_per_page", json_real(m->first_touch_us));
		json_object_set_new(j, "retouch_us_per_page", json_real(m->retouch_us));
	}
	return j;
}
