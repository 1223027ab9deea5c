/* opts: the command line of iowindow. Every option is checked here, in sentences. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "workloads/iowindow/iowindow.h"

static const char help[] =
	"usage: iowindow --device DEVICE [options]\n"
	"Random reads with a fixed number outstanding; latency, throughput and what they cost.\n\n"
	"  --device DEV     uring:/path (file or block device), sim:p3700, vfio:0000:01:00.0,\n"
	"                   passthru:/dev/ng0n1, diskmap:0\n"
	"  --size BYTES     of a read (16KiB)\n"
	"  --window N       reads outstanding, over all threads (128)\n"
	"  --threads N      a queue pair each (1)\n"
	"  --batch N        completions to wait for at a time, per thread (1)\n"
	"  --duration TIME  measured (3s)\n"
	"  --warmup TIME    before (500ms)\n"
	"  --seed N         of the offsets (1)\n"
	"  --poll           never sleep\n"
	"  --engine E       native, or fio: the same point by fio's io_uring engine\n"
	"  --create BYTES   make the file of uring:/path if it is missing or shorter\n"
	"  --json           one JSON object on stdout\n";

static int get_engine(const char *val, struct iowindow_opts *o, struct errbuf *e)
{
	o->fio = !strcmp(val, "fio");
	if (!o->fio && strcmp(val, "native"))
		return errf(e, -EINVAL, "--engine %s: known are native and fio", val);
	return 0;
}

static int check(const struct iowindow_opts *o, struct errbuf *e)
{
	if (!o->device)
		return errf(e, -EINVAL, "name the device to read: --device uring:/path");
	if (o->threads < 1 || o->threads > IOWINDOW_THREADS_MAX)
		return errf(e, -EINVAL, "--threads %" PRIu64 ": 1 to %d are possible", o->threads,
			    IOWINDOW_THREADS_MAX);
	if (o->window < o->threads || o->window > IOWINDOW_MAX)
		return errf(e, -EINVAL,
			    "--window %" PRIu64
			    ": at least one a thread and at most %d are possible",
			    o->window, IOWINDOW_MAX);
	if (o->size < 512 || o->size > 16 << 20 || o->size % 512)
		return errf(e, -EINVAL,
			    "--size %" PRIu64 ": a multiple of 512 up to 16MiB is possible",
			    o->size);
	if (o->batch < 1 || o->batch > o->window / o->threads)
		return errf(e, -EINVAL,
			    "--batch %" PRIu64 ": 1 to the window of one thread (%" PRIu64 ")",
			    o->batch, o->window / o->threads);
	if (!o->duration_ns)
		return errf(e, -EINVAL, "--duration must be longer than 0");
	if ((o->fio || o->create) && strncmp(o->device, "uring:/", 7))
		return errf(e, -EINVAL, "%s needs --device uring:/path, not %s",
			    o->fio ? "--engine fio" : "--create", o->device);
	return 0;
}

int iowindow_parse(int argc, char **argv, struct iowindow_opts *o, struct errbuf *e)
{
	static const struct option opts[] = {
		{"device", 1, 0, 'd'}, {"size", 1, 0, 's'},
		{"window", 1, 0, 'w'}, {"threads", 1, 0, 't'},
		{"batch", 1, 0, 'b'},  {"duration", 1, 0, 'D'},
		{"warmup", 1, 0, 'W'}, {"seed", 1, 0, 'S'},
		{"engine", 1, 0, 'e'}, {"create", 1, 0, 'c'},
		{"json", 0, 0, 'j'},   {"poll", 0, 0, 'p'},
		{"help", 0, 0, 'h'},   {0},
	};
	int c, at = 0, err = 0;

	*o = (struct iowindow_opts){.size = 16384,
				    .window = 128,
				    .threads = 1,
				    .batch = 1,
				    .seed = 1,
				    .duration_ns = 3000000000,
				    .warmup_ns = 500000000};
	opterr = 0;
	optind = 1;
	while (!err && (c = getopt_long(argc, argv, "", opts, &at)) != -1) {
		switch (c) {
		case 'd':
			o->device = optarg;
			break;
		case 's':
			err = units_size(optarg, &o->size);
			break;
		case 'c':
			err = units_size(optarg, &o->create);
			break;
		case 'w':
			err = units_count(optarg, &o->window);
			break;
		case 't':
			err = units_count(optarg, &o->threads);
			break;
		case 'b':
			err = units_count(optarg, &o->batch);
			break;
		case 'S':
			err = units_count(optarg, &o->seed);
			break;
		case 'D':
			err = units_duration(optarg, &o->duration_ns);
			break;
		case 'W':
			err = units_duration(optarg, &o->warmup_ns);
			break;
		case 'e':
			if (get_engine(optarg, o, e))
				return -EINVAL;
			break;
		case 'j':
			o->json = true;
			break;
		case 'p':
			o->poll = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		default:
			return errf(e, -EINVAL, "unknown or incomplete option %s: see --help",
				    argv[optind - 1]);
		}
		if (err)
			return errf(e, -EINVAL, "--%s %s is not a value with its unit: see --help",
				    opts[at].name, optarg);
	}
	if (optind < argc)
		return errf(e, -EINVAL, "\"%s\" is no option: see --help", argv[optind]);
	return check(o, e);
}
