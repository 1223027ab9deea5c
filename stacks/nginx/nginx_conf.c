/* nginx_conf: see the header, and BASELINE.md.
 *
 * One idea: the variants differ in the two or three lines that the comparison is about; all else is
 * what somebody who runs nginx for a living would have set for large files over persistent
 * connections.
 *
 * Limits: nginx 1.21.4 or later (ssl_conf_command with KTLS), Linux.
 */
#include "stacks/nginx/nginx_conf.h"

#include <errno.h>
#include <string.h>

#define FILE_CACHE_MAX 4096
#define FILES_FIXED    128 /* listeners, epoll, eventfds, logs, channels between processes */
#define WORKERS_MAX    512
#define POOL_THREADS   32
#define WORKER_KIB     12288 /* of each process, with threads and file cache */
#define BUFFERS	       2
#define BUFFER_KIB_MAX 128
#define BUFFER_KIB_MIN 32
#define BUFFERS_MIB    256 /* of all connections together */

static const struct nginx_variant variants[] = {
	{.name = "", .per_cpu = 1},
	{.name = "aio", .aio = true, .per_cpu = 1},
	{.name = "workers", .aio = true, .per_cpu = 6},
	{.name = "direct", .aio = true, .direct = true, .per_cpu = 1},
	{.name = "ktls", .ktls = true, .per_cpu = 1},
};

const struct nginx_variant *nginx_variant(const char *name)
{
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
		if (strcmp(variants[i].name, name) == 0)
			return &variants[i];
	return NULL;
}

/* A worker's share when the kernel spreads connections by hash: the mean and some more. */
static int share(int connections, int workers)
{
	int mean = (connections + workers - 1) / workers;

	return workers == 1 ? mean : mean + mean / 8 + 32;
}

/* A read through the thread pool costs two switches, so it should be large, as far as memory
 * allows. Reads in the event loop are best with nginx's default of 32 KiB, see BASELINE.md. */
static int buffer_kib(const struct nginx_variant *v, int connections)
{
	int kib = BUFFER_KIB_MAX;

	if (!v->aio)
		return 0;
	while (kib > BUFFER_KIB_MIN && (long)connections * BUFFERS * kib > BUFFERS_MIB * 1024l)
		kib /= 2;
	return kib;
}

int nginx_plan(struct nginx_plan *plan, const struct nginx_variant *v, int connections, int cpus,
	       long nofile, struct errbuf *e)
{
	int n = v->per_cpu * cpus;

	for (; n <= WORKERS_MAX; n += cpus) {
		long room = nofile - FILES_FIXED - 2l * share(connections, n);

		if (room < FILE_CACHE_MAX &&
		    (n < WORKERS_MAX - cpus && nofile > 4 * FILE_CACHE_MAX))
			continue;
		if (room < 16)
			continue;
		plan->v = v;
		plan->workers = n;
		plan->connections = share(connections, n) + FILES_FIXED;
		plan->file_cache = room < FILE_CACHE_MAX ? (int)room : FILE_CACHE_MAX;
		plan->files = (int)nofile;
		plan->buffer_kib = buffer_kib(v, connections);
		return 0;
	}
	return errf(e, -EMFILE,
		    "nginx can't hold %d connections with %ld open files a process; raise the "
		    "limit (ulimit -n) or use fewer connections",
		    connections, nofile);
}

/* As measured: 9 KB of nginx and 40 KB of OpenSSL a connection, and the buffers where the file goes
 * through user space. */
uint64_t nginx_memory(const struct nginx_plan *plan, int connections, bool tls)
{
	const bool copied = plan->v->direct || (tls && !plan->v->ktls);
	const int kib = plan->buffer_kib ? plan->buffer_kib : BUFFER_KIB_MIN;
	const int each = 10 + (tls ? 42 : 0) + (copied ? BUFFERS * kib : 0);

	return ((uint64_t)connections * (uint64_t)each + (uint64_t)plan->workers * WORKER_KIB)
	       << 10;
}

/* worker_cpu_affinity wants a binary mask for each worker. */
static void put_affinity(FILE *f, const cpu_set_t *cpus, int workers)
{
	int top = 0, at = -1;

	for (int c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, cpus))
			top = c;
	fputs("worker_cpu_affinity", f);
	for (int w = 0; w < workers; w++) {
		do
			at = at >= top ? 0 : at + 1;
		while (!CPU_ISSET(at, cpus));
		fputc(' ', f);
		for (int c = top; c >= 0; c--)
			fputc(c == at ? '1' : '0', f);
	}
	fputs(";\n", f);
}

static void put_main(FILE *f, const struct nginx_plan *p, const struct nginx_site *s)
{
	fprintf(f,
		"daemon off;\n"
		"user root root;\n"
		"pid %s/nginx.pid;\n"
		"lock_file %s/nginx.lock;\n"
		"error_log stderr warn;\n"
		"worker_processes %d;\n"
		"worker_rlimit_nofile %d;\n",
		s->work_dir, s->work_dir, p->workers, p->files);
	if (s->cpus && CPU_COUNT(s->cpus) > 1)
		put_affinity(f, s->cpus, p->workers);
	if (p->v->aio)
		fprintf(f, "thread_pool disk threads=%d max_queue=65536;\n", POOL_THREADS);
	fprintf(f,
		"events {\n"
		"\tuse epoll;\n"
		"\tworker_connections %d;\n"
		"\tmulti_accept on;\n"
		"\taccept_mutex off;\n"
		"}\n",
		p->connections);
}

static void put_io(FILE *f, const struct nginx_plan *p)
{
	fputs("\tsendfile on;\n"
	      "\tsendfile_max_chunk 512k;\n"
	      "\ttcp_nopush on;\n"
	      "\ttcp_nodelay on;\n",
	      f);
	if (p->v->aio)
		fputs("\taio threads=disk;\n", f);
	if (p->v->direct)
		fputs("\tdirectio 512;\n", f);
	if (p->buffer_kib)
		fprintf(f, "\toutput_buffers %d %dk;\n", BUFFERS, p->buffer_kib);
	fprintf(f,
		"\topen_file_cache max=%d inactive=60s;\n"
		"\topen_file_cache_valid 60s;\n"
		"\topen_file_cache_min_uses 1;\n"
		"\topen_file_cache_errors off;\n",
		p->file_cache);
}

static void put_http(FILE *f, const struct nginx_site *s)
{
	static const char *const temps[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};

	fputs("\tdefault_type application/octet-stream;\n"
	      "\taccess_log off;\n"
	      "\tlog_not_found off;\n"
	      "\tserver_tokens off;\n"
	      "\tkeepalive_timeout 1d;\n"
	      "\tkeepalive_time 1d;\n"
	      "\tkeepalive_requests 1000000000;\n"
	      "\tclient_header_timeout 1h;\n"
	      "\tsend_timeout 1h;\n"
	      "\treset_timedout_connection on;\n",
	      f);
	for (size_t i = 0; i < sizeof temps / sizeof *temps; i++)
		fprintf(f, "\t%s_temp_path %s/%s_temp;\n", temps[i], s->work_dir, temps[i]);
}

static void put_tls(FILE *f, const struct nginx_plan *p, const struct nginx_site *s)
{
	fprintf(f,
		"\tssl_certificate %s;\n"
		"\tssl_certificate_key %s;\n"
		"\tssl_protocols TLSv1.3;\n"
		"\tssl_conf_command Ciphersuites "
		"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384;\n"
		"\tssl_prefer_server_ciphers on;\n"
		"\tssl_session_tickets off;\n"
		"\tssl_session_cache off;\n"
		"\tssl_buffer_size 16k;\n",
		s->cert, s->key);
	if (p->v->ktls)
		fputs("\tssl_conf_command Options KTLS;\n", f);
}

void nginx_conf(FILE *f, const struct nginx_plan *plan, const struct nginx_site *site)
{
	put_main(f, plan, site);
	fputs("http {\n", f);
	put_io(f, plan);
	put_http(f, site);
	if (site->cert)
		put_tls(f, plan, site);
	fprintf(f,
		"\tserver {\n"
		"\t\tlisten %s:80 backlog=65535 reuseport;\n",
		site->ip);
	if (site->cert)
		fprintf(f, "\t\tlisten %s:443 ssl backlog=65535 reuseport;\n", site->ip);
	fprintf(f,
		"\t\tserver_name _;\n"
		"\t\troot %s;\n"
		"\t\tlocation / {\n"
		"\t\t}\n"
		"\t}\n"
		"}\n",
		site->root);
}
