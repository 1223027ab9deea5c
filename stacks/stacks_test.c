/* stacks_test: each stack and variant in a real testbed: starts, answers, serves byte-exact objects
 * to curl, ends with all it started. And the ways a server fails: not there, dies, never answers,
 * serves something else. Stacks that this machine or build lacks are skipped with the reason. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "harness/cert.h"
#include "harness/child.h"
#include "harness/stack.h"
#include "stacks/launch.h"
#include "workloads/content.h"

static const struct content content = {.seed = 42, .object_size = 300 << 10, .hot = 3, .cold = 3};

static struct testbed tb;
static char root[64], site[96], work[96], cert[96], key[96], bin_dir[PATH_MAX];
static const char *const *opts; /* [stack] keys: name, value, ..., NULL */

static int option(const struct stack_env *env, const char *name, char *val, int size)
{
	(void)env;
	for (int i = 0; opts && opts[i]; i += 2)
		if (strcmp(opts[i], name) == 0) {
			snprintf(val, (size_t)size, "%s", opts[i + 1]);
			return 0;
		}
	return -ENOENT;
}

static struct stack_env env_of(const char *variant, bool tls)
{
	return (struct stack_env){.tb = &tb,
				  .variant = variant,
				  .content_dir = site,
				  .work_dir = work,
				  .cert = cert,
				  .key = key,
				  .tls = tls,
				  .connections = 64,
				  .workers = CPU_COUNT(&tb.server_cpus),
				  .bin_dir = bin_dir,
				  .option = option};
}

static int setup(void **state)
{
	const struct testbed_cfg cfg = {.server_cpus = "auto",
					.client_cpus = "auto",
					.congestion = "cubic",
					.steering = true,
					.content_dir = "/var/tmp"};
	const char *const ips[] = {TESTBED_SERVER_IP, TESTBED_ATLAS_IP, NULL};
	struct errbuf e = {""};
	ssize_t n;
	int err;

	(void)state;
	child_adopt();
	snprintf(root, sizeof root, "/var/tmp/dcn-stacks-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	chmod(root, 0755);
	snprintf(site, sizeof site, "%s/site", root);
	snprintf(cert, sizeof cert, "%s/cert.pem", root);
	snprintf(key, sizeof key, "%s/key.pem", root);
	n = readlink("/proc/self/exe", bin_dir, sizeof bin_dir - 1);
	if (n < 0)
		return -1;
	bin_dir[n] = '\0';
	for (int i = 0; i < 2; i++) /* BUILD/stacks/stacks_test */
		*strrchr(bin_dir, '/') = '\0';
	err = content_make(site, &content, NULL, NULL, &e);
	if (!err)
		err = cert_make(root, "ecdsa", ips, &e);
	if (!err)
		err = testbed_up(&tb, &cfg, &e);
	if (err) {
		print_message("%s\n", e.s);
		if (err == -EPERM || err == -EACCES || err == -ENOSPC)
			exit(77);
	}
	return err;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	testbed_down(&tb);
	snprintf(cmd, sizeof cmd, "rm -rf %s", root);
	return system(cmd);
}

/* Processes inside the server's namespace. */
static int inhabitants(void)
{
	char cmd[128];
	int n = -1;
	FILE *p;

	snprintf(cmd, sizeof cmd, "ip netns pids %s | wc -l", tb.server_ns);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%d", &n), 1);
	pclose(p);
	return n;
}

static void fresh_work_dir(void)
{
	snprintf(work, sizeof work, "%s/work-XXXXXX", root);
	assert_non_null(mkdtemp(work));
}

/* Fetch with curl from the client's namespace and compare every byte. */
static void fetch(const char *url, uint64_t id)
{
	char path[32], full[256], out[128];
	const char *const argv[] = {"curl",	  "--silent", "--show-error", "--fail",
				    "--max-time", "20",	      "--cacert",     cert,
				    "--output",	  out,	      full,	      NULL};
	const struct child_spec spec = {
		.argv = argv, .tb = &tb, .side = TESTBED_CLIENT, .keep_fd = -1};
	char *text, *buf = malloc(content.object_size + 1);
	struct errbuf e = {""};
	FILE *f;

	assert_non_null(buf);
	snprintf(out, sizeof out, "%s/fetched", root);
	snprintf(full, sizeof full, "%s%s", url, content_path(id, path));
	if (child_capture(&spec, 30 * NSEC_PER_SEC, &text, &e))
		fail_msg("%s: %s", full, e.s);
	free(text);
	f = fopen(out, "r");
	assert_non_null(f);
	assert_int_equal(fread(buf, 1, content.object_size + 1, f), content.object_size);
	assert_int_equal(content_check(content.seed, id, 0, buf, content.object_size), 0);
	fclose(f);
	free(buf);
}

/* Start and wait until it is ready or says why not. */
static int bring_up(const struct stack_ops *ops, const struct stack_env *env, struct stack_proc *p,
		    unsigned int limit_s, struct errbuf *e)
{
	const uint64_t end = clock_ns() + limit_s * NSEC_PER_SEC;
	int err = ops->prepare ? ops->prepare(env, e) : 0;

	memset(p, 0, sizeof *p);
	if (!err)
		err = ops->start(env, p, e);
	while (!err && (err = ops->ready(env, p, e)) == -EAGAIN && clock_ns() < end) {
		usleep(20000);
		err = 0;
	}
	return err; /* -EAGAIN: not within the limit */
}

static void serves(const struct stack_ops *ops, const char *variant, bool tls)
{
	struct stack_env env = env_of(variant, tls);
	struct stack_proc p;
	struct errbuf e = {""};
	int err = ops->check(variant, &e);

	print_message("%s%s%s %s\n", ops->name, *variant ? ":" : "", variant,
		      tls ? "TLS" : "plain");
	if (err) {
		print_message("  skipped: %s\n", e.s);
		assert_string_not_equal(e.s, "");
		return;
	}
	fresh_work_dir();
	err = bring_up(ops, &env, &p, 20, &e);
	if (err == -ENOENT) { /* not built, as in a build of the tests alone */
		print_message("  skipped: %s\n", e.s);
		return;
	}
	if (err)
		fail_msg("%s", e.s);
	for (uint32_t i = 0; i < content.hot; i++)
		fetch(p.url, i);
	for (uint32_t i = 0; i < content.cold; i++)
		fetch(p.url, CONTENT_COLD + i);
	if (ops->stats) {
		json_t *o = ops->stats(&env, &p);

		assert_true(o != NULL || ops == &stack_nginx);
		json_decref(o);
	}
	ops->stop(&env, &p);
	assert_int_equal(p.pid, 0);
	assert_int_equal(inhabitants(), 0);
	ops->stop(&env, &p); /* idempotent */
}

static void all_variants(const struct stack_ops *ops)
{
	for (int tls = 0; tls < 2; tls++) {
		serves(ops, "", tls);
		for (int i = 0; ops->variants && ops->variants[i]; i++)
			serves(ops, ops->variants[i], tls);
	}
}

static void nginx(void **state)
{
	(void)state;
	all_variants(&stack_nginx);
}

static void null(void **state)
{
	(void)state;
	all_variants(&stack_null);
}

static void atlas(void **state)
{
	static const char *const o[] = {"io_window", "32",  "record_size", "4KiB",
					"idle",	     "30s", NULL};

	(void)state;
	opts = o;
	serves(&stack_atlas, "", true);
	opts = NULL;
	all_variants(&stack_atlas);
}

/* Any server: here nginx again, started by a shell that stays its parent and with a child that
 * ignores SIGTERM: all of it must end. */
static void external(void **state)
{
	static const char conf[] =
		"daemon off; pid none.pid; error_log stderr; user root; events {} http { "
		"access_log off; server { listen 198.18.0.1:8080; root $DCN_ROOT; } }";
	static const char *const o[] = {
		"command",
		"printf '%s' \"$CONF\" | sed \"s|[$]DCN_ROOT|$DCN_ROOT|\" > {work}/c; (trap '' "
		"TERM; exec "
		"sleep 600) & PATH=$PATH:/usr/sbin nginx -p {work} -e stderr -c {work}/c; true",
		"url", "{scheme}://{ip}:8080", NULL};
	struct errbuf e;

	(void)state;
	if (stack_nginx.check("", &e))
		skip();
	setenv("CONF", conf, 1);
	opts = o;
	serves(&stack_external, "", false);
	unsetenv("CONF");
	opts = NULL;
}

static void fails(const char *command, const char *url, int want, const char *says)
{
	const char *const o[] = {"command", command, url ? "url" : NULL, url, NULL};
	struct stack_env env = env_of("", false);
	struct stack_proc p;
	struct errbuf e = {""};

	opts = o;
	fresh_work_dir();
	assert_int_equal(bring_up(&stack_external, &env, &p, want == -EAGAIN ? 1 : 20, &e), want);
	if (!strstr(e.s, says))
		fail_msg("'%s' does not say '%s'", e.s, says);
	stack_external.stop(&env, &p);
	assert_int_equal(inhabitants(), 0);
	opts = NULL;
}

static void failures(void **state)
{
	struct stack_env env = env_of("", false);
	struct stack_proc p = {0};
	struct errbuf e;

	(void)state;
	fails("nosuchserver --x", NULL, -ECHILD, "nosuchserver");
	fails("echo first; echo cannot bind >&2; exit 3", NULL, -ECHILD, "cannot bind");
	fails("exit 1", NULL, -ECHILD, "no message");
	fails("sleep 60", NULL, -EAGAIN, "refused");
	fails("sleep 60; {nosuch}", NULL, -EINVAL, "{nosuch}");
	fails("sleep 60", "https://{ip}", -EINVAL, "load.tls is off");
	fails("sleep 60", "http://localhost", -EINVAL, "IPV4");
	fails("mkdir {work}/empty; cd {work}/empty; exec python3 -m http.server -b {ip} {port}",
	      NULL, -EPROTO, "answers 404 for /hot/000000");
	opts = NULL;
	assert_int_equal(stack_external.start(&env, &p, &e), -EINVAL);
	assert_non_null(strstr(e.s, "stack.command"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nginx),    cmocka_unit_test(null),	cmocka_unit_test(atlas),
		cmocka_unit_test(external), cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
