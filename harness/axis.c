/* axis: what a line of [sweep] stands for.
 *
 * One idea: items separated by commas, each a value or a range "a..b step s" or "a..b xF"; every
 * value passes the check of its key, so a sweep can't hold what the key could not. A span
 * (10ms..40ms) is one value, never a range of values. At most AXIS_VALUES values, each once.
 */
#include <errno.h>
#include <string.h>

#include "base/units.h"
#include "harness/experiment.h"

static int add(struct experiment_axis *a, const struct setting *s, const char *text,
	       struct errbuf *e)
{
	int err = setting_check(s, text, e);

	if (err)
		return err;
	if (strlen(text) >= AXIS_TEXT)
		return errf(e, -EINVAL, "'%.20s...' is too long for a swept value", text);
	if (strchr(text, '"') || strchr(text, ';'))
		return errf(e, -EINVAL, "'%s' holds a character that results can't", text);
	for (int i = 0; i < a->n; i++)
		if (!strcmp(a->value[i], text))
			return errf(e, -EINVAL, "%s is there twice", text);
	if (a->n == AXIS_VALUES)
		return errf(e, -EINVAL, "more than %d values", AXIS_VALUES);
	strcpy(a->value[a->n++], text);
	return 0;
}

static int number(const struct setting *s, const char *text, double *v)
{
	uint64_t u = 0;
	int err;

	if (s->kind == SETTING_PERCENT)
		return units_percent(text, v);
	if (s->kind == SETTING_NUMBER)
		return units_number(text, v);
	err = s->kind == SETTING_SIZE ? units_size(text, &u) : units_count(text, &u);
	*v = (double)u;
	return err;
}

/* item = "a..b", tail = "", "step s" or "xF" */
static int add_range(struct experiment_axis *a, const struct setting *s, const char *item,
		     struct errbuf *e)
{
	char from[48], to[48], op[8] = "", by[48] = "", text[48];
	double lo, hi, step = 1;
	bool times = false;
	int n;

	n = sscanf(item, "%47[^. ]..%47[^ ] %7[a-z] %47[^ ]", from, to, op, by);
	if (n == 4 && !strcmp(op, "x"))
		times = true;
	else if (n != 2 && !(n == 4 && !strcmp(op, "step")))
		return errf(e, -EINVAL, "'%s' is not a range; write a..b, a..b step s, or a..b x2",
			    item);
	if (number(s, from, &lo) || number(s, to, &hi) ||
	    (n == 4 && units_number(by, &step) && number(s, by, &step)))
		return errf(e, -EINVAL, "'%s' has an end or a step that %s can't be", item, s->key);
	if (hi < lo || step <= (times ? 1 : 0) || (times && lo <= 0))
		return errf(e, -EINVAL,
			    "'%s' is empty; the first end must be the smaller, the step "
			    "positive (a factor above 1)",
			    item);
	if (!times && (hi - lo) / step > AXIS_VALUES)
		return errf(e, -EINVAL, "'%s' is more than %d values; use a larger step", item,
			    AXIS_VALUES);
	while (lo <= hi * (1 + 1e-12)) {
		int err;

		if (s->kind == SETTING_SIZE)
			units_size_text((uint64_t)(lo + 0.5), text, sizeof text);
		else
			snprintf(text, sizeof text, "%.12g", lo);
		err = add(a, s, text, e);
		if (err)
			return err;
		lo = times ? lo * step : lo + step;
	}
	return 0;
}

int axis_expand(struct experiment_axis *a, const struct setting *s, struct errbuf *e)
{
	bool ranges = s->kind == SETTING_COUNT || s->kind == SETTING_PERCENT ||
		      s->kind == SETTING_SIZE || s->kind == SETTING_NUMBER;
	const char *p = a->text;

	a->n = 0;
	if (s->kind == SETTING_WORDS)
		return errf(e, -EINVAL, "%s is a list itself and can't be swept", s->key);
	for (;;) {
		size_t n = strcspn(p, ","), lead = strspn(p, " \t");
		char item[EXPERIMENT_TEXT];
		int err;

		lead = lead < n ? lead : n;
		snprintf(item, sizeof item, "%.*s", (int)(n - lead), p + lead);
		for (size_t k = strlen(item); k && (item[k - 1] == ' ' || item[k - 1] == '\t');)
			item[--k] = 0;
		if (!*item)
			return errf(e, -EINVAL, "'%s' has an empty item; write a, b, c", a->text);
		err = ranges && strstr(item, "..") ? add_range(a, s, item, e) : add(a, s, item, e);
		if (err)
			return err;
		p += n;
		if (!*p)
			return 0;
		p++;
	}
}
