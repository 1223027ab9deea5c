/* meta: the facts around the numbers.
 *
 * One idea: whoever reads a results folder years later has nothing else. What can't be known is
 * left out, not guessed.
 */
#include "harness/meta.h"

#include <curl/curl.h>
#include <gnu/libc-version.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "harness/child.h"
#include "harness/facts.h"
#include "harness/registry.h"
#include "harness/undo.h"

#ifndef DCN_VERSION
#define DCN_VERSION "unknown"
#endif

static json_t *time_text(void)
{
	time_t now = time(NULL);
	struct tm tm;
	char s[32];

	gmtime_r(&now, &tm);
	strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(s);
}

/* First line that `prog -v`-like commands print on either stream; no entry if it is not there. */
static void program_version(json_t *to, const char *name, const char *command)
{
	const char *argv[] = {"sh", "-c", command, NULL};
	struct child_spec s = {.argv = argv, .keep_fd = -1};
	struct errbuf e;
	char *out;

	if (!child_capture(&s, 5 * NSEC_PER_SEC, &out, &e)) {
		out[strcspn(out, "\n")] = 0;
		if (*out)
			json_object_set_new(to, name, json_string(out));
	}
	free(out);
}

static json_t *versions(void)
{
	json_t *j = json_object();

	json_object_set_new(j, "dcn", json_string(DCN_VERSION));
	json_object_set_new(j, "openssl", json_string(OpenSSL_version(OPENSSL_VERSION)));
	json_object_set_new(j, "libcurl", json_string(curl_version_info(CURLVERSION_NOW)->version));
	json_object_set_new(j, "jansson", json_string(JANSSON_VERSION));
	json_object_set_new(j, "glibc", json_string(gnu_get_libc_version()));
	program_version(j, "nginx", "nginx -v 2>&1");
	program_version(j, "fio", "fio --version");
	program_version(j, "gnuplot", "gnuplot --version");
	return j;
}

/* Name -> sentence: what doctor says of the machine. */
static json_t *host(void)
{
	const struct facts_roots roots = {"/proc", "/sys"};
	struct findings *l = calloc(1, sizeof *l);
	json_t *j = json_object();

	if (l) {
		facts_machine(l, &roots);
		facts_kernel(l, &roots);
		facts_devices(l, &roots);
	}
	for (int i = 0; l && i < l->n; i++)
		json_object_set_new(j, l->f[i].name, json_string(l->f[i].text));
	free(l);
	return j;
}

static json_t *collectors(const struct bench *b)
{
	const char *asked = experiment_text(b->x, "collect.collectors");
	struct collector_env env = {.proc_root = "/proc",
				    .sys_root = "/sys",
				    .options = "",
				    .interval_ns = NSEC_PER_SEC,
				    .remember = undo_file,
				    .started = undo_pid};
	json_t *j = json_object();

	for (int i = 0; registry_collectors[i]; i++) {
		const struct collector_ops *ops = registry_collectors[i];
		struct errbuf why = {""};
		int err = ops->probe ? ops->probe(&env, &why) : 0;

		json_object_set_new(j, ops->name,
				    json_pack("{s:b, s:b, s:s}", "asked",
					      strstr(asked, ops->name) != NULL, "available",
					      err == 0, "why", err ? why.s : ""));
	}
	return j;
}

void meta_begin(struct results *r, const struct bench *b, const struct cell *cells, int n)
{
	json_t *list = json_array(), *m = r->meta;
	char label[200];

	for (int i = 0; i < n; i++)
		json_array_append_new(
			list, json_string(cell_label(b->x, &cells[i], label, sizeof label)));
	json_object_set_new(m, "schema", json_integer(1));
	json_object_set_new(m, "title", json_string(experiment_text(b->x, "experiment.title")));
	json_object_set_new(m, "figure", json_string(experiment_text(b->x, "experiment.figure")));
	json_object_set_new(m, "notes", json_string(experiment_text(b->x, "experiment.notes")));
	json_object_set_new(m, "source", json_string(b->x->path));
	if (!json_object_get(m, "started"))
		json_object_set_new(m, "started", time_text());
	json_object_set_new(m, "machine", machine_json(&b->machine));
	json_object_set_new(m, "host", host());
	json_object_set_new(m, "versions", versions());
	json_object_set_new(m, "collectors", collectors(b));
	json_object_set_new(m, "cells", list);
	json_object_set_new(m, "seeds",
			    json_pack("{s:s, s:s}", "run", experiment_text(b->x, "run.seed"),
				      "content", experiment_text(b->x, "content.seed")));
	json_object_set_new(m, "order",
			    json_string("randomised complete blocks; the order of block b "
					"is a function of seeds.run and b"));
}

void meta_end(struct results *r, int done, int planned, const char *ended)
{
	json_object_set_new(r->meta, "finished", time_text());
	json_object_set_new(r->meta, "runs",
			    json_pack("{s:i, s:i}", "done", done, "planned", planned));
	json_object_set_new(r->meta, "ended", json_string(ended));
}
