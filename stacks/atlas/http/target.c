/* http, target: from the four forms of a request target (RFC 9112 3.2) to a clean path.
 *
 * The path is percent-decoded once, then cut into segments: empty ones and "." vanish, ".." takes
 * the one before it away, and a path that would climb above the root is refused. "%2F" becomes a
 * separator before that, so no encoding hides a "..". The query is dropped.
 *
 * Limits: NUL in a path is refused, as is a decoded path of HTTP_PATH_MAX bytes or more (414), and
 * user information in an absolute target (RFC 9110 4.2.4).
 */
#include "stacks/atlas/http/impl.h"

#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of the path at s[*i], which is moved on. -1: a bad escape or NUL. */
static int decode_byte(struct http_str s, size_t *i)
{
	int hi, lo;

	if (s.p[*i] != '%')
		return (unsigned char)s.p[(*i)++];
	if (s.n - *i < 3)
		return -1;
	hi = hex(s.p[*i + 1]);
	lo = hex(s.p[*i + 2]);
	*i += 3;
	if (hi < 0 || lo < 0 || hi + lo == 0)
		return -1;
	return hi << 4 | lo;
}

/* The last segment of out[0, n), which begins after the '/' at `slash`, has ended: "." and ".." are
 * worked off. Returns the new length, always just after a '/' if something was cut; -1 above root.
 */
static int end_segment(const char *out, int n, int slash)
{
	int len = n - slash - 1;

	if (len == 1 && out[slash + 1] == '.')
		return slash + 1;
	if (len != 2 || out[slash + 1] != '.' || out[slash + 2] != '.')
		return n;
	if (slash == 0)
		return -1;
	do
		slash--;
	while (out[slash] != '/');
	return slash + 1;
}

/* `s` starts with '/'. */
static int take_path(struct http_str s, char out[HTTP_PATH_MAX])
{
	int n = 0, slash = 0;

	for (size_t i = 0; i < s.n && s.p[i] != '?';) {
		int c = decode_byte(s, &i);

		if (c < 0)
			return -400;
		if (c == '/' && n) {
			n = end_segment(out, n, slash);
			if (n <= 0) /* 0 is never returned */
				return -400;
			if (out[n - 1] == '/') { /* an empty segment, or one that was cut */
				slash = n - 1;
				continue;
			}
		}
		if (n == HTTP_PATH_MAX - 1)
			return -414;
		if (c == '/')
			slash = n;
		out[n++] = (char)c;
	}
	n = end_segment(out, n, slash);
	if (n < 0)
		return -400;
	out[n] = '\0';
	return 0;
}

/* "host", "host:port", "[v6]", "[v6]:port". Names are checked by their letters only: it is compared
 * with nothing here. */
bool http_host_ok(struct http_str s, bool may_be_empty)
{
	size_t i = 0, colon;

	if (!s.n)
		return may_be_empty;
	if (s.p[0] == '[') {
		while (i < s.n && s.p[i] != ']')
			if (!http_in(&http_hostch, s.p[i++]))
				return false;
		if (i < 3 || i == s.n)
			return false;
		i++;
	} else {
		for (; i < s.n && s.p[i] != ':'; i++)
			if (!http_in(&http_hostch, s.p[i]) || s.p[i] == '[' || s.p[i] == ']')
				return false;
		if (!i)
			return false;
	}
	colon = i;
	if (i == s.n)
		return true;
	if (s.p[i++] != ':')
		return false;
	for (; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return i - colon <= 6; /* ":" and up to five digits, or none (RFC 3986 3.2.3) */
}

/* http://authority/path or https://...; the path may be missing. */
static int take_absolute(struct http_str t, struct http_req *req)
{
	size_t skip, n;
	struct http_str host;

	if (t.n >= 7 && http_is((struct http_str){t.p, 7}, "http://"))
		skip = 7;
	else if (t.n >= 8 && http_is((struct http_str){t.p, 8}, "https://"))
		skip = 8;
	else
		return -400;
	t.p += skip;
	t.n -= skip;
	for (n = 0; n < t.n && t.p[n] != '/' && t.p[n] != '?';)
		n++;
	host = (struct http_str){t.p, n};
	if (!http_host_ok(host, false))
		return -400;
	t.p += n;
	t.n -= n;
	if (t.n && *t.p == '/')
		return take_path(t, req->path);
	memcpy(req->path, "/", 2);
	return 0;
}

int http_take_target(struct http_str t, struct http_str method, struct http_req *req)
{
	if (http_is(method, "connect")) /* no tunnels; the connection closes, so none is spoken */
		return http_host_ok(t, false) ? -501 : -400;
	if (*t.p == '/')
		return take_path(t, req->path);
	if (*t.p != '*')
		return take_absolute(t, req);
	if (t.n != 1 || !http_is(method, "options"))
		return -400;
	memcpy(req->path, "/", 2);
	return 0;
}
