/* headroom: see headroom.h.
 *
 * The ratio is taken run by run, against the ceilings measured in the same block, because a shared
 * machine's disk drifts by tens of per cent between blocks (DESIGN.md section 3).
 */
#include "harness/headroom.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/stats.h"
#include "harness/csv.h"

struct cell_runs {
	double *net, *ceil; /* rows of them */
	int n, by_disk, by_client, at_least, invalid;
};

/* What is served from memory is not held up by the disk. */
static bool hardly_reads(const struct csv *c, int row)
{
	return csv_number(c, row, csv_column(c, "disk_read_gbps")) <
	       0.1 * csv_number(c, row, csv_column(c, "net_gbps"));
}

/* The lower ceiling of a row; *client says which one it was. NAN: none was measured. */
static double ceiling(const struct csv *c, int row, int *client)
{
	double disk = csv_number(c, row, csv_column(c, "ceil_disk_gbps"));
	double load = csv_number(c, row, csv_column(c, "ceil_client_gbps"));

	if (hardly_reads(c, row))
		disk = NAN;
	*client = isnan(disk) || (!isnan(load) && load < disk);
	return *client ? load : disk;
}

static void collect(const struct csv *c, const char *cell, struct cell_runs *r)
{
	int col = csv_column(c, "cell"), valid = csv_column(c, "valid"), client;
	int least = csv_column(c, "ceil_client_at_least");

	r->n = r->by_disk = r->by_client = r->at_least = r->invalid = 0;
	for (int i = 0; i < c->rows; i++) {
		double net = csv_number(c, i, csv_column(c, "net_gbps")), top;

		if (strcmp(csv_text(c, i, col), cell) != 0)
			continue;
		top = ceiling(c, i, &client);
		if (strcmp(csv_text(c, i, valid), "0") == 0) {
			r->invalid++;
			continue;
		}
		if (isnan(net) || isnan(top))
			continue;
		r->net[r->n] = net;
		r->ceil[r->n++] = top;
		r->by_client += client;
		r->at_least += client && csv_number(c, i, least) > 0;
		r->by_disk += !client;
	}
}

/* The swept keys of a row in a few words: they stand between `repetition` and `valid`. */
static void point(const struct csv *c, int row, char *buf, size_t n)
{
	int from = csv_column(c, "repetition") + 1, to = csv_column(c, "valid");
	size_t k = 0;

	buf[0] = '\0';
	for (int col = from; col < to && k < n; col++)
		k += (size_t)snprintf(buf + k, n - k, "%s%s=%s", k ? " " : "", c->name[col],
				      csv_text(c, row, col));
}

static bool seen_before(const struct csv *c, int row)
{
	int col = csv_column(c, "cell");

	for (int i = 0; i < row; i++)
		if (strcmp(csv_text(c, i, col), csv_text(c, row, col)) == 0)
			return true;
	return false;
}

static int print_table(const struct csv *c)
{
	struct cell_runs r = {.net = calloc((size_t)c->rows + 1, sizeof(double)),
			      .ceil = calloc((size_t)c->rows + 1, sizeof(double))};
	int col = csv_column(c, "cell"), lines = 0, starred = 0;
	struct stats_ratio q;
	char text[256];

	for (int i = 0; r.net && r.ceil && i < c->rows; i++) {
		if (seen_before(c, i))
			continue;
		collect(c, csv_text(c, i, col), &r);
		point(c, i, text, sizeof text);
		if (stats_paired_ratio(r.ceil, r.net, r.n, &q) < 1)
			continue;
		if (!lines++)
			printf("%-64s %6s %15s  %-8s %s\n", "cell", "share", "95 % interval",
			       "ceiling", "runs");
		printf("%-64s %6.3f  %6.3f..%6.3f  %-8s %d%s\n", text, q.ratio, q.lo, q.hi,
		       r.by_client <= r.by_disk ? "disk"
		       : r.at_least		? "client *"
						: "client",
		       r.n, r.invalid ? " (others invalid)" : "");
		starred += r.by_client > r.by_disk && r.at_least;
	}
	if (starred)
		puts("* the null server was the limit there: the client's ceiling lies higher, "
		     "the share lower");
	free(r.net);
	free(r.ceil);
	return lines;
}

int headroom(const char *dir)
{
	struct errbuf e = {{0}};
	char path[512];
	struct csv c;
	int lines;

	snprintf(path, sizeof path, "%s/runs.csv", dir);
	if (csv_load(&c, path, &e)) {
		log_err("%s", e.s);
		return 1;
	}
	lines = print_table(&c);
	csv_free(&c);
	if (lines)
		return 0;
	log_err("%s: no run with a ceiling to compare with; run with run.ceilings = disk, client",
		dir);
	return 1;
}
