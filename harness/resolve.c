/* resolve: sizes that depend on the last-level cache (DESIGN.md section 3).
 *
 * A cold set is walked in a fresh permutation each cycle, so with C the cold set and B the budget
 * an object is still cached from the cycle before with probability about (B/C)^2 / 2: 3 % at C = 4
 * B.
 */
#include "harness/resolve.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/units.h"
#include "harness/registry.h"

#define MIB	    (1ull << 20)
#define SLACK	    (256 * MIB) /* of the budget beyond the hot set */
#define COLD_FACTOR 4

static bool is_auto(const struct experiment *x, const char *name)
{
	return !experiment_axis_of(x, setting_find_name(name)) &&
	       !strcmp(experiment_text(x, name), "auto");
}

/* Does any stack of the experiment use the page cache? */
static bool any_caches(const struct experiment *x)
{
	const struct experiment_axis *a = experiment_axis_of(x, setting_find_name("stack"));

	for (int i = 0; a && i < a->n; i++)
		if (registry_caches(a->value[i]))
			return true;
	return !a && registry_caches(experiment_text(x, "stack"));
}

static int check_cold(const struct experiment *x, uint64_t budget, struct errbuf *e)
{
	char need[32], have[32];
	int i = setting_find_name("content.cold");
	uint64_t cold;

	if (experiment_axis_of(x, i) || units_size(experiment_text(x, "content.cold"), &cold) ||
	    cold >= COLD_FACTOR * budget || !any_caches(x))
		return 0;
	units_size_text(COLD_FACTOR * budget, need, sizeof need);
	units_size_text(budget, have, sizeof have);
	return errf(e, -EINVAL,
		    "%s:%d: content.cold = %s is too small for a page-cache budget of %s: objects "
		    "would "
		    "still be cached from the cycle before; use at least %s, or a smaller hot set",
		    x->path, x->v[i].line > 0 ? x->v[i].line : 0,
		    experiment_text(x, "content.cold"), have, need);
}

int resolve(struct experiment *x, const struct machine *m, struct errbuf *e)
{
	uint64_t least = (x->quick ? 256 : 1024) * MIB, hot = 0, budget = 0;
	char text[32];
	int err = 0;

	if (!strcmp(experiment_text(x, "load.program"), "iowindow")) /* neither server nor cache */
		return x->v[setting_find_name("stack")].line ||
				       experiment_axis_of(x, setting_find_name("stack"))
			       ? 0
			       : experiment_resolve(x, "stack", "disk", e);
	if (is_auto(x, "content.hot")) {
		hot = m->llc_bytes * (x->quick ? 8 : 16);
		hot = hot > least ? hot : least;
		err = experiment_resolve(x, "content.hot", units_size_text(hot, text, sizeof text),
					 e);
	}
	units_size(experiment_text(x, "content.hot"), &hot);
	if (!err && hot && is_auto(x, "content.cache_budget"))
		err = experiment_resolve(x, "content.cache_budget",
					 units_size_text(hot + SLACK, text, sizeof text), e);
	if (!err && !units_size(experiment_text(x, "content.cache_budget"), &budget) && budget)
		err = check_cold(x, budget, e);
	return err;
}
