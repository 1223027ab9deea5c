/* dcn-whatif: memory traffic of atlas on caches, windows and line rates that can't be run here.
 * Options and output; the work is in whatif*.c. Everything it prints is simulated. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "collectors/whatif_out.h"
#include "collectors/whatif_sweep.h"
#include "collectors/whatif_trace.h"

enum {
	OPT_TRACE = 256,
	OPT_DMA_AT,
	OPT_WARM,
	OPT_SWEEP,
	OPT_OUT,
	OPT_QUICK,
	OPT_PLOT,
	OPT_HELP,
	OPT_PARAM
};

#define OPTIONS_MAX 64

struct arguments {
	struct whatif_cfg cfg;
	struct whatif_replay replay;
	const char *trace[WHATIF_TRACES_MAX];
	const char *sweep, *out, *plot;
	bool quick;
};

static const char head[] =
	"usage: dcn-whatif [--PARAMETER VALUE]...\n"
	"       dcn-whatif --trace FILE... [--dma-at completion|issue] [--warm PCT] "
	"[--PARAMETER VALUE]...\n"
	"       dcn-whatif --sweep FILE.exp [--out DIR] [--quick]\n"
	"       dcn-whatif --plot DIR\n"
	"\n"
	"Simulates the last-level cache under atlas's I/O buffers and counts what reaches DRAM.\n"
	"The touches come from a model of atlas, or from a trace that `atlas --trace` recorded.\n"
	"Prints one JSON object; with --sweep, writes a results folder and draws it. Nothing is\n"
	"measured.\n"
	"\n"
	"  --trace FILE          replay this; several: one a worker, merged by time\n"
	"  --dma-at WHEN         when a disk's data is written: completion (seen), or issue\n"
	"  --warm PCT            first part of a trace that only warms the cache (50)\n"
	"  --sweep FILE          all cells of an experiment of the model, into a results folder\n"
	"  --out DIR             that folder (results/whatif/TIME)\n"
	"  --quick               a smaller version of it\n"
	"  --plot DIR            draw such a folder again: SVG, PDF, PNG\n"
	"  --help  --version\n"
	"\n"
	"Parameters (of a trace, only those of the cache are used):\n";

static int help(void)
{
	char name[40];

	fputs(head, stdout);
	for (int i = 0; i < whatif_params_n; i++) {
		const struct whatif_param *p = &whatif_params[i];

		snprintf(name, sizeof name, "--%s", p->name);
		for (char *s = name; *s; s++)
			*s = *s == '_' ? '-' : *s;
		printf("  %-20s  %s%s%s (%s)\n", name, p->help, p->words && *p->help ? "; " : "",
		       p->words ? p->words : "", p->def);
	}
	return 0;
}

static void long_options(struct option *o, char (*names)[40])
{
	static const struct option fixed[] = {
		{"trace", 1, NULL, OPT_TRACE}, {"dma-at", 1, NULL, OPT_DMA_AT},
		{"warm", 1, NULL, OPT_WARM},   {"sweep", 1, NULL, OPT_SWEEP},
		{"out", 1, NULL, OPT_OUT},     {"quick", 0, NULL, OPT_QUICK},
		{"plot", 1, NULL, OPT_PLOT},   {"help", 0, NULL, OPT_HELP},
		{"version", 0, NULL, 'V'},
	};
	int n = sizeof fixed / sizeof *fixed;

	memcpy(o, fixed, sizeof fixed);
	for (int i = 0; i < whatif_params_n; i++) {
		snprintf(names[i], sizeof names[i], "%s", whatif_params[i].name);
		for (char *s = names[i]; *s; s++)
			*s = *s == '_' ? '-' : *s;
		o[n++] = (struct option){names[i], 1, NULL, OPT_PARAM + i};
	}
	o[n] = (struct option){NULL, 0, NULL, 0};
}

static int one(struct arguments *a, int opt, struct errbuf *e)
{
	if (opt >= OPT_PARAM)
		return whatif_set(&a->cfg, opt - OPT_PARAM, optarg, e);
	switch (opt) {
	case OPT_TRACE:
		if (a->replay.paths == WHATIF_TRACES_MAX)
			return errf(e, -EINVAL, "more than %d traces", WHATIF_TRACES_MAX);
		a->trace[a->replay.paths++] = optarg;
		return 0;
	case OPT_DMA_AT:
		a->replay.dma_at_issue = !strcmp(optarg, "issue");
		if (!a->replay.dma_at_issue && strcmp(optarg, "completion"))
			return errf(e, -EINVAL, "--dma-at %s: completion or issue", optarg);
		return 0;
	case OPT_WARM:
		return units_percent(optarg, &a->replay.warm_pct)
			       ? errf(e, -EINVAL, "--warm %s: 0 to 100", optarg)
			       : 0;
	case OPT_SWEEP:
		a->sweep = optarg;
		return 0;
	case OPT_OUT:
		a->out = optarg;
		return 0;
	case OPT_QUICK:
		a->quick = true;
		return 0;
	case OPT_PLOT:
		a->plot = optarg;
		return 0;
	default:
		return errf(e, -EINVAL, "unknown option, or one without its value");
	}
}

/* 0, 1: answered, or -EINVAL. */
static int parse(struct arguments *a, int argc, char **argv, struct errbuf *e)
{
	struct option opts[OPTIONS_MAX];
	char names[OPTIONS_MAX][40];
	int opt, err;

	whatif_defaults(&a->cfg);
	a->replay = (struct whatif_replay){.path = a->trace, .warm_pct = 50};
	long_options(opts, names);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", opts, NULL)) != -1) {
		if (opt == OPT_HELP)
			return help() + 1;
		if (opt == 'V')
			return printf("dcn-whatif %s\n", DCN_VERSION) ? 1 : 1;
		err = one(a, opt, e);
		if (err)
			return err;
	}
	if (optind < argc)
		return errf(e, -EINVAL, "%s: what is this?", argv[optind]);
	if ((!a->sweep && (a->out || a->quick)) || (a->sweep && a->replay.paths))
		return errf(e, -EINVAL, "--out and --quick belong to --sweep, --trace does not");
	return whatif_resolve(&a->cfg, e);
}

/* Where plots/ is: $DCN_PLOTS, beside the build tree, or installed. */
static const char *scripts(char *buf, size_t len)
{
	static const char *const rel[] = {"../plots", "../../plots", "../share/dcn/plots"};
	char bin[2048], probe[2200];
	ssize_t n = readlink("/proc/self/exe", bin, sizeof bin - 1);

	if (getenv("DCN_PLOTS"))
		return getenv("DCN_PLOTS");
	bin[n > 0 ? n : 0] = 0;
	if (strrchr(bin, '/'))
		*strrchr(bin, '/') = 0;
	for (int i = 0; i < 3; i++) {
		snprintf(buf, len, "%s/%s", bin, rel[i]);
		snprintf(probe, sizeof probe, "%.2100s/whatif.gp", buf);
		if (!access(probe, R_OK))
			break;
	}
	return buf;
}

/* results/whatif/TIME below the current directory. */
static void default_out(struct arguments *a, char *buf, size_t len)
{
	time_t now = time(NULL);
	struct tm tm;
	size_t n;

	mkdir("results", 0755); /* if it can't be made, whatif_sweep() says so */
	mkdir("results/whatif", 0755);
	n = (size_t)snprintf(buf, len, "results/whatif/");
	strftime(buf + n, len - n, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	a->out = buf;
}

static int sweep(struct arguments *a, struct errbuf *e)
{
	static char out[64];
	static struct whatif_exp x;
	int err = whatif_exp_load(&x, a->sweep, a->quick, e);

	if (err)
		return err;
	if (!a->out)
		default_out(a, out, sizeof out);
	return whatif_sweep(&x, a->out, e);
}

static int single(const struct arguments *a, struct errbuf *e)
{
	struct whatif_result r;
	json_t *j;
	int err = a->replay.paths ? whatif_replay(&a->cfg, &a->replay, &r, e)
				  : whatif_run(&a->cfg, &r, e);

	if (err)
		return err;
	j = whatif_json(&a->cfg, &r, a->replay.paths ? a->trace[0] : NULL);
	if (!j || json_dumpf(j, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) ||
	    putchar('\n') == EOF || fflush(stdout))
		err = errf(e, -EIO, "the result can't be written to stdout");
	json_decref(j);
	return err;
}

int main(int argc, char **argv)
{
	static struct arguments a;
	struct errbuf e = {""};
	char dir[2200];
	int err = parse(&a, argc, argv, &e);

	log_init("dcn-whatif", LOG_INFO);
	if (err > 0)
		return 0;
	if (err) {
		log_err("%s; see dcn-whatif --help", e.s);
		return 2;
	}
	if (a.sweep)
		err = sweep(&a, &e);
	if (!err && (a.sweep || a.plot))
		err = whatif_plot(a.sweep ? a.out : a.plot, scripts(dir, sizeof dir), &e);
	if (!err && !a.sweep && !a.plot)
		err = single(&a, &e);
	if (err) {
		log_err("%s", e.s);
		return err == -EINVAL && a.sweep ? 2 : 1;
	}
	if (a.sweep)
		printf("%s\n", a.out);
	return 0;
}
