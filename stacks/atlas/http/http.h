/* http: HTTP/1.1 requests in, response heads out. No sockets, no files, no allocation.
 *
 * RFC 9110 (semantics), 9112 (message syntax, strict: as llhttp without its lenient flags),
 * 9111 validators only. GET and HEAD; a single byte range; keep-alive; pipelining.
 *
 * Pure functions on caller memory, any thread.
 */
#ifndef ATLAS_HTTP_HTTP_H
#define ATLAS_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define HTTP_HEAD_MAX	8192 /* longest request head taken; above: 431 */
#define HTTP_TARGET_MAX 4096 /* longest request target; above: 414 */
#define HTTP_PATH_MAX	1024 /* decoded path */
#define HTTP_RESP_MAX	1024 /* a response head, or head and text of an error, fits */
#define HTTP_ETAG_MAX	48
#define HTTP_FIELD_MAX	100 /* header fields */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_req {
	enum http_method method;
	int minor;		  /* HTTP/1.minor */
	bool keep_alive;	  /* as asked, defaults applied */
	char path[HTTP_PATH_MAX]; /* decoded, normalised, starts with '/', no query, no "..",
				     no NUL */
	uint64_t body_len;	  /* Content-Length of the request's own body, to be skipped */
	bool chunked;		  /* Transfer-Encoding: chunked request body */
	enum { HTTP_RANGE_NONE, HTTP_RANGE_FROM_TO, HTTP_RANGE_FROM, HTTP_RANGE_SUFFIX } range;
	uint64_t range_a, range_b; /* first and last; first; suffix length */
	const char *if_none_match, *if_match, *if_range, *if_modified_since,
		*if_unmodified_since; /* in the request's buffer, NULL if absent */
	size_t if_none_match_len, if_match_len, if_range_len, if_modified_since_len,
		if_unmodified_since_len;
	bool accept_identity; /* false: Accept-Encoding forbids identity */
};

/* Parse one request head at buf[0, len). > 0: bytes of the head, *req is filled; 0: incomplete,
 * call again with more; < 0: minus the status to answer with before closing (400, 405 is not given
 * here, 414, 431, 501, 505). */
int http_parse(const char *buf, size_t len, struct http_req *req);

/* What a path led to. */
struct http_obj {
	uint64_t size;
	time_t mtime;
	uint64_t ino, mtime_ns; /* for the ETag */
	const char *mime;	/* http_mime(path) */
};

/* The decided response: `head_len` bytes of `head` (an error's text included), then object bytes
 * [body_off, body_off + body_len), none for HEAD and errors. */
struct http_plan {
	int status;
	bool close; /* the connection closes after this response */
	char head[HTTP_RESP_MAX];
	size_t head_len;
	uint64_t body_off, body_len;
};

/* Decide the response to `req` for object `o`: 200, 206, 304, 412, 416, or 405 for another method
 * (o may be NULL then). `now` for the Date field. */
void http_respond(const struct http_req *req, const struct http_obj *o, time_t now,
		  struct http_plan *out);
/* A complete error response (400, 403, 404, 405, 414, 416, 431, 500, 501, 503, 505 ...); req may be
 * NULL if it could not be parsed: then the connection closes. */
void http_error(const struct http_req *req, int status, time_t now, struct http_plan *out);

/* Skip chunked request bodies: feed bytes, returns how many were consumed, or < 0: minus status;
 * st->done when the last chunk and trailers are over. */
struct http_chunked {
	uint64_t left;
	uint8_t state;
	bool done;
	uint16_t line; /* length so far of the present line, bounded */
};
int64_t http_chunked_skip(struct http_chunked *st, const char *p, size_t n);

/* MIME type by extension, HLS and DASH types included; never NULL. */
const char *http_mime(const char *path);
void http_etag(const struct http_obj *o, char out[HTTP_ETAG_MAX]);

#endif
