/* finding: see finding.h. A row's sentence is wrapped under itself, so that the column of names
 * stays free to be read down. */
#include "harness/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_COLUMN 20
#define TEXT_COLUMN (2 + NAME_COLUMN + 5)

void findings_add(struct findings *l, const char *group, const char *name, enum finding_kind kind,
		  const char *fmt, ...)
{
	struct finding *f = &l->f[l->n];
	va_list ap;

	if (l->n == FINDINGS_MAX)
		return;
	f->group = group;
	f->kind = kind;
	snprintf(f->name, sizeof f->name, "%s", name);
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
	l->n++;
}

const struct finding *findings_find(const struct findings *l, const char *group, const char *name)
{
	for (int i = 0; i < l->n; i++)
		if (!strcmp(l->f[i].group, group) && !strcmp(l->f[i].name, name))
			return &l->f[i];
	return NULL;
}

/* As many whole words of p as fit into n columns (at least one). */
static size_t words_that_fit(const char *p, size_t n)
{
	size_t fit = 0;

	if (strlen(p) <= n)
		return strlen(p);
	for (size_t i = 0; i <= n && p[i]; i++)
		if (p[i] == ' ')
			fit = i;
	return fit ? fit : strcspn(p, " ");
}

static void print_wrapped(const char *p, int width)
{
	size_t room = width > TEXT_COLUMN + 20 ? (size_t)(width - TEXT_COLUMN) : 20, n;

	for (;;) {
		n = words_that_fit(p, room);
		printf("%.*s\n", (int)n, p);
		p += n;
		p += strspn(p, " ");
		if (!*p)
			return;
		printf("%*s", TEXT_COLUMN, "");
	}
}

void findings_print(const struct findings *l, int width)
{
	static const char *const word[] = {"NO", "yes", "", "!"};
	const char *group = "";
	int no = 0, asked = 0;

	for (int i = 0; i < l->n; i++) {
		const struct finding *f = &l->f[i];

		if (strcmp(group, f->group))
			printf("%s%s\n", *group ? "\n" : "", f->group);
		group = f->group;
		printf("  %-*s %-3s ", NAME_COLUMN, f->name, word[f->kind]);
		print_wrapped(f->text, width);
		no += f->kind == FINDING_NO;
		asked += f->kind == FINDING_NO || f->kind == FINDING_YES;
	}
	if (no)
		printf("\n%d of %d are missing: the lines with NO say why, and what would help.\n",
		       no, asked);
	else
		printf("\nNothing is missing.\n");
}

json_t *findings_json(const struct findings *l)
{
	json_t *list = json_array();

	for (int i = 0; i < l->n; i++) {
		const struct finding *f = &l->f[i];
		json_t *o = json_pack("{s:s, s:s, s:s}", "group", f->group, "name", f->name, "text",
				      f->text);

		if (o && (f->kind == FINDING_YES || f->kind == FINDING_NO))
			json_object_set_new(o, "ok", json_boolean(f->kind == FINDING_YES));
		if (o && f->kind == FINDING_WARN)
			json_object_set_new(o, "warning", json_true());
		json_array_append_new(list, o);
	}
	return list;
}
