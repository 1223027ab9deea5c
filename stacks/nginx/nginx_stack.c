/* nginx_stack: the stock server. Debian's nginx with a configuration of its own (nginx_conf.c), in
 * a private directory: no file of the system's nginx is read or written. DESIGN.md sections 3
 * and 4. */
#include "stacks/nginx/nginx_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "harness/child.h"
#include "stacks/launch.h"

#define ULPS	 "/proc/sys/net/ipv4/tcp_available_ulp"
#define TLS_STAT "/proc/net/tls_stat"
#define CHECK_NS 5000000000ull

static const char *const variants[] = {"aio", "workers", "direct", "ktls", NULL};

/* /usr/sbin is in few ordinary users' PATH. */
static const char *nginx_program(char buf[256])
{
	const char *prog = child_which("nginx", buf, 256);

	return prog ? prog : child_which("/usr/sbin/nginx", buf, 256);
}

static bool nginx_caches(const char *variant)
{
	const struct nginx_variant *v = nginx_variant(variant);

	return !v || !v->direct;
}

/* Does a text file hold this word? */
static bool file_has(const char *path, const char *word)
{
	char line[4096];
	FILE *f = fopen(path, "re");
	bool found = false;

	while (!found && f && fgets(line, sizeof line, f))
		found = strstr(line, word) != NULL;
	if (f)
		fclose(f);
	return found;
}

static int ktls_check(struct errbuf *e)
{
	struct utsname u;
	char path[PATH_MAX];

	if (file_has(ULPS, "tls"))
		return 0;
	uname(&u);
	snprintf(path, sizeof path, "/lib/modules/%s/modules.dep", u.release);
	if (file_has(path, "/tls.ko"))
		return errf(e, -ENOENT,
			    "nginx:ktls: the kernel's TLS is not loaded; modprobe -a tls ctr gcm "
			    "ghash_generic aesni_intel");
	return errf(e, -EOPNOTSUPP,
		    "nginx:ktls: this kernel (%s) has no TLS: CONFIG_TLS is off; use a kernel "
		    "that has it, such as Debian's",
		    u.release);
}

/* The build options that the configuration relies on. `nginx -V` says them on stderr. */
static int build_check(const char *prog, struct errbuf *e)
{
	static const char *const needed[] = {"--with-http_ssl_module", "--with-threads"};
	static const char script[] = "exec \"$0\" -V 2>&1";
	const char *const argv[] = {"/bin/sh", "-c", script, prog, NULL};
	const struct child_spec spec = {.argv = argv, .keep_fd = -1};
	int major = 0, minor = 0, patch = 0, err;
	char *text, *version;

	err = child_capture(&spec, CHECK_NS, &text, e);
	if (err)
		return err;
	version = strstr(text, "nginx/");
	if (!version || sscanf(version, "nginx/%d.%d.%d", &major, &minor, &patch) != 3 ||
	    major * 1000000 + minor * 1000 + patch < 1021004)
		err = errf(e, -EOPNOTSUPP,
			   "%s is version %d.%d.%d; 1.21.4 or later is needed: install "
			   "Debian's package nginx-light",
			   prog, major, minor, patch);
	for (size_t i = 0; !err && i < sizeof needed / sizeof *needed; i++)
		if (!strstr(text, needed[i]))
			err = errf(e, -EOPNOTSUPP,
				   "%s was built without %s; install Debian's package "
				   "nginx-light",
				   prog, needed[i]);
	free(text);
	return err;
}

static int nginx_check(const char *variant, struct errbuf *e)
{
	const struct nginx_variant *v = nginx_variant(variant);
	char buf[256];
	const char *prog = nginx_program(buf);
	int err;

	if (!v)
		return errf(e, -EINVAL,
			    "nginx:%s: no such variant; there are aio, workers, direct, ktls",
			    variant);
	if (!prog)
		return errf(e, -ENOENT,
			    "nginx is not installed; apt-get install nginx-light, or make deps");
	err = build_check(prog, e);
	return err || !v->ktls ? err : ktls_check(e);
}

static const char *conf_path(const struct stack_env *env, char buf[320])
{
	snprintf(buf, 320, "%.300s/nginx.conf", env->work_dir);
	return buf;
}

static int plan_for(const struct stack_env *env, struct nginx_plan *plan, struct errbuf *e)
{
	const struct nginx_variant *v = nginx_variant(env->variant);
	struct rlimit files;

	if (!v)
		return errf(e, -EINVAL, "nginx:%s: no such variant", env->variant);
	getrlimit(RLIMIT_NOFILE, &files);
	return nginx_plan(plan, v, env->connections, env->workers,
			  files.rlim_max > INT_MAX ? INT_MAX : (long)files.rlim_max, e);
}

static uint64_t own_memory(const struct stack_env *env)
{
	struct nginx_plan plan;

	return plan_for(env, &plan, NULL) ? 0 : nginx_memory(&plan, env->connections, env->tls);
}

static int nginx_prepare(const struct stack_env *env, struct errbuf *e)
{
	const struct nginx_site site = {.ip = env->tb->server_ip,
					.root = env->content_dir,
					.work_dir = env->work_dir,
					.cert = env->tls ? env->cert : NULL,
					.key = env->key,
					.cpus = &env->tb->server_cpus};
	struct nginx_plan plan;
	char path[320];
	FILE *f;
	int err = plan_for(env, &plan, e);

	if (err)
		return err;
	if (strpbrk(env->content_dir, " \t;{}'\"$\\") || strpbrk(env->work_dir, " \t;{}'\"$\\"))
		return errf(e, -EINVAL,
			    "content directory '%s': nginx's configuration can't hold spaces, "
			    "quotes or ;{}$\\ in it",
			    env->content_dir);
	f = fopen(conf_path(env, path), "we");
	if (!f)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	nginx_conf(f, &plan, &site);
	if (fclose(f))
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int nginx_start(const struct stack_env *env, struct stack_proc *p, struct errbuf *e)
{
	char conf[320], buf[256];
	const char *prog = nginx_program(buf);
	const char *const argv[] = {
		prog, "-e", "stderr", "-p", env->work_dir, "-c", conf_path(env, conf), NULL};

	if (!prog)
		return errf(e, -ENOENT,
			    "nginx is not installed; apt-get install nginx-light, or make deps");
	launch_url(env, p, env->tb->server_ip);
	return launch_start(env, p, argv, e);
}

/* Connections that the kernel encrypts for, in the server's namespace (tls.rst: TlsTxSw,
 * TlsTxDevice). Read through the server process, whose namespace it is. -1 if unknown. */
static long ktls_sessions(const struct stack_proc *p)
{
	char path[64], name[64];
	long value, sum = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/net/tls_stat", (int)p->pid);
	f = fopen(path, "re");
	while (f && fscanf(f, "%63s %ld", name, &value) == 2)
		if (strcmp(name, "TlsTxSw") == 0 || strcmp(name, "TlsTxDevice") == 0)
			sum = (sum < 0 ? 0 : sum) + value;
	if (f)
		fclose(f);
	return sum;
}

/* Without the kernel's cipher modules OpenSSL falls back to user space and says nothing: the
 * handshake of the readiness probe must have been handed to the kernel. */
static int nginx_ready(const struct stack_env *env, struct stack_proc *p, struct errbuf *e)
{
	const struct nginx_variant *v = nginx_variant(env->variant);
	int err = launch_ready(env, p, e);

	if (!err && v->ktls && env->tls && ktls_sessions(p) <= 0)
		return errf(e, -EPROTO,
			    "TLS is not done by the kernel (%s counts none); modprobe -a tls ctr "
			    "gcm ghash_generic aesni_intel",
			    TLS_STAT);
	return err;
}

static json_t *nginx_stats(const struct stack_env *env, struct stack_proc *p)
{
	const struct nginx_variant *v = nginx_variant(env->variant);

	return v->ktls ? json_pack("{s:I}", "ktls_sessions", (json_int_t)ktls_sessions(p)) : NULL;
}

const struct stack_ops stack_nginx = {
	.name = "nginx",
	.variants = variants,
	.caches = nginx_caches,
	.check = nginx_check,
	.memory = own_memory,
	.prepare = nginx_prepare,
	.start = nginx_start,
	.ready = nginx_ready,
	.stats = nginx_stats,
	.stop = launch_stop,
};
