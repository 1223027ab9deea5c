/* http, fields: the header fields that change what is answered; all others are passed over.
 *
 * Framing (RFC 9112 6) is strict: one Content-Length of digits, or a Transfer-Encoding that ends in
 * "chunked", never both. A conditional field given twice is dropped where dropping it only costs
 * bytes, and refused where it would not (If-Match).
 */
#include "stacks/atlas/http/impl.h"

static int take_length(struct http_str v, struct http_fields *f, struct http_req *req)
{
	if (f->has_length || !http_number(v, &req->body_len) || req->body_len == UINT64_MAX)
		return -400;
	f->has_length = true;
	return 0;
}

static int take_transfer_encoding(struct http_str v, struct http_fields *f)
{
	struct http_str e;

	f->has_te = true;
	while (http_next(&v, &e)) {
		if (f->te_last_chunked) /* chunked twice, or something after it */
			return -400;
		for (size_t i = 0; i < e.n; i++)
			if (!http_in(&http_tchar, e.p[i]))
				return -400; /* parameters: none is defined */
		f->te_last_chunked = http_is(e, "chunked");
	}
	return 0;
}

static void take_connection(struct http_str v, struct http_fields *f)
{
	struct http_str e;

	while (http_next(&v, &e)) {
		f->close |= http_is(e, "close");
		f->keep |= http_is(e, "keep-alive");
	}
}

/* "coding;q=0", "coding;q=0.000": is the weight nothing? (RFC 9110 12.4.2) */
static bool weight_is_zero(struct http_str w)
{
	w = http_trim(w);
	if (w.n < 3 || (*w.p | 0x20) != 'q' || w.p[1] != '=' || w.p[2] != '0')
		return false;
	for (size_t i = 3; i < w.n; i++)
		if (w.p[i] != '0' && !(i == 3 && w.p[i] == '.'))
			return false;
	return true;
}

static void take_accept_encoding(struct http_str v, struct http_fields *f)
{
	struct http_str e;

	while (http_next(&v, &e)) {
		struct http_str name = e;
		int allowed = 1;

		for (name.n = 0; name.n < e.n && e.p[name.n] != ';';)
			name.n++;
		if (name.n < e.n)
			allowed = !weight_is_zero(
				(struct http_str){e.p + name.n + 1, e.n - name.n - 1});
		name = http_trim(name);
		if (http_is(name, "identity"))
			f->identity_q = allowed;
		if (http_is(name, "*"))
			f->star_q = allowed;
	}
}

/* "bytes=1-2", "bytes=1-", "bytes=-2". Anything else, several ranges and a range that ends before
 * it begins count as no Range at all (RFC 9110 14.2). */
static void take_range(struct http_str v, struct http_req *req)
{
	struct http_str e, rest, first, last;
	size_t dash;

	if (v.n < 6 || !http_is((struct http_str){v.p, 6}, "bytes="))
		return;
	rest = (struct http_str){v.p + 6, v.n - 6};
	if (!http_next(&rest, &e) || http_next(&rest, &first))
		return;
	for (dash = 0; dash < e.n && e.p[dash] != '-';)
		dash++;
	if (dash == e.n)
		return;
	first = (struct http_str){e.p, dash};
	last = (struct http_str){e.p + dash + 1, e.n - dash - 1};
	if (!first.n && http_number(last, &req->range_a))
		req->range = HTTP_RANGE_SUFFIX;
	else if (!last.n && http_number(first, &req->range_a))
		req->range = HTTP_RANGE_FROM;
	else if (http_number(first, &req->range_a) && http_number(last, &req->range_b) &&
		 req->range_a <= req->range_b)
		req->range = HTTP_RANGE_FROM_TO;
}

/* Remember a conditional field; a second one of its kind un-remembers it. */
static bool take_once(struct http_str v, unsigned int bit, const char **p, size_t *n,
		      struct http_fields *f)
{
	bool again = f->seen_cond >> bit & 1;

	f->seen_cond |= 1u << bit;
	*p = again ? NULL : v.p;
	*n = again ? 0 : v.n;
	return !again;
}

static int take_conditional(struct http_str name, struct http_str v, struct http_fields *f,
			    struct http_req *req)
{
	if (http_is(name, "if-none-match"))
		take_once(v, 0, &req->if_none_match, &req->if_none_match_len, f);
	else if (http_is(name, "if-modified-since"))
		take_once(v, 1, &req->if_modified_since, &req->if_modified_since_len, f);
	else if (http_is(name, "if-unmodified-since"))
		take_once(v, 2, &req->if_unmodified_since, &req->if_unmodified_since_len, f);
	else if (http_is(name, "if-match"))
		return take_once(v, 3, &req->if_match, &req->if_match_len, f) ? 0 : -400;
	else if (http_is(name, "if-range")) /* two of them match nothing */
		if (!take_once(v, 4, &req->if_range, &req->if_range_len, f))
			req->if_range = v.p;
	return 0;
}

/* The length of the name tells nearly everything apart before a letter is compared. */
int http_take_field(struct http_str name, struct http_str v, struct http_fields *f,
		    struct http_req *req)
{
	switch (name.n) {
	case 4:
		if (http_is(name, "host"))
			return f->hosts++ || !http_host_ok(v, true) ? -400 : 0;
		return 0;
	case 5:
		if (http_is(name, "range")) {
			req->range = HTTP_RANGE_NONE;
			if (!f->ranges++)
				take_range(v, req);
		}
		return 0;
	case 6:
		f->expect |= http_is(name, "expect");
		return 0;
	case 8:
	case 13:
	case 19:
		return take_conditional(name, v, f, req);
	case 10:
		if (http_is(name, "connection"))
			take_connection(v, f);
		return 0;
	case 14:
		return http_is(name, "content-length") ? take_length(v, f, req) : 0;
	case 15:
		if (http_is(name, "accept-encoding"))
			take_accept_encoding(v, f);
		return 0;
	case 17:
		if (http_is(name, "transfer-encoding"))
			return take_transfer_encoding(v, f);
		return take_conditional(name, v, f, req);
	default:
		return 0;
	}
}

int http_take_end(const struct http_fields *f, struct http_req *req)
{
	if (req->minor >= 1 && !f->hosts)
		return -400;
	if (f->has_te && (f->has_length || !f->te_last_chunked))
		return -400;
	req->chunked = f->has_te;
	req->keep_alive = !f->close && (req->minor >= 1 || f->keep);
	/* Chunked in HTTP/1.0 is faulty framing (RFC 9112 6.1). And a client that waits for "100
	 * Continue" never sends the body once it has the final answer. */
	if ((f->has_te && req->minor == 0) || (f->expect && (f->has_te || req->body_len)))
		req->keep_alive = false;
	req->accept_identity = f->identity_q == 1 || (f->identity_q < 0 && f->star_q != 0);
	return 0;
}
