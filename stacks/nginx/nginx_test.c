/* nginx_test: the plan keeps within descriptors, and Debian's nginx accepts what we write. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/stack.h"
#include "stacks/nginx/nginx_conf.h"

static const char *const names[] = {"", "aio", "workers", "direct", "ktls"};

static void plans(void **state)
{
	static const struct {
		int connections, cpus;
		long nofile;
	} t[] = {{1, 1, 20000},	     {512, 1, 20000},	{2000, 1, 20000},
		 {16000, 1, 20000},  {16000, 8, 20000}, {16000, 1, 65536},
		 {100000, 4, 20000}, {900, 1, 1024},	{16000, 2, 1024}};
	struct nginx_plan p;
	struct errbuf e;

	(void)state;
	for (size_t v = 0; v < sizeof names / sizeof *names; v++)
		for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
			int each;

			assert_int_equal(nginx_plan(&p, nginx_variant(names[v]), t[i].connections,
						    t[i].cpus, t[i].nofile, &e),
					 0);
			each = (t[i].connections + p.workers - 1) / p.workers;
			assert_true(p.workers % t[i].cpus == 0);
			assert_true(p.connections > each);
			assert_true(p.files <= t[i].nofile);
			assert_true(2 * each + p.file_cache <
				    t[i].nofile); /* a file each, all different */
			assert_true(p.file_cache >= 16);
		}
	/* No more workers than needed. */
	assert_int_equal(nginx_plan(&p, nginx_variant(""), 512, 1, 20000, &e), 0);
	assert_int_equal(p.workers, 1);
	assert_int_equal(nginx_plan(&p, nginx_variant(""), 16000, 1, 20000, &e), 0);
	assert_true(p.workers >= 2 && p.workers <= 4);
	assert_int_equal(nginx_plan(&p, nginx_variant("workers"), 512, 2, 20000, &e), 0);
	assert_int_equal(p.workers, 12);
	assert_int_equal(p.buffer_kib, 128);
	assert_int_equal(nginx_plan(&p, nginx_variant("aio"), 16000, 2, 20000, &e), 0);
	assert_int_equal(p.buffer_kib, 32);
	assert_true(nginx_memory(&p, 16000, true) > 16000ull * (100 << 10));
	assert_true(nginx_memory(&p, 16000, false) < 16000ull * (20 << 10)); /* sendfile */
	assert_int_equal(nginx_plan(&p, nginx_variant(""), 1000000, 1, 200, &e), -EMFILE);
	assert_non_null(strstr(e.s, "1000000 connections"));
}

static void variant_names(void **state)
{
	(void)state;
	for (size_t v = 1; v < sizeof names / sizeof *names; v++) {
		assert_non_null(nginx_variant(names[v]));
		assert_string_equal(stack_nginx.variants[v - 1], names[v]);
	}
	assert_null(stack_nginx.variants[4]);
	assert_null(nginx_variant("nosuch"));
	assert_true(stack_nginx.caches("aio"));
	assert_false(stack_nginx.caches("direct"));
}

static void refuses(void **state)
{
	struct errbuf e;

	(void)state;
	assert_int_equal(stack_nginx.check("nosuch", &e), -EINVAL);
	assert_non_null(strstr(e.s, "nosuch"));
	e.s[0] = '\0';
	if (access("/proc/net/tls_stat", F_OK)) {
		assert_true(stack_nginx.check("ktls", &e) < 0);
		assert_true(strstr(e.s, "modprobe") || strstr(e.s, "CONFIG_TLS") ||
			    strstr(e.s, "not installed"));
	}
}

/* `nginx -t` on every variant, plain and TLS, bound to loopback so that it needs no testbed. */
static void accepted(void **state)
{
	char dir[] = "/tmp/dcn-nginx-XXXXXX", path[64], cmd[512];
	struct errbuf e = {""};

	(void)state;
	if (stack_nginx.check("", &e)) {
		print_message("%s\n", e.s);
		skip();
	}
	if (geteuid() != 0)
		skip(); /* port 80 */
	assert_non_null(mkdtemp(dir));
	snprintf(cmd, sizeof cmd,
		 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
		 "-subj /CN=x -keyout %s/k.pem -out %s/c.pem 2>/dev/null",
		 dir, dir);
	assert_int_equal(system(cmd), 0);
	for (size_t v = 0; v < sizeof names / sizeof *names; v++)
		for (int tls = 0; tls < 2; tls++) {
			char cert[64], key[64];
			cpu_set_t cpus;
			struct nginx_site site = {"127.0.0.77",	     "/tmp", dir,
						  tls ? cert : NULL, key,    &cpus};
			struct nginx_plan p;
			FILE *f;

			CPU_ZERO(&cpus);
			CPU_SET(0, &cpus);
			CPU_SET(sysconf(_SC_NPROCESSORS_CONF) - 1, &cpus);
			snprintf(cert, sizeof cert, "%s/c.pem", dir);
			snprintf(key, sizeof key, "%s/k.pem", dir);
			assert_int_equal(nginx_plan(&p, nginx_variant(names[v]), 512, 2, 20000, &e),
					 0);
			snprintf(path, sizeof path, "%s/nginx.conf", dir);
			f = fopen(path, "w");
			assert_non_null(f);
			nginx_conf(f, &p, &site);
			fclose(f);
			snprintf(cmd, sizeof cmd,
				 "unshare -n sh -c 'ip link set lo up; "
				 "PATH=$PATH:/usr/sbin nginx -t -q -e stderr -p %s -c %s'",
				 dir, path);
			if (system(cmd)) {
				snprintf(cmd, sizeof cmd, "cat %s", path);
				(void)!system(cmd);
				fail_msg("nginx does not accept variant '%s', tls %d", names[v],
					 tls);
			}
		}
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans),
		cmocka_unit_test(variant_names),
		cmocka_unit_test(refuses),
		cmocka_unit_test(accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
