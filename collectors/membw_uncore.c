/* membw, from uncore counters: Intel IMC, AMD UMC and DF by their descriptions in sysfs, and
 * libpfm4's names where the kernel has the PMU but no description of its events.
 *
 * Uncore PMUs count for a whole socket: each is opened on the CPUs of its cpumask, one a socket,
 * with pid -1 and no exclude bits. A count is 64 bytes where nothing else is said.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/membw.h"
#include "collectors/perf.h"
#include "collectors/procfs.h"

#define COUNTERS_MAX 512
#define DEVICES	     "bus/event_source/devices"
#define LINE	     64

enum kind { READ, WRITE, BOTH };

struct membw_source {
	int n;
	struct {
		struct perf_spec spec;
		int fd, socket;
		enum kind kind;
	} c[COUNTERS_MAX];
};

/* --- opening --- */

static int add(struct membw_source *s, const struct perf_spec *spec, const cpu_set_t *cpus,
	       enum kind kind, struct errbuf *e)
{
	int socket = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		int fd;

		if (!CPU_ISSET(cpu, cpus))
			continue;
		if (s->n == COUNTERS_MAX)
			return errf(e, -E2BIG, "more than %d memory counters", COUNTERS_MAX);
		fd = perf_open(spec, cpu, -1);
		if (fd < 0)
			return perf_explain(spec, fd, e);
		s->c[s->n].spec = *spec;
		s->c[s->n].fd = fd;
		s->c[s->n].socket = socket++;
		s->c[s->n++].kind = kind;
	}
	return 0;
}

/* A described event on every CPU of its PMU's cpumask. */
static int add_described(struct membw_source *s, const struct collector_env *env, const char *pmu,
			 const char *event, const char *terms, enum kind kind, struct errbuf *e)
{
	char path[160], mask[256];
	struct perf_spec spec;
	cpu_set_t cpus;
	int err = perf_described(env->sys_root, pmu, event, terms, LINE, &spec, e);

	if (err)
		return err;
	snprintf(path, sizeof path, DEVICES "/%.60s/cpumask", pmu);
	if (procfs_slurp(env->sys_root, path, mask, sizeof mask) < 0 || !procfs_cpus(mask, &cpus))
		return errf(e, -EPROTO, "%s/%s can't be read", env->sys_root, path);
	return add(s, &spec, &cpus, kind, e);
}

/* Call `each` for the entries of a directory below sys_root, until one fails. */
static int for_entries(const struct collector_env *env, const char *dir,
		       int (*each)(void *arg, const char *name), void *arg)
{
	char path[512];
	struct dirent *d;
	DIR *p;
	int err = 0;

	snprintf(path, sizeof path, "%s/%s", env->sys_root, dir);
	p = opendir(path);
	if (!p)
		return 0;
	while (!err && (d = readdir(p)))
		err = d->d_name[0] == '.' ? 0 : each(arg, d->d_name);
	closedir(p);
	return err;
}

struct search {
	struct membw_source *s;
	const struct collector_env *env;
	struct errbuf *e;
	char pmu[64];
	bool found; /* a PMU of the kind is there */
};

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static int on_imc_event(void *arg, const char *name)
{
	struct search *k = arg;
	bool rd = starts(name, "cas_count_read") || starts(name, "data_read");
	bool wr = starts(name, "cas_count_write") || starts(name, "data_write");

	if ((!rd && !wr) || strchr(name, '.')) /* .scale, .unit */
		return 0;
	return add_described(k->s, k->env, k->pmu, name, NULL, rd ? READ : WRITE, k->e);
}

static int on_imc(void *arg, const char *name)
{
	struct search *k = arg;
	char dir[128];

	if (!starts(name, "uncore_imc"))
		return 0;
	k->found = true;
	snprintf(k->pmu, sizeof k->pmu, "%.60s", name);
	snprintf(dir, sizeof dir, DEVICES "/%.60s/events", name);
	return for_entries(k->env, dir, on_imc_event, k);
}

static int on_umc(void *arg, const char *name)
{
	struct search *k = arg;
	int err;

	if (!starts(name, "amd_umc_"))
		return 0;
	k->found = true;
	err = add_described(k->s, k->env, name, "read", "event=0x0a,rdwrmask=1", READ, k->e);
	return err ? err
		   : add_described(k->s, k->env, name, "write", "event=0x0a,rdwrmask=2", WRITE,
				   k->e);
}

/* "DRAM channel data controller" 0 to 7, requests with data (64 B); Zen 1 to 3. */
static int on_df(void *arg, const char *name)
{
	static const char *const terms[] = {"event=0x07,umask=0x38",  "event=0x47,umask=0x38",
					    "event=0x87,umask=0x38",  "event=0xc7,umask=0x38",
					    "event=0x107,umask=0x38", "event=0x147,umask=0x38",
					    "event=0x187,umask=0x38", "event=0x1c7,umask=0x38"};
	struct search *k = arg;
	int err = 0;

	if (strcmp(name, "amd_df") != 0)
		return 0;
	k->found = true;
	for (size_t i = 0; i < sizeof terms / sizeof *terms && !err; i++)
		err = add_described(k->s, k->env, name, "dram", terms[i], BOTH, k->e);
	return err;
}

static void uncore_close(struct membw_source *s)
{
	while (s->n)
		perf_calls.close(s->c[--s->n].fd);
	free(s);
}

static int open_devices(struct membw_source **out, const struct collector_env *env,
			int (*each)(void *arg, const char *name), const char *what,
			struct errbuf *e)
{
	struct membw_source *s = calloc(1, sizeof *s);
	struct search k = {.s = s, .env = env, .e = e};
	int err;

	if (!s)
		return errf(e, -ENOMEM, "out of memory");
	err = for_entries(env, DEVICES, each, &k);
	if (!err && !s->n)
		err = errf(e, -ENOENT, "the kernel shows no %s%s", what, k.found ? " events" : "");
	if (err) {
		uncore_close(s);
		return err;
	}
	*out = s;
	return 0;
}

static int imc_open(struct membw_source **out, const struct collector_env *env, struct errbuf *e)
{
	return open_devices(out, env, on_imc, "Intel memory controller (uncore_imc)", e);
}

static int umc_open(struct membw_source **out, const struct collector_env *env, struct errbuf *e)
{
	return open_devices(out, env, on_umc, "AMD memory controller (amd_umc)", e);
}

static int df_open(struct membw_source **out, const struct collector_env *env, struct errbuf *e)
{
	return open_devices(out, env, on_df, "AMD data fabric (amd_df)", e);
}

/* The first CPU of each socket. */
static void first_cpus(const struct collector_env *env, cpu_set_t *out)
{
	bool seen[64] = {false};

	CPU_ZERO(out);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		char path[96];
		uint64_t id;

		snprintf(path, sizeof path, "devices/system/cpu/cpu%d/topology/physical_package_id",
			 cpu);
		if (procfs_u64(env->sys_root, path, &id) || id >= 64 || seen[id])
			continue;
		seen[id] = true;
		CPU_SET(cpu, out);
	}
}

static int pfm_open(struct membw_source **out, const struct collector_env *env, struct errbuf *e)
{
	static const char *const family[] = {"skx", "bdx", "hswep", "ivbep", "snbep"};
	struct membw_source *s = calloc(1, sizeof *s);
	cpu_set_t cpus;
	int err = 0;

	if (!s)
		return errf(e, -ENOMEM, "out of memory");
	first_cpus(env, &cpus);
	for (size_t f = 0; f < sizeof family / sizeof *family && !err; f++)
		for (int i = 0; i < 16 && !err; i++)
			for (int wr = 0; wr < 2 && !err; wr++) {
				struct perf_spec spec;
				char name[64];

				snprintf(name, sizeof name, "%s_unc_imc%d::UNC_M_CAS_COUNT:%s",
					 family[f], i, wr ? "WR" : "RD");
				if (perf_named(name, &spec, NULL))
					continue;
				spec.unit = LINE;
				spec.exclude = 0;
				err = add(s, &spec, &cpus, wr ? WRITE : READ, e);
			}
	if (!err && !s->n)
		err = errf(e, -ENOENT, "libpfm4 knows no memory controller of this machine");
	if (err) {
		uncore_close(s);
		return err;
	}
	*out = s;
	return 0;
}

/* --- reading --- */

static void uncore_read(struct membw_source *s, struct membw_totals *t)
{
	static const struct perf_reading zero;

	*t = (struct membw_totals){.share = 1, .valid = true};
	for (int i = 0; i < s->n; i++) {
		struct perf_reading r;
		int socket = s->c[i].socket;
		double bytes;

		if (perf_read(s->c[i].fd, &r) ||
		    !perf_increase(&s->c[i].spec, &zero, &r, &bytes, &t->share)) {
			t->valid = false;
			return;
		}
		t->total += bytes;
		t->read += s->c[i].kind == READ ? bytes : 0;
		t->write += s->c[i].kind == WRITE ? bytes : 0;
		if (socket >= MEMBW_SOCKETS)
			continue;
		t->sockets = socket + 1 > t->sockets ? socket + 1 : t->sockets;
		t->socket_read[socket] += s->c[i].kind == READ ? bytes : 0;
		t->socket_write[socket] += s->c[i].kind == WRITE ? bytes : 0;
	}
}

#define UNCORE(name_, id_, apart_, open_)                                                          \
	const struct membw_source_ops name_ = {                                                    \
		.id = id_,                                                                         \
		.apart = apart_,                                                                   \
		.dram = true,                                                                      \
		.open = open_,                                                                     \
		.read = uncore_read,                                                               \
		.close = uncore_close,                                                             \
	}

UNCORE(membw_imc, MEMBW_IMC, true, imc_open);
UNCORE(membw_umc, MEMBW_UMC, true, umc_open);
UNCORE(membw_df, MEMBW_DF, false, df_open);
UNCORE(membw_pfm, MEMBW_PFM, true, pfm_open);
