/* opts: times, URLs, and command lines good and bad; every refusal says what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "workloads/load/opts.h"

static void times(void **state)
{
	static const struct {
		const char *s;
		uint64_t ns;
	} good[] = {{"3s", 3000000000ull},
		    {"500ms", 500000000ull},
		    {"2", 2000000000ull},
		    {"1.5", 1500000000ull},
		    {"2m", 120000000000ull},
		    {"250us", 250000ull},
		    {"0", 0},
		    {"0.25s", 250000000ull},
		    {".5s", 500000000ull},
		    {"86400s", 86400000000000ull}};
	static const char *const bad[] = {"",	 "s",	"-1s", "3 s", "3h",  "1e400", "nan",
					  "inf", "3ss", "0x",  "+1s", " 1s", "86401s"};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(load_parse_time(good[i].s, &ns), 0);
		assert_true(ns == good[i].ns);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(load_parse_time(bad[i], &ns), -EINVAL);
}

static void url_is(const char *s, bool tls, const char *host, int port, const char *base,
		   const char *field)
{
	struct load_url u;
	struct errbuf e = {""};

	if (load_parse_url(s, &u, &e) != 0)
		fail_msg("%s: %s", s, e.s);
	assert_int_equal(u.tls, tls);
	assert_string_equal(u.host, host);
	assert_int_equal(u.port, port);
	assert_string_equal(u.base, base);
	assert_string_equal(u.host_field, field);
}

static void urls(void **state)
{
	static const char *const bad[] = {"",
					  "ftp://1.2.3.4",
					  "http://",
					  "http:///x",
					  "http://1.2.3.4/hot/000001",
					  "http://1.2.3.4:0",
					  "http://1.2.3.4:65536",
					  "http://1.2.3.4:",
					  "http://1.2.3.4:80x",
					  "http://user@1.2.3.4",
					  "http://[::1",
					  "http://[]",
					  "http://[zz]",
					  "https://a b",
					  "http://1.2.3.4?x"};
	struct load_url u;
	struct errbuf e;

	(void)state;
	url_is("http://198.18.0.1", false, "198.18.0.1", 80, "http://198.18.0.1", "198.18.0.1");
	url_is("http://198.18.0.1:80/", false, "198.18.0.1", 80, "http://198.18.0.1", "198.18.0.1");
	url_is("https://a-b.example:8443", true, "a-b.example", 8443, "https://a-b.example:8443",
	       "a-b.example:8443");
	url_is("https://[2001:db8::1]:444", true, "2001:db8::1", 444, "https://[2001:db8::1]:444",
	       "[2001:db8::1]:444");
	url_is("http://[::1]", false, "::1", 80, "http://[::1]", "[::1]");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		e.s[0] = '\0';
		if (load_parse_url(bad[i], &u, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(e.s, "--url"));
	}
}

#define ARGS 16

/* Split at blanks and parse. */
static int parse(const char *line, struct load_opts *o, struct errbuf *e)
{
	static char buf[512];
	char *argv[ARGS] = {(char *)"dcn-load"}, *save = NULL;
	int argc = 1;

	strncpy(buf, line, sizeof buf - 1);
	for (char *t = strtok_r(buf, " ", &save); t && argc < ARGS - 1;
	     t = strtok_r(NULL, " ", &save))
		argv[argc++] = t;
	e->s[0] = '\0';
	return load_opts_parse(argc, argv, o, e);
}

static void defaults_and_values(void **state)
{
	struct load_opts o;
	struct errbuf e;

	(void)state;
	assert_int_equal(parse("--url http://1.2.3.4 --content d", &o, &e), 0);
	assert_int_equal(o.connections, 64);
	assert_true(o.duration_ns == 10000000000ull && o.warmup_ns == 2000000000ull);
	assert_true(o.engine == ENGINE_MIXED && o.verify == VERIFY_SAMPLED && !o.open_loop);
	assert_int_equal(o.events_fd, -1);
	assert_int_equal(parse("--url https://1.2.3.4:5 --content d --mode open --rate 250.5 "
			       "--engine sink --verify all",
			       &o, &e),
			 0);
	assert_true(o.open_loop && o.rate == 250.5 && o.engine == ENGINE_SINK &&
		    o.verify == VERIFY_ALL && o.url.tls);
	assert_int_equal(parse("--url http://1.2.3.4 --content d --cache-ratio 37.5 --seed "
			       "18446744073709551615 --connections 16000 --residency 8",
			       &o, &e),
			 0);
	assert_true(o.cache_ratio == 37.5 && o.seed == UINT64_MAX && o.connections == 16000 &&
		    o.residency == 8);
}

static void refusals(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{"--content d", "--url"},
		{"--url http://1.2.3.4", "--content"},
		{"--url http://1.2.3.4 --content d --connections 0", "--connections 0"},
		{"--url http://1.2.3.4 --content d --connections -5", "--connections"},
		{"--url http://1.2.3.4 --content d --connections 1x", "--connections"},
		{"--url http://1.2.3.4 --content d --duration", "--duration"},
		{"--url http://1.2.3.4 --content d --duration 0", "--duration"},
		{"--url http://1.2.3.4 --content d --duration x", "--duration"},
		{"--url http://1.2.3.4 --content d --cache-ratio 101", "--cache-ratio"},
		{"--url http://1.2.3.4 --content d --cache-ratio nan", "--cache-ratio"},
		{"--url http://1.2.3.4 --content d --verify some", "--verify some"},
		{"--url http://1.2.3.4 --content d --engine wget", "--engine"},
		{"--url http://1.2.3.4 --content d --mode open", "--rate"},
		{"--url http://1.2.3.4 --content d --rate 5", "--mode open"},
		{"--url http://1.2.3.4 --content d --rat 5 --conections 3", "--conections"},
		{"--url http://1.2.3.4 --content d --insecure --cacert f", "exclude"},
		{"--url http://1.2.3.4 --content d --interval 1us", "--interval"},
		{"--url http://1.2.3.4 --content d more", "more"},
	};
	struct load_opts o;
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		if (parse(bad[i].line, &o, &e) != -EINVAL)
			fail_msg("taken: %s", bad[i].line);
		if (!strstr(e.s, bad[i].says))
			fail_msg("%s: says \"%s\", not %s", bad[i].line, e.s, bad[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),
		cmocka_unit_test(urls),
		cmocka_unit_test(defaults_and_values),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
