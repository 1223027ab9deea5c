/* testbed_cpu_test: CPU lists, and the choice of CPUs over made-up /proc and /sys trees. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/testbed_cpu.h"

/* ---- CPU lists ---- */

static void lists(void **state)
{
	static const char *const bad[] = {"",	  "x",	"-1",  "3-1",	"1,",
					  "1,,2", "1-", "1 2", "99999", "1;2"};
	static const struct {
		const char *in, *out;
		int n;
	} good[] = {{"0", "0", 1},
		    {"0-3,8", "0-3,8", 5},
		    {"5,1,0", "0-1,5", 3},
		    {"3-3", "3", 1},
		    {"0, 2-3", "0,2-3", 3}};
	cpu_set_t set;
	char buf[128];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(cpulist_parse(bad[i], &set), -EINVAL);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(cpulist_parse(good[i].in, &set), 0);
		assert_int_equal(CPU_COUNT(&set), good[i].n);
		assert_string_equal(cpulist_text(&set, buf, sizeof buf), good[i].out);
	}
	assert_int_equal(cpulist_parse("0,4,33", &set), 0);
	assert_string_equal(cpumask_text(&set, 40, buf, sizeof buf), "00000002,00000011");
	assert_string_equal(cpumask_text(&set, 8, buf, sizeof buf), "00000011");
}

/* ---- a made-up machine ---- */

static char root[128];

static char *at(const char *path)
{
	static char buf[4][512];
	static int i;

	i = (i + 1) % 4;
	snprintf(buf[i], sizeof buf[i], "%s/%s", root, path);
	return buf[i];
}

static void put(const char *path, const char *text)
{
	char cmd[1024];
	FILE *f;

	snprintf(cmd, sizeof cmd, "mkdir -p \"$(dirname '%s')\"", at(path));
	assert_int_equal(system(cmd), 0);
	f = fopen(at(path), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_link(const char *path, const char *to)
{
	put(path, "");
	unlink(at(path));
	assert_int_equal(symlink(at(to), at(path)), 0);
}

static int tree_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(root, sizeof root, "%.80s/dcn-testbed-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(root) ? 0 : -1;
}

static int tree_teardown(void **state)
{
	char cmd[256];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
	return system(cmd);
}

static const char *cpus_of(const char *disk)
{
	static char buf[128];
	struct disk_irqs irqs;
	cpu_set_t set;

	assert_int_equal(disk_irqs_find(at("sys"), at("proc"), disk, &irqs), 0);
	disk_irq_cpus(at("proc"), &irqs, &set);
	return cpulist_text(&set, buf, sizeof buf);
}

/* A VM: virtio disk with one queue whose interrupt is on CPU 1, and a neighbour with the longer
 * name. */
static void virtio(void **state)
{
	uint64_t n[4];
	struct disk_irqs irqs;

	(void)state;
	put("proc/interrupts",
	    "            CPU0       CPU1       CPU3\n"
	    "  1:          9          9          9   IO-APIC   1-edge      i8042\n"
	    " 35:          5          0          0  PCI-MSIX  0-edge      virtio1-config\n"
	    " 36:          2      53597          7  PCI-MSIX  1-edge      virtio1-req.0\n"
	    " 37:        999          0          0  PCI-MSIX  1-edge      virtio11-req.0\n"
	    "NMI:          1          1          1  Non-maskable interrupts\n");
	put("sys/devices/pci0/0000:00:02.0/msi_irqs/35", "");
	put("sys/devices/pci0/0000:00:02.0/msi_irqs/36", "");
	put("sys/devices/pci0/0000:00:02.0/virtio1/block/vda/vda1/partition", "1\n");
	put_link("sys/class/block/vda", "sys/devices/pci0/0000:00:02.0/virtio1/block/vda");
	put_link("sys/class/block/vda1", "sys/devices/pci0/0000:00:02.0/virtio1/block/vda/vda1");
	assert_string_equal(cpus_of("vda"), "1");
	assert_int_equal(disk_irqs_find(at("sys"), at("proc"), "vda", &irqs), 0);
	assert_int_equal(disk_irqs_count(at("proc"), &irqs, n, 4), 0);
	assert_int_equal(n[0], 7);
	assert_int_equal(n[1], 53597);
	assert_int_equal(n[2], 0);
	assert_int_equal(n[3], 7); /* columns are named: CPU 2 is off-line */
	/* LVM on a partition of it. */
	put("sys/devices/virtual/block/dm-0/size", "");
	put_link("sys/devices/virtual/block/dm-0/slaves/vda1", "sys/class/block/vda1");
	put_link("sys/class/block/dm-0", "sys/devices/virtual/block/dm-0");
	assert_string_equal(cpus_of("dm-0"), "1");
	assert_int_equal(disk_irqs_find(at("sys"), at("proc"), "vdz", &irqs), -ENOENT);
}

/* Firecracker: virtio over MMIO has no msi_irqs, only a name. */
static void virtio_mmio(void **state)
{
	(void)state;
	put("proc/interrupts", "            CPU0       CPU1\n"
			       " 40:          0          0  GSI  9  virtio0\n"
			       " 41:         70          0  GSI 10  virtio1\n");
	put("sys/devices/platform/virtio-mmio.1/virtio1/block/vdb/size", "");
	put_link("sys/class/block/vdb", "sys/devices/platform/virtio-mmio.1/virtio1/block/vdb");
	assert_string_equal(cpus_of("vdb"), "0");
	/* Nothing counted yet: where would it go? */
	put("sys/devices/platform/virtio-mmio.0/virtio0/block/vda/size", "");
	put_link("sys/class/block/vda", "sys/devices/platform/virtio-mmio.0/virtio0/block/vda");
	put("proc/irq/40/smp_affinity_list", "0-1\n");
	put("proc/irq/40/effective_affinity_list", "1\n");
	assert_string_equal(cpus_of("vda"), "1");
}

static void nvme(void **state)
{
	(void)state;
	put("proc/interrupts", "       CPU0   CPU1   CPU2   CPU3\n"
			       " 60:      1      0      0      0  PCI-MSI  nvme0q0\n"
			       " 61:    900      0      0      0  PCI-MSI  nvme0q1\n"
			       " 62:      0    800      0      0  PCI-MSI  nvme0q2\n"
			       " 63:      0      0    700      0  PCI-MSI  nvme0q3\n"
			       " 64:      0      0      0    600  PCI-MSI  nvme0q4\n");
	for (int i = 60; i <= 64; i++) {
		char path[80];

		snprintf(path, sizeof path, "sys/devices/pci0/0000:01:00.0/msi_irqs/%d", i);
		put(path, "");
	}
	put("sys/devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1/size", "");
	put_link("sys/class/block/nvme0n1", "sys/devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1");
	assert_string_equal(cpus_of("nvme0n1"), "0-3");
	/* The same with native multipath: the namespace lives under a virtual subsystem. */
	put("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme1n1/size", "");
	put_link("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0",
		 "sys/devices/pci0/0000:01:00.0/nvme/nvme0");
	put_link("sys/class/block/nvme1n1",
		 "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme1n1");
	assert_string_equal(cpus_of("nvme1n1"), "0-3");
}

static void disk_of_a_path(void **state)
{
	struct stat st;
	char disk[64] = "", name[64];

	(void)state;
	assert_int_equal(stat(root, &st), 0);
	snprintf(name, sizeof name, "sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	put("sys/devices/x/block/sda/sda3/partition", "3\n");
	put("proc/self/mountinfo", "");
	put_link(name, "sys/devices/x/block/sda/sda3");
	assert_int_equal(disk_of_path(at("sys"), at("proc"), root, disk), 0);
	assert_string_equal(disk, "sda");
	assert_int_equal(disk_of_path(at("sys"), at("proc"), at("not/made/yet"), disk), 0);
	assert_string_equal(disk, "sda");
	assert_int_equal(disk_of_path(at("sys"), at("proc"), "/proc/self", disk), -ENODEV);
}

/* ---- the split ---- */

static cpu_set_t set_of(const char *list)
{
	cpu_set_t s;

	if (!*list || cpulist_parse(list, &s))
		CPU_ZERO(&s);
	return s;
}

static int split(const char *server, const char *client, const char *avail, const char *irqs,
		 char *text, struct cpu_split *out, struct errbuf *e)
{
	cpu_set_t a = set_of(avail), i = set_of(irqs);
	char s[64], c[64];
	int err = cpu_split(out, server, client, &a, &i, at("sys"), e);

	if (!err)
		snprintf(text, 160, "%s / %s", cpulist_text(&out->server, s, sizeof s),
			 cpulist_text(&out->client, c, sizeof c));
	return err;
}

static void splits(void **state)
{
	static const struct {
		const char *server, *client, *avail, *irqs, *want;
	} t[] = {
		{"auto", "auto", "0-1", "1", "1 / 0"},	 /* the VM with one fixed interrupt */
		{"auto", "auto", "0-1", "0-1", "0 / 1"}, /* a queue each */
		{"auto", "auto", "0-1", "", "0 / 1"},	 /* unknown */
		{"auto", "auto", "0-7", "3", "3 / 0-2,4-7"},
		{"", "", "0-7", "0-7", "0-1,4-5 / 2-3,6-7"}, /* siblings stay together */
		{"0-1", "auto", "0-3", "1", "0-1 / 2-3"},
		{"auto", "0", "0-3", "1", "1-3 / 0"},
		{"2", "3", "0-3", "2", "2 / 3"},
		{"auto", "auto", "5", "5", "5 / 5"},
	};
	static const struct {
		const char *server, *client, *says;
	} bad[] = {
		{"0-1", "1-2", "overlap"},	  {"0-3", "auto", "leaves no CPU"},
		{"auto", "0-3", "leaves no CPU"}, {"7", "auto", "may use CPUs 0-3"},
		{"all", "auto", "not a list"},	  {"auto", "1;2", "client_cpus"},
	};
	struct cpu_split out;
	struct errbuf e;
	char text[160], path[96], sib[8];

	(void)state;
	for (int c = 0; c < 8; c++) {
		snprintf(path, sizeof path,
			 "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", c);
		snprintf(sib, sizeof sib, "%d,%d", c % 4, c % 4 + 4);
		put(path, sib);
	}
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		assert_int_equal(
			split(t[i].server, t[i].client, t[i].avail, t[i].irqs, text, &out, &e), 0);
		assert_string_equal(text, t[i].want);
		assert_int_equal(out.warning[0] != '\0', strchr(t[i].avail, '5') != NULL);
	}
	assert_int_equal(split("0", "auto", "0-1", "1", text, &out, &e), 0);
	assert_non_null(strstr(out.warning, "interrupts go to the client"));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(split(bad[i].server, bad[i].client, "0-3", "1", text, &out, &e),
				 -EINVAL);
		assert_non_null(strstr(e.s, bad[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test_setup_teardown(virtio, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(virtio_mmio, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(nvme, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(disk_of_a_path, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(splits, tree_setup, tree_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
