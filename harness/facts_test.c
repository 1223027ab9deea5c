/* facts on made-up trees: a server of two sockets, and a virtual machine; and how the table looks.
 */
#include "harness/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char root[40], proc[56], sys[56];
static struct findings l;

static void begin(void)
{
	snprintf(root, sizeof root, "/tmp/dcn-facts-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(proc, sizeof proc, "%s/proc", root);
	snprintf(sys, sizeof sys, "%s/sys", root);
	memset(&l, 0, sizeof l);
}

static void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *fmt, ...)
{
	char cmd[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	assert_int_equal(system(cmd), 0);
}

static void put(const char *path, const char *text)
{
	run("mkdir -p \"$(dirname %s/%s)\" && printf '%%s\\n' '%s' >%s/%s", root, path, text, root,
	    path);
}

static void look(void)
{
	const struct facts_roots r = {proc, sys};

	facts_machine(&l, &r);
	facts_kernel(&l, &r);
	facts_devices(&l, &r);
	run("rm -r %s", root);
}

static void says(const char *group, const char *name, enum finding_kind kind, const char *words)
{
	const struct finding *f = findings_find(&l, group, name);

	if (!f)
		fail_msg("no finding %s/%s", group, name);
	else if (f->kind != kind || !strstr(f->text, words))
		fail_msg("%s/%s is %d, '%s', not %d, '%s'", group, name, f->kind, f->text, kind,
			 words);
}

#define CPU "sys/devices/system/cpu/"

static void put_cpu(void)
{
	put("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU E5-2667 "
			    "v3 @ 3.20GHz\nflags\t\t: fpu vme aes avx2");
	put(CPU "online", "0-31");
	put(CPU "smt/control", "on");
	put("sys/devices/system/node/online", "0-1");
	put(CPU "cpu0/cache/index2/size", "256K");
	put(CPU "cpu0/cache/index3/size", "20480K");
	put(CPU "cpu0/cache/index3/shared_cpu_list", "0-7,16-23");
	put(CPU "cpu0/cache/index3/ways_of_associativity", "20");
	put(CPU "cpu0/cpufreq/scaling_governor", "powersave");
	put(CPU "intel_pstate/no_turbo", "0");
	put(CPU "cpuidle/current_driver", "intel_idle");
	put("proc/meminfo", "MemTotal:       134217728 kB\nMemAvailable:   104857600 kB\n"
			    "HugePages_Total:     512");
	put("proc/version", "Linux version 6.1.0-9-amd64 (x@y)");
	put("proc/cmdline", "root=/dev/sda1 init_on_alloc=1 quiet");
	put("proc/sys/kernel/perf_event_paranoid", "3");
	put("proc/sys/kernel/nmi_watchdog", "1");
	put("sys/module/damon_reclaim/parameters/enabled", "Y");
}

static void put_devices(void)
{
	put("sys/class/net/enp1s0/speed", "40000");
	put("sys/class/net/enp1s0/operstate", "up");
	run("mkdir -p %s/class/net/enp1s0/device %s/drivers/mlx5_core && ln -s "
	    "../../../../drivers/mlx5_core %s/class/net/enp1s0/device/driver",
	    sys, sys, sys);
	run("cd %s/class/net/enp1s0 && mkdir -p queues/rx-0 queues/rx-1 queues/rx-2 queues/tx-0",
	    sys);
	put("sys/class/net/veth7/operstate", "up"); /* no device: left out */
	put("sys/block/nvme0n1/size", "781422768");
	put("sys/block/nvme0n1/queue/rotational", "0");
	put("sys/block/nvme0n1/queue/scheduler", "[none] mq-deadline");
	run("mkdir -p %s/block/nvme0n1/mq/0 %s/block/nvme0n1/mq/1 %s/class/nvme/nvme0 "
	    "%s/block/loop0",
	    sys, sys, sys, sys);
	run("ln -s ../../class/nvme/nvme0 %s/block/nvme0n1/device", sys);
	put("sys/class/nvme/nvme0/model", "INTEL SSDPEDMD400G4   ");
	put("sys/class/nvme/nvme0/device/current_link_speed", "8.0 GT/s PCIe");
	put("sys/class/nvme/nvme0/device/max_link_speed", "8.0 GT/s PCIe");
	put("sys/class/nvme/nvme0/device/current_link_width", "2");
	put("sys/class/nvme/nvme0/device/max_link_width", "4");
}

static void test_server(void **state)
{
	(void)state;
	begin();
	put_cpu();
	put_devices();
	look();
	says("machine", "cpu", FINDING_FACT, "E5-2667 v3 @ 3.20GHz; 32 CPUs (0-31), SMT on");
	says("machine", "numa", FINDING_FACT, "2 nodes");
	says("machine", "llc", FINDING_FACT, "20MiB, 20 ways, shared by 16 CPUs");
	assert_null(findings_find(&l, "machine", "ddio ways")); /* a recorded tree has no MSRs */
	says("machine", "memory", FINDING_FACT, "128.0 GiB, 100.0 free for use; 512 huge pages");
	says("machine", "clock", FINDING_WARN, "cpupower frequency-set -g performance");
	says("machine", "clock", FINDING_WARN, "turbo on, idle driver intel_idle");
	says("machine", "kind", FINDING_FACT, "no hypervisor seen");
	says("machine", "free pages", FINDING_FACT, "stay with this machine");
	says("machine", "damon reclaim", FINDING_WARN, "echo N >");
	says("kernel", "release", FINDING_FACT, "6.1.0-9-amd64");
	says("kernel", "options", FINDING_FACT, "unknown: neither");
	says("kernel", "init_on_alloc", FINDING_WARN, "boot with init_on_alloc=0");
	says("kernel", "nmi watchdog", FINDING_WARN, "sysctl kernel.nmi_watchdog=0");
	says("kernel", "perf events", FINDING_FACT, "= 3");
	says("network interfaces", "enp1s0", FINDING_FACT,
	     "mlx5_core, 40 Gb/s, up, 3 receive and 1 transmit queues");
	assert_null(findings_find(&l, "network interfaces", "veth7"));
	says("disks", "nvme0n1", FINDING_FACT,
	     "INTEL SSDPEDMD400G4, 400.1 GB, 2 queues, scheduler none, interrupts on unknown");
	says("disks", "nvme0n1 link", FINDING_WARN,
	     "8.0 GT/s PCIe, 2 lanes, could do 8.0 GT/s PCIe, 4: another slot");
	assert_null(findings_find(&l, "disks", "loop0"));
}

/* Free-page reporting is bit 5 of the balloon's features, and of the balloon's only. */
static void test_guest(void **state)
{
	(void)state;
	for (int on = 0; on < 2; on++) {
		begin();
		put("proc/cpuinfo",
		    "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor");
		put(CPU "online", "0");
		put("sys/bus/virtio/devices/virtio0/features", "1111111111");
		put("sys/bus/virtio/devices/virtio3/features", on ? "0000010000" : "1111101111");
		run("cd %s/bus/virtio && mkdir -p drivers/virtio_balloon drivers/virtio_net && ln "
		    "-s ../../drivers/virtio_net devices/virtio0/driver && ln -s "
		    "../../drivers/virtio_balloon devices/virtio3/driver",
		    sys);
		put("proc/version", "Linux version 6.9.0 (x@y)");
		put("config",
		    "CONFIG_TLS=m\nCONFIG_MEMCG=y\nCONFIG_IO_URING=y\nCONFIG_BPF_SYSCALL=y\n"
		    "CONFIG_FTRACE=y\nCONFIG_X86_CPU_RESCTRL=y\nCONFIG_VFIO_PCI=m\n"
		    "CONFIG_BLK_DEV_NVME=m\n# CONFIG_NET_SCH_NETEM is not set\nCONFIG_MODULES=y");
		run("gzip -c %s/config >%s/config.gz", root, proc);
		look();
		says("machine", "cpu", FINDING_FACT, "AMD EPYC; 1 CPUs (0), SMT unknown");
		says("machine", "cores", FINDING_WARN, "two or more");
		says("machine", "llc", FINDING_WARN, "content.hot");
		says("machine", "ddio ways", FINDING_FACT, "this is AuthenticAMD");
		says("machine", "clock", FINDING_FACT, "no cpufreq");
		says("machine", "kind", FINDING_FACT, "virtual machine");
		says("machine", "damon reclaim", FINDING_FACT, "not in this kernel");
		if (on)
			says("machine", "free pages", FINDING_WARN, "keep content.cache_budget");
		else
			says("machine", "free pages", FINDING_FACT, "no free-page reporting");
		says("kernel", "options", FINDING_WARN,
		     "off: NET_SCH_NETEM (comparing the WAN box with netem); a");
		says("network interfaces", "none", FINDING_FACT, "virtual");
		says("disks", "none", FINDING_FACT, "virtual");
	}
}

static char *printed(int width)
{
	char *text = NULL;
	size_t len = 0;
	FILE *mem = open_memstream(&text, &len), *out = stdout;

	assert_non_null(mem);
	stdout = mem;
	findings_print(&l, width);
	stdout = out;
	fclose(mem);
	return text;
}

static void test_table(void **state)
{
	static const char want[] =
		"one\n"
		"  a                    yes four words and forty\n"
		"                           columns\n"
		"  b                    !   beware\n"
		"\n"
		"two\n"
		"  c                    NO  incomprehensibilitiesand\n"
		"                           more\n"
		"\n"
		"1 of 2 are missing: the lines with NO say why, and what would help.\n";
	json_t *j;
	char *text;

	(void)state;
	memset(&l, 0, sizeof l);
	findings_add(&l, "one", "a", FINDING_YES, "four words and %s columns", "forty");
	findings_add(&l, "one", "b", FINDING_WARN, "beware");
	findings_add(&l, "two", "c", FINDING_NO, "incomprehensibilitiesand more");
	text = printed(51);
	assert_string_equal(text, want);
	free(text);
	j = findings_json(&l);
	assert_int_equal(json_array_size(j), 3);
	assert_true(json_is_true(json_object_get(json_array_get(j, 0), "ok")));
	assert_true(json_is_true(json_object_get(json_array_get(j, 1), "warning")));
	assert_null(json_object_get(json_array_get(j, 1), "ok"));
	assert_true(json_is_false(json_object_get(json_array_get(j, 2), "ok")));
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_guest),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
