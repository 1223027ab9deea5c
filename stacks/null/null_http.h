/* null_http: the little HTTP/1.1 that the null server speaks: one request head in, a target id out.
 * Pure functions on caller memory. RFC 9112. */
#ifndef NULL_NULL_HTTP_H
#define NULL_NULL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workloads/content.h"

#define NULL_HEAD_MAX 4096 /* longest request head; above: 431 */

struct null_req {
	int status;	 /* 200, or the error to answer with */
	bool head;	 /* HEAD: no body */
	bool keep_alive; /* after this response */
	uint64_t id;	 /* object, if status is 200 */
};

/* Parse the request head at the start of buf[0, len). Bytes of the head with *r filled; 0 if it is
 * incomplete. An error status (400, 404, 405, 413, 431, 505) is a filled *r; all but 404 and 405
 * with an intact head close. */
size_t null_parse(const char *buf, size_t len, const struct content *c, struct null_req *r);

/* Object id of "/hot/NNNNNN" or "/cold/NNNNNN", or -1 if there is no such object. */
int64_t null_lookup(const char *path, size_t len, const struct content *c);

/* The response head into buf[0, size); its length. Error responses have an empty body. */
size_t null_head(const struct null_req *r, const struct content *c, char *buf, size_t size);

#endif
