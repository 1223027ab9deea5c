/* dcn: the driver's command line. Each command is one function; what it does is in the file of that
 * name. Data goes to stdout, progress and messages to stderr. DESIGN.md section 6. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "harness/aa.h"
#include "harness/compare.h"
#include "harness/describe.h"
#include "harness/doctor.h"
#include "harness/headroom.h"
#include "harness/plot.h"
#include "harness/report.h"
#include "harness/results.h"
#include "harness/run.h"
#include "harness/testbed.h"
#include "harness/undo.h"
#include "stacks/atlas/nvme/catalog.h"
#include "stacks/atlas/nvme/vfio_bind.h"

#ifndef DCN_VERSION
#define DCN_VERSION "unknown"
#endif

#define SETS_MAX 64

static char bin_dir[256];

static const char help[] =
	"usage: dcn COMMAND ...\n"
	"\n"
	"  doctor [--json]         what this machine can measure; for what it can't: why, and the "
	"fix\n"
	"  describe FILE.exp       the resolved experiment, cells, metrics with units, what will "
	"be\n"
	"                          missing, time; takes --quick and --set as run does\n"
	"  describe --keys         every key an experiment file may hold\n"
	"  run FILE.exp            [--quick] [--set section.key=value]... [--out DIR] [--strict]\n"
	"                          [--no-plot]; prints the results folder\n"
	"  run --resume DIR        goes on at the first missing cell\n"
	"  plot DIR                figures: SVG, PDF, PNG\n"
	"  report DIR              report.html: one self-contained page\n"
	"  compare DIR_A DIR_B     ratio B / A with confidence interval, metric by metric;\n"
	"                          [--metrics a,b] [--json]\n"
	"  compare --stacks A,B DIR    two stacks of one folder, paired within blocks; --by KEY: "
	"two\n"
	"                              values of another swept key\n"
	"  aa DIR                  [--json] a stack against itself, with and without collectors: "
	"is "
	"a\n"
	"                          difference found (workloads/aa.exp)\n"
	"  headroom DIR            throughput as a share of the ceilings, each run against its "
	"block's\n"
	"  catalog DIR FILE        writes where the files of DIR lie on their disk, for "
	"atlas --device\n"
	"                          extents:FILE,...; ext4 and XFS\n"
	"  restore                 undoes what a killed run left on the system\n"
	"  --help, --version\n"
	"\n"
	"Exit: 0 ok, 1 failed, 2 usage or experiment file, 3 a claim not met, 4 a collector "
	"missing\n"
	"under --strict, 130/143 on signals.\n";

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

static int usage(const char *sentence)
{
	log_err("%s; see dcn --help", sentence);
	return 2;
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
			return c == 's' ? usage("too many --set") : 2;
	}
	o.file = optind < argc ? argv[optind] : NULL;
	if (optind + 1 < argc || !o.file == !o.resume ||
	    (o.resume && (o.quick || o.nsets || o.out)))
		return usage("run takes one experiment file, or --resume DIR alone");
	return run_experiment(&o);
}

static int cmd_describe(int argc, char **argv)
{
	static const struct option opts[] = {
		{"quick", no_argument, NULL, 'q'},
		{"set", required_argument, NULL, 's'},
		{"keys", no_argument, NULL, 'k'},
		{NULL, 0, NULL, 0},
	};
	char *sets[SETS_MAX];
	bool quick = false;
	int c, n = 0;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c == 'q')
			quick = true;
		else if (c == 's' && n < SETS_MAX)
			sets[n++] = optarg;
		else if (c == 'k')
			return describe_keys();
		else
			return 2;
	}
	if (optind + 1 != argc)
		return usage("describe takes one experiment file");
	return describe(argv[optind], quick, sets, n);
}

static int cmd_doctor(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json");

	if (argc > 1 && !json)
		return usage("doctor takes nothing but --json");
	return doctor(bin_dir, json);
}

static int cmd_plot(int argc, char **argv)
{
	struct errbuf e = {""};

	if (argc != 2)
		return usage("plot takes one results folder");
	if (summary_write(argv[1], &e) || plot_dir(argv[1], bin_dir, &e)) {
		log_err("%s", e.s);
		return 1;
	}
	return 0;
}

static int cmd_report(int argc, char **argv)
{
	struct errbuf e = {""};

	if (argc != 2)
		return usage("report takes one results folder");
	if (summary_write(argv[1], &e) || report_write(argv[1], &e)) {
		log_err("%s", e.s);
		return 1;
	}
	printf("%s/report.html\n", argv[1]);
	return 0;
}

static int cmd_compare(int argc, char **argv)
{
	static const struct option opts[] = {
		{"stacks", required_argument, NULL, 's'},
		{"by", required_argument, NULL, 'b'},
		{"metrics", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	struct compare_options o = {0};
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		char *comma = optarg ? strchr(optarg, ',') : NULL;

		if (c == 's' && comma) {
			*comma = 0;
			o.stack_a = optarg;
			o.stack_b = comma + 1;
		} else if (c == 'b') {
			o.key = optarg;
		} else if (c == 'm') {
			o.metrics = optarg;
		} else if (c == 'j') {
			o.json = true;
		} else {
			return c == 's' ? usage("--stacks takes A,B") : 2;
		}
	}
	argc -= optind;
	argv += optind;
	if (argc != 2 && !(argc == 1 && o.stack_a))
		return usage("compare takes two results folders, or --stacks A,B and one");
	o.dir_a = argv[0];
	o.dir_b = argv[argc - 1];
	return compare(&o);
}

static int cmd_aa(int argc, char **argv)
{
	bool json = argc == 3 && !strcmp(argv[1], "--json");

	if (argc != 2 + json)
		return usage("aa takes a results folder");
	return aa(argv[1 + json], json);
}

static int cmd_headroom(int argc, char **argv)
{
	return argc == 2 ? headroom(argv[1]) : usage("headroom takes a results folder");
}

static int cmd_catalog(int argc, char **argv)
{
	struct errbuf e = {""};
	int files;

	if (argc != 3)
		return usage("catalog takes a directory and the file to write");
	files = catalog_write(argv[1], argv[2], &e);
	if (files < 0) {
		log_err("%s", e.s);
		return 1;
	}
	log_info("%d files below %s in %s", files, argv[1], argv[2]);
	return 0;
}

static int cmd_restore(int argc, char **argv)
{
	struct errbuf e = {""};
	int a, b, c;

	(void)argv;
	if (argc != 1)
		return usage("restore takes no arguments");
	a = undo_restore(&e);
	if (a < 0)
		log_err("%s", e.s);
	b = testbed_restore(&e);
	if (b < 0)
		log_err("%s", e.s);
	c = nvme_vfio_restore(&e);
	if (c < 0)
		log_err("%s", e.s);
	if (a < 0 || b < 0 || c < 0)
		return 1;
	if (a + b + c)
		log_info("undone: %d things", a + b + c);
	else
		log_info("nothing to undo");
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"run", cmd_run},	  {"describe", cmd_describe}, {"doctor", cmd_doctor},
	{"plot", cmd_plot},	  {"report", cmd_report},     {"compare", cmd_compare},
	{"aa", cmd_aa},		  {"headroom", cmd_headroom}, {"catalog", cmd_catalog},
	{"restore", cmd_restore},
};

static bool has(int argc, char **argv, const char *a, const char *b)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], a) || (b && !strcmp(argv[i], b)))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	log_init("dcn", LOG_INFO);
	find_bin_dir();
	if (has(argc, argv, "--help", "-h")) {
		fputs(help, stdout);
		return 0;
	}
	if (has(argc, argv, "--version", NULL)) {
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
