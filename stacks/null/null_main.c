/* dcn-null: a web server that answers from memory. It measures the harness: whatever a load
 * generator reaches against it, with the same TLS and the same objects, is the ceiling of the
 * client and the path, not of a server. Command line, threads, signals. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "stacks/null/null_http.h"
#include "stacks/null/null_srv.h"

#define WORKERS_MAX 64

static const char usage_text[] =
	"usage: dcn-null --ip ADDR --content DIR [--port N] [--tls-port N --cert FILE --key FILE]\n"
	"                [--workers N] [--aead NAME] [--corrupt /hot/NNNNNN]\n"
	"\n"
	"Answers GET and HEAD of /hot/NNNNNN and /cold/NNNNNN from memory, byte for byte what the\n"
	"catalogue DIR/catalog.json describes (the files themselves are not read).\n"
	"\n"
	"  --ip ADDR         IPv4 address to listen on\n"
	"  --port N          port for HTTP\n"
	"  --tls-port N      port for HTTPS (TLS 1.3, AES-128-GCM, no tickets)\n"
	"  --cert, --key F   PEM certificate chain and private key\n"
	"  --aead NAME       ipsec-mb (default) or openssl: who encrypts\n"
	"  --content DIR     where catalog.json is\n"
	"  --workers N       threads, each with its own listener (default 1)\n"
	"  --corrupt PATH    serve this object with one wrong byte: tests a client's checking\n"
	"  --help            this text\n"
	"\n"
	"Prints `ready` to stderr when it listens; ends on SIGTERM or SIGINT.\n"
	"Exit status: 0 ended by a signal, 1 failed, 2 usage.\n";

struct args {
	struct null_cfg cfg;
	const char *content, *cert, *key, *corrupt, *aead;
	int workers;
};

static int usage_error(const char *what)
{
	log_err("%s; see dcn-null --help", what);
	return 2;
}

/* A number in [lo, hi], or -1. */
static int number(const char *s, int lo, int hi)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(s, &end, 10);
	return errno || *end || end == s || v < lo || v > hi ? -1 : (int)v;
}

static int parse(int argc, char **argv, struct args *a)
{
	static const struct option opts[] = {
		{"ip", 1, 0, 'i'},	{"port", 1, 0, 'p'},	{"tls-port", 1, 0, 't'},
		{"cert", 1, 0, 'c'},	{"key", 1, 0, 'k'},	{"content", 1, 0, 'd'},
		{"workers", 1, 0, 'w'}, {"corrupt", 1, 0, 'x'}, {"aead", 1, 0, 'a'},
		{"help", 0, 0, 'h'},	{0, 0, 0, 0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		switch (o) {
		case 'i':
			a->cfg.ip = optarg;
			break;
		case 'p':
			a->cfg.port = number(optarg, 1, 65535);
			break;
		case 't':
			a->cfg.tls_port = number(optarg, 1, 65535);
			break;
		case 'c':
			a->cert = optarg;
			break;
		case 'k':
			a->key = optarg;
			break;
		case 'd':
			a->content = optarg;
			break;
		case 'w':
			a->workers = number(optarg, 1, WORKERS_MAX);
			break;
		case 'a':
			a->aead = optarg;
			break;
		case 'x':
			a->corrupt = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			return usage_error("unknown option or missing value");
		}
	}
	if (optind < argc)
		return usage_error("unexpected argument");
	if (!a->cfg.ip || !a->content)
		return usage_error("--ip and --content are required");
	if (a->cfg.port < 0 || a->cfg.tls_port < 0 || (!a->cfg.port && !a->cfg.tls_port))
		return usage_error("--port or --tls-port must be a port from 1 to 65535");
	if (a->cfg.tls_port && (!a->cert || !a->key))
		return usage_error("--tls-port needs --cert and --key");
	if (a->workers < 0)
		return usage_error("--workers must be from 1 to 64");
	return 0;
}

static void *worker(void *arg)
{
	null_srv_run(arg);
	return NULL;
}

static void raise_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int serve(struct args *a, const sigset_t *sigs)
{
	struct null_srv *srv[WORKERS_MAX] = {0};
	pthread_t th[WORKERS_MAX];
	struct errbuf e = {""};
	uint64_t one = 1;
	int n, started = 0, sig, rc = 1;

	for (n = 0; n < a->workers; n++) {
		srv[n] = null_srv_new(&a->cfg, &e);
		if (!srv[n]) {
			log_err("%s", e.s);
			goto out;
		}
	}
	for (; started < a->workers; started++)
		if (pthread_create(&th[started], NULL, worker, srv[started]) != 0) {
			log_err("cannot start thread %d", started);
			goto out;
		}
	log_info("ready");
	sigwait(sigs, &sig);
	rc = 0;
out:
	if (write(a->cfg.stop_fd, &one, sizeof one) < 0)
		_exit(1);
	for (int i = 0; i < started; i++)
		pthread_join(th[i], NULL);
	for (int i = 0; i < n; i++)
		null_srv_free(srv[i]);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {.workers = 1, .aead = "ipsec-mb", .cfg = {.corrupt = -1}};
	struct errbuf e = {""};
	sigset_t sigs;
	int rc;

	log_init("dcn-null", LOG_INFO);
	rc = parse(argc, argv, &a);
	if (rc)
		return rc;
	if (content_load(a.content, &a.cfg.content, &e) != 0) {
		log_err("%s", e.s);
		return 1;
	}
	if (a.corrupt) {
		a.cfg.corrupt = null_lookup(a.corrupt, strlen(a.corrupt), &a.cfg.content);
		if (a.cfg.corrupt < 0)
			return usage_error("--corrupt names no object of the catalogue");
	}
	a.cfg.tls = (struct tls_ctx_cfg){.cert_file = a.cert,
					 .key_file = a.key,
					 .aead = aead_find(a.aead),
					 .suites = "TLS_AES_128_GCM_SHA256"};
	if (!a.cfg.tls.aead)
		return usage_error("--aead must be ipsec-mb or openssl");
	raise_files();
	sigemptyset(&sigs);
	sigaddset(&sigs, SIGINT);
	sigaddset(&sigs, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &sigs, NULL);
	a.cfg.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a.cfg.stop_fd < 0) {
		log_err("eventfd: %s", strerror(errno));
		return 1;
	}
	rc = serve(&a, &sigs);
	close(a.cfg.stop_fd);
	return rc;
}
