/* doctor: ask everything that can say "no" why it would.
 *
 * One idea: a finding is (group, name, ok, sentence); the table and the JSON are two ways to print
 * the same list. Stacks and collectors are asked through their own check and probe hooks, so new
 * ones appear by themselves.
 */
#include "harness/doctor.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "harness/cgroup.h"
#include "harness/child.h"
#include "harness/machine.h"
#include "harness/plot.h"
#include "harness/registry.h"

#define FINDINGS_MAX 96

struct finding {
	const char *group;
	char name[40], text[400];
	int ok; /* 1 yes, 0 no, -1 a plain fact */
};

struct findings {
	struct finding f[FINDINGS_MAX];
	int n;
};

static void add(struct findings *l, const char *group, const char *name, int ok, const char *fmt,
		...) __attribute__((format(printf, 5, 6)));

static void add(struct findings *l, const char *group, const char *name, int ok, const char *fmt,
		...)
{
	struct finding *f = &l->f[l->n];
	va_list ap;

	if (l->n == FINDINGS_MAX)
		return;
	f->group = group;
	f->ok = ok;
	snprintf(f->name, sizeof f->name, "%s", name);
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
	l->n++;
}

static void look_machine(struct findings *l)
{
	struct machine m;
	char size[32];

	machine_read(&m);
	machine_touch(&m);
	add(l, "machine", "cpu", -1, "%s, %d CPUs", m.cpu, m.cpus);
	if (m.cpus < 2)
		add(l, "machine", "cores", 0,
		    "one CPU: server and client share it, CPU figures mean "
		    "little; use a machine with two or more");
	if (m.llc_bytes)
		add(l, "machine", "llc", -1, "%s, shared by %d CPUs",
		    units_size_text(m.llc_bytes, size, sizeof size), m.llc_shared);
	else
		add(l, "machine", "llc", 0, "size unknown: set content.hot yourself");
	add(l, "machine", "memory", -1, "%.1f GiB", (double)m.mem_bytes / (1 << 30));
	add(l, "machine", "kernel", -1, "%s, %s", m.kernel, m.os);
	add(l, "machine", "kind", -1, "%s", *m.host_kind ? m.host_kind : "unknown");
	if (isfinite(m.first_touch_us))
		add(l, "machine", "first touch", -1, "%.1f us a page, %.1f us recycled%s",
		    m.first_touch_us, m.retouch_us,
		    m.first_touch_us > 4 * m.retouch_us ? ": keep content.cache_budget" : "");
	add(l, "machine", "descriptors", m.nofile >= 20000, "%llu a process%s",
	    (unsigned long long)m.nofile,
	    m.nofile >= 20000 ? ""
			      : ": 16,000 connections need 20,000; raise the hard limit "
				"(ulimit -Hn, limits.conf)");
}

static void look_testbed(struct findings *l)
{
	struct testbed_cfg cfg = {.server_cpus = "auto",
				  .client_cpus = "auto",
				  .congestion = "cubic",
				  .steering = true,
				  .content_dir = "/var/tmp"};
	struct errbuf e = {""};
	struct testbed tb;

	if (testbed_up(&tb, &cfg, &e)) {
		add(l, "testbed", "netns", 0, "%s", e.s);
	} else {
		add(l, "testbed", "netns", 1, "namespaces and veth pairs can be made");
		add(l, "testbed", "steering", tb.steering, "%s",
		    tb.steering	  ? "rps_cpus can be set"
		    : *tb.cpu_why ? tb.cpu_why
				  : "rps_cpus can't be set");
		if (*tb.warning)
			add(l, "testbed", "warning", 0, "%s", tb.warning);
		add(l, "testbed", "disk", -1, "%s holds /var/tmp", *tb.disk ? tb.disk : "no disk");
		testbed_down(&tb);
	}
	if (cgroup_check(&e))
		add(l, "testbed", "page-cache budget", 0, "%s", e.s);
	else
		add(l, "testbed", "page-cache budget", 1, "by a memory cgroup");
}

static void look_content(struct findings *l)
{
	const char *env = getenv("DCN_CONTENT"), *dir = env && *env ? env : "/var/tmp/dcn-content";
	char parent[256];
	struct statvfs s;

	snprintf(parent, sizeof parent, "%s", dir);
	while (access(parent, F_OK) && strrchr(parent, '/') && strrchr(parent, '/') != parent)
		*strrchr(parent, '/') = 0;
	if (statvfs(parent, &s)) {
		add(l, "content", "space", 0, "%s: %s", parent, strerror(errno));
		return;
	}
	add(l, "content", "space",
	    (double)s.f_bavail * (double)s.f_frsize > 4e9 && !access(parent, W_OK),
	    "%.1f GB free for %s%s", (double)s.f_bavail * (double)s.f_frsize / 1e9, dir,
	    access(parent, W_OK) ? ", but it can't be written" : "");
}

static void look_program(struct findings *l, const char *name, const char *path, const char *fix)
{
	char buf[400];

	if (child_which(path, buf, sizeof buf))
		add(l, "programs", name, 1, "%s", buf);
	else
		add(l, "programs", name, 0, "not there; %s", fix);
}

static void look_programs(struct findings *l, const char *bin_dir)
{
	static const char *const own[] = {"dcn-load", "dcn-null", "dcn-wan", "atlas", "aead-bench"};
	char path[400];

	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof path, "%s/%s", bin_dir, own[i]);
		look_program(l, own[i], path, "run make");
	}
	look_program(l, "fio", "fio", "apt-get install fio (disk ceiling)");
	look_program(l, "gnuplot", "gnuplot", "apt-get install gnuplot-nox (figures)");
	look_program(l, "nginx", "nginx", "apt-get install nginx-light (stock stacks)");
	if (plot_scripts(bin_dir, path, sizeof path))
		add(l, "programs", "plot scripts", 1, "%s", path);
	else
		add(l, "programs", "plot scripts", 0, "not beside %s; set DCN_PLOTS", bin_dir);
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
			add(l, "stacks", name, !err, "%s",
			    err				       ? why.s
			    : s->caches && !s->caches(variant) ? "available, page cache unused"
							       : "available");
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
		int err = c->probe ? c->probe(&env, &why) : 0;
		char names[300] = "";
		size_t at = 0;

		for (int k = 0; c->metrics && c->metrics[k].name && at < sizeof names; k++)
			at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", k ? " " : "",
					       c->metrics[k].name);
		add(l, "collectors", c->name, !err, "%s", err ? why.s : names);
	}
}

static int print_json(const struct findings *l)
{
	json_t *list = json_array();
	int err;

	for (int i = 0; i < l->n; i++) {
		const struct finding *f = &l->f[i];
		json_t *o = json_pack("{s:s, s:s, s:s}", "group", f->group, "name", f->name, "text",
				      f->text);

		if (o && f->ok >= 0)
			json_object_set_new(o, "ok", json_boolean(f->ok));
		json_array_append_new(list, o);
	}
	err = json_dumpf(list, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(list);
	return err ? 1 : 0;
}

static void print_table(const struct findings *l)
{
	const char *group = "";

	for (int i = 0; i < l->n; i++) {
		const struct finding *f = &l->f[i];

		if (strcmp(group, f->group))
			printf("%s%s\n", *group ? "\n" : "", f->group);
		group = f->group;
		printf("  %-18s %-4s %s\n", f->name,
		       f->ok < 0 ? ""
		       : f->ok	 ? "yes"
				 : "NO",
		       f->text);
	}
}

int doctor(const char *bin_dir, bool json)
{
	struct findings *l = calloc(1, sizeof *l);
	int status = 0;

	if (!l) {
		log_err("out of memory");
		return 1;
	}
	look_machine(l);
	look_testbed(l);
	look_content(l);
	look_programs(l, bin_dir);
	look_stacks(l);
	look_collectors(l);
	if (json)
		status = print_json(l);
	else
		print_table(l);
	free(l);
	return status;
}
