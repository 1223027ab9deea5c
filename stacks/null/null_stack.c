/* null_stack: dcn-null as the driver starts it. It answers from memory, with the same objects and
 * the same TLS, and so measures everything but a server: the client's and the path's ceiling. */
#include <stdio.h>

#include "stacks/launch.h"

static bool null_caches(const char *variant)
{
	(void)variant;
	return false; /* it reads no file */
}

static int null_check(const char *variant, struct errbuf *e)
{
	(void)variant;
	(void)e;
	return 0;
}

static int null_start(const struct stack_env *env, struct stack_proc *p, struct errbuf *e)
{
	char prog[512], workers[16];
	const char *argv[24] = {prog,	     "--ip",	       env->tb->server_ip, "--port", "80",
				"--content", env->content_dir, "--workers",	   workers};
	int n = 9;

	snprintf(prog, sizeof prog, "%.480s/dcn-null", env->bin_dir);
	snprintf(workers, sizeof workers, "%d", env->workers);
	if (env->tls) {
		const char *const tls[] = {"--tls-port", "443",	  "--cert",
					   env->cert,	 "--key", env->key};

		for (size_t i = 0; i < sizeof tls / sizeof *tls; i++)
			argv[n++] = tls[i];
	}
	launch_url(env, p, env->tb->server_ip);
	return launch_start(env, p, argv, e);
}

const struct stack_ops stack_null = {
	.name = "null",
	.caches = null_caches,
	.check = null_check,
	.start = null_start,
	.ready = launch_ready_line,
	.stop = launch_stop,
};
