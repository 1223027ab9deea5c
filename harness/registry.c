/* registry: adding a stack or a collector is one line here. */
#include "harness/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness/setting.h"

const struct stack_ops *const registry_stacks[] = {
	&stack_atlas, &stack_nginx, &stack_external, &stack_null, NULL,
};

const struct collector_ops *const registry_collectors[] = {
	&collector_cpu,	    &collector_net,  &collector_disk,
	&collector_process, &collector_llc,  &collector_membw,
	&collector_profile, &collector_null, NULL,
};

static bool has_variant(const struct stack_ops *s, const char *variant)
{
	if (!*variant)
		return true;
	for (int i = 0; s->variants && s->variants[i]; i++)
		if (!strcmp(s->variants[i], variant))
			return true;
	return false;
}

/* Variants may be joined: "atlas:copy:poll" holds "copy" and "poll". */
static bool has_variants(const struct stack_ops *s, const char *variant)
{
	char one[32];

	if (has_variant(s, variant))
		return true;
	while (*variant) {
		size_t n = strcspn(variant, ":+");

		snprintf(one, sizeof one, "%.*s", (int)n, variant);
		if (!n || !has_variant(s, one))
			return false;
		variant += n;
		variant += *variant != 0;
	}
	return true;
}

static void near_name(const struct stack_ops *s, const char *variant, const char *name, int *least,
		      char best[64])
{
	char full[64];
	int d;

	snprintf(full, sizeof full, "%s%s%s", s->name, variant ? ":" : "", variant ? variant : "");
	d = setting_distance(full, name);
	if (d < *least) {
		*least = d;
		memcpy(best, full, sizeof full);
	}
}

static const char *nearest(const char *name)
{
	static char best[64];
	int least = 4;

	best[0] = 0;
	for (int i = 0; registry_stacks[i]; i++) {
		const struct stack_ops *s = registry_stacks[i];

		near_name(s, NULL, name, &least, best);
		for (int k = 0; s->variants && s->variants[k]; k++)
			near_name(s, s->variants[k], name, &least, best);
	}
	return best[0] ? best : NULL;
}

const struct stack_ops *registry_stack(const char *name, const char **variant, struct errbuf *e)
{
	size_t n = strcspn(name, ":");
	const char *near;

	for (int i = 0; registry_stacks[i]; i++) {
		const struct stack_ops *s = registry_stacks[i];

		if (strlen(s->name) != n || memcmp(s->name, name, n))
			continue;
		*variant = name[n] ? name + n + 1 : name + n;
		if (has_variants(s, *variant))
			return s;
	}
	near = nearest(name);
	if (near)
		errf(e, -EINVAL, "there is no stack '%s'; did you mean '%s'?", name, near);
	else
		errf(e, -EINVAL, "there is no stack '%s'; `dcn doctor` lists them", name);
	return NULL;
}

const struct collector_ops *registry_collector(const char *name, struct errbuf *e)
{
	for (int i = 0; registry_collectors[i]; i++)
		if (!strcmp(registry_collectors[i]->name, name))
			return registry_collectors[i];
	errf(e, -EINVAL, "there is no collector '%s'; `dcn doctor` lists them", name);
	return NULL;
}

bool registry_caches(const char *stack)
{
	const char *variant = "";
	struct errbuf e;
	const struct stack_ops *s = registry_stack(stack, &variant, &e);

	return !s || !s->caches || s->caches(variant);
}
