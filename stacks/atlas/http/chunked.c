/* http, chunked: skip a chunked request body (RFC 9112 7.1), byte by byte, contents thrown away.
 *
 * Strict: sizes are hexadecimal digits directly followed by ';' or CR LF; chunk extensions are
 * ;name, ;name=token or ;name="string" without white space; trailers are field lines. A size line,
 * and all trailers together, are bounded by LINE_MAX_BYTES.
 */
#include "stacks/atlas/http/impl.h"

#define LINE_MAX_BYTES 4096

enum {
	SIZE_FIRST,	 /* allowed: a digit */
	SIZE,		 /* a digit, ';' or CR */
	EXT_NAME_FIRST,	 /* a name's first byte */
	EXT_NAME,	 /* its others, '=', ';' or CR */
	EXT_VALUE_FIRST, /* a token's first byte or a quote */
	EXT_VALUE,	 /* its others, ';' or CR */
	EXT_QUOTED,	 /* field bytes up to a quote */
	EXT_ESCAPED,	 /* any field byte */
	EXT_END,	 /* ';' or CR */
	SIZE_LF,	 /* LF of the size line */
	DATA,		 /* `left` bytes */
	DATA_CR,	 /* CR after the data */
	DATA_LF,	 /* LF after the data */
	TRAILER_START,	 /* CR (the end) or a field name */
	TRAILER_NAME,	 /* name bytes up to ':' */
	TRAILER_VALUE,	 /* field bytes up to CR */
	TRAILER_LF,	 /* LF of a trailer line */
	END_LF,		 /* the last LF */
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int size_byte(struct http_chunked *st, char c)
{
	int d = hex_digit(c);

	if (d >= 0) {
		if (st->left >> 59) /* the sum of all could overflow otherwise */
			return -400;
		st->left = st->left << 4 | (unsigned int)d;
		return SIZE;
	}
	if (st->state == SIZE_FIRST)
		return -400;
	return c == ';' ? EXT_NAME_FIRST : c == '\r' ? SIZE_LF : -400;
}

static int extension_byte(int state, char c)
{
	bool token = http_in(&http_tchar, c);

	if (state == EXT_QUOTED || state == EXT_ESCAPED) {
		if (!http_in(&http_vchar, c))
			return -400;
		return state == EXT_ESCAPED ? EXT_QUOTED
		       : c == '"'	    ? EXT_END
		       : c == '\\'	    ? EXT_ESCAPED
					    : EXT_QUOTED;
	}
	if (token && state != EXT_END)
		return state <= EXT_NAME ? EXT_NAME : EXT_VALUE;
	if (state == EXT_VALUE_FIRST)
		return c == '"' ? EXT_QUOTED : -400;
	if (state == EXT_NAME_FIRST)
		return -400;
	if (state == EXT_NAME && c == '=')
		return EXT_VALUE_FIRST;
	return c == ';' ? EXT_NAME_FIRST : c == '\r' ? SIZE_LF : -400;
}

static int trailer_byte(const struct http_chunked *st, char c)
{
	if (st->state == TRAILER_START && c == '\r')
		return END_LF;
	if (st->state == TRAILER_VALUE)
		return c == '\r' ? TRAILER_LF : http_in(&http_vchar, c) ? TRAILER_VALUE : -400;
	if (st->state == TRAILER_NAME && c == ':')
		return TRAILER_VALUE;
	return http_in(&http_tchar, c) ? TRAILER_NAME : -400;
}

/* The state after byte `c`, or minus a status. */
static int next_state(struct http_chunked *st, char c)
{
	switch (st->state) {
	case SIZE_FIRST:
	case SIZE:
		return size_byte(st, c);
	case EXT_NAME_FIRST:
	case EXT_NAME:
	case EXT_VALUE_FIRST:
	case EXT_VALUE:
	case EXT_QUOTED:
	case EXT_ESCAPED:
	case EXT_END:
		return extension_byte(st->state, c);
	case SIZE_LF:
		if (c != '\n')
			return -400;
		st->line = 0;
		return st->left ? DATA : TRAILER_START;
	case DATA_CR:
		return c == '\r' ? DATA_LF : -400;
	case DATA_LF:
		st->line = 0;
		return c == '\n' ? SIZE_FIRST : -400;
	case TRAILER_LF:
		return c == '\n' ? TRAILER_START : -400;
	case END_LF:
		st->done = c == '\n';
		return c == '\n' ? END_LF : -400;
	default:
		return trailer_byte(st, c);
	}
}

int64_t http_chunked_skip(struct http_chunked *st, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && !st->done) {
		int state;

		if (st->state == DATA) {
			uint64_t take = st->left < n - i ? st->left : n - i;

			st->left -= take;
			i += take;
			if (!st->left)
				st->state = DATA_CR;
			continue;
		}
		if (++st->line > LINE_MAX_BYTES)
			return -431;
		state = next_state(st, p[i++]);
		if (state < 0)
			return state;
		st->state = (uint8_t)state;
	}
	return (int64_t)i;
}
