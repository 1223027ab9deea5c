/* ceilings: limits measured by tools that are not the stacks under test.
 *
 * One idea: a ceiling has a key (what it depends on: for the client TLS, connections and the path),
 * and each different key among the cells is measured once a block. A ceiling that can't be measured
 * is journalled as missing with its reason.
 */
#include "harness/ceilings.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "harness/cell_io.h"
#include "harness/child.h"
#include "harness/interrupt.h"

static bool wanted(const struct bench *b, const char *kind)
{
	const char *list = experiment_text(b->x, "run.ceilings"), *p = strstr(list, kind);

	return p && (p == list || strchr(", \t", p[-1]));
}

static void path_key(const struct bench *b, const struct cell *c, char *key, size_t len)
{
	static const char *const path[] = {"rtt",     "jitter",	   "loss", "burst_loss",
					   "reorder", "duplicate", "rate", "queue",
					   "segment", "steering"};
	size_t at = 0;
	char name[48];

	key[0] = 0;
	for (int i = 0; i < 10 && at < len; i++) {
		snprintf(name, sizeof name, "testbed.%s", path[i]);
		if (experiment_axis_of(b->x, setting_find_name(name)))
			at += (size_t)snprintf(key + at, len - at, " %s=%s", path[i],
					       cell_text(b->x, c, name));
	}
}

static void client_key(const struct bench *b, const struct cell *c, char *key, size_t len)
{
	char path[64];

	path_key(b, c, path, sizeof path);
	snprintf(key, len, "tls=%s connections=%s size=%s engine=%s%s",
		 cell_text(b->x, c, "load.tls"), cell_text(b->x, c, "load.connections"),
		 cell_text(b->x, c, "content.object_size"), cell_text(b->x, c, "load.engine"),
		 path);
}

static void disk_key(const struct bench *b, const struct cell *c, char *key, size_t len)
{
	snprintf(key, len, "size=%s", cell_text(b->x, c, "content.object_size"));
}

/* fio's JSON -> Gb/s. Some versions print notes before the object. */
static double fio_gbps(const char *text, struct errbuf *e)
{
	const char *start = strchr(text, '{');
	json_t *j = start ? json_loads(start, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	const json_t *job = json_array_get(json_object_get(j, "jobs"), 0);
	const json_t *bw = json_object_get(json_object_get(job, "read"), "bw_bytes");
	double v = json_is_number(bw) ? json_number_value(bw) * 8 / 1e9 : NAN;

	json_decref(j);
	if (!(v > 0)) {
		errf(e, -EPROTO, "fio's result can't be read");
		return NAN;
	}
	return v;
}

/* One way to read the content: request size in bytes, requests in flight. */
struct pattern {
	uint64_t block;
	unsigned depth;
};

static double fio_pattern(struct bench *b, const struct pattern *p, uint64_t ns,
			  const struct testbed *tb, struct errbuf *e)
{
	char dir[360], runtime[32], block[32], depth[32], files[32];
	const char *argv[] = {"fio",
			      "--name=ceiling",
			      dir,
			      "--rw=randread",
			      block,
			      "--direct=1",
			      depth,
			      "--ioengine=io_uring",
			      "--thread",
			      "--time_based",
			      runtime,
			      "--norandommap",
			      files,
			      "--output-format=json",
			      "--file_service_type=random",
			      "--ramp_time=300ms",
			      "--mem=malloc",
			      NULL};
	struct child_spec s = {.argv = argv,
			       .env = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
			       .side = TESTBED_SERVER,
			       .keep_fd = -1,
			       .tb = tb};
	double v = NAN;
	char *out;

	snprintf(dir, sizeof dir, "--opendir=%s/cold", b->content_dir);
	snprintf(runtime, sizeof runtime, "--runtime=%llums",
		 (unsigned long long)(ns / NSEC_PER_MSEC));
	snprintf(block, sizeof block, "--bs=%llu", (unsigned long long)p->block);
	snprintf(depth, sizeof depth, "--iodepth=%u", p->depth);
	snprintf(files, sizeof files, "--openfiles=%u",
		 b->content.cold < 15000 ? b->content.cold : 15000);
	if (!child_capture(&s, ns + 60 * NSEC_PER_SEC, &out, e))
		v = fio_gbps(out, e);
	free(out);
	return v;
}

/* What a disk gives depends on the shape of the requests: the best of many of 64 KiB, of some whole
 * objects (neighbouring reads of an object merge into these) and of many is the ceiling. fio's
 * buffers are asked to be in huge pages, as atlas's are: on a virtual disk that alone gave 1.2
 * to 1.7 times as much. */
static double measure_disk(struct bench *b, const struct cell *c, struct errbuf *e)
{
	uint64_t ns = cell_ns(b->x, c, "run.duration"), size = b->content.object_size, whole;
	struct pattern p[3] = {{.block = 65536, .depth = 64}, {.depth = 16}, {.depth = 128}};
	struct testbed tb;
	double best = NAN;

	if (size < 4096)
		return errf(e, -EINVAL,
			    "objects are smaller than a block: fio can't read them directly"),
		       NAN;
	while (p[0].block > size && p[0].block > 4096)
		p[0].block /= 2;
	whole = size / 4096 * 4096;
	p[1].block = p[2].block = whole < 1 << 20 ? whole : 1 << 20;
	ns = ns > 3 * NSEC_PER_SEC ? 3 * NSEC_PER_SEC : ns;
	if (bench_server_side(b, c, b->content_dir, &tb, e))
		return NAN;
	for (int i = 0; i < 2 && !interrupt_now(); i++) {
		double v =
			p[1].block > p[0].block || i == 0 ? fio_pattern(b, &p[i], ns, &tb, e) : NAN;

		if (!(v <= best) && isfinite(v))
			best = v;
	}
	testbed_down(&tb);
	return best;
}

/* The best back end for the suite that both sides negotiate; NAN if none. */
static double fastest_aead(const json_t *j)
{
	const json_t *one;
	double best = NAN;
	size_t i;

	json_array_foreach(json_object_get(j, "results"), i, one)
	{
		const char *suite = json_string_value(json_object_get(one, "suite"));
		double v = json_number_value(json_object_get(one, "gbps"));

		if (suite && strstr(suite, "128") && !(v <= best))
			best = v;
	}
	return best;
}

static double measure_crypto(struct bench *b, const struct cell *c, struct errbuf *e)
{
	char prog[300];
	const char *argv[] = {prog, "--json", NULL};
	struct child_spec s = {.argv = argv, .side = TESTBED_SERVER, .keep_fd = -1};
	struct testbed tb;
	double v = NAN;
	json_t *j = NULL;
	char *out = NULL;
	int cpus;

	snprintf(prog, sizeof prog, "%s/aead-bench", b->bin_dir);
	if (!child_which(prog, (char[300]){0}, 300)) {
		errf(e, -ENOENT, "aead-bench is not built; run make");
		return NAN;
	}
	if (bench_server_side(b, c, b->content_dir, &tb, e))
		return NAN;
	s.tb = &tb;
	cpus = CPU_COUNT(&tb.server_cpus);
	if (!child_capture(&s, 60 * NSEC_PER_SEC, &out, e)) {
		j = json_loads(out, JSON_DISABLE_EOF_CHECK, NULL);
		v = fastest_aead(j) * cpus; /* it runs on one core */
		if (!(v > 0))
			errf(e, -EPROTO, "aead-bench gives no result for AES-128-GCM");
	}
	json_decref(j);
	free(out);
	testbed_down(&tb);
	return v;
}

/* The null server costs CPU as well. Where the client was not at its limit, that server was, and
 * the client could do more. */
static int measure_client(struct bench *b, const struct cell *c, int block, double *v,
			  bool *at_least, struct errbuf *e)
{
	struct outcome o;
	int err = cell_run(b, c, "null", false,
			   cell_count(b->x, c, "run.seed") + 7919 * (uint64_t)(block + 1), &o, e);

	*v = NAN;
	*at_least = false;
	if (!err && o.valid) {
		*v = metrics_get(&o.m, "net_gbps");
		*at_least = !(metrics_get(&o.m, "client_limited") > 0);
	} else if (!err) {
		errf(e, -EIO, "null stack: %.180s", o.whys ? o.why[0] : "no result");
	}
	outcome_free(&o);
	return err;
}

static int record(struct results *r, int block, const char *kind, const char *key, double v,
		  bool at_least, const char *why, struct errbuf *e)
{
	struct ledger_ceiling j = {.block = block, .gbps = v, .at_least = at_least};
	int err;

	if (!isfinite(v) && interrupt_now()) /* not missing: not finished */
		return errf(e, -EINTR, "interrupted");
	snprintf(j.kind, sizeof j.kind, "%s", kind);
	snprintf(j.key, sizeof j.key, "%s", key);
	if (!isfinite(v))
		snprintf(j.why, sizeof j.why, "%.199s", why);
	if (isfinite(v))
		log_info("block %d, ceiling %s (%s): %s%.2f Gb/s", block + 1, kind, key,
			 at_least ? "at least " : "", v);
	else
		log_warn("block %d, ceiling %s (%s): %s", block + 1, kind, key, j.why);
	err = ledger_add_ceiling(&r->ledger, &j);
	return err ? errf(e, err, "%s/journal: %s", r->dir, strerror(-err)) : 0;
}

static int measure_for(struct bench *b, const struct cell *c, int block, struct results *r,
		       struct errbuf *e)
{
	bool tls = cell_on(b->x, c, "load.tls"), at_least;
	struct errbuf why = {""};
	char key[96];
	double v;
	int err = bench_content(b, c, e);

	if (err)
		return err;
	disk_key(b, c, key, sizeof key);
	if (wanted(b, "disk") && !ledger_ceiling(&r->ledger, block, "disk", key)) {
		v = measure_disk(b, c, &why);
		err = record(r, block, "disk", key, v, false, why.s, e);
	}
	if (!err && wanted(b, "crypto") && tls &&
	    !ledger_ceiling(&r->ledger, block, "crypto", "")) {
		v = measure_crypto(b, c, &why);
		err = record(r, block, "crypto", "", v, false, why.s, e);
	}
	client_key(b, c, key, sizeof key);
	if (!err && !interrupt_soon() && wanted(b, "client") &&
	    !ledger_ceiling(&r->ledger, block, "client", key)) {
		err = measure_client(b, c, block, &v, &at_least, &why);
		if (err)
			return errf(e, err, "%s", why.s);
		err = record(r, block, "client", key, v, at_least, why.s, e);
	}
	return err;
}

int ceilings_measure(struct bench *b, const struct cell *cells, int n, int block, struct results *r,
		     struct errbuf *e)
{
	int *order = calloc((size_t)n, sizeof *order), err = 0;

	if (!order)
		return errf(e, -ENOMEM, "out of memory");
	sweep_order(cell_count(b->x, &cells[0], "run.seed") + 1000003, block, order, n);
	for (int i = 0; i < n && !err && !interrupt_soon(); i++)
		err = measure_for(b, &cells[order[i]], block, r, e);
	free(order);
	return err;
}

int ceilings_count(const struct bench *b, const struct cell *cells, int n)
{
	char key[96], other[96];
	int count = 0;

	for (int i = 0; i < n; i++) {
		bool seen = false;

		client_key(b, &cells[i], key, sizeof key);
		for (int k = 0; k < i && !seen; k++) {
			client_key(b, &cells[k], other, sizeof other);
			seen = !strcmp(key, other);
		}
		count += !seen && wanted(b, "client");
	}
	return count + wanted(b, "disk");
}

static const struct ledger_ceiling *apply(const struct ledger *j, int block, const char *kind,
					  const char *key, const char *metric, struct metrics *m)
{
	const struct ledger_ceiling *c = ledger_ceiling(j, block, kind, key);

	if (c && isfinite(c->gbps))
		metrics_set(m, metric, c->gbps);
	else
		metrics_missing(m, metric, c ? c->why : "not asked for (run.ceilings)");
	return c;
}

void ceilings_apply(const struct bench *b, const struct cell *c, int block, const struct ledger *j,
		    struct metrics *m)
{
	const struct ledger_ceiling *client;
	char key[96];

	disk_key(b, c, key, sizeof key);
	apply(j, block, "disk", key, "ceil_disk_gbps", m);
	client_key(b, c, key, sizeof key);
	client = apply(j, block, "client", key, "ceil_client_gbps", m);
	if (client && isfinite(client->gbps))
		metrics_set(m, "ceil_client_at_least", client->at_least);
	else
		metrics_missing(m, "ceil_client_at_least", "there is no client ceiling");
	if (cell_on(b->x, c, "load.tls"))
		apply(j, block, "crypto", "", "ceil_crypto_gbps", m);
	else
		metrics_missing(m, "ceil_crypto_gbps", "nothing is encrypted");
}
