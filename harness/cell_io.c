/* cell_io: run iowindow on the server's CPUs and take its JSON as the row (figure 6).
 *
 * One idea: the keys of its JSON are metric names already. Without a device of one's own a file in
 * the content directory is made once and read with O_DIRECT, so the content disk is measured.
 */
#include "harness/cell_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "harness/child.h"
#include "harness/interrupt.h"

#define FILE_NAME "iowindow.dat"

bool cell_io_wanted(const struct experiment *x)
{
	return !strcmp(experiment_text(x, "load.program"), "iowindow");
}

int bench_server_side(struct bench *b, const struct cell *c, const char *content_dir,
		      struct testbed *tb, struct errbuf *e)
{
	struct testbed_cfg cfg = {.steering = false, .content_dir = content_dir};

	snprintf(cfg.server_cpus, sizeof cfg.server_cpus, "%s",
		 cell_text(b->x, c, "testbed.server_cpus"));
	snprintf(cfg.client_cpus, sizeof cfg.client_cpus, "%s",
		 cell_text(b->x, c, "testbed.client_cpus"));
	snprintf(cfg.congestion, sizeof cfg.congestion, "%.15s",
		 cell_text(b->x, c, "testbed.congestion"));
	return testbed_up(tb, &cfg, e);
}

static void take(const json_t *j, struct outcome *o)
{
	const char *key, *why = json_string_value(json_object_get(j, "invalid_why"));
	json_t *v;

	json_object_foreach((json_t *)j, key, v)
	{
		if (json_is_number(v))
			metrics_set(&o->m, key, json_number_value(v));
	}
	o->ran = o->valid = true;
	if (!json_is_true(json_object_get(j, "valid")))
		outcome_invalid(o, "%s", why ? why : "iowindow calls the point invalid");
	if (json_is_true(json_object_get(j, "simulated")) && o->testbed)
		json_object_set(o->testbed, "simulated", json_object_get(j, "model"));
	if (json_is_true(json_object_get(j, "simulated")))
		snprintf(o->warning, sizeof o->warning, "simulated, not measured: %s",
			 json_string_value(json_object_get(j, "model")));
}

static json_t *run_program(struct bench *b, const struct cell *c, const struct testbed *tb,
			   uint64_t seed, struct errbuf *e)
{
	const char *device = cell_text(b->x, c, "load.device"), *engine;
	uint64_t ns = cell_ns(b->x, c, "run.warmup") + cell_ns(b->x, c, "run.duration");
	char prog[300], dev[340], num[32];
	const char *argv[] = {prog,
			      "--device",
			      dev,
			      "--size",
			      cell_text(b->x, c, "load.io_size"),
			      "--window",
			      cell_text(b->x, c, "load.window"),
			      "--threads",
			      cell_text(b->x, c, "load.threads"),
			      "--duration",
			      cell_text(b->x, c, "run.duration"),
			      "--warmup",
			      cell_text(b->x, c, "run.warmup"),
			      "--seed",
			      num,
			      "--json",
			      "--engine",
			      "native",
			      "--create",
			      cell_text(b->x, c, "content.cold"),
			      NULL};
	struct child_spec s = {.argv = argv, .tb = tb, .side = TESTBED_SERVER, .keep_fd = -1};
	char *out = NULL;
	json_t *j = NULL;

	engine = cell_text(b->x, c, "load.engine");
	argv[17] = strcmp(engine, "fio") ? "native" : "fio";
	snprintf(prog, sizeof prog, "%s/iowindow", b->bin_dir);
	snprintf(num, sizeof num, "%llu", (unsigned long long)seed);
	if (*device) {
		snprintf(dev, sizeof dev, "%s", device);
		if (strncmp(device, "uring:", 6))
			argv[18] = NULL; /* nothing to create */
	} else {
		snprintf(dev, sizeof dev, "uring:%s/" FILE_NAME, b->content_base);
	}
	if (!child_capture(&s, ns + 300 * NSEC_PER_SEC, &out, e)) {
		j = json_loads(out, 0, NULL);
		if (!json_is_object(j)) {
			json_decref(j);
			j = NULL;
			errf(e, -EPROTO, "iowindow's result is not JSON");
		}
	}
	free(out);
	return j;
}

int cell_io_run(struct bench *b, const struct cell *c, uint64_t seed, struct outcome *out,
		struct errbuf *e)
{
	uint64_t t0 = clock_ns();
	struct testbed tb;
	int err;

	memset(out, 0, sizeof *out);
	if (mkdir(b->content_base, 0755) && errno != EEXIST)
		return errf(e, -errno, "content directory %s: %s; set content.dir or DCN_CONTENT",
			    b->content_base, strerror(errno));
	err = bench_server_side(b, c, b->content_base, &tb, e);
	if (err)
		return err;
	out->server_cpus = CPU_COUNT(&tb.server_cpus);
	out->testbed = json_pack("{s:s, s:s, s:i}", "kind", "none: the disk alone", "disk", tb.disk,
				 "server_cpu_count", out->server_cpus);
	out->t_start = clock_ns();
	out->load = run_program(b, c, &tb, seed, e);
	out->t_end = clock_ns();
	testbed_down(&tb);
	if (interrupt_now())
		return errf(e, -EINTR, "interrupted");
	if (out->load)
		take(out->load, out);
	else
		outcome_invalid(out, "%s", e->s);
	out->wall_s = (double)(clock_ns() - t0) / 1e9;
	return 0;
}
