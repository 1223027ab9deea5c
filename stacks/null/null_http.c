/* null_http: see null_http.h. The request line is taken apart by hand; of the fields only those
 * that change framing or persistence matter. Requests with a body are refused: nobody sends them
 * here. */
#include "stacks/null/null_http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool prefix(const char *s, size_t len, const char *what)
{
	size_t n = strlen(what);

	return len >= n && memcmp(s, what, n) == 0;
}

int64_t null_lookup(const char *path, size_t len, const struct content *c)
{
	bool cold = prefix(path, len, "/cold/");
	size_t at = cold ? 6 : 5;
	uint64_t n = 0;

	if (!cold && !prefix(path, len, "/hot/"))
		return -1;
	if (len != at + 6)
		return -1;
	for (; at < len; at++) {
		if (path[at] < '0' || path[at] > '9')
			return -1;
		n = n * 10 + (uint64_t)(path[at] - '0');
	}
	if (n >= (cold ? c->cold : c->hot))
		return -1;
	return (int64_t)(cold ? CONTENT_COLD + n : n);
}

/* Does the field line [p, end) have this name? Its value through v and vlen. */
static bool field(const char *p, const char *end, const char *name, const char **v, size_t *vlen)
{
	size_t n = strlen(name);

	if ((size_t)(end - p) <= n || strncasecmp(p, name, n) != 0 || p[n] != ':')
		return false;
	p += n + 1;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*v = p;
	*vlen = (size_t)(end - p);
	return true;
}

/* Field lines up to the empty line; false if one is malformed or asks for what we don't do. */
static bool fields(const char *p, const char *end, struct null_req *r)
{
	while (p < end) {
		const char *eol = memchr(p, '\r', (size_t)(end - p)), *v;
		size_t n;

		if (!eol || eol + 1 >= end || eol[1] != '\n' || !memchr(p, ':', (size_t)(eol - p)))
			return false;
		if (field(p, eol, "connection", &v, &n)) {
			if (n == 5 && strncasecmp(v, "close", 5) == 0)
				r->keep_alive = false;
			else if (n == 10 && strncasecmp(v, "keep-alive", 10) == 0)
				r->keep_alive = true;
		} else if (field(p, eol, "transfer-encoding", &v, &n)) {
			return false;
		} else if (field(p, eol, "content-length", &v, &n) && !(n == 1 && *v == '0')) {
			return false;
		}
		p = eol + 2;
	}
	return true;
}

static size_t refuse(struct null_req *r, int status, size_t len)
{
	r->status = status;
	r->keep_alive = false;
	return len;
}

size_t null_parse(const char *buf, size_t len, const struct content *c, struct null_req *r)
{
	size_t seen = len < NULL_HEAD_MAX ? len : NULL_HEAD_MAX;
	const char *end = memmem(buf, seen, "\r\n\r\n", 4), *eol, *sp1, *sp2;
	int64_t id;
	size_t head_len;

	memset(r, 0, sizeof *r);
	if (!end)
		return len >= NULL_HEAD_MAX ? refuse(r, 431, len) : 0;
	head_len = (size_t)(end - buf) + 4;
	eol = memchr(buf, '\r', head_len);
	sp1 = memchr(buf, ' ', (size_t)(eol - buf));
	sp2 = sp1 ? memchr(sp1 + 1, ' ', (size_t)(eol - sp1 - 1)) : NULL;
	if (!sp2 || eol - sp2 != 9 || memcmp(sp2, " HTTP/", 6) != 0 || eol[1] != '\n')
		return refuse(r, 400, len);
	if (memcmp(sp2 + 6, "1.", 2) != 0)
		return refuse(r, 505, len);
	r->keep_alive = sp2[8] >= '1';
	if (!fields(eol + 2, end + 2, r))
		return refuse(r, 400, len);
	r->head = sp1 - buf == 4 && memcmp(buf, "HEAD", 4) == 0;
	if (!r->head && !(sp1 - buf == 3 && memcmp(buf, "GET", 3) == 0)) {
		r->status = 405;
		return head_len;
	}
	id = null_lookup(sp1 + 1, (size_t)(sp2 - sp1 - 1), c);
	r->status = id < 0 ? 404 : 200;
	r->id = id < 0 ? 0 : (uint64_t)id;
	return head_len;
}

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Bad Request";
	}
}

size_t null_head(const struct null_req *r, const struct content *c, char *buf, size_t size)
{
	uint64_t len = r->status == 200 ? c->object_size : 0;
	int n = snprintf(buf, size,
			 "HTTP/1.1 %d %s\r\nServer: dcn-null\r\n%s%s%sContent-Length: %llu\r\n\r\n",
			 r->status, reason(r->status),
			 r->status == 200 ? "Content-Type: application/octet-stream\r\n" : "",
			 r->status == 405 ? "Allow: GET, HEAD\r\n" : "",
			 r->keep_alive ? "" : "Connection: close\r\n", (unsigned long long)len);

	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}
