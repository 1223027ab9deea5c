/* whatif_exp: read an experiment of the model, lay out its cells.
 *
 * One idea: the first value of nothing is special. The base is [whatif]; an axis that lists the
 * base value gets no second cell for it, so the base cell belongs to every axis.
 */
#include "collectors/whatif_exp.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

#include "base/units.h"

struct reading {
	struct whatif_exp *x;
	struct errbuf *e;
	bool overrides; /* second pass: [quick] only */
	int err;
};

static struct whatif_axis *axis_of(struct whatif_exp *x, int param)
{
	for (int i = 0; i < x->axes; i++)
		if (x->axis[i].param == param)
			return &x->axis[i];
	return NULL;
}

/* The next item of a list "a, b , c" into `word`; false at the end. */
static bool item(const char **p, char *word, size_t len)
{
	size_t n;

	*p += strspn(*p, ", \t");
	n = strcspn(*p, ",");
	if (!n)
		return false;
	snprintf(word, len, "%.*s", (int)n, *p);
	*p += n;
	for (n = strlen(word); n && (word[n - 1] == ' ' || word[n - 1] == '\t');)
		word[--n] = 0;
	return true;
}

int whatif_exp_axis(struct whatif_exp *x, const char *name, const char *list, struct errbuf *e)
{
	int param = whatif_find(name), err = 0;
	struct whatif_cfg probe = x->base;
	struct whatif_axis *a;
	char word[WHATIF_VALUE];

	if (param < 0)
		return errf(e, -EINVAL, "%s: not a parameter; dcn-whatif --help lists them", name);
	a = axis_of(x, param);
	if (!a && x->axes == WHATIF_AXES)
		return errf(e, -EINVAL, "more than %d axes", WHATIF_AXES);
	if (!a)
		a = &x->axis[x->axes++];
	*a = (struct whatif_axis){.param = param};
	while (!err && item(&list, word, sizeof word)) {
		if (a->n == WHATIF_VALUES)
			return errf(e, -EINVAL, "%s: more than %d values", name, WHATIF_VALUES);
		err = whatif_set(&probe, param, word, e);
		snprintf(a->value[a->n++], WHATIF_VALUE, "%s", word);
	}
	return err || a->n ? err : errf(e, -EINVAL, "%s: no values", name);
}

static int set_run(struct whatif_exp *x, const char *key, const char *text, struct errbuf *e)
{
	uint64_t v;

	if (units_count(text, &v))
		return errf(e, -EINVAL, "%s = %s: not a whole number", key, text);
	if (!strcmp(key, "seed"))
		x->seed = v;
	else if (!strcmp(key, "repetitions") && v >= 1 && v <= 1000)
		x->repetitions = (int)v;
	else
		return errf(e, -EINVAL, "[run] has repetitions (1 to 1000) and seed");
	return 0;
}

static int set_text(struct whatif_exp *x, const char *key, const char *text, struct errbuf *e)
{
	if (!strcmp(key, "title"))
		snprintf(x->title, sizeof x->title, "%s", text);
	else if (!strcmp(key, "notes"))
		snprintf(x->notes, sizeof x->notes, "%s", text);
	else if (!strcmp(key, "cross"))
		snprintf(x->cross, sizeof x->cross, "%s", text);
	else if (strcmp(key, "figure"))
		return errf(e, -EINVAL, "unknown key %s; [experiment] has title, notes, cross",
			    key);
	return 0;
}

static int apply(struct whatif_exp *x, const char *section, const char *key, const char *text,
		 struct errbuf *e)
{
	int param;

	if (!strcmp(section, "experiment"))
		return set_text(x, key, text, e);
	if (!strcmp(section, "run"))
		return set_run(x, key, text, e);
	if (!strcmp(section, "sweep"))
		return whatif_exp_axis(x, key, text, e);
	if (strcmp(section, "whatif"))
		return errf(e, -EINVAL,
			    "unknown section [%s]; there are experiment, whatif, sweep, run, quick",
			    section);
	param = whatif_find(key);
	if (param < 0)
		return errf(e, -EINVAL, "%s: not a parameter; dcn-whatif --help lists them", key);
	return whatif_set(&x->base, param, text, e);
}

/* libinih: 1 is "go on". */
static int entry(void *arg, const char *section, const char *key, const char *text)
{
	struct reading *r = arg;
	const char *dot = strchr(key, '.');
	char part[32];

	if (r->err || r->overrides != !strcmp(section, "quick"))
		return 1;
	if (!r->overrides) {
		r->err = apply(r->x, section, key, text, r->e);
	} else if (!dot) {
		r->err = errf(r->e, -EINVAL, "[quick] %s: write section.key", key);
	} else {
		snprintf(part, sizeof part, "%.*s", (int)(dot - key), key);
		r->err = apply(r->x, part, dot + 1, text, r->e);
	}
	return r->err == 0;
}

static int mark_cross(struct whatif_exp *x, struct errbuf *e)
{
	const char *p = x->cross;
	char word[WHATIF_VALUE];

	while (item(&p, word, sizeof word)) {
		int param = whatif_find(word);
		struct whatif_axis *a = param < 0 ? NULL : axis_of(x, param);

		if (!a)
			return errf(e, -EINVAL, "cross = %s: not in [sweep]", word);
		a->cross = true;
	}
	return 0;
}

int whatif_exp_load(struct whatif_exp *x, const char *path, bool quick, struct errbuf *e)
{
	struct errbuf why = {""};
	struct reading r = {.x = x, .e = &why};
	int line = 0;

	memset(x, 0, sizeof *x);
	snprintf(x->path, sizeof x->path, "%s", path);
	x->quick = quick;
	x->repetitions = 3;
	x->seed = 1;
	whatif_defaults(&x->base);
	for (int pass = 0; pass < 1 + quick && !line && !r.err; pass++) {
		r.overrides = pass;
		line = ini_parse(path, entry, &r);
	}
	if (line == -1)
		return errf(e, -ENOENT, "%s: %s; give the path of an experiment file", path,
			    strerror(errno));
	if (line || r.err)
		return errf(e, -EINVAL, "%s:%d: %s", path, line,
			    *why.s ? why.s : "neither [section], nor key = value, nor ; comment");
	if (mark_cross(x, &why))
		return errf(e, -EINVAL, "%s: %s", path, why.s);
	return 0;
}

/* ---- cells ---- */

/* The k-th combination of all crossed axes into c; false: there are no more. */
static bool combination(const struct whatif_exp *x, int k, struct whatif_cfg *c)
{
	struct errbuf e;

	*c = x->base;
	for (int i = 0; i < x->axes; i++) {
		const struct whatif_axis *a = &x->axis[i];

		if (!a->cross)
			continue;
		whatif_set(c, a->param, a->value[k % a->n], &e);
		k /= a->n;
	}
	return k == 0;
}

static int add_cell(struct whatif_cell *out, int n, const struct whatif_cfg *c, int vary,
		    struct errbuf *e)
{
	struct whatif_cfg probe = *c;
	struct errbuf why = {""};

	if (n == WHATIF_CELLS)
		return errf(e, -E2BIG, "more than %d cells", WHATIF_CELLS);
	if (whatif_resolve(&probe, &why))
		return errf(e, -EINVAL, "a cell is impossible: %s", why.s);
	out[n] = (struct whatif_cell){.cfg = *c, .vary = vary};
	return 0;
}

int whatif_exp_cells(const struct whatif_exp *x, struct whatif_cell *out, struct errbuf *e)
{
	struct whatif_cfg mid, c;
	struct errbuf unused;
	int n = 0, err;

	for (int k = 0; combination(x, k, &mid); k++) {
		err = add_cell(out, n, &mid, -1, e);
		if (err)
			return err;
		n++;
		for (int i = 0; i < x->axes; i++) {
			const struct whatif_axis *a = &x->axis[i];

			for (int v = 0; v < a->n && !a->cross; v++) {
				c = mid;
				whatif_set(&c, a->param, a->value[v], &unused);
				if (whatif_number(&c, a->param) == whatif_number(&mid, a->param))
					continue;
				err = add_cell(out, n, &c, i, e);
				if (err)
					return err;
				n++;
			}
		}
	}
	return n;
}

void whatif_exp_write(const struct whatif_exp *x, FILE *f)
{
	char text[64];

	fprintf(f, "; written by dcn-whatif: the experiment as resolved from %s%s\n", x->path,
		x->quick ? " --quick" : "");
	fprintf(f, "[experiment]\ntitle = %s\n", x->title);
	if (*x->notes)
		fprintf(f, "notes = %s\n", x->notes);
	if (*x->cross)
		fprintf(f, "cross = %s\n", x->cross);
	fprintf(f, "\n[whatif]\n");
	for (int i = 0; i < whatif_params_n; i++)
		fprintf(f, "%s = %s\n", whatif_params[i].name,
			whatif_text(&x->base, i, text, sizeof text));
	fprintf(f, "\n[sweep]\n");
	for (int i = 0; i < x->axes; i++) {
		const struct whatif_axis *a = &x->axis[i];

		fprintf(f, "%s = ", whatif_params[a->param].name);
		for (int v = 0; v < a->n; v++)
			fprintf(f, "%s%s", v ? ", " : "", a->value[v]);
		fputc('\n', f);
	}
	fprintf(f, "\n[run]\nrepetitions = %d\nseed = %llu\n", x->repetitions,
		(unsigned long long)x->seed);
}
