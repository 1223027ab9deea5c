/* sweep: product of the axes, and randomised complete blocks.
 *
 * One idea: a cell is a tuple of indices into the axes, so its values stay in the experiment. The
 * order of a block depends on seed and block number alone: resuming finds the same order without
 * having stored it. DESIGN.md section 3, last paragraph.
 */
#include "harness/sweep.h"

#include <errno.h>
#include <string.h>

#include "base/rng.h"
#include "base/units.h"

const char *cell_setting(const struct experiment *x, const struct cell *c, int setting)
{
	for (int k = 0; k < x->axes; k++)
		if (x->axis[k].setting == setting) {
			if (c->uncached && !strcmp(settings[setting].key, "cache_ratio"))
				return "0";
			return x->axis[k].value[c->choice[k]];
		}
	if (c->uncached && !strcmp(settings[setting].key, "cache_ratio"))
		return "0";
	return x->v[setting].text;
}

const char *cell_text(const struct experiment *x, const struct cell *c, const char *name)
{
	int i = setting_find_name(name);

	return i < 0 ? "" : cell_setting(x, c, i);
}

uint64_t cell_count(const struct experiment *x, const struct cell *c, const char *name)
{
	uint64_t v = 0;

	units_count(cell_text(x, c, name), &v);
	return v;
}

uint64_t cell_size(const struct experiment *x, const struct cell *c, const char *name)
{
	uint64_t v = 0;

	units_size(cell_text(x, c, name), &v);
	return v;
}

uint64_t cell_ns(const struct experiment *x, const struct cell *c, const char *name)
{
	uint64_t v = 0;

	units_duration(cell_text(x, c, name), &v);
	return v;
}

double cell_number(const struct experiment *x, const struct cell *c, const char *name)
{
	const char *text = cell_text(x, c, name);
	double v = 0;

	if (units_number(text, &v))
		units_percent(text, &v);
	return v;
}

bool cell_on(const struct experiment *x, const struct cell *c, const char *name)
{
	return !strcmp(cell_text(x, c, name), "on");
}

const char *sweep_column_name(int setting)
{
	const struct setting *s = &settings[setting];

	return !strcmp(s->section, "stack") && !strcmp(s->key, "name") ? "stack" : s->key;
}

int sweep_columns(const struct experiment *x, int out[4 + EXPERIMENT_AXES])
{
	static const char *const always[] = {"stack", "load.tls", "load.cache_ratio",
					     "load.connections"};
	int n = 0, fixed = strcmp(experiment_text(x, "load.program"), "iowindow") ? 4 : 1;

	for (int i = 0; i < fixed; i++)
		out[n++] = setting_find_name(always[i]);
	for (int k = 0; k < x->axes; k++) {
		bool there = false;

		for (int i = 0; i < n; i++)
			there |= out[i] == x->axis[k].setting;
		if (!there)
			out[n++] = x->axis[k].setting;
	}
	return n;
}

const char *cell_label(const struct experiment *x, const struct cell *c, char *buf, int len)
{
	int col[4 + EXPERIMENT_AXES], n = sweep_columns(x, col), at;

	at = snprintf(buf, (size_t)len, "%s", cell_setting(x, c, col[0]));
	for (int i = 1; i < n && at < len; i++) {
		const char *text = cell_setting(x, c, col[i]), *key = settings[col[i]].key;
		char *p = buf + at;
		size_t room = (size_t)(len - at);

		if (!strcmp(key, "tls"))
			at += snprintf(p, room, "%s", strcmp(text, "on") ? "" : " tls");
		else if (!strcmp(key, "cache_ratio"))
			at += c->uncached ? 0 : snprintf(p, room, " bc=%s%%", text);
		else if (!strcmp(key, "connections"))
			at += snprintf(p, room, " conn=%s", text);
		else
			at += snprintf(p, room, " %s=%s", key, text);
	}
	return buf;
}

/* Is there a cell before that differs from `c` in its cache ratio alone? */
static bool seen(const struct experiment *x, const struct cell *out, int n, const struct cell *c)
{
	int ratio = setting_find_name("load.cache_ratio");

	for (int i = 0; i < n; i++) {
		bool same = out[i].uncached;

		for (int k = 0; k < x->axes && same; k++)
			same = x->axis[k].setting == ratio || out[i].choice[k] == c->choice[k];
		if (same)
			return true;
	}
	return false;
}

int sweep_cells(const struct experiment *x, bool (*caches)(const char *stack), struct cell *out,
		struct errbuf *e)
{
	struct cell c = {0};
	int n = 0;

	for (;;) {
		int k = x->axes - 1;

		c.uncached = caches && !caches(cell_text(x, &c, "stack"));
		if (!c.uncached || !seen(x, out, n, &c)) {
			if (n == CELLS_MAX)
				return errf(e, -E2BIG, "%s: more than %d cells; sweep fewer values",
					    x->path, CELLS_MAX);
			c.index = n;
			out[n++] = c;
		}
		while (k >= 0 && ++c.choice[k] == x->axis[k].n)
			c.choice[k--] = 0;
		if (k < 0)
			return n;
	}
}

void sweep_order(uint64_t seed, int block, int *order, int n)
{
	struct rng r;

	rng_seed(&r, rng_mix(seed + 1) ^ rng_mix((uint64_t)block + 0x9e37));
	for (int i = 0; i < n; i++)
		order[i] = i;
	for (int i = n - 1; i > 0; i--) {
		int j = (int)rng_below(&r, (uint64_t)i + 1), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
}
