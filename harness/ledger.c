/* ledger: append-only, one line a finished run.
 *
 * One idea: the last line may be torn (the machine died), so a line counts only when it is whole
 * JSON and ends in a newline; a torn one is cut off before anything is appended.
 */
#include "harness/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int keep_run(struct ledger *j, int block, int cell)
{
	if (j->runs == j->room) {
		int room = j->room ? 2 * j->room : 64;
		struct ledger_run *r = realloc(j->run, (size_t)room * sizeof *r);

		if (!r)
			return -ENOMEM;
		j->run = r;
		j->room = room;
	}
	j->run[j->runs++] = (struct ledger_run){block, cell};
	return 0;
}

static int keep_ceiling(struct ledger *j, const struct ledger_ceiling *c)
{
	if (j->ceilings == j->ceiling_room) {
		int room = j->ceiling_room ? 2 * j->ceiling_room : 16;
		struct ledger_ceiling *r = realloc(j->ceiling, (size_t)room * sizeof *r);

		if (!r)
			return -ENOMEM;
		j->ceiling = r;
		j->ceiling_room = room;
	}
	j->ceiling[j->ceilings++] = *c;
	return 0;
}

static void copy(char *to, size_t len, const json_t *from)
{
	const char *s = json_string_value(from);

	snprintf(to, len, "%s", s ? s : "");
}

static int take_line(struct ledger *j, const json_t *o)
{
	const json_t *kind = json_object_get(o, "ceiling"), *block = json_object_get(o, "block");
	const json_t *cell = json_object_get(o, "cell");
	struct ledger_ceiling c = {0};

	if (!json_is_integer(block))
		return -EINVAL;
	if (json_is_string(kind)) {
		const json_t *v = json_object_get(o, "gbps");

		c.block = (int)json_integer_value(block);
		copy(c.kind, sizeof c.kind, kind);
		copy(c.key, sizeof c.key, json_object_get(o, "key"));
		copy(c.why, sizeof c.why, json_object_get(o, "why"));
		c.gbps = json_is_number(v) ? json_number_value(v) : NAN;
		c.at_least = json_is_true(json_object_get(o, "at_least"));
		return keep_ceiling(j, &c);
	}
	if (!json_is_integer(cell))
		return -EINVAL;
	j->runs_bytes = json_integer_value(json_object_get(o, "runs_bytes"));
	j->samples_bytes = json_integer_value(json_object_get(o, "samples_bytes"));
	return keep_run(j, (int)json_integer_value(block), (int)json_integer_value(cell));
}

static int read_all(struct ledger *j, FILE *f, const char *path, struct errbuf *e)
{
	char line[1024];
	long good = 0;
	int n = 0;

	while (fgets(line, sizeof line, f)) {
		bool whole = strchr(line, '\n') != NULL;
		json_t *o = whole ? json_loads(line, 0, NULL) : NULL;
		int err = o ? take_line(j, o) : -EINVAL;

		json_decref(o);
		n++;
		if (err && fgetc(f) != EOF)
			return errf(e, err, "%s:%d: not a line of a journal", path, n);
		if (err)
			break; /* torn */
		good = ftell(f);
	}
	return ftruncate(j->fd, good) ? errf(e, -errno, "%s: %s", path, strerror(errno)) : 0;
}

int ledger_open(struct ledger *j, const char *dir, struct errbuf *e)
{
	char path[512];
	FILE *f;
	int err;

	memset(j, 0, sizeof *j);
	j->runs_bytes = j->samples_bytes = -1;
	snprintf(path, sizeof path, "%s/journal", dir);
	j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (j->fd < 0)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	f = fopen(path, "r");
	err = f ? read_all(j, f, path, e) : errf(e, -errno, "%s: %s", path, strerror(errno));
	if (f)
		fclose(f);
	if (err)
		ledger_close(j);
	return err;
}

void ledger_close(struct ledger *j)
{
	if (j->fd >= 0)
		close(j->fd);
	free(j->run);
	free(j->ceiling);
	memset(j, 0, sizeof *j);
	j->fd = -1;
}

bool ledger_has(const struct ledger *j, int block, int cell)
{
	for (int i = 0; i < j->runs; i++)
		if (j->run[i].block == block && j->run[i].cell == cell)
			return true;
	return false;
}

static int append(struct ledger *j, json_t *o)
{
	char *s = o ? json_dumps(o, JSON_COMPACT) : NULL, line[1024];
	int n, err = 0;

	json_decref(o);
	if (!s)
		return -ENOMEM;
	n = snprintf(line, sizeof line, "%s\n", s);
	free(s);
	if (n >= (int)sizeof line)
		return -E2BIG;
	if (write(j->fd, line, (size_t)n) != n || fsync(j->fd))
		err = -errno;
	return err;
}

int ledger_add_run(struct ledger *j, int block, int cell, const char *status, int64_t runs_bytes,
		   int64_t samples_bytes)
{
	int err = append(j, json_pack("{s:i, s:i, s:s, s:I, s:I}", "block", block, "cell", cell,
				      "status", status, "runs_bytes", (json_int_t)runs_bytes,
				      "samples_bytes", (json_int_t)samples_bytes));

	return err ? err : keep_run(j, block, cell);
}

const struct ledger_ceiling *ledger_ceiling(const struct ledger *j, int block, const char *kind,
					    const char *key)
{
	for (int i = 0; i < j->ceilings; i++)
		if (j->ceiling[i].block == block && !strcmp(j->ceiling[i].kind, kind) &&
		    !strcmp(j->ceiling[i].key, key))
			return &j->ceiling[i];
	return NULL;
}

int ledger_add_ceiling(struct ledger *j, const struct ledger_ceiling *c)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:s}", "block", c->block, "ceiling", c->kind, "key",
			      c->key, "why", c->why);
	int err;

	if (o && isfinite(c->gbps))
		json_object_set_new(o, "gbps", json_real(c->gbps));
	if (o && c->at_least)
		json_object_set_new(o, "at_least", json_true());
	err = append(j, o);
	return err ? err : keep_ceiling(j, c);
}
