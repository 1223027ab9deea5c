/* membw, from resctrl's memory bandwidth monitoring, where it is mounted.
 *
 * It counts what the CPUs caused, per L3: no device DMA is in it, so it is never called memory
 * traffic. A counter may be "Unavailable" for a while (Documentation/arch/x86/resctrl.rst). */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/membw.h"
#include "collectors/procfs.h"

#define MON_DATA "fs/resctrl/mon_data"
#define L3_MAX	 64

struct membw_source {
	const struct collector_env *env;
	int n;
	char name[L3_MAX][32];
};

static bool read_one(const struct membw_source *s, int i, uint64_t *v)
{
	char path[128];

	snprintf(path, sizeof path, MON_DATA "/%s/mbm_total_bytes", s->name[i]);
	return procfs_u64(s->env->sys_root, path, v) == 0;
}

static int resctrl_open(struct membw_source **out, const struct collector_env *env,
			struct errbuf *e)
{
	struct membw_source *s = calloc(1, sizeof *s);
	char path[512];
	struct dirent *d;
	DIR *dir;

	if (!s)
		return errf(e, -ENOMEM, "out of memory");
	s->env = env;
	snprintf(path, sizeof path, "%s/" MON_DATA, env->sys_root);
	dir = opendir(path);
	while (dir && s->n < L3_MAX && (d = readdir(dir))) {
		uint64_t v;

		if (strncmp(d->d_name, "mon_L3_", 7) != 0)
			continue;
		snprintf(s->name[s->n], sizeof s->name[0], "%.31s", d->d_name);
		s->n += read_one(s, s->n, &v);
	}
	if (dir)
		closedir(dir);
	if (!s->n) {
		free(s);
		return errf(e, -ENOENT,
			    "resctrl is not mounted or monitors no bandwidth "
			    "(`mount -t resctrl resctrl /sys/fs/resctrl`)");
	}
	*out = s;
	return 0;
}

static void resctrl_read(struct membw_source *s, struct membw_totals *t)
{
	*t = (struct membw_totals){.share = 1, .valid = true};
	for (int i = 0; i < s->n; i++) {
		uint64_t v;

		if (read_one(s, i, &v))
			t->total += (double)v;
		else
			t->valid = false;
	}
}

static void resctrl_close(struct membw_source *s)
{
	free(s);
}

const struct membw_source_ops membw_resctrl = {
	.id = MEMBW_RESCTRL,
	.open = resctrl_open,
	.read = resctrl_read,
	.close = resctrl_close,
};
