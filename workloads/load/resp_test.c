/* resp: heads that servers send, and heads that nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/load/resp.h"

static int parse(const char *s, struct resp *r)
{
	return resp_parse(s, strlen(s), r);
}

static void good(void **state)
{
	static const char h[] =
		"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 307200\r\n\r\nbody";
	struct resp r;

	(void)state;
	assert_int_equal(parse(h, &r), sizeof h - 1 - 4);
	assert_true(r.status == 200 && r.length == 307200 && r.keep_alive && !r.chunked);
	for (size_t n = 0; n < sizeof h - 1 - 4; n++) /* every proper prefix is incomplete */
		assert_int_equal(resp_parse(h, n, &r), 0);

	assert_true(parse("HTTP/1.0 404 Not Found\r\ncontent-LENGTH:5 \t\r\n\r\n", &r) > 0);
	assert_true(r.status == 404 && r.length == 5 && !r.keep_alive);
	assert_true(parse("HTTP/1.0 200\r\nConnection: x, Keep-Alive\r\n\r\n", &r) > 0);
	assert_true(r.keep_alive && r.length == -1);
	assert_true(parse("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &r) > 0);
	assert_false(r.keep_alive);
	assert_true(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &r) > 0);
	assert_true(r.chunked);
	assert_true(parse("HTTP/1.1 200 OK\nContent-Length: 1\n\n", &r) > 0); /* RFC 9112 2.2 */
	assert_int_equal(r.length, 1);
	assert_true(parse("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", &r) >
		    0);
	assert_true(parse("HTTP/1.1 200 OK\r\nX-Content-Length: 9\r\n\r\n", &r) > 0);
	assert_int_equal(r.length, -1);
}

static void hostile(void **state)
{
	static const char *const bad[] = {
		"HTP/1.1 200 OK\r\n\r\n",
		"\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2 200 OK\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 -20 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
	};
	struct resp r;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (parse(bad[i], &r) >= 0)
			fail_msg("taken: %s", bad[i]);
}

static void bounded(void **state)
{
	size_t n = RESP_HEAD_MAX * 2;
	char *p = malloc(n);
	struct resp r;

	(void)state;
	assert_non_null(p);
	memset(p, 'a', n);
	memcpy(p, "HTTP/1.1 200 OK\r\nX: ", 20);
	assert_int_equal(resp_parse(p, n, &r), -EMSGSIZE);
	assert_int_equal(resp_parse(p, RESP_HEAD_MAX - 1, &r), 0);
	memset(p, 0, n);
	assert_true(resp_parse(p, n, &r) < 0);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(hostile),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
