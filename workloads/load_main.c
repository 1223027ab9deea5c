/* dcn-load: loads a web server over persistent connections, checks what it serves, and prints one
 * JSON object. Options, signals, output; the work is in workloads/load/. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "workloads/load/opts.h"
#include "workloads/load/result.h"
#include "workloads/load/run.h"

#define POLITE_MAX 512 /* connections closed one by one at the end */

static void on_signal(int sig)
{
	(void)sig;
	run_interrupt();
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

static int print_result(const struct run *r)
{
	json_t *o = result_json(r);
	int err = json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));

	json_decref(o);
	if (err || putchar('\n') == EOF || fflush(stdout) != 0) {
		log_err("cannot write the result to stdout");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct run run; /* large: histograms */
	struct load_opts o;
	struct errbuf e = {""};
	int err, rc;

	log_init("dcn-load", getenv("DCN_DEBUG") ? LOG_DEBUG : LOG_INFO);
	err = load_opts_parse(argc, argv, &o, &e);
	if (err > 0)
		return 0;
	if (err) {
		log_err("%s", e.s);
		return 2;
	}
	catch_signals();
	err = run_init(&run, &o, &e);
	if (!err && run_go(&run) != 0) {
		err = -EIO;
		e = run.err;
	}
	if (err)
		log_err("%s", e.s);
	rc = err ? 1 : print_result(&run);
	if (o.connections > POLITE_MAX)
		_exit(rc); /* the kernel closes faster than libcurl says good-bye: seconds */
	run_fini(&run);
	return rc;
}
