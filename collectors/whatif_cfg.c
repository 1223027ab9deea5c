/* whatif_cfg: the table of parameters, their checks, and what follows from them. */
#include "collectors/whatif_cfg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

#define AT(field) offsetof(struct whatif_cfg, field)
#define MIB	  1048576.0

const struct whatif_param whatif_params[] = {
	{"llc", WHATIF_SIZE, AT(llc), "20MiB", NULL, 65536, 4096 * MIB, "last-level cache"},
	{"ways", WHATIF_COUNT, AT(ways), "20", NULL, 1, LLC_WAYS_MAX, "of it"},
	{"ddio_ways", WHATIF_COUNT, AT(ddio_ways), "2", NULL, 0, LLC_WAYS_MAX,
	 "ways that device writes may allocate in; 0 = no DDIO"},
	{"sample", WHATIF_COUNT, AT(sample), "8", NULL, 1, 64, "simulate one set in so many"},
	{"index", WHATIF_WORD, AT(sliced), "hashed", "hashed sliced", 0, 0,
	 "hashed: a line's set is random; sliced: only its slice is (llcsim.h)"},
	{"slices", WHATIF_COUNT, AT(slices), "8", NULL, 1, 1024, "of a sliced cache"},
	{"free_list", WHATIF_WORD, AT(fifo), "lifo", "lifo fifo", 0, 0, "which buffer is reused"},
	{"tls", WHATIF_WORD, AT(tls), "on", "off on", 0, 0, "sealed in place"},
	{"min_pull", WHATIF_SIZE, AT(min_pull), "62KiB", NULL, 0, 16 * MIB,
	 "bytes the window must allow before a read starts, at most half of it; 0 = any byte, "
	 "rounded "
	 "up to records of which the rest is held"},
	{"io_window", WHATIF_COUNT, AT(io_window), "64", NULL, 1, 65536,
	 "reads outstanding, all workers together"},
	{"buffers", WHATIF_COUNT, AT(buffers), "0", NULL, 0, 1e6,
	 "in the pool; 0 = 4 x io_window, at least 256, as atlas does"},
	{"buffer_size", WHATIF_SIZE, AT(buffer_size), "64KiB", NULL, 4096, 16 * MIB,
	 "from the start of one buffer to the next"},
	{"record_size", WHATIF_SIZE, AT(record_size), "15872", NULL, 512, 16384,
	 "plaintext bytes of a TLS record"},
	{"pull", WHATIF_SIZE, AT(pull), "63488", NULL, 512, 16 * MIB, "longest read"},
	{"cores", WHATIF_COUNT, AT(cores), "0", NULL, 0, 1024,
	 "0 = as many as seal twice the line rate"},
	{"seal_rate", WHATIF_SIZE, AT(seal_rate), "8GiB", NULL, 1e6, 1e12,
	 "bytes a core seals in a second"},
	{"conn_bytes", WHATIF_SIZE, AT(conn_bytes), "1KiB", NULL, 0, MIB,
	 "state of a connection touched for each ACK"},
	{"connections", WHATIF_COUNT, AT(connections), "2000", NULL, 1, 1e6,
	 "concurrent, each always with more to send"},
	{"line_rate", WHATIF_RATE, AT(line_rate), "40Gbit", NULL, 1e6, 1e13, "of the interface"},
	{"load", WHATIF_PERCENT, AT(load), "95", NULL, 1, 100,
	 "per cent of the line rate that ACKs ask for"},
	{"rtt", WHATIF_TIME, AT(rtt), "20ms", NULL, 1e3, 1e10, "round-trip time"},
	{"ack_bytes", WHATIF_SIZE, AT(ack_bytes), "2896", NULL, 1, MIB, "acknowledged by one ACK"},
	{"disk_latency", WHATIF_TIME, AT(disk_latency), "100us", NULL, 0, 1e9,
	 "of a read, without queueing"},
	{"disk_jitter", WHATIF_PERCENT, AT(disk_jitter), "30", NULL, 0, 100, "of the latency"},
	{"disk_rate", WHATIF_RATE, AT(disk_rate), "0", NULL, 0, 1e13,
	 "of all disks; 0 = twice the line rate"},
	{"seed", WHATIF_COUNT, AT(seed), "1", NULL, 0, 9e15, "of jitter and phases"},
};
const int whatif_params_n = sizeof whatif_params / sizeof *whatif_params;

int whatif_find(const char *name)
{
	for (int i = 0; i < whatif_params_n; i++)
		if (!strcmp(whatif_params[i].name, name))
			return i;
	return -1;
}

static uint64_t *whole(struct whatif_cfg *c, const struct whatif_param *p)
{
	return (uint64_t *)(void *)((char *)c + p->at);
}

static double *fraction(struct whatif_cfg *c, const struct whatif_param *p)
{
	return (double *)(void *)((char *)c + p->at);
}

/* Which of the blank-separated words; -1 if none. */
static int word_index(const char *words, const char *text)
{
	size_t n = strlen(text);
	int i = 0;

	for (const char *p = words; *p; p += strspn(p, " "), i++) {
		size_t len = strcspn(p, " ");

		if (len == n && !memcmp(p, text, n))
			return i;
		p += len;
	}
	return -1;
}

static int parse(const struct whatif_param *p, const char *text, uint64_t *v, double *d)
{
	int err = -EINVAL, i;

	switch (p->kind) {
	case WHATIF_SIZE:
		err = units_size(text, v);
		break;
	case WHATIF_COUNT:
		err = units_count(text, v);
		break;
	case WHATIF_TIME:
		err = units_duration(text, v);
		break;
	case WHATIF_RATE:
		*v = 0;
		err = strcmp(text, "0") ? units_rate(text, v) : 0;
		break;
	case WHATIF_PERCENT:
		return units_percent(text, d);
	case WHATIF_WORD:
		i = word_index(p->words, text);
		*v = (uint64_t)(i < 0 ? 0 : i);
		return i < 0 ? -EINVAL : 0;
	}
	*d = (double)*v;
	return err;
}

int whatif_set(struct whatif_cfg *c, int param, const char *text, struct errbuf *e)
{
	static const char *const example[] = {"20MiB", "64", "100us", "40Gbit", "95", ""};
	const struct whatif_param *p = &whatif_params[param];
	uint64_t v = 0;
	double d = 0;

	if (parse(p, text, &v, &d)) {
		if (p->kind == WHATIF_WORD)
			return errf(e, -EINVAL, "%s = %s: choose from: %s", p->name, text,
				    p->words);
		return errf(e, -EINVAL, "%s = %s: write for example %s", p->name, text,
			    example[p->kind]);
	}
	if (p->kind != WHATIF_WORD && (d < p->min || d > p->max))
		return errf(e, -EINVAL, "%s = %s: out of range (%.12g to %.12g)", p->name, text,
			    p->min, p->max);
	if (p->kind == WHATIF_PERCENT)
		*fraction(c, p) = d;
	else
		*whole(c, p) = v;
	return 0;
}

static const char *rate_text(uint64_t v, char *buf, size_t len)
{
	static const struct {
		uint64_t one;
		const char *unit;
	} u[] = {{1000000000, "Gbit"}, {1000000, "Mbit"}, {1000, "kbit"}};

	for (int i = 0; i < 3; i++) {
		if (v && v % u[i].one == 0) {
			snprintf(buf, len, "%llu%s", (unsigned long long)(v / u[i].one), u[i].unit);
			return buf;
		}
	}
	snprintf(buf, len, "%llu%s", (unsigned long long)v, v ? "bit" : "");
	return buf;
}

const char *whatif_text(const struct whatif_cfg *c, int param, char *buf, size_t len)
{
	const struct whatif_param *p = &whatif_params[param];
	struct whatif_cfg copy = *c;
	uint64_t v = p->kind == WHATIF_PERCENT ? 0 : *whole(&copy, p);
	const char *w = p->words;

	switch (p->kind) {
	case WHATIF_SIZE:
		return units_size_text(v, buf, len);
	case WHATIF_TIME:
		return units_duration_text(v, buf, len);
	case WHATIF_RATE:
		return rate_text(v, buf, len);
	case WHATIF_PERCENT:
		snprintf(buf, len, "%.12g", *fraction(&copy, p));
		return buf;
	case WHATIF_WORD:
		if (v)
			w += strcspn(w, " ") + 1;
		snprintf(buf, len, "%.*s", (int)strcspn(w, " "), w);
		return buf;
	case WHATIF_COUNT:
		break;
	}
	snprintf(buf, len, "%llu", (unsigned long long)v);
	return buf;
}

double whatif_number(const struct whatif_cfg *c, int param)
{
	const struct whatif_param *p = &whatif_params[param];
	struct whatif_cfg copy = *c;

	return p->kind == WHATIF_PERCENT ? *fraction(&copy, p) : (double)*whole(&copy, p);
}

void whatif_defaults(struct whatif_cfg *c)
{
	struct errbuf e;

	memset(c, 0, sizeof *c);
	for (int i = 0; i < whatif_params_n; i++)
		whatif_set(c, i, whatif_params[i].def, &e);
}

/* ---- what follows ---- */

int whatif_resolve(struct whatif_cfg *c, struct errbuf *e)
{
	if (!c->buffers)
		c->buffers = c->io_window * 4 < 256 ? 256 : c->io_window * 4;
	if (!c->cores)
		c->cores = (2 * c->line_rate / 8 + c->seal_rate - 1) / c->seal_rate;
	if (!c->disk_rate)
		c->disk_rate = 2 * c->line_rate;
	if (c->ddio_ways > c->ways)
		return errf(e, -EINVAL, "ddio_ways = %llu: more than the cache's %llu ways",
			    (unsigned long long)c->ddio_ways, (unsigned long long)c->ways);
	if (c->pull < c->record_size || c->buffer_size < c->pull)
		return errf(e, -EINVAL, "a pull must hold a record, and a buffer a pull");
	if (c->buffers < c->io_window)
		return errf(e, -EINVAL, "buffers = %llu: fewer than the I/O window of %llu",
			    (unsigned long long)c->buffers, (unsigned long long)c->io_window);
	if (c->llc < 64 * c->ways * c->sample * c->slices)
		return errf(e, -EINVAL, "llc: smaller than one simulated set of each slice");
	return 0;
}

/* The capacity is cut to a whole number of simulated sets of all slices, by less than 64 bytes x
 * ways x sample x slices. */
int whatif_cache(struct llcsim **out, const struct whatif_cfg *c, struct errbuf *e)
{
	uint64_t unit = 64 * c->ways * c->sample * (c->sliced ? c->slices : 1);
	struct llcsim_cfg cfg = {.bytes = c->llc / unit * unit,
				 .ways = (unsigned int)c->ways,
				 .ddio = (unsigned int)c->ddio_ways,
				 .sample = (unsigned int)c->sample,
				 .index = c->sliced ? LLC_SLICED : LLC_HASHED,
				 .slices = (unsigned int)c->slices};
	int err = llcsim_new(out, &cfg);

	return err ? errf(e, err, "a cache of %llu bytes and %llu ways can't be made: %s",
			  (unsigned long long)c->llc, (unsigned long long)c->ways, strerror(-err))
		   : 0;
}

void whatif_counts(const struct llcsim *s, struct whatif_result *r)
{
	r->line = llcsim_line(s);
	for (unsigned int o = 0; o < 2; o++) {
		for (int k = 0; k < LLC_KINDS; k++) {
			struct llc_count n = *llcsim_count(s, o, (enum llc_kind)k);
			double by = n.lines ? (double)n.all / (double)n.lines : 0;

			r->count[o][k] =
				(struct llc_count){.all = n.all,
						   .lines = n.all,
						   .hits = (uint64_t)((double)n.hits * by),
						   .reads = (uint64_t)((double)n.reads * by),
						   .writes = (uint64_t)((double)n.writes * by)};
		}
	}
}
