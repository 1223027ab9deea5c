/* facts: network interfaces and disks.
 *
 * Virtual interfaces (veth, bridges) and loop or RAM disks are left out: nothing is measured on
 * them. Offloads are asked from the kernel, so only of the live machine. ethtool's ioctls;
 * Documentation/ABI/testing/sysfs-class-net, sysfs-block.
 */
#include <dirent.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/units.h"
#include "harness/facts.h"
#include "harness/testbed_cpu.h"

static const char *last_of_link(const char *path, char *buf, size_t len)
{
	ssize_t n = readlink(path, buf, len - 1);
	char *slash;

	buf[n > 0 ? n : 0] = 0;
	slash = strrchr(buf, '/');
	return slash ? slash + 1 : buf;
}

static int count_entries(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d)))
		n += de->d_name[0] != '.' && !strncmp(de->d_name, prefix, strlen(prefix));
	if (d)
		closedir(d);
	return n;
}

/* "TSO GSO GRO ...": those that are on. */
static void offloads(const char *name, char *buf, size_t len)
{
	static const struct {
		uint32_t cmd;
		const char *name;
	} ask[] = {{ETHTOOL_GTXCSUM, "TX checksum"},
		   {ETHTOOL_GRXCSUM, "RX checksum"},
		   {ETHTOOL_GSG, "scatter-gather"},
		   {ETHTOOL_GTSO, "TSO"},
		   {ETHTOOL_GGSO, "GSO"},
		   {ETHTOOL_GGRO, "GRO"}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t at = 0;

	buf[0] = 0;
	for (size_t i = 0; fd >= 0 && i < sizeof ask / sizeof *ask && at < len; i++) {
		struct ethtool_value v = {.cmd = ask[i].cmd};
		struct ifreq ifr = {.ifr_data = (char *)&v};

		snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
		if (!ioctl(fd, SIOCETHTOOL, &ifr) && v.data)
			at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? " " : "",
					       ask[i].name);
	}
	if (fd >= 0)
		close(fd);
}

static void look_nic(struct findings *l, const struct facts_roots *r, const char *name)
{
	char path[300], link[300], speed[32], state[32], on[128] = "", rate[32] = "";
	int rx, tx;

	snprintf(path, sizeof path, "%s/class/net/%.40s/queues", r->sys, name);
	rx = count_entries(path, "rx-");
	tx = count_entries(path, "tx-");
	if (facts_line(speed, sizeof speed, "%s/class/net/%.40s/speed", r->sys, name) &&
	    atol(speed) > 0)
		snprintf(rate, sizeof rate, ", %g Gb/s", (double)atol(speed) / 1000);
	facts_line(state, sizeof state, "%s/class/net/%.40s/operstate", r->sys, name);
	if (facts_live(r))
		offloads(name, on, sizeof on);
	snprintf(path, sizeof path, "%s/class/net/%.40s/device/driver", r->sys, name);
	findings_add(l, "network interfaces", name, FINDING_FACT,
		     "%s%s, %s, %d receive and %d transmit queue%s%s%s",
		     last_of_link(path, link, sizeof link), rate, *state ? state : "unknown", rx,
		     tx, rx + tx == 2 ? "" : "s", *on ? "; on: " : "", on);
}

/* Negotiated and possible speed of a PCIe device. */
static void look_link(struct findings *l, const struct facts_roots *r, const char *disk,
		      const char *ctrl)
{
	char speed[32], most[32], width[16], widest[16], name[48];

	snprintf(name, sizeof name, "%.30s link", disk);
	if (!facts_line(speed, sizeof speed, "%s/class/nvme/%.20s/device/current_link_speed",
			r->sys, ctrl)) {
		findings_add(l, "disks", name, FINDING_FACT,
			     "no PCIe link seen (emulated, or over a fabric)");
		return;
	}
	facts_line(most, sizeof most, "%s/class/nvme/%.20s/device/max_link_speed", r->sys, ctrl);
	facts_line(width, sizeof width, "%s/class/nvme/%.20s/device/current_link_width", r->sys,
		   ctrl);
	facts_line(widest, sizeof widest, "%s/class/nvme/%.20s/device/max_link_width", r->sys,
		   ctrl);
	if (strcmp(speed, most) == 0 && strcmp(width, widest) == 0)
		findings_add(l, "disks", name, FINDING_FACT, "%s, %s lanes: its fastest", speed,
			     width);
	else
		findings_add(
			l, "disks", name, FINDING_WARN,
			"%s, %s lanes, could do %s, %s: another slot, or the slot's link speed "
			"and bifurcation in the BIOS",
			speed, width, most, widest);
}

/* "none [mq-deadline] kyber": the one in brackets. */
static void chosen(char *list)
{
	char *from = strchr(list, '['), *to = from ? strchr(from, ']') : NULL;

	if (!to)
		return;
	*to = 0;
	memmove(list, from + 1, (size_t)(to - from));
}

static void look_disk(struct findings *l, const struct facts_roots *r, const char *name)
{
	char path[300], link[300], model[64] = "", sched[64] = "", rot[8], cpus[128];
	static struct disk_irqs irqs;
	char text[32];
	cpu_set_t set;
	uint64_t sectors = 0;
	int queues;

	if (facts_line(text, sizeof text, "%s/block/%.40s/size", r->sys, name))
		sectors = strtoull(text, NULL, 10);
	facts_line(model, sizeof model, "%s/block/%.40s/device/model", r->sys, name);
	for (size_t n = strlen(model); n && model[n - 1] == ' ';)
		model[--n] = 0;
	facts_line(rot, sizeof rot, "%s/block/%.40s/queue/rotational", r->sys, name);
	facts_line(sched, sizeof sched, "%s/block/%.40s/queue/scheduler", r->sys, name);
	chosen(sched);
	CPU_ZERO(&set);
	if (!disk_irqs_find(r->sys, r->proc, name, &irqs))
		disk_irq_cpus(r->proc, &irqs, &set);
	cpulist_text(&set, cpus, sizeof cpus);
	snprintf(path, sizeof path, "%s/block/%.40s/mq", r->sys, name);
	queues = count_entries(path, "");
	findings_add(l, "disks", name, FINDING_FACT,
		     "%s%s%.1f GB%s, %d queue%s, scheduler %s, interrupts on %s%s", model,
		     *model ? ", " : "", (double)sectors * 512 / 1e9,
		     rot[0] == '1' ? ", rotating" : "", queues, queues == 1 ? "" : "s",
		     *sched ? sched : "unknown", *cpus ? "CPU " : "unknown CPUs", cpus);
	if (strncmp(name, "nvme", 4) == 0) {
		snprintf(path, sizeof path, "%s/block/%.40s/device", r->sys, name);
		look_link(l, r, name, last_of_link(path, link, sizeof link));
	}
}

/* Entries of a directory that are real devices, in their order of names. */
static void each_device(struct findings *l, const struct facts_roots *r, const char *dir,
			void (*look)(struct findings *, const struct facts_roots *, const char *),
			const char *group)
{
	struct dirent **list = NULL;
	char path[400];
	int n, seen = 0;

	snprintf(path, sizeof path, "%s/%s", r->sys, dir);
	n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s/%.60s/device", r->sys, dir, list[i]->d_name);
		if (list[i]->d_name[0] != '.' && !access(path, F_OK)) {
			look(l, r, list[i]->d_name);
			seen++;
		}
		free(list[i]);
	}
	free(list);
	if (!seen)
		findings_add(l, group, "none", FINDING_FACT,
			     "no device of its own: everything is virtual");
}

void facts_devices(struct findings *l, const struct facts_roots *r)
{
	each_device(l, r, "class/net", look_nic, "network interfaces");
	each_device(l, r, "block", look_disk, "disks");
}
