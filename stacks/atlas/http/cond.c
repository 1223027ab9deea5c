/* http, cond: entity tags and preconditions (RFC 9110 8.8, 13).
 *
 * The tag is strong: it changes whenever the file's size, its inode or its modification time (in
 * nanoseconds) does. For one inode the map from time to tag is a bijection, so two versions of a
 * file never share a tag unless they share size and time stamp.
 */
#include "stacks/atlas/http/impl.h"

#include <string.h>

#include "base/rng.h"

static char *put_hex(char *p, uint64_t v, unsigned int digits)
{
	for (unsigned int i = digits; i-- > 0; v >>= 4)
		p[i] = "0123456789abcdef"[v & 15];
	return p + digits;
}

void http_etag(const struct http_obj *o, char out[HTTP_ETAG_MAX])
{
	uint64_t time_ns = (uint64_t)o->mtime * 1000000000u + o->mtime_ns;
	unsigned int digits = o->size ? (67u - (unsigned int)__builtin_clzll(o->size)) / 4 : 1;
	char *p = out;

	*p++ = '"';
	p = put_hex(p, o->size, digits);
	*p++ = '-';
	p = put_hex(p, rng_mix(rng_mix(o->ino) + time_ns), 16);
	*p++ = '"';
	*p = '\0';
}

/* One entity tag off the front of a list; false at its end or where it is malformed. */
static bool next_tag(struct http_str *list, struct http_str *tag, bool *weak)
{
	size_t i = 0, start;

	while (i < list->n && (list->p[i] == ',' || list->p[i] == ' ' || list->p[i] == '\t'))
		i++;
	*weak = list->n - i >= 2 && list->p[i] == 'W' && list->p[i + 1] == '/';
	i += *weak ? 2 : 0;
	if (i == list->n || list->p[i] != '"')
		return false;
	start = i++;
	while (i < list->n && list->p[i] != '"')
		i++;
	if (i == list->n)
		return false;
	i++;
	*tag = (struct http_str){list->p + start, i - start};
	list->p += i;
	list->n -= i;
	return true;
}

/* Is `o`'s tag in the list, or is the list "*"? Strong comparison refuses weak tags. */
static bool tag_listed(struct http_str list, const struct http_obj *o, bool strong)
{
	char own[HTTP_ETAG_MAX];
	struct http_str tag;
	bool weak;
	size_t n;

	if (list.n == 1 && *list.p == '*')
		return true;
	http_etag(o, own);
	n = strlen(own);
	while (next_tag(&list, &tag, &weak))
		if (tag.n == n && memcmp(tag.p, own, n) == 0 && !(weak && strong))
			return true;
	return false;
}

/* RFC 9110 13.1.5: a strong tag, or the exact Last-Modified date, which counts only if the file is
 * surely not to change within the same second. */
static bool if_range_holds(const struct http_req *req, const struct http_obj *o, time_t now)
{
	struct http_str v = {req->if_range, req->if_range_len};
	time_t date;

	if (!v.n)
		return false;
	if (*v.p == '"')
		return tag_listed(v, o, true);
	return http_date_get(v, now, &date) && date == o->mtime && now > o->mtime;
}

int http_precond(const struct http_req *req, const struct http_obj *o, time_t now, bool *range)
{
	struct http_str none = {req->if_none_match, req->if_none_match_len};
	struct http_str match = {req->if_match, req->if_match_len};
	struct http_str since = {req->if_modified_since, req->if_modified_since_len};
	struct http_str unmod = {req->if_unmodified_since, req->if_unmodified_since_len};
	time_t date;

	if (match.p) {
		if (!tag_listed(match, o, true))
			return 412;
	} else if (unmod.p && http_date_get(unmod, now, &date) && o->mtime > date) {
		return 412;
	}
	if (none.p) {
		if (tag_listed(none, o, false))
			return 304;
	} else if (since.p && http_date_get(since, now, &date) && o->mtime <= date) {
		return 304;
	}
	*range = !req->if_range || if_range_holds(req, o, now);
	return 200;
}
