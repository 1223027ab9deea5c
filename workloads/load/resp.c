/* resp: see resp.h. One pass over complete lines; of the fields only those that change framing or
 * persistence are understood. Two different Content-Lengths are refused (RFC 9112 6.3). */
#include "workloads/load/resp.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define LENGTH_MAX (INT64_MAX / 16)

static bool name_is(const char *p, size_t n, const char *name)
{
	return strlen(name) == n && strncasecmp(p, name, n) == 0;
}

static bool token_char(unsigned char c)
{
	return c > 0x20 && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", c);
}

/* "HTTP/1.x SSS[ reason]" */
static int status_line(const char *p, size_t n, struct resp *r)
{
	if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return -EPROTO;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -EPROTO;
		r->status = r->status * 10 + (p[i] - '0');
	}
	if (r->status < 100 || (n > 12 && p[12] != ' '))
		return -EPROTO;
	r->keep_alive = p[7] == '1';
	return 0;
}

static int content_length(const char *v, size_t n, struct resp *r)
{
	int64_t len = 0;

	if (!n)
		return -EPROTO;
	for (size_t i = 0; i < n; i++) {
		if (v[i] < '0' || v[i] > '9' || len > LENGTH_MAX)
			return -EPROTO;
		len = len * 10 + (v[i] - '0');
	}
	if (len > LENGTH_MAX || (r->length >= 0 && r->length != len))
		return -EPROTO;
	r->length = len;
	return 0;
}

/* Does a comma-separated list hold this word? */
static bool list_has(const char *v, size_t n, const char *word)
{
	const char *end = v + n;

	while (v < end) {
		const char *comma = memchr(v, ',', (size_t)(end - v)), *stop = comma ? comma : end;

		while (v < stop && (*v == ' ' || *v == '\t'))
			v++;
		while (stop > v && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		if (name_is(v, (size_t)(stop - v), word))
			return true;
		if (!comma)
			break;
		v = comma + 1;
	}
	return false;
}

static int field_line(const char *p, size_t n, struct resp *r)
{
	const char *colon = memchr(p, ':', n), *v, *end = p + n;
	size_t name = colon ? (size_t)(colon - p) : 0, vlen;

	if (!name)
		return -EPROTO;
	for (size_t i = 0; i < name; i++)
		if (!token_char((unsigned char)p[i]))
			return -EPROTO;
	for (v = colon + 1; v < end && (*v == ' ' || *v == '\t'); v++)
		;
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	vlen = (size_t)(end - v);
	if (memchr(v, '\r', vlen) || memchr(v, '\0', vlen))
		return -EPROTO;
	if (name_is(p, name, "content-length"))
		return content_length(v, vlen, r);
	if (name_is(p, name, "transfer-encoding"))
		r->chunked = true;
	else if (name_is(p, name, "connection")) {
		if (list_has(v, vlen, "close"))
			r->keep_alive = false;
		else if (list_has(v, vlen, "keep-alive"))
			r->keep_alive = true;
	}
	return 0;
}

int resp_parse(const char *buf, size_t len, struct resp *r)
{
	size_t at = 0, max = len < RESP_HEAD_MAX ? len : RESP_HEAD_MAX;
	bool first = true;
	int err;

	memset(r, 0, sizeof *r);
	r->length = -1;
	/* Something else than HTTP is refused early, or it would look incomplete for ever. */
	if (memcmp(buf, "HTTP/1.", len < 7 ? len : 7) != 0)
		return -EPROTO;
	for (;;) {
		const char *nl = memchr(buf + at, '\n', max - at);
		size_t n;

		if (!nl)
			return len >= RESP_HEAD_MAX ? -EMSGSIZE : 0;
		n = (size_t)(nl - buf) - at;
		if (n && buf[at + n - 1] == '\r')
			n--;
		if (!n && !first)
			return (int)(nl - buf) + 1;
		err = first ? status_line(buf + at, n, r) : field_line(buf + at, n, r);
		if (err)
			return err;
		first = false;
		at = (size_t)(nl - buf) + 1;
	}
}
