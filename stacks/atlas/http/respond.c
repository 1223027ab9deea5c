/* http, respond: from a parsed request and what its path led to, to a response head.
 *
 * Heads are put together by copying, without printf: one is made for every request. The worst case
 * fits HTTP_RESP_MAX whatever the values are, which the sum below shows; put() checks nothing.
 */
#include "stacks/atlas/http/impl.h"

#include <assert.h>
#include <string.h>

#define BODY_SKIP_MAX 65536 /* a longer request body is not worth reading to keep a connection */
#define MIME_MAX      64    /* longest media type taken from a caller */

/* Status line and Server 80, two dates 90, ETag 8 + 48, type 16 + 64, length 16 + 22, range 25 +
 * 63, Accept-Ranges 22, Allow 18, Connection 24, the end 2, and an error's text 128. */
static_assert(80 + 90 + 56 + 80 + 38 + 88 + 22 + 18 + 24 + 2 + 128 <= HTTP_RESP_MAX,
	      "a response head fits");

#define STATUS(n, text)                                                                            \
	{                                                                                          \
		n, "HTTP/1.1 " #n " " text "\r\nServer: atlas\r\nDate: ", #n " " text "\n"         \
	}

static const struct status {
	int status;
	const char *start, *text;
} statuses[] = {
	STATUS(200, "OK"),
	STATUS(206, "Partial Content"),
	STATUS(304, "Not Modified"),
	STATUS(500, "Internal Server Error"), /* also for any status not in the table */
	STATUS(400, "Bad Request"),
	STATUS(403, "Forbidden"),
	STATUS(404, "Not Found"),
	STATUS(405, "Method Not Allowed"),
	STATUS(406, "Not Acceptable"),
	STATUS(408, "Request Timeout"),
	STATUS(412, "Precondition Failed"),
	STATUS(413, "Content Too Large"),
	STATUS(414, "URI Too Long"),
	STATUS(416, "Range Not Satisfiable"),
	STATUS(421, "Misdirected Request"),
	STATUS(429, "Too Many Requests"),
	STATUS(431, "Request Header Fields Too Large"),
	STATUS(501, "Not Implemented"),
	STATUS(503, "Service Unavailable"),
	STATUS(505, "HTTP Version Not Supported"),
};

static const struct status *find_status(int status)
{
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		if (statuses[i].status == status)
			return &statuses[i];
	return &statuses[3];
}

static char *put(char *p, const char *s, size_t n)
{
	memcpy(p, s, n);
	return p + n;
}

#define PUT(p, literal) put(p, "" literal, sizeof(literal) - 1)

static char *put_text(char *p, const char *s)
{
	return put(p, s, strlen(s));
}

static char *put_u64(char *p, uint64_t v)
{
	char digits[20];
	size_t n = sizeof digits;

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	return put(p, digits + n, sizeof digits - n);
}

static char *put_date(char *p, time_t t)
{
	http_date_put(t, p);
	return PUT(p + HTTP_DATE_LEN, "\r\n");
}

/* Statuses after which the stream of requests can't be trusted, or nothing more is wanted. */
static bool status_closes(int status)
{
	return status == 400 || status == 408 || status == 413 || status == 414 || status == 431 ||
	       status == 501 || status == 505;
}

static bool must_close(const struct http_req *req)
{
	return !req || !req->keep_alive || req->body_len > BODY_SKIP_MAX;
}

/* Status line, Server, Date, Connection. */
static char *put_start(struct http_plan *out, const struct http_req *req, const struct status *s,
		       time_t now)
{
	char *p = put_text(out->head, s->start);

	p = put_date(p, now);
	if (out->close)
		p = PUT(p, "Connection: close\r\n");
	else if (req && req->minor == 0)
		p = PUT(p, "Connection: keep-alive\r\n");
	return p;
}

static char *put_validators(char *p, const struct http_obj *o, time_t now)
{
	char etag[HTTP_ETAG_MAX];

	http_etag(o, etag);
	p = PUT(p, "ETag: ");
	p = put_text(p, etag);
	p = PUT(p, "\r\nLast-Modified: ");
	return put_date(p, o->mtime < now ? o->mtime : now); /* RFC 9110 8.8.2.1: never ahead */
}

/* An error's head and text; size is for 416. */
static void plan_error(const struct http_req *req, int status, const uint64_t *size, time_t now,
		       struct http_plan *out)
{
	const struct status *s = find_status(status);
	char *p;

	out->status = s->status;
	out->close = status_closes(status) || must_close(req);
	out->body_off = out->body_len = 0;
	p = put_start(out, req, s, now);
	p = PUT(p, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
	p = put_u64(p, strlen(s->text));
	if (status == 405)
		p = PUT(p, "\r\nAllow: GET, HEAD");
	if (size) {
		p = PUT(p, "\r\nContent-Range: bytes */");
		p = put_u64(p, *size);
	}
	p = PUT(p, "\r\n\r\n");
	if (!req || req->method != HTTP_HEAD)
		p = put_text(p, s->text);
	out->head_len = (size_t)(p - out->head);
}

void http_error(const struct http_req *req, int status, time_t now, struct http_plan *out)
{
	plan_error(req, status, NULL, now, out);
}

/* Where the Range field leads in `o`: 200 (all of it), 206 or 416. */
static int apply_range(const struct http_req *req, const struct http_obj *o, uint64_t *off,
		       uint64_t *len)
{
	uint64_t last;

	*off = 0;
	*len = o->size;
	switch (req->range) {
	case HTTP_RANGE_SUFFIX:
		if (!req->range_a)
			return 416;
		if (!o->size)
			return 200; /* no byte that a Content-Range could name */
		*len = req->range_a < o->size ? req->range_a : o->size;
		*off = o->size - *len;
		return 206;
	case HTTP_RANGE_FROM:
	case HTTP_RANGE_FROM_TO:
		if (req->range_a >= o->size)
			return 416;
		last = o->size - 1;
		if (req->range == HTTP_RANGE_FROM_TO && req->range_b < last)
			last = req->range_b;
		*off = req->range_a;
		*len = last - req->range_a + 1;
		return 206;
	default:
		return 200;
	}
}

static void plan_not_modified(const struct http_req *req, const struct http_obj *o, time_t now,
			      struct http_plan *out)
{
	char *p = put_start(out, req, find_status(304), now);

	out->status = 304;
	p = put_validators(p, o, now);
	p = PUT(p, "\r\n");
	out->head_len = (size_t)(p - out->head);
}

static void plan_object(const struct http_req *req, const struct http_obj *o, time_t now,
			struct http_plan *out)
{
	const char *mime = o->mime ? o->mime : "application/octet-stream";
	char *p = put_start(out, req, find_status(out->status), now);

	p = put_validators(p, o, now);
	p = PUT(p, "Accept-Ranges: bytes\r\nContent-Type: ");
	p = put(p, mime, strnlen(mime, MIME_MAX));
	p = PUT(p, "\r\nContent-Length: ");
	p = put_u64(p, out->body_len);
	if (out->status == 206) {
		p = PUT(p, "\r\nContent-Range: bytes ");
		p = put_u64(p, out->body_off);
		p = PUT(p, "-");
		p = put_u64(p, out->body_off + out->body_len - 1);
		p = PUT(p, "/");
		p = put_u64(p, o->size);
	}
	p = PUT(p, "\r\n\r\n");
	out->head_len = (size_t)(p - out->head);
	if (req->method == HTTP_HEAD)
		out->body_len = 0;
}

void http_respond(const struct http_req *req, const struct http_obj *o, time_t now,
		  struct http_plan *out)
{
	bool range = true;
	int status;

	if (req->method == HTTP_OTHER || !o) {
		plan_error(req, req->method == HTTP_OTHER ? 405 : 404, NULL, now, out);
		return;
	}
	out->close = must_close(req);
	out->body_off = out->body_len = 0;
	status = http_precond(req, o, now, &range);
	if (status == 304) {
		plan_not_modified(req, o, now, out);
		return;
	}
	if (status == 200 && range && req->method == HTTP_GET)
		status = apply_range(req, o, &out->body_off, &out->body_len);
	else
		out->body_len = o->size;
	if (status == 412 || status == 416) {
		plan_error(req, status, status == 416 ? &o->size : NULL, now, out);
		return;
	}
	out->status = status;
	plan_object(req, o, now, out);
}
