/* http, text: byte sets, small strings, lists and numbers (RFC 9110 5.6). */
#include "stacks/atlas/http/impl.h"

const struct http_set http_tchar = {{0x03ff6cfa00000000ull, 0x57ffffffc7fffffeull, 0, 0}};
const struct http_set http_vchar = {{0xffffffff00000200ull, 0x7fffffffffffffffull, ~0ull, ~0ull}};
const struct http_set http_target = {{0xfffffff600000000ull, 0x7fffffffffffffffull, 0, 0}};
const struct http_set http_hostch = {{0x2fff7ff200000000ull, 0x47fffffeaffffffeull, 0, 0}};

static char lower_of(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool http_is(struct http_str s, const char *lower)
{
	for (size_t i = 0; i < s.n; i++)
		if (lower_of(s.p[i]) != lower[i] || !lower[i])
			return false;
	return !lower[s.n];
}

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

struct http_str http_trim(struct http_str s)
{
	while (s.n && is_ows(*s.p))
		s.p++, s.n--;
	while (s.n && is_ows(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool http_next(struct http_str *list, struct http_str *element)
{
	while (list->n) {
		size_t n = 0;

		while (n < list->n && list->p[n] != ',')
			n++;
		*element = http_trim((struct http_str){list->p, n});
		n += n < list->n; /* the comma */
		list->p += n;
		list->n -= n;
		if (element->n)
			return true;
	}
	return false;
}

bool http_number(struct http_str s, uint64_t *out)
{
	uint64_t v = 0;

	if (!s.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned int d = (unsigned int)(unsigned char)s.p[i] - '0';

		if (d > 9)
			return false;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
			v = UINT64_MAX;
	}
	*out = v;
	return true;
}
