/* dcn: the driver's command line. Each command is one function with its own table of options; what
 * it does is in the file of that name. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "harness/plot.h"
#include "harness/results.h"
#include "harness/run.h"
#include "harness/undo.h"

#ifndef DCN_VERSION
#define DCN_VERSION "unknown"
#endif

#define SETS_MAX 64

static char bin_dir[256];

/* Where this program is: its companions are beside it. */
static void find_bin_dir(void)
{
	ssize_t n = readlink("/proc/self/exe", bin_dir, sizeof bin_dir - 1);

	bin_dir[n > 0 ? n : 0] = 0;
	if (strrchr(bin_dir, '/'))
		*strrchr(bin_dir, '/') = 0;
	else
		strcpy(bin_dir, ".");
}

static int cmd_run(int argc, char **argv)
{
	static const struct option opts[] = {
		{"quick", no_argument, NULL, 'q'},
		{"set", required_argument, NULL, 's'},
		{"out", required_argument, NULL, 'o'},
		{"resume", required_argument, NULL, 'r'},
		{"strict", no_argument, NULL, 'S'},
		{"no-plot", no_argument, NULL, 'P'},
		{NULL, 0, NULL, 0},
	};
	struct run_options o = {.bin_dir = bin_dir};
	char *sets[SETS_MAX];
	int c;

	o.sets = sets;
	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c == 'q')
			o.quick = true;
		else if (c == 's' && o.nsets < SETS_MAX)
			sets[o.nsets++] = optarg;
		else if (c == 'o')
			o.out = optarg;
		else if (c == 'r')
			o.resume = optarg;
		else if (c == 'S')
			o.strict = true;
		else if (c == 'P')
			o.no_plot = true;
		else
			return 2;
	}
	o.file = optind < argc ? argv[optind] : NULL;
	if (optind + 1 < argc || !o.file == !o.resume ||
	    (o.resume && (o.quick || o.nsets || o.out))) {
		log_err("run takes one experiment file, or --resume DIR alone; see dcn --help");
		return 2;
	}
	return run_experiment(&o);
}

static int cmd_plot(int argc, char **argv)
{
	struct errbuf e = {""};

	if (argc != 2) {
		log_err("plot takes one results folder; see dcn --help");
		return 2;
	}
	if (summary_write(argv[1], &e) || plot_dir(argv[1], bin_dir, &e)) {
		log_err("%s", e.s);
		return 1;
	}
	return 0;
}

static int cmd_restore(int argc, char **argv)
{
	struct errbuf e = {""};
	int a, b;

	(void)argv;
	if (argc != 1) {
		log_err("restore takes no arguments");
		return 2;
	}
	a = undo_restore(&e);
	if (a < 0)
		log_err("%s", e.s);
	b = testbed_restore(&e);
	if (b < 0)
		log_err("%s", e.s);
	if (a < 0 || b < 0)
		return 1;
	log_info(a + b ? "undone: %d things" : "nothing to undo", a + b);
	return 0;
}

static const char help[] =
	"usage: dcn COMMAND ...\n"
	"\n"
	"  run [--quick] [--set section.key=value]... [--out DIR] [--strict] FILE.exp\n"
	"  run --resume DIR     goes on at the first missing cell\n"
	"  plot DIR             figures: SVG, PDF, PNG\n"
	"  restore              undoes what a killed run left on the system\n"
	"\n"
	"Exit: 0 ok, 1 failed, 2 usage or experiment file, 3 a claim not met, 4 a collector "
	"missing\n"
	"under --strict, 130/143 on signals.\n";

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"run", cmd_run},
	{"plot", cmd_plot},
	{"restore", cmd_restore},
};

int main(int argc, char **argv)
{
	log_init("dcn", LOG_INFO);
	find_bin_dir();
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(help, stdout);
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("dcn %s\n", DCN_VERSION);
		return 0;
	}
	for (unsigned int i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (argc > 1)
		log_err("there is no command '%s'; see dcn --help", argv[1]);
	else
		fputs(help, stderr);
	return 2;
}
