/* options: one table of options, one place where their values are checked. */
#include "stacks/atlas/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "stacks/atlas/core.h"

static const char usage[] =
	"usage: atlas --if IFACE --ip ADDR/PREFIX --root DIR [option]...\n"
	"\n"
	"A web server that owns an IP address on an interface and serves a directory over HTTP "
	"and\n"
	"HTTPS. An ACK triggers a disk read, the data is encrypted in place while it is in the "
	"cache\n"
	"and leaves at once; there is no buffer cache and no socket buffer.\n"
	"\n"
	"  --if IFACE            network interface (AF_PACKET)\n"
	"  --ip ADDR/PREFIX      atlas's own address; the kernel must not own it\n"
	"  --gw ADDR             gateway for peers off the link\n"
	"  --root DIR            what is served\n"
	"  --device DEV          storage back end (uring:); extents:CATALOG,DEVICE serves the "
	"files "
	"of a\n"
	"                        catalogue (dcn catalog) from the device itself, without --root\n"
	"  --port N              HTTP port, 0: none (80)\n"
	"  --tls-port N          HTTPS port (443 if a certificate is given)\n"
	"  --tls-cert F          certificate chain, PEM, ECDSA P-256 or RSA\n"
	"  --tls-key F           its private key, PEM\n"
	"  --ciphers LIST        TLS 1.3 suites by preference (AES-128-GCM, AES-256-GCM)\n"
	"  --workers N           worker threads, flows spread over them (1)\n"
	"  --io-window N         most reads outstanding a worker (96)\n"
	"  --buffers N           I/O buffers of 64 KiB a worker (4 x I/O window, at least 256)\n"
	"  --record-size BYTES   plaintext bytes of a TLS record, a multiple of 512 (15872: four\n"
	"                        records fill a GSO packet)\n"
	"  --pull BYTES          longest single read (63488)\n"
	"  --fetch N             completions a turn takes (a quarter of the I/O window, at most "
	"16)\n"
	"  --min-pull BYTES      window that must open before it is read for, at most a quarter of "
	"what\n"
	"                        may be in flight (one record)\n"
	"  --max-conns N         connections a worker (20000)\n"
	"  --max-files N         files kept open a worker (16384)\n"
	"  --congestion NAME     cubic or newreno (cubic)\n"
	"  --no-pacing           send what the window allows at once\n"
	"  --idle S              close connections that were idle for S seconds (60, 0: never)\n"
	"  --spin US             look for work that long before sleeping (0)\n"
	"  --variant NAME        one design decision changed, see below\n"
	"  --stats PATH          UNIX socket that answers with statistics as JSON\n"
	"  --stats-shm FILE      the same counters in a shared file\n"
	"  --stages              count cycles by stage of a turn (half a per cent; see --stats)\n"
	"  --trace FILE          record the newest million buffer touches, written on exit\n"
	"  --help  --version\n"
	"\n"
	"Variants, also joined (copy:openssl):\n";

enum {
	OPT_IF = 256,
	OPT_IP,
	OPT_GW,
	OPT_ROOT,
	OPT_DEVICE,
	OPT_PORT,
	OPT_TLS_PORT,
	OPT_CERT,
	OPT_KEY,
	OPT_CIPHERS,
	OPT_WORKERS,
	OPT_WINDOW,
	OPT_BUFFERS,
	OPT_RECORD,
	OPT_PULL,
	OPT_MIN_PULL,
	OPT_FETCH,
	OPT_CONNS,
	OPT_FILES,
	OPT_CC,
	OPT_NOPACE,
	OPT_IDLE,
	OPT_SPIN,
	OPT_VARIANT,
	OPT_STATS,
	OPT_SHM,
	OPT_STAGES,
	OPT_TRACE,
	OPT_HELP,
	OPT_VERSION
};

static const struct option longopts[] = {
	{"if", 1, NULL, OPT_IF},
	{"ip", 1, NULL, OPT_IP},
	{"gw", 1, NULL, OPT_GW},
	{"root", 1, NULL, OPT_ROOT},
	{"device", 1, NULL, OPT_DEVICE},
	{"port", 1, NULL, OPT_PORT},
	{"tls-port", 1, NULL, OPT_TLS_PORT},
	{"tls-cert", 1, NULL, OPT_CERT},
	{"tls-key", 1, NULL, OPT_KEY},
	{"ciphers", 1, NULL, OPT_CIPHERS},
	{"workers", 1, NULL, OPT_WORKERS},
	{"io-window", 1, NULL, OPT_WINDOW},
	{"buffers", 1, NULL, OPT_BUFFERS},
	{"record-size", 1, NULL, OPT_RECORD},
	{"pull", 1, NULL, OPT_PULL},
	{"min-pull", 1, NULL, OPT_MIN_PULL},
	{"fetch", 1, NULL, OPT_FETCH},
	{"max-conns", 1, NULL, OPT_CONNS},
	{"max-files", 1, NULL, OPT_FILES},
	{"congestion", 1, NULL, OPT_CC},
	{"no-pacing", 0, NULL, OPT_NOPACE},
	{"idle", 1, NULL, OPT_IDLE},
	{"spin", 1, NULL, OPT_SPIN},
	{"variant", 1, NULL, OPT_VARIANT},
	{"stats", 1, NULL, OPT_STATS},
	{"stats-shm", 1, NULL, OPT_SHM},
	{"stages", 0, NULL, OPT_STAGES},
	{"trace", 1, NULL, OPT_TRACE},
	{"help", 0, NULL, OPT_HELP},
	{"version", 0, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static int number(const char *opt, const char *s, unsigned long min, unsigned long max,
		  unsigned int *out, struct errbuf *e)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (errno || end == s || *end || *s == '-' || v < min || v > max)
		return errf(e, -EINVAL, "--%s %s: give a number from %lu to %lu", opt, s, min, max);
	*out = (unsigned int)v;
	return 0;
}

static int address(struct options *o, const char *s, struct errbuf *e)
{
	char buf[64], *slash;
	unsigned int prefix;

	snprintf(buf, sizeof buf, "%s", s);
	slash = strchr(buf, '/');
	if (!slash)
		return errf(e, -EINVAL, "--ip %s: give ADDR/PREFIX, as in 192.0.2.2/24", s);
	*slash = '\0';
	if (ipaddr_parse(buf, &o->ip) || !ipaddr_is_v4(&o->ip))
		return errf(e, -EINVAL, "--ip %s: not an IPv4 address", s);
	if (number("ip prefix", slash + 1, 1, 32, &prefix, e))
		return -EINVAL;
	o->prefix = (int)prefix;
	return 0;
}

static int one(struct options *o, int opt, const char *name, struct errbuf *e)
{
	unsigned int v = 0;
	int err = 0;

	switch (opt) {
	case OPT_IF:
		o->ifname = optarg;
		break;
	case OPT_IP:
		return address(o, optarg, e);
	case OPT_GW:
		o->has_gw = true;
		if (ipaddr_parse(optarg, &o->gw) || !ipaddr_is_v4(&o->gw))
			return errf(e, -EINVAL, "--gw %s: not an IPv4 address", optarg);
		break;
	case OPT_ROOT:
		o->root = optarg;
		break;
	case OPT_DEVICE:
		o->device = optarg;
		break;
	case OPT_PORT:
		err = number(name, optarg, 0, 65535, &v, e);
		o->port = (uint16_t)v;
		break;
	case OPT_TLS_PORT:
		err = number(name, optarg, 0, 65535, &v, e);
		o->tls_port = (uint16_t)v;
		break;
	case OPT_CERT:
		o->cert = optarg;
		break;
	case OPT_KEY:
		o->key = optarg;
		break;
	case OPT_CIPHERS:
		o->suites = optarg;
		break;
	case OPT_WORKERS:
		return number(name, optarg, 1, WORKERS_MAX, &o->workers, e);
	case OPT_WINDOW:
		return number(name, optarg, 1, 4096, &o->io_window, e);
	case OPT_BUFFERS:
		return number(name, optarg, 4, 65536, &o->buffers, e);
	case OPT_RECORD:
		return number(name, optarg, 512, TLS_RECORD_MAX, &o->record_size, e);
	case OPT_PULL:
		return number(name, optarg, 512, BUF_BYTES, &o->pull_recs, e);
	case OPT_FETCH:
		return number(name, optarg, 1, FETCH_MAX, &o->fetch, e);
	case OPT_MIN_PULL:
		return number(name, optarg, 0, BUF_BYTES, &o->min_pull, e);
	case OPT_CONNS:
		return number(name, optarg, 1, 1000000, &o->max_conns, e);
	case OPT_FILES:
		return number(name, optarg, 16, 1000000, &o->max_files, e);
	case OPT_CC:
		if (strcmp(optarg, "cubic") && strcmp(optarg, "newreno"))
			return errf(e, -EINVAL, "--congestion %s: cubic or newreno", optarg);
		o->cc = strcmp(optarg, "cubic") ? TCP_CC_NEWRENO : TCP_CC_CUBIC;
		break;
	case OPT_NOPACE:
		o->pacing = false;
		break;
	case OPT_IDLE:
		err = number(name, optarg, 0, 86400, &v, e);
		o->idle_ns = v * NSEC_PER_SEC;
		break;
	case OPT_SPIN:
		return number(name, optarg, 0, 1000000, &o->spin_us, e);
	case OPT_VARIANT:
		o->variant = variant_find(optarg);
		if (!o->variant)
			return errf(e, -EINVAL, "--variant %s: not known; see atlas --help",
				    optarg);
		break;
	case OPT_STATS:
		o->stats = optarg;
		break;
	case OPT_SHM:
		o->stats_shm = optarg;
		break;
	case OPT_STAGES:
		o->stages = true;
		break;
	case OPT_TRACE:
		o->trace = optarg;
		break;
	default:
		return errf(e, -EINVAL, "see atlas --help");
	}
	return err;
}

static void help(void)
{
	const struct variant *v;

	fputs(usage, stdout);
	for (unsigned int i = 1; (v = variant_at(i)); i++)
		printf("  %-10s %s\n", v->name, v->text);
}

/* Everything that must fit together. */
static int check(struct options *o, struct errbuf *e)
{
	uint32_t wire;

	if (!o->ifname || !o->prefix)
		return errf(e, -EINVAL, "--if and --ip are needed; see atlas --help");
	/* a catalogue names the files; all other devices read them from a directory */
	if (!o->root && strncmp(o->device, "extents:", 8))
		return errf(e, -EINVAL, "--root is needed: what shall be served? see atlas --help");
	if (!o->cert != !o->key)
		return errf(e, -EINVAL, "--tls-cert and --tls-key belong together");
	if (o->tls_port && !o->cert)
		return errf(e, -EINVAL, "--tls-port %u needs --tls-cert and --tls-key",
			    o->tls_port);
	if (o->cert && !o->tls_port)
		o->tls_port = 443;
	if (!o->port && !o->tls_port)
		return errf(e, -EINVAL, "--port 0 without TLS leaves nothing to serve");
	if (o->port == o->tls_port)
		return errf(e, -EINVAL, "--port and --tls-port are both %u", o->port);
	if (o->record_size % 512)
		return errf(e, -EINVAL, "--record-size %u: not a multiple of 512", o->record_size);
	if (!o->buffers)
		o->buffers = o->io_window * 4 < 256 ? 256 : o->io_window * 4;
	if (o->buffers < o->io_window)
		return errf(e, -EINVAL, "--buffers %u: fewer than the I/O window of %u", o->buffers,
			    o->io_window);
	/* --pull came in as bytes; from here on it is whole records that one GSO packet carries */
	wire = o->record_size + TLS_OVERHEAD;
	o->pull_recs /= o->record_size;
	while (o->pull_recs > 1 && o->pull_recs * wire + STORED_SMALL > GSO_MAX)
		o->pull_recs--;
	if (o->pull_recs > PULL_RECS)
		o->pull_recs = PULL_RECS;
	if (!o->pull_recs)
		o->pull_recs = 1;
	if (!o->fetch)
		o->fetch = o->io_window < 4 ? 1 : o->io_window < 64 ? o->io_window / 4 : 16;
	if (o->min_pull == UINT32_MAX)
		o->min_pull = wire;
	o->max_push = o->variant->gso ? GSO_MAX : 0; /* 0: one MSS, set when the MTU is known */
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct errbuf *e)
{
	int opt, index, err;

	*o = (struct options){.port = 80,
			      .workers = 1,
			      .io_window = 96,
			      .record_size = 15872,
			      .pull_recs = 63488,
			      .min_pull = UINT32_MAX, /* one record */
			      .max_conns = 20000,
			      .max_files = 16384,
			      .idle_ns = 60 * NSEC_PER_SEC,
			      .timewait_ns = NSEC_PER_SEC,
			      .pacing = true,
			      .device = "uring:",
			      .variant = variant_find("")};
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", longopts, &index)) != -1) {
		if (opt == OPT_HELP) {
			help();
			return 1;
		}
		if (opt == OPT_VERSION) {
			printf("atlas %s\n", DCN_VERSION);
			return 1;
		}
		if (opt == ':')
			return errf(e, -EINVAL, "%s needs a value; see atlas --help",
				    argv[optind - 1]);
		if (opt == '?')
			return errf(e, -EINVAL, "%s: unknown option; see atlas --help",
				    argv[optind - 1]);
		err = one(o, opt, longopts[index].name, e);
		if (err)
			return err;
	}
	if (optind < argc)
		return errf(e, -EINVAL, "%s: what is this? see atlas --help", argv[optind]);
	return check(o, e);
}
