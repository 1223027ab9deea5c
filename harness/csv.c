/* csv: one pass over the text, fields are cut in place. Limits: 64 MiB, 512 columns. */
#include "harness/csv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define BYTES_MAX (64L << 20)
#define COLS_MAX  512

/* Cut one field off at *p; returns it and sets *end to the separator found: ',', '\n' or 0. */
static char *cut(char **p, char *end)
{
	char *s = *p, *out = s, *start = s;

	if (*s == '"') {
		for (s++; *s; s++) {
			if (*s == '"' && s[1] != '"')
				break;
			s += *s == '"';
			*out++ = *s;
		}
		s += *s == '"';
	} else {
		while (*s && *s != ',' && *s != '\n')
			*out++ = *s++;
	}
	while (*s && *s != ',' && *s != '\n') /* text after a closing quote */
		s++;
	*end = *s;
	*p = *s ? s + 1 : s;
	if (out > start && out[-1] == '\r')
		out--;
	*out = 0;
	return start;
}

static int count_lines(const char *s)
{
	int n = 1;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

int csv_parse(struct csv *c, char *text, const char *path, struct errbuf *e)
{
	char *p = text, end = ',', *name[COLS_MAX];
	int n = 0, lines = count_lines(text);

	memset(c, 0, sizeof *c);
	c->text = text;
	while (end == ',' && c->cols < COLS_MAX)
		name[c->cols++] = cut(&p, &end);
	if (end != '\n' || !*name[0]) {
		csv_free(c);
		return errf(e, -EINVAL, "%s: no header line", path);
	}
	c->name = calloc((size_t)c->cols, sizeof *c->name);
	c->field = calloc((size_t)lines * (size_t)c->cols, sizeof *c->field);
	if (!c->name || !c->field) {
		csv_free(c);
		return errf(e, -ENOMEM, "out of memory");
	}
	memcpy(c->name, name, (size_t)c->cols * sizeof *name);
	while (*p) {
		char **row = c->field + (size_t)c->rows * (size_t)c->cols;

		for (n = 0, end = ','; end == ','; n++) {
			char *f = cut(&p, &end);

			if (n < c->cols)
				row[n] = f;
		}
		if (!end) /* killed while writing it */
			break;
		if (n != c->cols) {
			int line = c->rows + 2;

			csv_free(c);
			return errf(e, -EINVAL, "%s:%d: %d fields instead of %d", path, line, n,
				    c->cols);
		}
		c->rows++;
	}
	return 0;
}

int csv_load(struct csv *c, const char *path, struct errbuf *e)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	long n;

	memset(c, 0, sizeof *c);
	if (!f)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	if (!fseek(f, 0, SEEK_END) && (n = ftell(f)) >= 0 && n < BYTES_MAX) {
		rewind(f);
		text = calloc(1, (size_t)n + 1);
		if (text && fread(text, 1, (size_t)n, f) != (size_t)n)
			text[0] = 0;
	}
	fclose(f);
	if (!text)
		return errf(e, -EINVAL, "%s: can't be read (larger than 64 MiB?)", path);
	return csv_parse(c, text, path, e);
}

void csv_free(struct csv *c)
{
	free(c->text);
	free(c->name);
	free(c->field);
	memset(c, 0, sizeof *c);
}

int csv_column(const struct csv *c, const char *name)
{
	for (int i = 0; i < c->cols; i++)
		if (!strcmp(c->name[i], name))
			return i;
	return -1;
}

const char *csv_text(const struct csv *c, int row, int col)
{
	return col < 0 || row < 0 || row >= c->rows ? "" : c->field[row * c->cols + col];
}

double csv_number(const struct csv *c, int row, int col)
{
	double v;

	return units_number(csv_text(c, row, col), &v) ? NAN : v;
}

void csv_put(FILE *f, const char *text)
{
	if (!text[strcspn(text, ",\"\n\r")]) {
		fputs(text, f);
		return;
	}
	fputc('"', f);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', f);
		fputc(*text == '\n' || *text == '\r' ? ' ' : *text, f);
	}
	fputc('"', f);
}
