/* sim_model: reads a model file (INI, one section [device]) and the options of a device name.
 *
 * Limits: all keys but jitter are required; unknown ones are errors, so that a misspelt parameter
 * is never silently a default.
 */
#include "stacks/atlas/nvme/sim_model.h"

#include <errno.h>
#include <ini.h>
#include <libgen.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Numeric parameters: where they go, what is possible. */
struct param {
	const char *key;
	size_t off;
	enum { P_U64, P_U32, P_DOUBLE } kind;
	double lo, hi, scale;
};

#define AT(field) offsetof(struct sim_model, field)

static const struct param file_params[] = {
	{"capacity", AT(capacity), P_U64, 1 << 20, 1e18, 1},
	{"block", AT(block), P_U32, 512, 4096, 1},
	{"max_transfer", AT(max_transfer), P_U32, 4096, 2 << 20, 1},
	{"read_bandwidth", AT(bandwidth[0]), P_DOUBLE, 1e6, 1e12, 1},
	{"write_bandwidth", AT(bandwidth[1]), P_DOUBLE, 1e6, 1e12, 1},
	{"read_latency_us", AT(latency_ns[0]), P_DOUBLE, 0.1, 1e6, 1000},
	{"write_latency_us", AT(latency_ns[1]), P_DOUBLE, 0.1, 1e6, 1000},
	{"jitter", AT(jitter), P_DOUBLE, 0, 1, 1},
	{0},
};

static const struct param options[] = {
	{"jitter", AT(jitter), P_DOUBLE, 0, 1, 1},
	{"error_rate", AT(error_rate), P_DOUBLE, 0, 1, 1},
	{"error_lba", AT(error_lba), P_U64, 0, 1e18, 1},
	{"seed", AT(seed), P_U64, 0, 1e18, 1},
	{0},
};

static void store(const struct param *p, void *at, double v)
{
	uint64_t u64;
	uint32_t u32;

	switch (p->kind) {
	case P_U64:
		u64 = (uint64_t)v;
		memcpy(at, &u64, sizeof u64);
		break;
	case P_U32:
		u32 = (uint32_t)v;
		memcpy(at, &u32, sizeof u32);
		break;
	case P_DOUBLE:
		memcpy(at, &v, sizeof v);
		break;
	}
}

/* 0, -ENOENT (no such key), -EINVAL (not a number), -ERANGE. */
static int set_param(struct sim_model *m, const struct param *p, const char *key, const char *val,
		     const struct param **which)
{
	double v;
	char *end;

	while (p->key && strcmp(p->key, key))
		p++;
	*which = p;
	if (!p->key)
		return -ENOENT;
	v = strtod(val, &end);
	if (end == val || *end)
		return -EINVAL;
	if (!(v >= p->lo && v <= p->hi))
		return -ERANGE;
	store(p, (char *)m + p->off, v * p->scale);
	return 0;
}

struct reading {
	struct sim_model *m;
	const char *path;
	struct errbuf why; /* of the line that ini_parse returns */
	unsigned int seen; /* bit per row of file_params */
};

static int on_key(void *user, const char *section, const char *key, const char *val)
{
	struct reading *r = user;
	const struct param *p;
	int err;

	if (strcmp(section, "device")) {
		errf(&r->why, -EINVAL, "unknown section [%s], only [device] is known", section);
		return 0;
	}
	if (!strcmp(key, "name")) {
		snprintf(r->m->name, sizeof r->m->name, "%s", val);
		return 1;
	}
	if (!strcmp(key, "source")) {
		snprintf(r->m->source, sizeof r->m->source, "%s", val);
		return 1;
	}
	err = set_param(r->m, file_params, key, val, &p);
	if (err == -ENOENT)
		errf(&r->why, err, "unknown key \"%s\"", key);
	else if (err)
		errf(&r->why, err, "%s = %s is not a number from %g to %g", key, val, p->lo, p->hi);
	else
		r->seen |= 1u << (p - file_params);
	return !err;
}

static int check_model(const struct sim_model *m, const struct reading *r, struct errbuf *e)
{
	for (const struct param *p = file_params; p->key; p++)
		if (!(r->seen >> (p - file_params) & 1) && strcmp(p->key, "jitter"))
			return errf(e, -EINVAL, "%s: the key \"%s\" is missing", r->path, p->key);
	if (m->block & (m->block - 1) || m->max_transfer % m->block || m->capacity % m->block)
		return errf(e, -EINVAL,
			    "%s: block must be a power of two, capacity and max_transfer multiples "
			    "of it",
			    r->path);
	return 0;
}

static int read_model(struct sim_model *m, const char *path, struct errbuf *e)
{
	struct reading r = {.m = m, .path = path};
	int line = ini_parse(path, on_key, &r);

	if (line < 0)
		return errf(e, -ENOENT, "cannot read the model %s", path);
	if (line)
		return errf(e, -EINVAL, "%s:%d: %s", path, line,
			    r.why.s[0] ? r.why.s : "neither [section] nor key = value");
	return check_model(m, &r, e);
}

/* Where NAME.model lies. */
static int find_model(const char *name, char *path, size_t size, struct errbuf *e)
{
	char exe[PATH_MAX], *dir;
	const char *env = getenv("ATLAS_MODELS");
	ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);

	exe[len > 0 ? len : 0] = 0;
	dir = dirname(exe);
	for (int i = 0; i < 5; i++) {
		static const char *const place[] = {
			"stacks/atlas/nvme/models", "/../share/dcn/models",
			"/../stacks/atlas/nvme/models", "/../../../../stacks/atlas/nvme/models"};

		if (i == 0 && env)
			snprintf(path, size, "%s/%s.model", env, name);
		else if (i == 1)
			snprintf(path, size, "%s/%s.model", place[0], name);
		else if (i > 1)
			snprintf(path, size, "%s%s/%s.model", dir, place[i - 1], name);
		else
			continue;
		if (!access(path, R_OK))
			return 0;
	}
	return errf(e, -ENOENT,
		    "no model \"%s\" to simulate: known are those in stacks/atlas/nvme/models; set "
		    "ATLAS_MODELS to their directory or give the path of a .model file",
		    name);
}

static int set_option(struct sim_model *m, const char *opt, struct errbuf *e)
{
	char key[32], val[64];
	const struct param *p;

	if (sscanf(opt, "%31[^=]=%63s", key, val) != 2)
		return errf(e, -EINVAL,
			    "\"%s\" is no option of a simulated device: write key=value", opt);
	if (!strcmp(key, "time") && (!strcmp(val, "real") || !strcmp(val, "virtual"))) {
		m->real_time = !strcmp(val, "real");
		return 0;
	}
	if (set_param(m, options, key, val, &p))
		return errf(
			e, -EINVAL,
			"%s=%s is no option of a simulated device: known are time=real|virtual, "
			"seed, jitter, error_rate (0 to 1), error_lba",
			key, val);
	return 0;
}

int sim_model_load(struct sim_model *m, const char *arg, struct errbuf *e)
{
	char path[PATH_MAX], *copy = strdup(arg), *save = NULL, *name, *opt;
	int err;

	if (!copy)
		return errf(e, -ENOMEM, "no memory");
	memset(m, 0, sizeof *m);
	m->error_lba = UINT64_MAX;
	name = strtok_r(copy, ",", &save);
	if (!name)
		err = errf(e, -EINVAL, "name the device to simulate, such as sim:p3700");
	else if (strchr(name, '/'))
		err = read_model(m, name, e);
	else
		err = find_model(name, path, sizeof path, e) ?: read_model(m, path, e);
	while (!err && (opt = strtok_r(NULL, ",", &save)))
		err = set_option(m, opt, e);
	free(copy);
	return err;
}
