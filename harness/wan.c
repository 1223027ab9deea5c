/* wan: start dcn-wan in the wan namespace with the cell's [testbed] keys, and take its counters at
 * the end. */
#include "harness/wan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/child.h"

#define READY_POLL  (20 * NSEC_PER_MSEC)
#define READY_TRIES 250

static const char *const keys[] = {"rtt",	"jitter", "loss",  "burst_loss", "reorder",
				   "duplicate", "rate",	  "queue", "segment",	 NULL};

static bool is_off(const char *text)
{
	return !*text || !strcmp(text, "0") || !strcmp(text, "none");
}

bool wan_wanted(const struct experiment *x, const struct cell *c)
{
	char name[48];

	for (int i = 0; keys[i]; i++) {
		snprintf(name, sizeof name, "testbed.%s", keys[i]);
		if (strcmp(keys[i], "queue") && !is_off(cell_text(x, c, name)))
			return true;
	}
	return false;
}

/* Until it says `ready`: before, the path would be the bare one, and nobody would notice. */
static int wait_ready(struct wan *w, const char *log, struct errbuf *e)
{
	char text[1024] = "";
	int status;

	for (int i = 0; i < READY_TRIES; i++) {
		FILE *f = fopen(log, "re");
		bool ended = child_wait(w->pid, READY_POLL, &status) != 0;
		size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

		text[n] = '\0';
		if (f)
			fclose(f);
		if (strstr(text, "ready\n"))
			return 0;
		if (ended) {
			w->pid = 0;
			text[strcspn(text, "\n")] = '\0';
			return errf(e, -ECHILD, "the WAN box ended at once: %s", text);
		}
	}
	json_decref(wan_stop(w));
	return errf(e, -ETIME, "the WAN box did not get ready in 5 s; see %s", log);
}

int wan_start(struct wan *w, const struct experiment *x, const struct cell *c,
	      const struct testbed *tb, const char *bin_dir, const char *work_dir, uint64_t seed,
	      struct errbuf *e)
{
	char prog[300], log[300], opt[16][48], num[32], name[48];
	const char *argv[32];
	struct child_spec s = {.tb = tb, .side = TESTBED_WAN, .keep_fd = -1};
	int n = 0, err;

	snprintf(prog, sizeof prog, "%s/dcn-wan", bin_dir);
	snprintf(log, sizeof log, "%s/wan.log", work_dir);
	argv[n++] = prog;
	argv[n++] = "--server-if";
	argv[n++] = tb->wan_server_if;
	argv[n++] = "--client-if";
	argv[n++] = tb->wan_client_if;
	for (int i = 0; keys[i]; i++) {
		const char *text;

		snprintf(name, sizeof name, "testbed.%s", keys[i]);
		text = cell_text(x, c, name);
		if (is_off(text))
			continue;
		snprintf(opt[i], sizeof opt[i], "--%s", keys[i]);
		for (char *p = opt[i]; *p; p++)
			*p = *p == '_' ? '-' : *p;
		argv[n++] = opt[i];
		argv[n++] = text;
	}
	snprintf(num, sizeof num, "%llu", (unsigned long long)seed);
	argv[n++] = "--seed";
	argv[n++] = num;
	argv[n] = NULL;
	s.argv = argv;
	s.err_path = log;
	snprintf(w->counts, sizeof w->counts, "%s/wan.json", work_dir);
	s.out_path = w->counts;
	unlink(log); /* a former box's */
	err = child_start(&w->pid, &s, e);
	return err ? err : wait_ready(w, log, e);
}

json_t *wan_stop(struct wan *w)
{
	if (w->pid <= 0)
		return NULL;
	child_stop(w->pid, NSEC_PER_SEC);
	w->pid = 0;
	return json_load_file(w->counts, 0, NULL);
}

void wan_warn(const json_t *counts, char *buf, size_t size)
{
	static const char *const way[] = {"down", "up"};
	static const char *const bad[] = {"bad", "no_memory", "rx_dropped", "tx_dropped"};

	for (int d = 0; d < 2; d++)
		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
			const json_t *v = json_object_get(json_object_get(counts, way[d]), bad[i]);
			size_t at = strlen(buf);

			if (json_integer_value(v) > 0)
				snprintf(buf + at, size - at,
					 "%sthe WAN box was a limit itself (%s: %s)",
					 at ? "\n" : "", way[d], bad[i]);
		}
}
