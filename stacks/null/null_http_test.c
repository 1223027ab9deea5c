/* null_http: requests good and bad, and the heads that answer them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "stacks/null/null_http.h"

static const struct content cat = {.seed = 1, .object_size = 300, .hot = 10, .cold = 100000};

static size_t parse(const char *s, struct null_req *r)
{
	return null_parse(s, strlen(s), &cat, r);
}

static void good(void **state)
{
	static const char two[] = "GET /hot/000007 HTTP/1.1\r\nHost: x\r\n\r\nGET /";
	struct null_req r;

	(void)state;
	assert_int_equal(parse(two, &r), sizeof two - 1 - 5);
	assert_true(r.status == 200 && r.id == 7 && !r.head && r.keep_alive);
	for (size_t n = 0; n < sizeof two - 1 - 5; n++)
		assert_int_equal(null_parse(two, n, &cat, &r), 0);
	assert_true(parse("HEAD /cold/099999 HTTP/1.1\r\n\r\n", &r) > 0);
	assert_true(r.status == 200 && r.id == CONTENT_COLD + 99999 && r.head);
	assert_true(parse("GET /hot/000000 HTTP/1.0\r\n\r\n", &r) > 0);
	assert_true(r.status == 200 && !r.keep_alive);
	assert_true(parse("GET /hot/000000 HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", &r) > 0);
	assert_true(r.keep_alive);
	assert_true(parse("GET /hot/000000 HTTP/1.1\r\nConnection: close\r\n\r\n", &r) > 0);
	assert_false(r.keep_alive);
	assert_true(parse("GET /hot/000000 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &r) > 0);
	assert_int_equal(r.status, 200);
}

static void refused(void **state)
{
	static const struct {
		const char *s;
		int status;
	} c[] = {
		{"GET /hot/000010 HTTP/1.1\r\n\r\n", 404},
		{"GET /cold/100000 HTTP/1.1\r\n\r\n", 404},
		{"GET /hot/00001 HTTP/1.1\r\n\r\n", 404},
		{"GET /hot/0000001 HTTP/1.1\r\n\r\n", 404},
		{"GET /hot/00000a HTTP/1.1\r\n\r\n", 404},
		{"GET / HTTP/1.1\r\n\r\n", 404},
		{"POST /hot/000001 HTTP/1.1\r\n\r\n", 405},
		{"get /hot/000001 HTTP/1.1\r\n\r\n", 405},
		{"GET /hot/000001\r\n\r\n", 400},
		{"GET /hot/000001 HTTP/1.1 \r\n\r\n", 400},
		{"GET /hot/000001 HTTP/2.0\r\n\r\n", 505},
		{"\r\n\r\n", 400},
		{"GET /hot/000001 HTTP/1.1\r\nno colon\r\n\r\n", 400},
		{"GET /hot/000001 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400},
		{"GET /hot/000001 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"GET /hot/000001 HTTP/1.1\r\na: b\rc\r\n\r\n", 400},
	};
	struct null_req r;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
		if (parse(c[i].s, &r) == 0)
			fail_msg("incomplete: %s", c[i].s);
		if (r.status != c[i].status)
			fail_msg("%d, not %d: %s", r.status, c[i].status, c[i].s);
	}
}

static void bounded(void **state)
{
	char *p = malloc(NULL_HEAD_MAX);
	struct null_req r;

	(void)state;
	assert_non_null(p);
	memset(p, 'a', NULL_HEAD_MAX);
	assert_int_equal(null_parse(p, NULL_HEAD_MAX - 1, &cat, &r), 0);
	assert_int_equal(null_parse(p, NULL_HEAD_MAX, &cat, &r), NULL_HEAD_MAX);
	assert_int_equal(r.status, 431);
	free(p);
}

static void heads(void **state)
{
	struct null_req r = {.status = 200, .keep_alive = true};
	char buf[256];
	size_t n = null_head(&r, &cat, buf, sizeof buf);

	(void)state;
	assert_int_equal(n, strlen(buf));
	assert_non_null(strstr(buf, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(buf, "Content-Length: 300\r\n\r\n"));
	r = (struct null_req){.status = 405};
	null_head(&r, &cat, buf, sizeof buf);
	assert_non_null(strstr(buf, "Allow: GET, HEAD\r\n"));
	assert_non_null(strstr(buf, "Connection: close\r\n"));
	assert_non_null(strstr(buf, "Content-Length: 0\r\n\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounded),
		cmocka_unit_test(heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
