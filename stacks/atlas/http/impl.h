/* http, private: what its files share. */
#ifndef ATLAS_HTTP_IMPL_H
#define ATLAS_HTTP_IMPL_H

#include "stacks/atlas/http/http.h"

/* A byte set: bit c & 63 of word c >> 6. */
struct http_set {
	uint64_t w[4];
};

extern const struct http_set http_tchar;  /* RFC 9110 5.6.2 */
extern const struct http_set http_vchar;  /* field values: HTAB, SP, VCHAR, obs-text */
extern const struct http_set http_target; /* printable but '#' and SP */
extern const struct http_set http_hostch; /* RFC 3986 host and port, without '@' */

static inline bool http_in(const struct http_set *s, char ch)
{
	uint8_t c = (uint8_t)ch;

	return s->w[c >> 6] >> (c & 63) & 1;
}

/* A piece of the request's buffer, not terminated. */
struct http_str {
	const char *p;
	size_t n;
};

/* ASCII, case ignored; `lower` must be in lower case. */
bool http_is(struct http_str s, const char *lower);
/* Spaces and tabs off both ends. */
struct http_str http_trim(struct http_str s);
/* The next element of a comma-separated list, trimmed; false at the end. Empty ones are skipped
 * (RFC 9110 5.6.1.2). Quoted strings are not understood. */
bool http_next(struct http_str *list, struct http_str *element);
/* Decimal digits only, at least one. Saturates at UINT64_MAX. */
bool http_number(struct http_str s, uint64_t *out);

/* What the fields said, beside struct http_req; judged at the end of the head. */
struct http_fields {
	unsigned int count, hosts, ranges;
	bool has_length, has_te, te_last_chunked;
	bool close, keep, expect;
	unsigned int seen_cond; /* bit per conditional field */
	int identity_q, star_q; /* -1 not given, 0 forbidden, 1 allowed */
};

/* Request target of any form into req->path. 0 or minus the status. */
int http_take_target(struct http_str target, struct http_str method, struct http_req *req);
/* uri-host [":" port] (RFC 9110 7.2). */
bool http_host_ok(struct http_str s, bool may_be_empty);
/* One field line. 0 or minus the status. */
int http_take_field(struct http_str name, struct http_str value, struct http_fields *f,
		    struct http_req *req);
/* After the last field line. 0 or minus the status. */
int http_take_end(const struct http_fields *f, struct http_req *req);

/* IMF-fixdate (29 bytes, no NUL) of `t`, clamped to the years 1970 to 9999. */
#define HTTP_DATE_LEN 29
void http_date_put(time_t t, char out[HTTP_DATE_LEN]);
/* IMF-fixdate, RFC 850 or asctime date (RFC 9110 5.6.7). `now` decides RFC 850's century. */
bool http_date_get(struct http_str s, time_t now, time_t *out);

/* Preconditions in the order of RFC 9110 13.2.2: 200 (go on), 304 or 412; *range false if If-Range
 * says that the Range field is to be ignored. */
int http_precond(const struct http_req *req, const struct http_obj *o, time_t now, bool *range);

#endif
