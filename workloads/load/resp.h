/* resp: HTTP/1.1 response heads, from a server that is not trusted. Pure function on caller memory,
 * any thread, no allocation. RFC 9112. */
#ifndef LOAD_RESP_H
#define LOAD_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESP_HEAD_MAX 8192 /* longest head taken */

struct resp {
	int status;	/* 100..999 */
	int64_t length; /* Content-Length; -1 if absent */
	bool chunked;	/* Transfer-Encoding is present: the length is not known beforehand */
	bool keep_alive;
};

/* Parse the head at buf[0, len). Its bytes (> 0) with *r filled; 0 if incomplete; -EPROTO if it is
 * not HTTP/1.x or contradicts itself, -EMSGSIZE if longer than RESP_HEAD_MAX. */
int resp_parse(const char *buf, size_t len, struct resp *r);

#endif
