/* http, parse: one request head, RFC 9112 sections 2 to 5, strict.
 *
 * The idea: one cursor that only moves forward and never looks past the byte that decides. The
 * verdict on a prefix is therefore "incomplete" or the very verdict on the whole, wherever the
 * packets happened to be cut, and nothing has to be remembered between calls. The price is that a
 * head arriving in n pieces is read n times; HTTP_HEAD_MAX bounds it.
 *
 * Lines end with CR LF only, a name is followed by ':' at once, and nothing folds: what two parsers
 * could read differently is refused (request smuggling).
 */
#include "stacks/atlas/http/impl.h"

#include <string.h>

/* Methods that exist but are not served here get 405; any other word gets 501 (RFC 9110 9.1). */
static const char *const other_methods[] = {"POST",    "PUT",	"DELETE",   "OPTIONS",	 "TRACE",
					    "CONNECT", "PATCH", "PROPFIND", "PROPPATCH", "MKCOL",
					    "COPY",    "MOVE",	"LOCK",	    "UNLOCK",	 "SEARCH"};

struct cursor {
	const char *p, *end;
};

enum { MORE = 0 }; /* what http_parse returns for "incomplete" */
#define OK 1

static bool same(struct http_str s, const char *word)
{
	return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

/* Bytes of `set` from the cursor on; the cursor stops at the first other one. */
static struct http_str span(struct cursor *c, const struct http_set *set)
{
	struct http_str s = {c->p, 0};

	while (c->p < c->end && http_in(set, *c->p))
		c->p++;
	s.n = (size_t)(c->p - s.p);
	return s;
}

static int expect(struct cursor *c, const char *word)
{
	for (; *word; word++, c->p++) {
		if (c->p == c->end)
			return MORE;
		if (*c->p != *word)
			return -400;
	}
	return OK;
}

/* Empty lines before the request line are skipped (RFC 9112 2.2). */
static int skip_empty_lines(struct cursor *c)
{
	while (c->p < c->end && *c->p == '\r') {
		int err = expect(c, "\r\n");

		if (err != OK)
			return err;
	}
	return c->p < c->end ? OK : MORE;
}

static int take_method(struct http_str word, struct http_req *req)
{
	req->method = HTTP_OTHER;
	if (same(word, "GET"))
		req->method = HTTP_GET;
	if (same(word, "HEAD"))
		req->method = HTTP_HEAD;
	if (req->method != HTTP_OTHER)
		return 0;
	for (size_t i = 0; i < sizeof other_methods / sizeof *other_methods; i++)
		if (same(word, other_methods[i]))
			return 0;
	return -501;
}

/* "HTTP/1.1"; HTTP/1.2 and above are read as 1.1 (RFC 9110 2.5). */
static int take_version(struct cursor *c, struct http_req *req)
{
	int err = expect(c, "HTTP/");
	char major, minor;

	if (err != OK)
		return err;
	if (c->p == c->end)
		return MORE;
	major = *c->p++;
	if (major < '0' || major > '9')
		return -400;
	err = expect(c, ".");
	if (err != OK)
		return err;
	if (c->p == c->end)
		return MORE;
	minor = *c->p++;
	if (minor < '0' || minor > '9')
		return -400;
	req->minor = minor != '0';
	return major == '1' ? OK : -505;
}

static int request_line(struct cursor *c, struct http_req *req)
{
	struct http_str method = span(c, &http_tchar), target;
	int err;

	if (c->p == c->end)
		return MORE;
	if (!method.n || *c->p++ != ' ')
		return -400;
	target = span(c, &http_target);
	if (target.n > HTTP_TARGET_MAX)
		return -414;
	if (c->p == c->end)
		return MORE;
	if (!target.n || *c->p++ != ' ')
		return -400;
	err = take_version(c, req);
	if (err != OK)
		return err;
	err = expect(c, "\r\n");
	if (err != OK)
		return err;
	err = take_method(method, req);
	if (!err)
		err = http_take_target(target, method, req);
	return err ? err : OK;
}

/* One field line, whose first byte is there. */
static int field_line(struct cursor *c, struct http_fields *f, struct http_req *req)
{
	struct http_str name = span(c, &http_tchar), value;
	int err;

	if (c->p == c->end)
		return MORE;
	if (!name.n || *c->p++ != ':')
		return -400; /* also obs-fold and white space before the colon */
	value = span(c, &http_vchar);
	if (c->p == c->end)
		return MORE;
	err = expect(c, "\r\n");
	if (err != OK)
		return err;
	if (++f->count > HTTP_FIELD_MAX)
		return -431;
	err = http_take_field(name, http_trim(value), f, req);
	return err ? err : OK;
}

static int head(struct cursor *c, struct http_req *req)
{
	struct http_fields f = {.identity_q = -1, .star_q = -1};
	int err = skip_empty_lines(c);

	if (err != OK)
		return err;
	err = request_line(c, req);
	if (err != OK)
		return err;
	for (;;) {
		if (c->p == c->end)
			return MORE;
		if (*c->p == '\r')
			break;
		err = field_line(c, &f, req);
		if (err != OK)
			return err;
	}
	err = expect(c, "\r\n");
	if (err != OK)
		return err;
	err = http_take_end(&f, req);
	return err ? err : OK;
}

int http_parse(const char *buf, size_t len, struct http_req *req)
{
	size_t n = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	struct cursor c = {buf, buf + n};
	int err;

	*req = (struct http_req){0};
	err = head(&c, req);
	if (err == OK)
		return (int)(c.p - buf);
	if (err == MORE && n == HTTP_HEAD_MAX)
		return -431;
	return err;
}
