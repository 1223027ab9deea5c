/* doctor: ask everything that can say "no" why it would.
 *
 * One idea: a finding is (group, name, verdict, sentence); the table and the JSON are two ways to
 * print the same list (finding.h). Facts of the machine are facts.c's. Stacks and collectors are
 * asked through their own check and probe hooks, so new ones appear by themselves.
 */
#include "harness/doctor.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "harness/cgroup.h"
#include "harness/child.h"
#include "harness/facts.h"
#include "harness/machine.h"
#include "harness/plot.h"
#include "harness/registry.h"
#include "harness/testbed_cpu.h"

/* What first touches cost; the rest of the machine is facts.c's. */
static void look_touch(struct findings *l)
{
	struct machine m = {.first_touch_us = NAN};

	machine_touch(&m);
	if (isfinite(m.first_touch_us))
		findings_add(l, "machine", "first touch",
			     m.first_touch_us > 4 * m.retouch_us ? FINDING_WARN : FINDING_FACT,
			     "%.1f us a page, %.1f us recycled%s", m.first_touch_us, m.retouch_us,
			     m.first_touch_us > 4 * m.retouch_us
				     ? ": new memory is dear here, keep content.cache_budget"
				     : "");
}

static void split_text(const struct testbed *tb, char server[64], char client[64])
{
	cpulist_text(&tb->server_cpus, server, 64);
	cpulist_text(&tb->client_cpus, client, 64);
}

static void look_testbed(struct findings *l, const char *content)
{
	char server[64], client[64];
	struct testbed_cfg cfg = {.server_cpus = "auto",
				  .client_cpus = "auto",
				  .congestion = "cubic",
				  .steering = true,
				  .content_dir = content};
	struct errbuf e = {""};
	struct testbed tb;

	if (testbed_up(&tb, &cfg, &e)) {
		findings_add(l, "testbed", "netns", FINDING_NO, "%s", e.s);
	} else {
		findings_add(l, "testbed", "netns", FINDING_YES,
			     "namespaces and veth pairs can be made");
		findings_add(l, "testbed", "steering", tb.steering ? FINDING_YES : FINDING_NO, "%s",
			     tb.steering   ? "rps_cpus can be set"
			     : *tb.cpu_why ? tb.cpu_why
					   : "rps_cpus can't be set");
		if (*tb.warning)
			findings_add(l, "testbed", "warning", FINDING_WARN, "%s", tb.warning);
		split_text(&tb, server, client);
		findings_add(l, "testbed", "cpus", FINDING_FACT, "server %s, client %s", server,
			     client);
		findings_add(l, "testbed", "disk", FINDING_FACT, "%s holds the content",
			     *tb.disk ? tb.disk : "no disk");
		testbed_down(&tb);
	}
	if (cgroup_check(&e))
		findings_add(l, "testbed", "page-cache budget", FINDING_NO, "%s", e.s);
	else
		findings_add(l, "testbed", "page-cache budget", FINDING_YES, "by a memory cgroup");
}

/* Where content is kept, or the first of its parents that exists. */
static const char *content_place(char *buf, size_t len)
{
	const char *env = getenv("DCN_CONTENT");

	snprintf(buf, len, "%s", env && *env ? env : "/var/tmp/dcn-content");
	while (access(buf, F_OK) && strrchr(buf, '/') && strrchr(buf, '/') != buf)
		*strrchr(buf, '/') = 0;
	return buf;
}

static void look_content(struct findings *l, const char *dir)
{
	struct statvfs s;
	double free_gb;

	if (statvfs(dir, &s)) {
		findings_add(l, "testbed", "content", FINDING_NO, "%s: %s", dir, strerror(errno));
		return;
	}
	free_gb = (double)s.f_bavail * (double)s.f_frsize / 1e9;
	if (access(dir, W_OK))
		findings_add(l, "testbed", "content", FINDING_NO,
			     "%s can't be written: set DCN_CONTENT", dir);
	else
		findings_add(l, "testbed", "content", free_gb > 4 ? FINDING_YES : FINDING_NO,
			     "%.1f GB free in %s%s", free_gb, dir,
			     free_gb > 4 ? "" : ": 4 are needed, set DCN_CONTENT");
}

static void look_program(struct findings *l, const char *name, const char *path, const char *fix)
{
	char buf[400];

	if (child_which(path, buf, sizeof buf))
		findings_add(l, "programs", name, FINDING_YES, "%s", buf);
	else
		findings_add(l, "programs", name, FINDING_NO, "not there; %s", fix);
}

/* Ours are beside dcn: one line, or one for each that is not. */
static void look_own(struct findings *l, const char *bin_dir)
{
	static const char *const own[] = {"dcn-load", "dcn-null",   "dcn-wan",	 "atlas",
					  "iowindow", "aead-bench", "dcn-whatif"};
	char path[400], buf[400];
	int there = 0, n = sizeof own / sizeof *own;

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", bin_dir, own[i]);
		if (child_which(path, buf, sizeof buf))
			there++;
		else
			findings_add(l, "programs", own[i], FINDING_NO, "not in %s; run make",
				     bin_dir);
	}
	if (there == n)
		findings_add(l, "programs", "our own", FINDING_YES, "all %d in %s", n, bin_dir);
}

static void look_programs(struct findings *l, const char *bin_dir)
{
	char path[400], real[4096];

	look_own(l, bin_dir);
	look_program(l, "fio", "fio", "apt-get install fio (disk ceiling)");
	look_program(l, "gnuplot", "gnuplot", "apt-get install gnuplot-nox (figures)");
	look_program(l, "nginx", "nginx", "apt-get install nginx-light (stock stacks)");
	if (plot_scripts(bin_dir, path, sizeof path))
		findings_add(l, "programs", "plot scripts", FINDING_YES, "%.300s",
			     realpath(path, real) ? real : path);
	else
		findings_add(l, "programs", "plot scripts", FINDING_NO,
			     "not beside %s; set DCN_PLOTS", bin_dir);
}

/* "nginx:ktls: this kernel ..." is said beside the name already. */
static const char *without_name(const char *why, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(why, name, n) && !strncmp(why + n, ": ", 2) ? why + n + 2 : why;
}

static void look_stacks(struct findings *l)
{
	for (int i = 0; registry_stacks[i]; i++) {
		const struct stack_ops *s = registry_stacks[i];

		for (int k = -1; k < 0 || (s->variants && s->variants[k]); k++) {
			const char *variant = k < 0 ? "" : s->variants[k];
			struct errbuf why = {""};
			char name[64];
			int err = s->check ? s->check(variant, &why) : 0;

			snprintf(name, sizeof name, "%s%s%s", s->name, k < 0 ? "" : ":", variant);
			findings_add(l, "stacks", name, err ? FINDING_NO : FINDING_YES, "%s",
				     err				? without_name(why.s, name)
				     : s->caches && !s->caches(variant) ? "page cache unused"
									: "uses the page cache");
		}
	}
}

static void look_collectors(struct findings *l)
{
	struct collector_env env = {.proc_root = "/proc",
				    .sys_root = "/sys",
				    .options = "",
				    .interval_ns = NSEC_PER_SEC};

	for (int i = 0; registry_collectors[i]; i++) {
		const struct collector_ops *c = registry_collectors[i];
		struct errbuf why = {""};
		int err = c->probe ? c->probe(&env, &why) : 0, n = 0;

		while (c->metrics && c->metrics[n].name)
			n++;
		if (err)
			findings_add(l, "collectors", c->name, FINDING_NO, "%s", why.s);
		else if (!n)
			findings_add(l, "collectors", c->name, FINDING_YES,
				     "measures nothing: what sampling costs");
		else
			findings_add(l, "collectors", c->name, FINDING_YES, "%d metrics%s%s", n,
				     *why.s ? "; " : "", why.s);
	}
}

/* Of the terminal, between 80 and 100. */
static int columns(void)
{
	const char *env = getenv("COLUMNS");
	struct winsize w = {.ws_col = 0};
	int n = env ? atoi(env) : 0;

	if (!n && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w))
		n = w.ws_col;
	return !n || n > 100 ? 100 : n < 80 ? 80 : n;
}

static void look(struct findings *l, const char *bin_dir)
{
	const struct facts_roots roots = {"/proc", "/sys"};
	char content[256];

	content_place(content, sizeof content);
	facts_machine(l, &roots);
	look_touch(l);
	facts_kernel(l, &roots);
	facts_devices(l, &roots);
	look_testbed(l, content);
	look_content(l, content);
	look_programs(l, bin_dir);
	look_stacks(l);
	doctor_storage(l, content);
	doctor_network(l);
	look_collectors(l);
}

int doctor(const char *bin_dir, bool json)
{
	struct findings *l = calloc(1, sizeof *l);
	int status = 0;

	if (!l) {
		log_err("out of memory");
		return 1;
	}
	look(l, bin_dir);
	if (json) {
		json_t *list = findings_json(l);

		status = json_dumpf(list, stdout, JSON_INDENT(1)) ? 1 : 0;
		putchar('\n');
		json_decref(list);
	} else {
		findings_print(l, columns());
	}
	free(l);
	return status;
}
