/* http, against llhttp 8.1 (strict mode, no lenient flags) on thousands of seeded mutated requests.
 *
 * What must hold: whatever http_parse takes, llhttp takes, with the same length of head, method,
 * body length and keep-alive; whatever llhttp takes and http_parse refuses has one of the reasons
 * of enum why below, each of which is a deliberate difference found by looking at the text alone.
 *
 * llhttp is Debian's node-llhttp, C sources, compiled into this program only; without it the
 * program says so and exits with 77 (skipped).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "stacks/atlas/http/http.h"

#if __has_include("/usr/share/include/llhttp/llhttp.h") &&                                         \
		  __has_include("/usr/share/llhttp/llhttp.c")
/* Both sides call their methods HTTP_GET ... */
#define HTTP_GET  LLHTTP_GET
#define HTTP_HEAD LLHTTP_HEAD
#include "/usr/share/include/llhttp/llhttp.h"
#undef HTTP_GET
#undef HTTP_HEAD

/* Why we refuse what llhttp takes. */
enum why {
	WHY_NONE,
	WHY_LIMIT,	  /* 414, 431 */
	WHY_UNSERVED,	  /* 501: a method that llhttp knows and we don't; 505 */
	WHY_LINE_END,	  /* a bare LF, or a CR that no LF follows */
	WHY_FOLD,	  /* obs-fold (RFC 9112 5.2 allows to refuse it) */
	WHY_REQUEST_LINE, /* more than single spaces in it, HTTP/0.9 */
	WHY_NO_NAME,	  /* a field line that starts with ':' */
	WHY_HOST,	  /* missing, twice, or not a host */
	WHY_TARGET,	  /* a fragment, a bad escape, "..", not in origin form */
	WHY_FRAMING,	  /* Content-Length 2^64 - 1, odd Transfer-Encoding values */
	WHY_IF_MATCH,	  /* twice */
	WHY_COUNT
};

struct told {
	bool complete;
	uint8_t method, minor;
	uint64_t length;
	bool chunked, keep_alive;
};

static int on_headers(llhttp_t *p)
{
	struct told *t = p->data;

	t->complete = true;
	t->method = llhttp_get_method(p);
	t->minor = llhttp_get_http_minor(p);
	t->length = p->content_length;
	t->chunked = p->flags & F_CHUNKED;
	t->keep_alive = llhttp_should_keep_alive(p);
	return 0;
}

/* The length of the head that llhttp takes from the front of `text`, 0 if it takes none. Fed byte
 * by byte, so that what follows the head has no say. */
static size_t llhttp_takes(const char *text, size_t n, struct told *t)
{
	llhttp_settings_t settings;
	llhttp_t p;

	llhttp_settings_init(&settings);
	settings.on_headers_complete = on_headers;
	llhttp_init(&p, HTTP_REQUEST, &settings);
	*t = (struct told){0};
	p.data = t;
	for (size_t i = 0; i < n; i++) {
		llhttp_errno_t err = llhttp_execute(&p, text + i, 1);

		if (err != HPE_OK && err != HPE_PAUSED_UPGRADE)
			return 0;
		if (t->complete)
			return i + 1;
	}
	return 0;
}

static const char *line_value(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(line, name, n) == 0 && line[n] == ':' ? line + n + 1 : NULL;
}

static bool host_is_odd(const char *v)
{
	size_t n;

	v += strspn(v, " \t");
	n = strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~");
	if (v[n] == '\r')
		return false;
	if (v[n] == ':' && strspn(v + n + 1, "0123456789") <= 5 && n)
		return v[n + 1 + strspn(v + n + 1, "0123456789")] != '\r';
	return true;
}

static enum why look_at_request_line(const char *line)
{
	const char *target = strchr(line, ' '), *end = strrchr(line, ' ');

	if (!target || target == end || strstr(line, "  ") || strncmp(end, " HTTP/1.", 8))
		return WHY_REQUEST_LINE;
	target++;
	if (*target != '/' || strncmp(line, "CONNECT", 7) == 0)
		return WHY_TARGET;
	for (const char *p = target; p < end; p++) {
		if (*p == '#' || strncmp(p, "%00", 3) == 0 || strncmp(p, "..", 2) == 0)
			return WHY_TARGET;
		if (*p == '%' && (!strchr("0123456789abcdefABCDEF", p[1]) ||
				  !strchr("0123456789abcdefABCDEF", p[2])))
			return WHY_TARGET;
		if (strncasecmp(p, "%2e", 3) == 0)
			return WHY_TARGET;
	}
	return WHY_NONE;
}

/* Something that is not a comma-separated list of tokens, or an empty one. */
static bool coding_is_odd(const char *v)
{
	if (!v[strspn(v, " \t,\r\n")])
		return true;
	while (*v && *v != '\r') {
		size_t n;

		v += strspn(v, " \t,");
		n = strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			      "!#$%&'*+-.^_`|~");
		v += n + strspn(v + n, " \t");
		if (*v && !strchr(",\r", *v))
			return true;
	}
	return false;
}

struct counts {
	unsigned int hosts, if_matches;
};

/* One field line, terminated after its LF. */
static enum why look_at_field(const char *line, struct counts *c)
{
	const char *v;

	if (*line == ' ' || *line == '\t')
		return WHY_FOLD;
	if (*line == ':')
		return WHY_NO_NAME;
	v = line_value(line, "Host");
	c->hosts += v != NULL;
	if (v && host_is_odd(v))
		return WHY_HOST;
	c->if_matches += line_value(line, "If-Match") != NULL;
	v = line_value(line, "Transfer-Encoding");
	if (v && coding_is_odd(v))
		return WHY_FRAMING;
	v = line_value(line, "Content-Length");
	if (v && strstr(v, "18446744073709551615"))
		return WHY_FRAMING;
	return WHY_NONE;
}

static bool has_odd_line_end(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r'))
			return true;
		if (text[i] == '\r' && (i + 1 == n || text[i + 1] != '\n'))
			return true;
	}
	return false;
}

/* A reason to refuse, found in the text: `n` bytes of a head that llhttp takes, and a NUL. */
static enum why look(const char *text, size_t n)
{
	struct counts counts = {0};
	enum why why = WHY_NONE;
	bool first = true;

	if (has_odd_line_end(text, n))
		return WHY_LINE_END;
	text += strspn(text, "\r\n");
	for (const char *end; !why && (end = strchr(text, '\n')); text = end + 1, first = false) {
		char line[2048];

		snprintf(line, sizeof line, "%.*s", (int)(end + 1 - text), text);
		why = first ? look_at_request_line(line) : look_at_field(line, &counts);
	}
	if (why)
		return why;
	return counts.hosts != 1 ? WHY_HOST : counts.if_matches > 1 ? WHY_IF_MATCH : WHY_NONE;
}

static enum why reason(int status, const char *text, size_t n)
{
	char *copy = calloc(1, n + 1);
	enum why why;

	assert_non_null(copy);
	memcpy(copy, text, n);
	why = status == -414 || status == -431	 ? WHY_LIMIT
	      : status == -501 || status == -505 ? WHY_UNSERVED
						 : look(copy, n);
	free(copy);
	return why;
}

static const char *const seeds[] = {
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a/b.ts?x=y&z HTTP/1.1\r\nHost: example.com:80\r\nAccept: */*\r\n\r\n",
	"HEAD /%41 HTTP/1.1\r\nhost: a\r\nConnection: close\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, x\r\n\r\n",
	"\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Y: \t z \t\r\nEmpty:\r\n\r\n",
	"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
	"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 10 \r\n\r\n",
	"PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"PUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: "
	"chunked\r\n\r\n",
	"DELETE /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
	"GET /x HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\nIf-Match: \"x\"\r\nCookie: a=b\r\n\r\n",
	"GET /long/path/that/goes/on HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0 (X11)\r\n"
	"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n",
};

static const char *const pieces[] = {
	"\r\n",
	"\n",
	"\r",
	" ",
	"\t",
	":",
	",",
	";",
	"%",
	"%2e%2e/",
	"#",
	"\x80",
	"\x7f",
	"..",
	"Host: b\r\n",
	"Content-Length: 5\r\n",
	"Content-Length: 18446744073709551615\r\n",
	"Transfer-Encoding: chunked\r\n",
	"Transfer-Encoding: x;y, chunked\r\n",
	"Connection: close\r\n",
	"Connection: keep-alive\r\n",
	"If-Match: *\r\n",
	" folded\r\n",
	"\r\n\r\n",
	"HTTP/1.0",
	"HTTP/2.0",
	"GET ",
	"POST ",
	"chunked",
	"0",
	"9",
	"*",
	"http://",
	"Proxy-Connection: close\r\n",
	"Content-Lengthx: 1\r\n",
	"TE: trailers\r\n",
	"@",
	"[",
	"\"",
};

#define PICK(r, a) (a)[rng_below(r, sizeof(a) / sizeof *(a))]

/* One to four small damages. */
static size_t mutate(struct rng *r, char *text, size_t n, size_t cap)
{
	for (uint64_t k = 1 + rng_below(r, 4); k; k--) {
		size_t at = rng_below(r, n + 1), len;
		const char *piece = PICK(r, pieces);

		switch (rng_below(r, 5)) {
		case 0: /* one byte changes */
			if (at < n)
				text[at] = (char)rng_u64(r);
			break;
		case 1: /* some bytes vanish */
			len = rng_below(r, 8);
			len = len < n - at ? len : n - at;
			memmove(text + at, text + at + len, n - at - len);
			n -= len;
			break;
		case 2: /* letter case */
			if (at < n)
				text[at] ^= 0x20;
			break;
		case 3: /* a piece at the start of a line, if there is one further on */
			while (at < n && at && text[at - 1] != '\n')
				at++;
			/* fall through */
		default: /* a piece anywhere */
			len = strlen(piece);
			if (n + len > cap)
				break;
			memmove(text + at + len, text + at, n - at);
			memcpy(text + at, piece, len);
			n += len;
		}
	}
	return n;
}

static void fail_with(const char *what, int r, const char *text, size_t n)
{
	fprintf(stderr, "%s (http_parse says %d):\n", what, r);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, text[i] >= ' ' && text[i] < 127 ? "%c" : "\\x%02x",
			(unsigned char)text[i]);
	fprintf(stderr, "\n");
	fail();
}

static void same_meaning(const struct http_req *req, const struct told *t, int r, const char *text,
			 size_t n)
{
	char copy[2048];
	bool other_rules;

	if ((req->method == HTTP_GET) != (t->method == LLHTTP_GET) || req->body_len != t->length ||
	    req->chunked != t->chunked)
		fail_with("understood differently", r, text, n);
	/* We close where a client waits for 100 Continue, where HTTP/1.0 is chunked, and on "close"
	 * even beside "keep-alive"; llhttp also obeys the Proxy-Connection of old proxies. */
	snprintf(copy, sizeof copy, "%.*s", (int)n, text);
	other_rules = strcasestr(copy, "expect:") || strcasestr(copy, "proxy-connection:") ||
		      (t->minor == 0 && (t->chunked || strcasestr(copy, "close")));
	if (req->keep_alive != t->keep_alive && !other_rules)
		fail_with("keep-alive understood differently", r, text, n);
}

static unsigned int seen[WHY_COUNT], accepted, refused;

/* The one thing taken here that llhttp refuses: HTTP/1.2 to 1.9 (RFC 9110 2.5). */
static bool later_minor(const char *text, size_t n)
{
	const char *v = memmem(text, n, " HTTP/1.", 8);

	return v && v[8] >= '2' && v[8] <= '9';
}

static void compare(const char *text, size_t n)
{
	struct told t;
	struct http_req req;
	int r = http_parse(text, n, &req);
	size_t head = llhttp_takes(text, n, &t);

	if (r > 0) {
		accepted++;
		if (!head && later_minor(text, n))
			return;
		if (head != (size_t)r)
			fail_with("llhttp does not take it, or at another length", r, text, n);
		same_meaning(&req, &t, r, text, n);
	} else if (r == 0) {
		if (head && reason(r, text, head) == WHY_NONE)
			fail_with("llhttp takes what is incomplete here", r, text, n);
	} else if (head) {
		enum why why = reason(r, text, head);

		if (why == WHY_NONE)
			fail_with("llhttp takes it", r, text, n);
		seen[why]++;
	} else {
		refused++;
	}
}

static void test_mutated(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 20261122);
	for (int i = 0; i < 30000; i++) {
		char text[1024];
		const char *seed = PICK(&r, seeds);
		size_t n = strlen(seed);

		memcpy(text, seed, n);
		n = mutate(&r, text, n, sizeof text);
		compare(text, n);
	}
	for (int i = 1; i < WHY_COUNT; i++)
		print_message("reason %d: %u\n", i, seen[i]);
	print_message("both accept %u, both refuse %u\n", accepted, refused);
	assert_true(accepted > 3000 && refused > 3000);
}

/* The same verdict wherever the packets are cut. */
static void test_every_split(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 7);
	for (int i = 0; i < 1500; i++) {
		char text[1024];
		const char *seed = PICK(&r, seeds);
		size_t n = strlen(seed);
		struct http_req req;
		int whole, decided = 0;

		memcpy(text, seed, n);
		n = mutate(&r, text, n, sizeof text);
		whole = http_parse(text, n, &req);
		for (size_t k = 0; k < n; k++) {
			int part = http_parse(text, k, &req);

			if (part || decided)
				assert_int_equal(part, whole);
			decided |= part != 0;
		}
	}
}

/* Each difference has an example that both sides judge as the list says. */
static void test_differences(void **state)
{
	static const struct {
		enum why why;
		const char *text;
	} cases[] = {
		{WHY_UNSERVED, "PURGE / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{WHY_LINE_END, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
		{WHY_FOLD, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"},
		{WHY_REQUEST_LINE, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{WHY_REQUEST_LINE, "GET /\r\n\r\n"},
		{WHY_NO_NAME, "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},
		{WHY_HOST, "GET / HTTP/1.1\r\n\r\n"},
		{WHY_HOST, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
		{WHY_HOST, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
		{WHY_TARGET, "GET /../x HTTP/1.1\r\nHost: a\r\n\r\n"},
		{WHY_TARGET, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
		{WHY_TARGET, "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n"},
		{WHY_TARGET, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{WHY_FRAMING,
		 "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x;y, chunked\r\n\r\n"},
		{WHY_IF_MATCH, "GET / HTTP/1.1\r\nHost: a\r\nIf-Match: *\r\nIf-Match: *\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *text = cases[i].text;
		struct http_req req;
		struct told t;
		int r = http_parse(text, strlen(text), &req);

		if (r >= 0 || !llhttp_takes(text, strlen(text), &t) ||
		    reason(r, text, strlen(text)) != cases[i].why)
			fail_with("not the difference expected", r, text, strlen(text));
	}
}

/* --- chunked bodies --- */

#define CHUNKED_HEAD "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static int on_message(llhttp_t *p)
{
	*(bool *)p->data = true;
	return 0;
}

/* The length of the chunked body that llhttp takes from the front of `body`; 0 incomplete, -1
 * refused. */
static int64_t llhttp_body(const char *body, size_t n)
{
	llhttp_settings_t settings;
	bool done = false;
	llhttp_t p;

	llhttp_settings_init(&settings);
	settings.on_message_complete = on_message;
	llhttp_init(&p, HTTP_REQUEST, &settings);
	p.data = &done;
	assert_int_equal(llhttp_execute(&p, CHUNKED_HEAD, sizeof CHUNKED_HEAD - 1), HPE_OK);
	for (size_t i = 0; i < n; i++) {
		if (llhttp_execute(&p, body + i, 1) != HPE_OK)
			return -1;
		if (done)
			return (int64_t)i + 1;
	}
	return 0;
}

static int64_t own_body(const char *body, size_t n)
{
	struct http_chunked st = {0};
	int64_t r = http_chunked_skip(&st, body, n);

	return r < 0 ? -1 : st.done ? r : 0;
}

static const char *const bodies[] = {
	"5\r\nhello\r\n0\r\n\r\n",
	"a;x=y\r\n0123456789\r\n0\r\n\r\n",
	"3;quoted=\"a b;c\"\r\nabc\r\n00;end\r\nTrailer: v\r\nOther:\r\n\r\n",
	"1\r\na\r\n02\r\nbb\r\n0\r\n\r\n",
	"1F\r\n0123456789012345678901234567890\r\n0\r\n\r\n",
};

/* Here the two may differ; a reason to be seen in the text. */
static bool body_is_odd(const char *body)
{
	const char *trailers = strstr(body, "0\r\n");

	return strcasestr(body, "content-length") || strcasestr(body, "transfer-encoding") ||
	       strcasestr(body, "connection") || /* trailers that mean something to llhttp */
	       (trailers && strstr(trailers, "\n:")) || strstr(body, "\r\n ") ||
	       strstr(body, "\r\n\t") || /* no name, obs-fold */
	       strchr(body, ';');	 /* extensions: compared on their own below */
}

static void test_mutated_bodies(void **state)
{
	unsigned int done = 0, bad = 0;
	struct rng r;

	(void)state;
	rng_seed(&r, 11);
	for (int i = 0; i < 30000; i++) {
		char text[1025] = "";
		const char *seed = PICK(&r, bodies);
		size_t n = strlen(seed);
		int64_t own, other;

		memcpy(text, seed, n);
		n = mutate(&r, text, n, sizeof text - 1);
		text[n] = '\0';
		if (strlen(text) != n || has_odd_line_end(text, n) || body_is_odd(text))
			continue;
		own = own_body(text, n);
		other = llhttp_body(text, n);
		if (own != other)
			fail_with("bodies differ", (int)own, text, n);
		done += own > 0;
		bad += own < 0;
	}
	print_message("both take %u, both refuse %u\n", done, bad);
	assert_true(done > 500 && bad > 500);
}

/* Extensions: the grammar of RFC 9112 7.1.1 without white space. llhttp 8.1 agrees on these. */
static void test_extensions(void **state)
{
	static const struct {
		const char *ext;
		bool ok;
	} cases[] = {
		{";a", true},		{";a=b", true},	      {";a;b;c=d", true},
		{";a=\"b;c d\"", true}, {";a=\"b\";c", true}, {"; a", false},
		{";\x80", false},	{";a b", false},      {";a=\"b", false},
		{";a=b c", false},	{";", false},	      {" ;a", false},
		{";a=\"b\"c", false},	{";a=b\"", false},    {";a=\"\x01\"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char body[128];
		int n = snprintf(body, sizeof body, "1%s\r\na\r\n0\r\n\r\n", cases[i].ext);

		assert_int_equal(own_body(body, (size_t)n), cases[i].ok ? n : -1);
		assert_int_equal(llhttp_body(body, (size_t)n), cases[i].ok ? n : -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutated),	    cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_differences), cmocka_unit_test(test_mutated_bodies),
		cmocka_unit_test(test_extensions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
	printf("llhttp's sources are missing; install the package node-llhttp\n");
	return 77;
}

#endif
