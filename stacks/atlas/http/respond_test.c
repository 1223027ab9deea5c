/* http, respond: heads byte for byte, ranges, preconditions, dates, media types, chunked bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/http/impl.h"

#define NOW   1763824000
#define MTIME 784111777

static const struct http_obj object = {
	.size = 1000, .mtime = MTIME, .ino = 5, .mtime_ns = 7, .mime = "video/mp2t"};

static char tag[HTTP_ETAG_MAX];

/* The plan for a request with these field lines, parsed from text as in life. */
static struct http_plan plan_for(const char *method, const char *fields, const struct http_obj *o)
{
	static char text[2048];
	struct http_req req;
	struct http_plan plan;
	int n = snprintf(text, sizeof text, "%s /x HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

	assert_int_equal(http_parse(text, (size_t)n, &req), n);
	memset(&plan, 0xaa, sizeof plan);
	http_respond(&req, o, NOW, &plan);
	return plan;
}

static void head_is(const struct http_plan *p, const char *want)
{
	assert_int_equal(p->head_len, strlen(want));
	assert_memory_equal(p->head, want, p->head_len);
}

static bool head_has(const struct http_plan *p, const char *line)
{
	return memmem(p->head, p->head_len, line, strlen(line)) != NULL;
}

#define START(status)                                                                              \
	"HTTP/1.1 " status "\r\nServer: atlas\r\nDate: Sat, 22 Nov 2025 15:06:40 GMT\r\n"

static void test_heads(void **state)
{
	struct http_plan p = plan_for("GET", "", &object);
	char want[HTTP_RESP_MAX];

	(void)state;
	snprintf(want, sizeof want,
		 START("200 OK") "ETag: %s\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				 "Accept-Ranges: bytes\r\nContent-Type: video/mp2t\r\n"
				 "Content-Length: 1000\r\n\r\n",
		 tag);
	head_is(&p, want);
	assert_int_equal(p.body_off, 0);
	assert_int_equal(p.body_len, 1000);
	assert_false(p.close);

	p = plan_for("HEAD", "Range: bytes=1-2\r\n", &object); /* Range is GET's alone */
	head_is(&p, want);
	assert_int_equal(p.body_len, 0);

	p = plan_for("GET", "Connection: close\r\n", &object);
	assert_true(p.close);
	assert_true(head_has(&p, "\r\nConnection: close\r\n"));

	p = plan_for("DELETE", "", NULL);
	head_is(&p,
		START("405 Method Not Allowed") "Content-Type: text/plain; "
						"charset=utf-8\r\nContent-Length: 23\r\n"
						"Allow: GET, HEAD\r\n\r\n405 Method Not Allowed\n");
	assert_false(p.close);
}

static void test_long_bodies_close(void **state)
{
	(void)state;
	assert_false(plan_for("POST", "Content-Length: 65536\r\n", NULL).close);
	assert_true(plan_for("POST", "Content-Length: 65537\r\n", NULL).close);
}

static void test_errors(void **state)
{
	static const int all[] = {400, 403, 404, 405, 408, 412, 414, 416, 431, 500, 501, 503, 505};
	struct http_req get = {.method = HTTP_GET, .minor = 1, .keep_alive = true};
	struct http_req head = {.method = HTTP_HEAD, .minor = 0, .keep_alive = true};
	struct http_plan p;
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		http_error(NULL, all[i], NOW, &p);
		assert_int_equal(p.status, all[i]);
		assert_true(p.close);
		assert_int_equal(p.body_len, 0);
		snprintf(line, sizeof line, "HTTP/1.1 %d ", all[i]);
		assert_memory_equal(p.head, line, strlen(line));
		assert_memory_equal(memmem(p.head, p.head_len, "\r\n\r\n", 4) + 4, line + 9, 4);
	}
	http_error(&get, 404, NOW, &p);
	assert_false(p.close);
	http_error(&get, 431, NOW, &p);
	assert_true(p.close);
	http_error(&get, 299, NOW, &p);
	assert_int_equal(p.status, 500);
	http_error(&head, 404, NOW, &p);
	head_is(&p, START("404 Not Found") "Connection: keep-alive\r\nContent-Type: text/plain; "
					   "charset=utf-8\r\n"
					   "Content-Length: 14\r\n\r\n");
}

static void test_ranges(void **state)
{
	static const struct {
		const char *range;
		uint64_t size;
		int status;
		uint64_t off, len;
		const char *content_range;
	} cases[] = {
		{"0-0", 1000, 206, 0, 1, "bytes 0-0/1000"},
		{"0-999", 1000, 206, 0, 1000, "bytes 0-999/1000"},
		{"999-999", 1000, 206, 999, 1, "bytes 999-999/1000"},
		{"990-5000", 1000, 206, 990, 10, "bytes 990-999/1000"},
		{"1000-", 1000, 416, 0, 0, "bytes */1000"},
		{"1-", 1000, 206, 1, 999, "bytes 1-999/1000"},
		{"-1", 1000, 206, 999, 1, "bytes 999-999/1000"},
		{"-1000", 1000, 206, 0, 1000, "bytes 0-999/1000"},
		{"-5000", 1000, 206, 0, 1000, "bytes 0-999/1000"},
		{"-0", 1000, 416, 0, 0, "bytes */1000"},
		{"0-", 0, 416, 0, 0, "bytes */0"},
		{"-5", 0, 200, 0, 0, NULL},
		{"5-2", 1000, 200, 0, 1000, NULL},
		{"0-1,5-6", 1000, 200, 0, 1000, NULL},
		{"18446744073709551615-", UINT64_MAX, 416, 0, 0, "bytes */18446744073709551615"},
		{"18446744073709551614-18446744073709551615", UINT64_MAX, 206, UINT64_MAX - 1, 1,
		 "bytes 18446744073709551614-18446744073709551614/18446744073709551615"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct http_obj o = object;
		struct http_plan p;
		char field[128];

		o.size = cases[i].size;
		snprintf(field, sizeof field, "Range: bytes=%s\r\n", cases[i].range);
		p = plan_for("GET", field, &o);
		assert_int_equal(p.status, cases[i].status);
		assert_int_equal(p.body_off, cases[i].off);
		assert_int_equal(p.body_len, cases[i].len);
		snprintf(field, sizeof field, "Content-Range: %s\r\n",
			 cases[i].content_range ? cases[i].content_range : "");
		assert_int_equal(head_has(&p, field), cases[i].content_range != NULL);
	}
}

#define DATE_OLD  "Sun, 06 Nov 1994 08:49:36 GMT"
#define DATE_SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define DATE_NEW  "Sun, 06 Nov 1994 08:49:38 GMT"

/* $ stands for the object's own entity tag. RFC 9110 13.2.2, each step and each precedence. */
static void test_preconditions(void **state)
{
	static const struct {
		int status;
		const char *fields;
	} cases[] = {
		{200, "If-Match: $\r\n"},
		{200, "If-Match: *\r\n"},
		{200, "If-Match: \"x\", $\r\n"},
		{412, "If-Match: \"x\"\r\n"},
		{412, "If-Match: W/$\r\n"},
		{412, "If-Match: junk\r\n"},
		{412, "If-Match:\r\n"},
		{200, "If-Unmodified-Since: " DATE_SAME "\r\n"},
		{200, "If-Unmodified-Since: " DATE_NEW "\r\n"},
		{412, "If-Unmodified-Since: " DATE_OLD "\r\n"},
		{200, "If-Unmodified-Since: junk\r\n"},
		{200, "If-Match: $\r\nIf-Unmodified-Since: " DATE_OLD "\r\n"},
		{412, "If-Match: \"x\"\r\nIf-Unmodified-Since: " DATE_NEW "\r\n"},
		{304, "If-None-Match: $\r\n"},
		{304, "If-None-Match: W/$\r\n"},
		{304, "If-None-Match: \"x\" , , W/\"y\",$\r\n"},
		{304, "If-None-Match: *\r\n"},
		{200, "If-None-Match: \"x\"\r\n"},
		{200, "If-None-Match: \"x\r\n"},
		{304, "If-Modified-Since: " DATE_SAME "\r\n"},
		{304, "If-Modified-Since: " DATE_NEW "\r\n"},
		{200, "If-Modified-Since: " DATE_OLD "\r\n"},
		{304, "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n"},
		{304, "If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n"},
		{200, "If-Modified-Since: 784111777\r\n"},
		{200, "If-None-Match: \"x\"\r\nIf-Modified-Since: " DATE_NEW "\r\n"},
		{304, "If-None-Match: $\r\nIf-Modified-Since: " DATE_OLD "\r\n"},
		{412, "If-Match: \"x\"\r\nIf-None-Match: $\r\n"},
		{304, "If-Match: $\r\nIf-None-Match: $\r\nRange: bytes=0-1\r\n"},
		{412, "If-Match: \"x\"\r\nRange: bytes=5000-\r\n"},
		{206, "If-Range: $\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range: W/$\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range: \"x\"\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range: \"x\"\r\nRange: bytes=5000-\r\n"},
		{416, "If-Range: $\r\nRange: bytes=5000-\r\n"},
		{206, "If-Range: " DATE_SAME "\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range: " DATE_NEW "\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range: " DATE_OLD "\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range:\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range: $\r\nIf-Range: $\r\nRange: bytes=0-1\r\n"},
		{200, "If-Range: $\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char fields[512] = "";
		struct http_plan p;

		for (const char *c = cases[i].fields; *c; c++)
			snprintf(fields + strlen(fields), sizeof fields - strlen(fields), "%.*s",
				 *c == '$' ? HTTP_ETAG_MAX : 1, *c == '$' ? tag : c);
		p = plan_for("GET", fields, &object);
		if (p.status != cases[i].status)
			fail_msg("%d instead of %d for %s", p.status, cases[i].status, fields);
		assert_int_equal(p.body_len, p.status == 200 ? 1000 : p.status == 206 ? 2 : 0);
	}
}

static void test_not_modified_has_validators_and_no_length(void **state)
{
	struct http_plan p = plan_for("GET", "If-None-Match: *\r\n", &object);

	(void)state;
	assert_true(head_has(&p, tag));
	assert_true(head_has(&p, "Last-Modified: "));
	assert_false(head_has(&p, "Content-Length"));
	assert_memory_equal(p.head + p.head_len - 4, "\r\n\r\n", 4);
}

static void test_if_range_date_must_be_strong(void **state)
{
	struct http_obj fresh = object;
	struct http_plan p;

	(void)state;
	fresh.mtime = NOW;
	p = plan_for("GET", "If-Range: Sat, 22 Nov 2025 15:06:40 GMT\r\nRange: bytes=0-1\r\n",
		     &fresh);
	assert_int_equal(p.status, 200);
}

static void test_etags_differ(void **state)
{
	struct http_obj a = object;
	char first[HTTP_ETAG_MAX], second[HTTP_ETAG_MAX];

	(void)state;
	http_etag(&a, first);
	assert_string_equal(first, tag);
	a.mtime_ns++;
	http_etag(&a, second);
	assert_string_not_equal(first, second);
	a = object;
	a.size++;
	http_etag(&a, second);
	assert_string_not_equal(first, second);
	a = object;
	a.ino++;
	http_etag(&a, second);
	assert_string_not_equal(first, second);
	a = (struct http_obj){.size = UINT64_MAX};
	http_etag(&a, second);
	assert_memory_equal(second, "\"ffffffffffffffff-", 18);
	a.size = 0;
	http_etag(&a, second);
	assert_memory_equal(second, "\"0-", 3);
}

/* Against the C library, over the whole range of years. */
static void test_dates(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	for (int i = 0; i < 20000; i++) {
		time_t t = (time_t)rng_below(&r, 253402300800ull), back = 0;
		char own[HTTP_DATE_LEN + 1] = "", libc[64];
		struct tm tm;

		http_date_put(t, own);
		gmtime_r(&t, &tm);
		strftime(libc, sizeof libc, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		assert_string_equal(own, libc);
		assert_true(http_date_get((struct http_str){own, HTTP_DATE_LEN}, NOW, &back));
		assert_int_equal(back, t);
		strftime(libc, sizeof libc, "%a %b %e %H:%M:%S %Y", &tm);
		assert_true(http_date_get((struct http_str){libc, strlen(libc)}, NOW, &back));
		assert_int_equal(back, t);
	}
}

static void test_rfc850_century(void **state)
{
	static const char soon[] = "Sunday, 01-Jan-40 00:00:00 GMT";
	static const char past[] = "Friday, 01-Jan-99 00:00:00 GMT";
	time_t t;

	(void)state;
	assert_true(http_date_get((struct http_str){soon, sizeof soon - 1}, NOW, &t));
	assert_int_equal(t, 2208988800);
	assert_true(http_date_get((struct http_str){past, sizeof past - 1}, NOW, &t));
	assert_int_equal(t, 915148800);
}

static void test_bad_dates(void **state)
{
	static const char *const bad[] = {
		"",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nop 1994 08:49:37 GMT",
		"Sun, 06 Nov 1594 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sun, 06 Nov -994 08:49:37 GMT",
		"Sunday, 06-Nov-9x 08:49:37 GMT",
		"Xunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov 06 08:49:37 199x",
	};
	time_t t;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(http_date_get((struct http_str){bad[i], strlen(bad[i])}, NOW, &t));
}

static void test_future_file_is_dated_now(void **state)
{
	struct http_obj o = object;
	struct http_plan p;

	(void)state;
	o.mtime = NOW + 3600;
	p = plan_for("GET", "", &o);
	assert_true(head_has(&p, "Last-Modified: Sat, 22 Nov 2025 15:06:40 GMT\r\n"));
}

/* The longest of everything still fits, and nothing is written beyond. */
static void test_longest_head_fits(void **state)
{
	struct http_obj o = {.size = UINT64_MAX, .mtime = 253402300799, .ino = UINT64_MAX};
	char mime[200];
	struct http_plan p;

	(void)state;
	memset(mime, 'm', sizeof mime - 1);
	mime[sizeof mime - 1] = '\0';
	o.mime = mime;
	p = plan_for("GET",
		     "Connection: close\r\n"
		     "Range: bytes=10000000000000000000-18446744073709551613\r\n",
		     &o);
	assert_int_equal(p.status, 206);
	assert_true(p.head_len < HTTP_RESP_MAX - 256);
}

static void test_mime(void **state)
{
	(void)state;
	assert_string_equal(http_mime("/a/index.m3u8"), "application/vnd.apple.mpegurl");
	assert_string_equal(http_mime("/a/seg-1.ts"), "video/mp2t");
	assert_string_equal(http_mime("/a/x.mpd"), "application/dash+xml");
	assert_string_equal(http_mime("/a/x.M4S"), "video/iso.segment");
	assert_string_equal(http_mime("/a/x.tar.gz"), "application/gzip");
	assert_string_equal(http_mime("/index.html"), "text/html; charset=utf-8");
	assert_string_equal(http_mime("/dir.ts/file"), "application/octet-stream");
	assert_string_equal(http_mime("/x."), "application/octet-stream");
	assert_string_equal(http_mime("/x.unknown"), "application/octet-stream");
	assert_string_equal(http_mime(""), "application/octet-stream");
}

/* Feed `text` in pieces of `step` bytes. Returns bytes consumed, or minus the status. */
static int64_t skip_in_steps(const char *text, size_t step, bool *done)
{
	struct http_chunked st = {0};
	size_t n = strlen(text), at = 0;

	while (at < n && !st.done) {
		size_t len = step < n - at ? step : n - at;
		int64_t r = http_chunked_skip(&st, text + at, len);

		if (r < 0)
			return r;
		at += (size_t)r;
		if (!st.done)
			assert_int_equal(r, len);
	}
	*done = st.done;
	return (int64_t)at;
}

static void test_chunked(void **state)
{
	static const struct {
		const char *text;
		int64_t want; /* bytes consumed; negative: status */
		bool done;
	} cases[] = {
		{"0\r\n\r\nGET /", 5, true},
		{"5\r\nhello\r\n0\r\n\r\nGET /", 15, true},
		{"00a;x=\"y;z\"\r\n0123456789\r\n0;q\r\nTrailer: v\r\nB:\r\n\r\nG", 48, true},
		{"5\r\nhel", 6, false},
		{"\r\n", -400, false},
		{"g\r\n", -400, false},
		{" 5\r\n", -400, false},
		{"5 \r\n", -400, false},
		{"5\n", -400, false},
		{"5\r\nhelloX", -400, false},
		{"5\r\nhello\rX", -400, false},
		{"5\r\nhello\n", -400, false},
		{"0\r\n x: folded\r\n\r\n", -400, false},
		{"0\r\nx : y\r\n\r\n", -400, false},
		{"0\r\n:\r\n\r\n", -400, false},
		{"0\r\n\rX", -400, false},
		{"0\r\nx: a\001\r\n\r\n", -400, false},
		{"fffffffffffffffff\r\n", -400, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t step = 1; step < 60; step++) {
			bool done = false;

			assert_int_equal(skip_in_steps(cases[i].text, step, &done), cases[i].want);
			assert_int_equal(done, cases[i].done);
		}
}

static void test_chunked_lines_are_bounded(void **state)
{
	static char text[10000];
	struct http_chunked st = {0};

	(void)state;
	memset(text, '0', sizeof text);
	assert_int_equal(http_chunked_skip(&st, text, sizeof text), -431);
	st = (struct http_chunked){0};
	memcpy(text, "000\r\n", 5);
	memcpy(text + 5, "a: bcd\r\n", 8);
	for (size_t i = 13; i + 6 <= sizeof text; i += 6)
		memcpy(text + i, "a: b\r\n", 6);
	assert_int_equal(http_chunked_skip(&st, text, sizeof text), -431);
}

static int set_up(void **state)
{
	(void)state;
	http_etag(&object, tag);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_long_bodies_close),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_preconditions),
		cmocka_unit_test(test_not_modified_has_validators_and_no_length),
		cmocka_unit_test(test_if_range_date_must_be_strong),
		cmocka_unit_test(test_etags_differ),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_rfc850_century),
		cmocka_unit_test(test_bad_dates),
		cmocka_unit_test(test_future_file_is_dated_now),
		cmocka_unit_test(test_longest_head_fits),
		cmocka_unit_test(test_mime),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_chunked_lines_are_bounded),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
