/* http, parse: verdicts, fields and paths, and that packets may be cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stacks/atlas/http/http.h"

/* Parse a copy that ends where it ends, so that a sanitizer sees each byte read beyond. */
static int parse(const char *text, size_t n, struct http_req *req)
{
	char *copy = malloc(n ? n : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, text, n);
	r = http_parse(copy, n, req);
	free(copy);
	return r;
}

/* The verdict on `text`; on the way, every prefix is "incomplete" until one decides for good. */
static int verdict(const char *text, size_t n)
{
	struct http_req req;
	int whole = parse(text, n, &req);

	for (size_t i = 0, decided = 0; i < n; i++) {
		int r = parse(text, i, &req);

		if (r || decided)
			assert_int_equal(r, whole);
		decided |= r != 0;
	}
	return whole;
}

#define HOST "Host: a\r\n"

static void test_verdicts(void **state)
{
	static const struct {
		int want; /* 1: accepted */
		const char *text;
	} cases[] = {
		{1, "GET / HTTP/1.1\r\n" HOST "\r\n"},
		{1, "GET / HTTP/1.0\r\n\r\n"},
		{1, "HEAD / HTTP/1.1\r\nhOsT:a\r\n\r\n"},
		{1, "GET / HTTP/1.2\r\n" HOST "\r\n"},
		{1, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"},
		{1, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
		{1, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"},
		{1, "GET / HTTP/1.1\r\n" HOST "X: \t\xc3\xa9 \r\n\r\n"},
		{1, "GET http://a HTTP/1.1\r\n" HOST "\r\n"},
		{1, "GET HTTPS://a:443/x HTTP/1.1\r\n" HOST "\r\n"},
		{1, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"},
		{1, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n"},
		{1, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
		{0, ""},
		{0, "GET"},
		{0, "\r\n"},
		{0, "GET / HTTP/1.1\r\n" HOST},
		{0, "GET / HTTP/1.1\r\n" HOST "\r"},
		{-400, " GET / HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /  HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET / HTTP/1.1 \r\n" HOST "\r\n"},
		{-400, "GET /\r\n\r\n"},
		{-400, "GET / HTTP/1.1\n" HOST "\r\n"},
		{-400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "\n"},
		{-400, "GET / HTTP/1.1\rHost: a\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n folded\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n X: a\r\n" HOST "\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
		{-400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"},
		{-400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\nHost: a, b c\r\n\r\n"},
		{-400, "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET http:///x HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET a:80 HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET * HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "OPTIONS *x HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /#f HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /%0 HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /%g0 HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /%00 HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /../etc HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /a/%2e%2E/.%2e/etc HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET /..%2fetc HTTP/1.1\r\n" HOST "\r\n"},
		{-400, "GET / http/1.1\r\n" HOST "\r\n"},
		{-400, "GET / HTTP/11\r\n" HOST "\r\n"},
		{-400, "GET / HTTP/1.10\r\n" HOST "\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST
		       "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST
		       "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \vchunked\r\n\r\n"},
		{-400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n"},
		{-400, "GET / HTTP/1.1\r\n" HOST "If-Match: \"a\"\r\nIf-Match: \"b\"\r\n\r\n"},
		{-400, "\x16\x03\x01\x02"},
		{-400, "CONNECT / HTTP/1.1\r\n" HOST "\r\n"},
		{-501, "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n"},
		{-501, "BREW / HTTP/1.1\r\n" HOST "\r\n"},
		{-501, "get / HTTP/1.1\r\n" HOST "\r\n"},
		{-505, "GET / HTTP/2.0\r\n" HOST "\r\n"},
		{-505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t n = strlen(cases[i].text);
		int r = verdict(cases[i].text, n);

		if (r != (cases[i].want == 1 ? (int)n : cases[i].want))
			fail_msg("%d for: %s", r, cases[i].text);
	}
}

static void test_nul_is_refused(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
	static const char text2[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	assert_int_equal(verdict(text, sizeof text - 1), -400);
	assert_int_equal(verdict(text2, sizeof text2 - 1), -400);
}

static void test_paths(void **state)
{
	static const struct {
		const char *target, *path;
	} cases[] = {
		{"/", "/"},
		{"/?", "/"},
		{"/a/b.ts", "/a/b.ts"},
		{"/a?b=/../..", "/a"},
		{"/a%3Fb", "/a?b"},
		{"/%41%62", "/Ab"},
		{"/a%2fb", "/a/b"},
		{"//a///b//", "/a/b/"},
		{"/./a/./b/.", "/a/b/"},
		{"/a/..", "/"},
		{"/a/../", "/"},
		{"/a/b/../../c", "/c"},
		{"/a/b/..", "/a/"},
		{"/a/%2e%2e/b", "/b"},
		{"/a//../b", "/b"},
		{"/...", "/..."},
		{"/a..", "/a.."},
		{"/.a/..b", "/.a/..b"},
		{"/a%2f..%2fb", "/b"},
		{"/%252e%252e/", "/%2e%2e/"},
		{"/a+b", "/a+b"},
		{"/\"<>\\^`{|}", "/\"<>\\^`{|}"},
		{"http://h", "/"},
		{"http://h?x", "/"},
		{"http://h/", "/"},
		{"http://h:80/a/../b", "/b"},
		{"https://[::1]:443/x", "/x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct http_req req;
		char text[256];
		int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" HOST "\r\n",
				 cases[i].target);

		assert_int_equal(parse(text, (size_t)n, &req), n);
		assert_string_equal(req.path, cases[i].path);
	}
}

/* A head whose target is '/' and n - 1 letters, or n - 1 letters after "/?". */
static int target_of(size_t n, bool query)
{
	static char text[HTTP_HEAD_MAX];
	struct http_req req;
	size_t len = 0;

	len = (size_t)snprintf(text, sizeof text, "GET %s", query ? "/?" : "/");
	memset(text + len, 'a', n);
	len += n - (query ? 2 : 1);
	len += (size_t)snprintf(text + len, sizeof text - len, " HTTP/1.1\r\n" HOST "\r\n");
	n = (size_t)parse(text, len, &req);
	return n == len ? 1 : (int)n;
}

static void test_target_limits(void **state)
{
	(void)state;
	assert_int_equal(target_of(HTTP_PATH_MAX - 1, false), 1);
	assert_int_equal(target_of(HTTP_PATH_MAX, false), -414);
	assert_int_equal(target_of(HTTP_TARGET_MAX, true), 1);
	assert_int_equal(target_of(HTTP_TARGET_MAX + 1, true), -414);
}

/* A head of exactly n bytes; what follows it does not count. */
static int head_of(size_t n)
{
	static char text[HTTP_HEAD_MAX + 100];
	struct http_req req;
	size_t len = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "X: ");

	memset(text + len, 'x', sizeof text - len);
	memcpy(text + n - 4, "\r\n\r\n", 4);
	return parse(text, sizeof text, &req);
}

static void test_head_limits(void **state)
{
	char text[4096] = "GET / HTTP/1.1\r\n" HOST;
	struct http_req req;

	(void)state;
	assert_int_equal(head_of(HTTP_HEAD_MAX), HTTP_HEAD_MAX);
	assert_int_equal(head_of(HTTP_HEAD_MAX + 1), -431);
	for (int i = 1; i < HTTP_FIELD_MAX; i++)
		strcat(text, "X: y\r\n");
	strcat(text, "\r\n");
	assert_int_equal(parse(text, strlen(text), &req), strlen(text));
	memcpy(text + strlen(text) - 2, "X: y\r\n\r\n", 9);
	assert_int_equal(parse(text, strlen(text), &req), -431);
}

static struct http_req parse_fields(const char *version, const char *fields)
{
	struct http_req req;
	char text[1024];
	int n = snprintf(text, sizeof text, "GET / HTTP/%s\r\n" HOST "%s\r\n", version, fields);

	assert_int_equal(parse(text, (size_t)n, &req), n);
	return req;
}

static void test_keep_alive(void **state)
{
	static const struct {
		const char *version, *fields;
		bool keep;
	} cases[] = {
		{"1.1", "", true},
		{"1.1", "Connection: close\r\n", false},
		{"1.1", "Connection: foo ,\tCLOSE\r\n", false},
		{"1.1", "Connection: closed\r\n", true},
		{"1.1", "Connection: keep-alive, close\r\n", false},
		{"1.0", "", false},
		{"1.0", "Connection: Keep-Alive\r\n", true},
		{"1.0", "Connection: x\r\nConnection: keep-alive\r\n", true},
		{"1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", false},
		{"1.1", "Expect: 100-continue\r\n", true},
		{"1.1", "Expect: 100-continue\r\nContent-Length: 3\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(parse_fields(cases[i].version, cases[i].fields).keep_alive,
				 cases[i].keep);
}

static void test_range_field(void **state)
{
	static const struct {
		const char *value;
		int range;
		uint64_t a, b;
	} cases[] = {
		{"bytes=0-0", HTTP_RANGE_FROM_TO, 0, 0},
		{"BYTES=10-20", HTTP_RANGE_FROM_TO, 10, 20},
		{"bytes= 10-20 ,", HTTP_RANGE_FROM_TO, 10, 20},
		{"bytes=7-", HTTP_RANGE_FROM, 7, 0},
		{"bytes=-7", HTTP_RANGE_SUFFIX, 7, 0},
		{"bytes=0-99999999999999999999", HTTP_RANGE_FROM_TO, 0, UINT64_MAX},
		{"bytes=99999999999999999999-", HTTP_RANGE_FROM, UINT64_MAX, 0},
		{"bytes=", HTTP_RANGE_NONE, 0, 0},
		{"bytes=-", HTTP_RANGE_NONE, 0, 0},
		{"bytes=5", HTTP_RANGE_NONE, 0, 0},
		{"bytes=2-1", HTTP_RANGE_NONE, 0, 0},
		{"bytes=1-2-3", HTTP_RANGE_NONE, 0, 0},
		{"bytes=1-2,4-5", HTTP_RANGE_NONE, 0, 0},
		{"bytes=a-b", HTTP_RANGE_NONE, 0, 0},
		{"bytes 1-2", HTTP_RANGE_NONE, 0, 0},
		{"items=1-2", HTTP_RANGE_NONE, 0, 0},
		{"bytes=1-2\r\nRange: bytes=1-2", HTTP_RANGE_NONE, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char field[128];
		struct http_req req;

		snprintf(field, sizeof field, "Range: %s\r\n", cases[i].value);
		req = parse_fields("1.1", field);
		assert_int_equal(req.range, cases[i].range);
		if (req.range != HTTP_RANGE_NONE)
			assert_int_equal(req.range_a, cases[i].a);
		if (req.range == HTTP_RANGE_FROM_TO)
			assert_int_equal(req.range_b, cases[i].b);
	}
}

static void test_accept_encoding(void **state)
{
	static const struct {
		const char *value;
		bool identity;
	} cases[] = {
		{"gzip, br", true},	    {"", true},
		{"identity;q=0", false},    {"identity; q=0.000", false},
		{"identity;q=0.001", true}, {"*;q=0", false},
		{"gzip;q=1, *;q=0", false}, {"*;q=0, identity", true},
		{"identity;q=0, *", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char field[128];

		snprintf(field, sizeof field, "Accept-Encoding: %s\r\n", cases[i].value);
		assert_int_equal(parse_fields("1.1", field).accept_identity, cases[i].identity);
	}
}

static void test_bodies(void **state)
{
	struct http_req req = parse_fields("1.1", "Content-Length: 18446744073709551614\r\n");

	(void)state;
	assert_int_equal(req.body_len, UINT64_MAX - 1);
	assert_false(req.chunked);
	req = parse_fields("1.1", "Transfer-Encoding: gzip\r\nTransfer-Encoding: ,CHUNKED\r\n");
	assert_true(req.chunked);
	assert_int_equal(req.body_len, 0);
}

static void test_conditionals_point_into_the_buffer(void **state)
{
	static const char text[] =
		"GET / HTTP/1.1\r\n" HOST "If-None-Match:  \"a\", W/\"b\" \r\nIf-Range: \"c\"\r\n"
		"If-Modified-Since: now\r\nIf-Unmodified-Since: x\r\n"
		"If-Unmodified-Since: x\r\nIf-Match: *\r\n\r\n";
	struct http_req req;

	(void)state;
	assert_int_equal(http_parse(text, sizeof text - 1, &req), sizeof text - 1);
	assert_int_equal(req.if_none_match_len, strlen("\"a\", W/\"b\""));
	assert_memory_equal(req.if_none_match, "\"a\", W/\"b\"", req.if_none_match_len);
	assert_int_equal(req.if_range_len, 3);
	assert_memory_equal(req.if_range, "\"c\"", 3);
	assert_int_equal(req.if_modified_since_len, 3);
	assert_null(req.if_unmodified_since); /* twice is never */
	assert_int_equal(req.if_match_len, 1);
}

static void test_pipelined(void **state)
{
	static const char text[] =
		"GET /1 HTTP/1.1\r\n" HOST "\r\nHEAD /2 HTTP/1.1\r\n" HOST "\r\n";
	struct http_req req;
	int n = parse(text, sizeof text - 1, &req);

	(void)state;
	assert_string_equal(req.path, "/1");
	assert_int_equal(req.method, HTTP_GET);
	assert_int_equal(parse(text + n, sizeof text - 1 - (size_t)n, &req),
			 sizeof text - 1 - (size_t)n);
	assert_string_equal(req.path, "/2");
	assert_int_equal(req.method, HTTP_HEAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_target_limits),
		cmocka_unit_test(test_head_limits),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_range_field),
		cmocka_unit_test(test_accept_encoding),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_conditionals_point_into_the_buffer),
		cmocka_unit_test(test_pipelined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
