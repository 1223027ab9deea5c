/* experiment: from an INI file to a checked experiment.
 *
 * One idea: the file is first only collected (section, key, value, line), then applied in an order
 * that has nothing to do with the order of its lines: values, sweeps, [quick], --set, checks. So a
 * sentence about any entry can name its line.
 *
 * libinih (Debian's build) hands over lines of at most 199 bytes, joins indented lines to the one
 * before and tells no line numbers; the reader below strips indentation, counts and refuses longer
 * lines. Limits: 256 entries, values of 191 bytes.
 */
#include "harness/experiment.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define ENTRIES_MAX 256

struct entry {
	char section[32], key[48], text[EXPERIMENT_TEXT];
	int line;
};

struct reading {
	const char *path, *p; /* p: the rest of the text */
	int line;
	struct entry *entry; /* ENTRIES_MAX */
	int n;
	struct errbuf *e;
	int err;
};

static int bad_at(struct errbuf *e, const char *path, int line, const char *sentence)
{
	if (line == EXPERIMENT_CMDLINE)
		return errf(e, -EINVAL, "--set: %s", sentence);
	if (line == EXPERIMENT_DEFAULT)
		return errf(e, -EINVAL, "%s: %s", path, sentence);
	return errf(e, -EINVAL, "%s:%d: %s", path, line, sentence);
}

/* fgets for libinih: one line without its indentation. */
static char *next_line(char *buf, int size, void *arg)
{
	struct reading *r = arg;
	size_t n = strcspn(r->p, "\n");
	const char *next = r->p + n + (r->p[n] == '\n');

	if (!*r->p || r->err)
		return NULL;
	r->line++;
	while (n && (*r->p == ' ' || *r->p == '\t'))
		r->p++, n--;
	if (n + 2 > (size_t)size) {
		r->err = bad_at(r->e, r->path, r->line,
				"the line is longer than 198 bytes; shorten it");
		return NULL;
	}
	memcpy(buf, r->p, n);
	buf[n] = '\n';
	buf[n + 1] = 0;
	r->p = next;
	return buf;
}

/* Would it read the same when written back? */
static bool holdable(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' && *p != '\t')
			return false;
	return *text != ';' && !strstr(text, " ;") && !strstr(text, "\t;");
}

static int collect(void *arg, const char *section, const char *key, const char *text)
{
	struct reading *r = arg;
	struct entry *en = &r->entry[r->n];

	if (r->err)
		return 0;
	if (r->n == ENTRIES_MAX) {
		r->err = bad_at(r->e, r->path, r->line, "more than 256 entries");
		return 0;
	}
	if (strlen(section) >= sizeof en->section || strlen(key) >= sizeof en->key ||
	    strlen(text) >= sizeof en->text) {
		r->err = bad_at(r->e, r->path, r->line, "the section, key or value is too long");
		return 0;
	}
	if (!holdable(text)) {
		r->err = bad_at(r->e, r->path, r->line,
				"a value can't hold control characters or start with ';'");
		return 0;
	}
	strcpy(en->section, section);
	strcpy(en->key, key);
	strcpy(en->text, text);
	en->line = r->line;
	r->n++;
	return 1;
}

static int unknown_key(const char *path, const struct entry *en, const char *section,
		       const char *key, struct errbuf *e)
{
	const char *near = setting_nearest(section, key);
	char s[320];

	if (near)
		snprintf(s, sizeof s, "unknown key '%s' in [%s]; did you mean '%s'?", key, section,
			 near);
	else
		snprintf(s, sizeof s, "unknown key '%s' in [%s]; `dcn describe --keys` lists all",
			 key, section);
	return bad_at(e, path, en->line, s);
}

static int known_section(const char *section)
{
	for (int i = 0; i < settings_n; i++)
		if (!strcmp(settings[i].section, section))
			return 1;
	return !strcmp(section, "sweep") || !strcmp(section, "quick");
}

static int unknown_section(const char *path, const struct entry *en, const char *section,
			   struct errbuf *e)
{
	const char *near = setting_nearest(NULL, section);
	char s[256];

	if (!*section)
		snprintf(s, sizeof s, "'%s' stands before any [section]", en->key);
	else if (near)
		snprintf(s, sizeof s, "unknown section [%s]; did you mean [%s]?", section, near);
	else
		snprintf(s, sizeof s, "unknown section [%s]; `dcn describe --keys` lists all",
			 section);
	return bad_at(e, path, en->line, s);
}

/* Set an axis; `again` allows to replace one ([quick], --set). */
static int apply_sweep(struct experiment *x, const struct entry *en, const char *key, bool again,
		       struct errbuf *e)
{
	struct experiment_axis *a = NULL;
	int i = setting_find_name(key);
	char s[256];

	if (i == -2) {
		snprintf(s, sizeof s, "several sections have a key '%s'; write section.%s", key,
			 key);
		return bad_at(e, x->path, en->line, s);
	}
	if (i < 0)
		return unknown_key(x->path, en, "sweep", key, e);
	for (int k = 0; k < x->axes; k++)
		if (x->axis[k].setting == i)
			a = &x->axis[k];
	if (a && !again) {
		snprintf(s, sizeof s, "'%s' is swept already in line %d", key, a->line);
		return bad_at(e, x->path, en->line, s);
	}
	if (!a) {
		if (x->axes == EXPERIMENT_AXES)
			return bad_at(e, x->path, en->line, "more than 8 swept keys");
		a = &x->axis[x->axes++];
	}
	a->setting = i;
	a->line = en->line;
	snprintf(a->text, sizeof a->text, "%s", en->text);
	return 0;
}

static int apply_value(struct experiment *x, const struct entry *en, const char *section,
		       const char *key, bool again, struct errbuf *e)
{
	int i = setting_find(section, key);
	char s[256];

	if (!known_section(section))
		return unknown_section(x->path, en, section, e);
	if (i < 0)
		return unknown_key(x->path, en, section, key, e);
	if (x->v[i].line && !again) {
		snprintf(s, sizeof s, "'%s' is set already in line %d", key, x->v[i].line);
		return bad_at(e, x->path, en->line, s);
	}
	snprintf(x->v[i].text, sizeof x->v[i].text, "%s", en->text);
	x->v[i].line = en->line;
	return 0;
}

/* An override "section.key" of [quick] or --set. */
static int apply_override(struct experiment *x, const struct entry *en, struct errbuf *e)
{
	const char *dot = strchr(en->key, '.');
	char section[48], s[256];

	if (!dot || !dot[1]) {
		snprintf(s, sizeof s, "'%s' must name its section: section.key", en->key);
		return bad_at(e, x->path, en->line, s);
	}
	snprintf(section, sizeof section, "%.*s", (int)(dot - en->key), en->key);
	if (!strcmp(section, "sweep"))
		return apply_sweep(x, en, dot + 1, true, e);
	return apply_value(x, en, section, dot + 1, true, e);
}

static int apply_sets(struct experiment *x, char *const *sets, int nsets, struct errbuf *e)
{
	for (int i = 0; i < nsets; i++) {
		struct entry en = {.line = EXPERIMENT_CMDLINE};
		const char *eq = strchr(sets[i], '=');
		int err;

		if (!eq || eq == sets[i])
			return errf(e, -EINVAL, "--set %s: write section.key=value", sets[i]);
		if ((size_t)(eq - sets[i]) >= sizeof en.key || strlen(eq + 1) >= sizeof en.text ||
		    !holdable(eq + 1))
			return errf(e, -EINVAL,
				    "--set %.40s...: too long, or a character that an "
				    "experiment file can't hold",
				    sets[i]);
		snprintf(en.key, sizeof en.key, "%.*s", (int)(eq - sets[i]), sets[i]);
		snprintf(en.text, sizeof en.text, "%s", eq + 1);
		err = apply_override(x, &en, e);
		if (err)
			return err;
	}
	return 0;
}

static int check_values(struct experiment *x, struct errbuf *e)
{
	struct errbuf why;
	char s[768];

	for (int i = 0; i < settings_n; i++) {
		const struct experiment_axis *a = experiment_axis_of(x, i);

		if (a && x->v[i].line) {
			snprintf(s, sizeof s,
				 "'%s' is set here and swept too; drop one, or use "
				 "sweep.%s",
				 settings[i].key, settings[i].key);
			return bad_at(e, x->path, x->v[i].line, s);
		}
		if (setting_check(&settings[i], x->v[i].text, &why)) {
			snprintf(s, sizeof s, "%s.%s: %s", settings[i].section, settings[i].key,
				 why.s);
			return bad_at(e, x->path, x->v[i].line, s);
		}
	}
	for (int k = 0; k < x->axes; k++) {
		struct experiment_axis *a = &x->axis[k];

		if (axis_expand(a, &settings[a->setting], &why)) {
			snprintf(s, sizeof s, "sweep of %s: %s", settings[a->setting].key, why.s);
			return bad_at(e, x->path, a->line, s);
		}
	}
	return 0;
}

static uint64_t duration_of(const struct experiment *x, const char *name)
{
	uint64_t v = 0;

	units_duration(experiment_text(x, name), &v);
	return v;
}

static int line_of(const struct experiment *x, const char *name)
{
	int i = setting_find_name(name);
	const struct experiment_axis *a = experiment_axis_of(x, i);

	return a ? a->line : x->v[i].line;
}

/* Does any cell have this text for the key? */
static bool takes(const struct experiment *x, const char *name, const char *text)
{
	int i = setting_find_name(name);
	const struct experiment_axis *a = experiment_axis_of(x, i);

	for (int k = 0; a && k < a->n; k++)
		if (!strcmp(a->value[k], text))
			return true;
	return !a && !strcmp(x->v[i].text, text);
}

/* What no single key can tell. */
static int check_relations(struct experiment *x, struct errbuf *e)
{
	uint64_t hot = 0, cold = 0, budget = 0, object = 0;
	const char *xkey = experiment_text(x, "experiment.x");

	if (setting_find_name(xkey) < 0)
		return bad_at(e, x->path, line_of(x, "experiment.x"),
			      "experiment.x must be the name of a key, for example connections");
	if (duration_of(x, "collect.interval") > duration_of(x, "run.duration") &&
	    !experiment_axis_of(x, setting_find_name("run.duration")))
		return bad_at(e, x->path, line_of(x, "collect.interval"),
			      "collect.interval is longer than run.duration; make it shorter");
	if (takes(x, "load.program", "dcn-load") &&
	    (takes(x, "load.engine", "native") || takes(x, "load.engine", "fio")))
		return bad_at(e, x->path, line_of(x, "load.engine"),
			      "engines native and fio belong to load.program = iowindow");
	if (takes(x, "load.mode", "open") && takes(x, "load.rate", "0") &&
	    takes(x, "load.rate_of_ceiling", "0"))
		return bad_at(e, x->path, line_of(x, "load.mode"),
			      "load.mode = open needs load.rate, in requests per second, or "
			      "load.rate_of_ceiling");
	if (!takes(x, "load.rate_of_ceiling", "0") &&
	    !strstr(experiment_text(x, "run.ceilings"), "disk") &&
	    !strstr(experiment_text(x, "run.ceilings"), "client"))
		return bad_at(e, x->path, line_of(x, "load.rate_of_ceiling"),
			      "load.rate_of_ceiling needs run.ceilings = disk, client");
	units_size(experiment_text(x, "content.object_size"), &object);
	units_size(experiment_text(x, "content.cold"), &cold);
	if (object > cold)
		return bad_at(e, x->path, line_of(x, "content.cold"),
			      "content.cold is smaller than one object; make it larger");
	if (!units_size(experiment_text(x, "content.hot"), &hot) && object > hot)
		return bad_at(e, x->path, line_of(x, "content.hot"),
			      "content.hot is smaller than one object; make it larger");
	if (!units_size(experiment_text(x, "content.cache_budget"), &budget) && budget < hot)
		return bad_at(
			e, x->path, line_of(x, "content.cache_budget"),
			"content.cache_budget does not hold the hot set; use auto, or more than "
			"content.hot");
	if (takes(x, "stack", "external") && takes(x, "stack.command", ""))
		return bad_at(e, x->path, line_of(x, "stack"),
			      "stack external needs stack.command (and stack.url)");
	if (strchr(experiment_text(x, "experiment.figure"), '/'))
		return bad_at(e, x->path, line_of(x, "experiment.figure"),
			      "experiment.figure is a name, not a path");
	return 0;
}

/* "workloads/fig2.exp" -> "fig2" if the file names no figure. */
static void default_figure(struct experiment *x)
{
	int i = setting_find("experiment", "figure");
	const char *base = strrchr(x->path, '/');
	char name[64];

	if (*x->v[i].text)
		return;
	snprintf(name, sizeof name, "%.63s", base ? base + 1 : x->path);
	if (strrchr(name, '.'))
		*strrchr(name, '.') = 0;
	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
			*p = '_';
	snprintf(x->v[i].text, sizeof x->v[i].text, "%s", *name ? name : "unnamed");
}

static int apply_entries(struct experiment *x, const struct reading *r, struct errbuf *e)
{
	struct experiment scratch = *x;
	int err = 0;

	for (int i = 0; i < r->n && !err; i++) {
		const struct entry *en = &r->entry[i];

		if (!strcmp(en->section, "sweep"))
			err = apply_sweep(x, en, en->key, false, e);
		else if (strcmp(en->section, "quick"))
			err = apply_value(x, en, en->section, en->key, false, e);
	}
	for (int i = 0; i < r->n && !err; i++) /* names in [quick] are checked even if unused */
		if (!strcmp(r->entry[i].section, "quick"))
			err = apply_override(x->quick ? x : &scratch, &r->entry[i], e);
	return err;
}

int experiment_parse(struct experiment *x, const char *text, const char *path, bool quick,
		     char *const *sets, int nsets, struct errbuf *e)
{
	struct reading r = {.path = path, .p = text, .e = e};
	int err, bad;

	memset(x, 0, sizeof *x);
	snprintf(x->path, sizeof x->path, "%s", path);
	x->quick = quick;
	for (int i = 0; i < settings_n; i++)
		snprintf(x->v[i].text, sizeof x->v[i].text, "%s", settings[i].def);
	r.entry = calloc(ENTRIES_MAX, sizeof *r.entry);
	if (!r.entry)
		return errf(e, -ENOMEM, "out of memory");
	bad = ini_parse_stream(next_line, &r, collect, &r);
	err = r.err;
	if (!err && bad)
		err = bad_at(e, path, bad, "neither [section], nor key = value, nor ; comment");
	if (!err)
		err = apply_entries(x, &r, e);
	free(r.entry);
	if (!err)
		err = apply_sets(x, sets, nsets, e);
	if (!err)
		err = check_values(x, e);
	if (!err) {
		default_figure(x);
		err = check_relations(x, e);
	}
	return err;
}

int experiment_load(struct experiment *x, const char *path, bool quick, char *const *sets,
		    int nsets, struct errbuf *e)
{
	FILE *f = fopen(path, "r");
	char *text;
	size_t n;
	int err;

	if (!f)
		return errf(e, -errno, "%s: %s; give the path of an experiment file", path,
			    strerror(errno));
	text = calloc(1, 65536);
	if (!text) {
		fclose(f);
		return errf(e, -ENOMEM, "out of memory");
	}
	n = fread(text, 1, 65536, f);
	if (ferror(f))
		err = errf(e, -EIO, "%s: can't be read: %s", path, strerror(errno));
	else if (n == 65536 || memchr(text, 0, n))
		err = errf(e, -EINVAL, "%s: not an experiment file (too long, or not text)", path);
	else
		err = experiment_parse(x, text, path, quick, sets, nsets, e);
	free(text);
	fclose(f);
	return err;
}

int experiment_resolve(struct experiment *x, const char *name, const char *text, struct errbuf *e)
{
	int i = setting_find_name(name);
	struct errbuf why;

	if (setting_check(&settings[i], text, &why))
		return errf(e, -EINVAL, "%s: %s", name, why.s);
	snprintf(x->v[i].text, sizeof x->v[i].text, "%s", text);
	return 0;
}

const char *experiment_text(const struct experiment *x, const char *name)
{
	int i = setting_find_name(name);

	return i < 0 ? "" : x->v[i].text;
}

const struct experiment_axis *experiment_axis_of(const struct experiment *x, int setting)
{
	for (int k = 0; k < x->axes; k++)
		if (x->axis[k].setting == setting)
			return &x->axis[k];
	return NULL;
}

void experiment_write(const struct experiment *x, FILE *f)
{
	const char *section = "";

	fprintf(f, "; written by dcn: the experiment as resolved from %s%s\n", x->path,
		x->quick ? " --quick" : "");
	for (int i = 0; i < settings_n; i++) {
		if (strcmp(section, settings[i].section)) {
			section = settings[i].section;
			fprintf(f, "\n[%s]\n", section);
		}
		if (!experiment_axis_of(x, i) && *x->v[i].text)
			fprintf(f, "%s = %s\n", settings[i].key, x->v[i].text);
	}
	fprintf(f, "\n[sweep]\n");
	for (int k = 0; k < x->axes; k++) {
		const struct setting *s = &settings[x->axis[k].setting];

		if (!strcmp(s->section, "stack") && !strcmp(s->key, "name"))
			fprintf(f, "stack = %s\n", x->axis[k].text);
		else
			fprintf(f, "%s.%s = %s\n", s->section, s->key, x->axis[k].text);
	}
}
