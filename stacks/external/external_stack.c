/* external_stack: any server, by command line and URL.
 *
 *	[stack]
 *	command = /usr/sbin/lighttpd -D -f {dir}/my.conf
 *	url     = http://{ip}:80
 *	caches  = on
 *
 * The command is run by /bin/sh in the server's namespace and must stay in the foreground. In both
 * values {ip} is the address to listen on, {root} the content directory, {work} a private scratch
 * directory, {cert} and {key} PEM files (with TLS), {workers} and {connections} numbers, {scheme}
 *http or https, {port} 80 or 443. In the command they are quoted for the shell. The same names in
 *capitals with DCN_ in front are in its environment.
 *
 * Limits: what the server needs beside that (configuration, modules) is its owner's business.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stacks/launch.h"

#define COMMAND_MAX 8192

struct field {
	const char *name;
	char value[512];
};

enum { IP, ROOT, WORK, CERT, KEY, WORKERS, CONNECTIONS, SCHEME, PORT, FIELDS };

static void fields_fill(struct field f[FIELDS], const struct stack_env *env)
{
	static const char *const names[FIELDS] = {"ip",	     "root",	    "work",   "cert", "key",
						  "workers", "connections", "scheme", "port"};
	const char *text[FIELDS] = {
		[IP] = env->tb->server_ip,	  [ROOT] = env->content_dir,
		[WORK] = env->work_dir,		  [CERT] = env->tls ? env->cert : "",
		[KEY] = env->tls ? env->key : "", [SCHEME] = env->tls ? "https" : "http",
		[PORT] = env->tls ? "443" : "80"};

	for (int i = 0; i < FIELDS; i++) {
		f[i].name = names[i];
		snprintf(f[i].value, sizeof f[i].value, "%s", text[i] ? text[i] : "");
	}
	snprintf(f[WORKERS].value, sizeof f[WORKERS].value, "%d", env->workers);
	snprintf(f[CONNECTIONS].value, sizeof f[CONNECTIONS].value, "%d", env->connections);
}

static int put(char *out, size_t size, size_t *at, char c)
{
	if (*at + 1 >= size)
		return -E2BIG;
	out[(*at)++] = c;
	out[*at] = '\0';
	return 0;
}

/* A value, in single quotes if `quote` and if it needs them. */
static int put_value(char *out, size_t size, size_t *at, const char *v, bool quote)
{
	int err = 0;

	quote = quote &&
		v[strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "/._-+:@%,=")] != '\0';
	if (quote)
		err = put(out, size, at, '\'');
	for (; *v && !err; v++) {
		if (*v == '\'' && quote)
			for (const char *q = "'\\'"; *q && !err; q++)
				err = put(out, size, at, *q);
		if (!err)
			err = put(out, size, at, *v);
	}
	return quote && !err ? put(out, size, at, '\'') : err;
}

/* Replace each {name}. An unknown one is an error that names it; "{ " and "{}" stay as they are. */
static int expand(const char *key, const char *in, const struct field f[FIELDS], bool quote,
		  char *out, size_t size, struct errbuf *e)
{
	size_t at = 0;
	int err = 0;

	out[0] = '\0';
	while (*in && !err) {
		size_t n = *in == '{' ? strspn(in + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;
		int i = 0;

		if (n == 0 || in[n + 1] != '}') {
			err = put(out, size, &at, *in++);
			continue;
		}
		while (i < FIELDS && (strlen(f[i].name) != n || strncmp(f[i].name, in + 1, n) != 0))
			i++;
		if (i == FIELDS)
			return errf(e, -EINVAL,
				    "stack.%s: {%.*s} is not known; there are {ip} {root} {work} "
				    "{cert} {key} {workers} {connections} {scheme} {port}",
				    key, (int)n, in + 1);
		err = put_value(out, size, &at, f[i].value, quote);
		in += n + 2;
	}
	return err ? errf(e, err, "stack.%s is too long", key) : 0;
}

/* Both values of the experiment, expanded. */
static int external_texts(const struct stack_env *env, char *command, char url[128],
			  struct errbuf *e)
{
	struct field f[FIELDS];
	char text[COMMAND_MAX / 4];
	int err;

	fields_fill(f, env);
	if (!env->option || env->option(env, "command", text, sizeof text))
		return errf(e, -EINVAL,
			    "stack external needs stack.command, the server's command line");
	err = expand("command", text, f, true, command, COMMAND_MAX, e);
	if (err)
		return err;
	if (env->option(env, "url", text, sizeof text))
		snprintf(text, sizeof text, "{scheme}://{ip}:{port}");
	err = expand("url", text, f, false, url, 128, e);
	if (!err && strncmp(url, env->tls ? "https://" : "http://", env->tls ? 8 : 7) != 0)
		return errf(e, -EINVAL, "stack.url = %s, but load.tls is %s", url,
			    env->tls ? "on" : "off");
	return err;
}

static bool external_caches(const char *variant)
{
	(void)variant;
	return true; /* what is not known to go round the page cache, uses it */
}

static int external_check(const char *variant, struct errbuf *e)
{
	(void)variant;
	(void)e;
	return 0; /* its command is not known yet; start says what is wrong with it */
}

/* The values for a script's convenience; set in this process around the fork. */
static void environment(const struct stack_env *env, bool set)
{
	struct field f[FIELDS];
	char name[32];

	fields_fill(f, env);
	for (int i = 0; i < FIELDS; i++) {
		snprintf(name, sizeof name, "DCN_%.20s", f[i].name);
		for (char *p = name; *p; p++)
			*p = (char)toupper((unsigned char)*p);
		if (set)
			setenv(name, f[i].value, 1);
		else
			unsetenv(name);
	}
}

static int external_start(const struct stack_env *env, struct stack_proc *p, struct errbuf *e)
{
	char *command = malloc(COMMAND_MAX);
	const char *const argv[] = {"/bin/sh", "-c", command, "external", NULL};
	int err;

	if (!command)
		return errf(e, -ENOMEM, "out of memory");
	err = external_texts(env, command, p->url, e);
	if (!err) {
		environment(env, true);
		err = launch_start(env, p, argv, e);
		environment(env, false);
	}
	free(command);
	return err;
}

const struct stack_ops stack_external = {
	.name = "external",
	.caches = external_caches,
	.check = external_check,
	.start = external_start,
	.ready = launch_ready,
	.stop = launch_stop,
};
