/* opts: see opts.h. Every check of the command line is here and ends in one sentence. */
#include "workloads/load/opts.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef DCN_VERSION
#define DCN_VERSION "unknown"
#endif

#define TIME_MAX_S 86400.0

const char *const load_engine_names[] = {"curl", "sink", "mixed", NULL};
const char *const load_verify_names[] = {"off", "sampled", "all", NULL};
static const char *const mode_names[] = {"closed", "open", NULL};
static const char *const arrival_names[] = {"poisson", "uniform", NULL};

static const char help_text[] =
	"usage: dcn-load --url URL --content DIR [option]...\n"
	"\n"
	"Loads a web server over persistent connections and prints one JSON object on stdout.\n"
	"\n"
	"  --url URL             http://ADDR[:PORT] or https://ADDR[:PORT]\n"
	"  --content DIR         content directory; DIR/catalog.json says what the server serves\n"
	"  --connections N       persistent connections (default 64)\n"
	"  --duration TIME       length of the measured window (default 10s)\n"
	"  --warmup TIME         load before the window (default 2s)\n"
	"  --ramp TIME           spread the opening of connections over this time (default 0:\n"
	"                        as fast as a bounded number of handshakes at a time allows)\n"
	"  --mode closed|open    closed: each connection asks again when it has its answer;\n"
	"                        open: requests at --rate, whatever the server does (default "
	"closed)\n"
	"  --rate R              requests per second, open mode\n"
	"  --arrival poisson|uniform   gaps between planned requests, open mode (default poisson)\n"
	"  --cache-ratio P       per cent of requests that go to the hot set (default 0)\n"
	"  --verify off|sampled|all    compare bodies with the catalogue; sampled: each 64th\n"
	"                        response (default sampled); lengths are always checked\n"
	"  --engine curl|sink|mixed    curl: libcurl; sink: raw connections that count bodies\n"
	"                        without looking at them; mixed: every 16th connection is libcurl\n"
	"                        and verifies each byte, the others are sinks (default mixed)\n"
	"  --seed N              of everything random (default 1)\n"
	"  --cacert FILE         trust these certificates (PEM) instead of the system's\n"
	"  --insecure            do not verify the server's certificate\n"
	"  --warm-hot            fetch every hot object once before the warm-up\n"
	"  --residency N         before each Nth request, look whether the object's file is in "
	"this\n"
	"                        machine's page cache (default 0: never)\n"
	"  --interval TIME       distance of the samples (default 100ms)\n"
	"  --timeout TIME        give up a request after this time (default 30s)\n"
	"  --events-fd FD        write `ready`, `start T_NS`, `end T_NS` lines to this descriptor\n"
	"  --shards N            libcurl multi handles to spread connections over (default auto)\n"
	"  --help, --version\n"
	"\n"
	"TIME is a number with us, ms, s or m; without a unit, seconds.\n"
	"Exit status: 0 the run is usable (errors may be counted in it), 1 it is not, 2 usage.\n";

static const struct {
	const char *unit;
	double ns;
} time_units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"m", 60e9}};

int load_parse_time(const char *s, uint64_t *ns)
{
	char *end;
	double v;

	if (!(*s >= '0' && *s <= '9') && *s != '.')
		return -EINVAL;
	v = strtod(s, &end);
	if (end == s || !isfinite(v) || v < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof time_units / sizeof time_units[0]; i++) {
		if (strcmp(end, time_units[i].unit) != 0)
			continue;
		if (v * time_units[i].ns > TIME_MAX_S * 1e9)
			return -EINVAL;
		*ns = (uint64_t)(v * time_units[i].ns + 0.5);
		return 0;
	}
	return -EINVAL;
}

static int parse_u64(const char *s, uint64_t lo, uint64_t hi, uint64_t *out)
{
	char *end;
	unsigned long long v;

	if (!(*s >= '0' && *s <= '9'))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || *end || v < lo || v > hi)
		return -EINVAL;
	*out = v;
	return 0;
}

/* Port after the colon at p, or `dflt` if the string ends there or with a lone slash. */
static int parse_port(const char *p, int dflt, int *port)
{
	char *end;
	long v = dflt;

	if (*p == ':') {
		if (!(p[1] >= '0' && p[1] <= '9'))
			return -EINVAL;
		v = strtol(p + 1, &end, 10);
		p = end;
	}
	if (strcmp(p, "") != 0 && strcmp(p, "/") != 0)
		return -EINVAL;
	if (v < 1 || v > 65535)
		return -EINVAL;
	*port = (int)v;
	return 0;
}

static bool host_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '.' || c == '-' || c == '_';
}

int load_parse_url(const char *s, struct load_url *u, struct errbuf *e)
{
	const char *h, *end;
	size_t n;

	memset(u, 0, sizeof *u);
	if (strncmp(s, "http://", 7) == 0)
		h = s + 7;
	else if (strncmp(s, "https://", 8) == 0)
		h = s + 8, u->tls = true;
	else
		return errf(e, -EINVAL, "--url %s: must start with http:// or https://", s);
	if (*h == '[') {
		end = strchr(++h, ']');
		n = end ? (size_t)(end - h) : 0;
		u->v6_literal = true;
		if (!n || strspn(h, "0123456789abcdefABCDEF:.") < n)
			return errf(e, -EINVAL, "--url %s: no IPv6 address in the brackets", s);
		end++;
	} else {
		for (end = h; host_char(*end); end++)
			;
		n = (size_t)(end - h);
	}
	if (n == 0 || n >= sizeof u->host)
		return errf(e, -EINVAL, "--url %s: no host, or a too long one", s);
	memcpy(u->host, h, n);
	if (parse_port(end, u->tls ? 443 : 80, &u->port) != 0)
		return errf(e, -EINVAL,
			    "--url %s: after the host only :PORT (1 to 65535) may follow; paths "
			    "come from the catalogue",
			    s);
	snprintf(u->host_field, sizeof u->host_field, u->v6_literal ? "[%s]" : "%s", u->host);
	n = strlen(u->host_field);
	if (u->port != (u->tls ? 443 : 80))
		snprintf(u->host_field + n, sizeof u->host_field - n, ":%d", u->port);
	snprintf(u->base, sizeof u->base, "%s://%s", u->tls ? "https" : "http", u->host_field);
	return 0;
}

enum opt {
	O_URL = 256,
	O_CONTENT,
	O_CONNECTIONS,
	O_DURATION,
	O_WARMUP,
	O_RAMP,
	O_MODE,
	O_RATE,
	O_ARRIVAL,
	O_CACHE_RATIO,
	O_VERIFY,
	O_ENGINE,
	O_SEED,
	O_CACERT,
	O_INSECURE,
	O_WARM_HOT,
	O_RESIDENCY,
	O_INTERVAL,
	O_TIMEOUT,
	O_EVENTS_FD,
	O_SHARDS,
	O_HELP,
	O_VERSION
};

static const struct option options[] = {
	{"url", 1, 0, O_URL},
	{"content", 1, 0, O_CONTENT},
	{"connections", 1, 0, O_CONNECTIONS},
	{"duration", 1, 0, O_DURATION},
	{"warmup", 1, 0, O_WARMUP},
	{"ramp", 1, 0, O_RAMP},
	{"mode", 1, 0, O_MODE},
	{"rate", 1, 0, O_RATE},
	{"arrival", 1, 0, O_ARRIVAL},
	{"cache-ratio", 1, 0, O_CACHE_RATIO},
	{"verify", 1, 0, O_VERIFY},
	{"engine", 1, 0, O_ENGINE},
	{"seed", 1, 0, O_SEED},
	{"cacert", 1, 0, O_CACERT},
	{"insecure", 0, 0, O_INSECURE},
	{"warm-hot", 0, 0, O_WARM_HOT},
	{"residency", 1, 0, O_RESIDENCY},
	{"interval", 1, 0, O_INTERVAL},
	{"timeout", 1, 0, O_TIMEOUT},
	{"events-fd", 1, 0, O_EVENTS_FD},
	{"shards", 1, 0, O_SHARDS},
	{"help", 0, 0, O_HELP},
	{"version", 0, 0, O_VERSION},
	{0, 0, 0, 0},
};

static int pick(const char *s, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(s, names[i]) == 0)
			return i;
	return -EINVAL;
}

/* Options whose value is a word from a list; -ENOENT if `id` is another kind. */
static int set_word(struct load_opts *o, int id, const char *v)
{
	int k;

	switch (id) {
	case O_MODE:
		k = pick(v, mode_names);
		o->open_loop = k == 1;
		return k < 0 ? k : 0;
	case O_ARRIVAL:
		k = pick(v, arrival_names);
		o->arrival = k == 1 ? ARRIVAL_UNIFORM : ARRIVAL_POISSON;
		return k < 0 ? k : 0;
	case O_VERIFY:
		k = pick(v, load_verify_names);
		o->verify = k < 0 ? VERIFY_OFF : (enum load_verify)k;
		return k < 0 ? k : 0;
	case O_ENGINE:
		k = pick(v, load_engine_names);
		o->engine = k < 0 ? ENGINE_CURL : (enum load_engine)k;
		return k < 0 ? k : 0;
	default:
		return -ENOENT;
	}
}

/* Options whose value is a real number. */
static int set_real(const char *v, double lo, double hi, double *out)
{
	char *end;

	*out = strtod(v, &end);
	return end == v || *end || !(*out >= lo && *out <= hi) ? -EINVAL : 0;
}

static int set_number(struct load_opts *o, int id, const char *v)
{
	uint64_t n = 0;
	int err;

	switch (id) {
	case O_DURATION:
		return load_parse_time(v, &o->duration_ns);
	case O_WARMUP:
		return load_parse_time(v, &o->warmup_ns);
	case O_RAMP:
		return load_parse_time(v, &o->ramp_ns);
	case O_INTERVAL:
		return load_parse_time(v, &o->interval_ns);
	case O_TIMEOUT:
		return load_parse_time(v, &o->timeout_ns);
	case O_RATE:
		return set_real(v, 0.001, 1e8, &o->rate);
	case O_CACHE_RATIO:
		return set_real(v, 0, 100, &o->cache_ratio);
	case O_SEED:
		return parse_u64(v, 0, UINT64_MAX, &o->seed);
	case O_CONNECTIONS:
		err = parse_u64(v, 1, LOAD_CONN_MAX, &n);
		o->connections = (uint32_t)n;
		return err;
	case O_RESIDENCY:
		err = parse_u64(v, 0, UINT32_MAX, &n);
		o->residency = (uint32_t)n;
		return err;
	case O_SHARDS:
		err = parse_u64(v, 0, 1024, &n);
		o->shards = (uint32_t)n;
		return err;
	case O_EVENTS_FD:
		err = parse_u64(v, 0, 65535, &n);
		o->events_fd = (int)n;
		return err;
	default:
		return -ENOENT;
	}
}

static int set_option(struct load_opts *o, int id, const char *v, struct errbuf *e)
{
	int err;

	switch (id) {
	case O_URL:
		return load_parse_url(v, &o->url, e);
	case O_CONTENT:
		o->content_dir = v;
		return 0;
	case O_CACERT:
		o->cacert = v;
		return 0;
	case O_INSECURE:
		o->insecure = true;
		return 0;
	case O_WARM_HOT:
		o->warm_hot = true;
		return 0;
	}
	err = set_word(o, id, v);
	if (err == -ENOENT)
		err = set_number(o, id, v);
	if (err) {
		const char *name = "?";

		for (int i = 0; options[i].name; i++)
			if (options[i].val == id)
				name = options[i].name;
		return errf(e, -EINVAL, "--%s %s: not a value it can have; see dcn-load --help",
			    name, v);
	}
	return 0;
}

/* What only makes sense together. */
static int check(const struct load_opts *o, struct errbuf *e)
{
	if (!o->url.port)
		return errf(e, -EINVAL, "--url is required; see dcn-load --help");
	if (!o->content_dir)
		return errf(e, -EINVAL, "--content is required; see dcn-load --help");
	if (o->open_loop && o->rate <= 0)
		return errf(e, -EINVAL, "--mode open needs --rate");
	if (!o->open_loop && o->rate > 0)
		return errf(e, -EINVAL, "--rate only means something with --mode open");
	if (o->cacert && o->insecure)
		return errf(e, -EINVAL, "--cacert and --insecure exclude each other");
	if (!o->duration_ns || !o->timeout_ns)
		return errf(e, -EINVAL, "--duration and --timeout must be above 0");
	if (o->interval_ns < 1000000)
		return errf(e, -EINVAL, "--interval must be at least 1ms");
	if (o->duration_ns / o->interval_ns > 1000000)
		return errf(e, -EINVAL,
			    "--interval is too short for --duration: over 1000000 samples");
	return 0;
}

int load_opts_parse(int argc, char **argv, struct load_opts *o, struct errbuf *e)
{
	int id, err;

	*o = (struct load_opts){
		.connections = 64,
		.duration_ns = 10000000000ull,
		.warmup_ns = 2000000000ull,
		.interval_ns = 100000000ull,
		.timeout_ns = 30000000000ull,
		.verify = VERIFY_SAMPLED,
		.engine = ENGINE_MIXED,
		.seed = 1,
		.events_fd = -1,
	};
	opterr = 0;
	optind = 1;
	while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (id == ':')
			return errf(e, -EINVAL, "%s needs a value", argv[optind - 1]);
		if (id == '?')
			return errf(e, -EINVAL, "unknown option %s; see dcn-load --help",
				    argv[optind - 1]);
		if (id == O_HELP || id == O_VERSION) {
			fputs(id == O_HELP ? help_text : "dcn-load " DCN_VERSION "\n", stdout);
			return 1;
		}
		err = set_option(o, id, optarg, e);
		if (err)
			return err;
	}
	if (optind < argc)
		return errf(e, -EINVAL, "unexpected argument %s; see dcn-load --help",
			    argv[optind]);
	return check(o, e);
}
