/* http, fuzzed: any bytes as a request, then as a chunked body. Beside crashes it looks for
 * verdicts that depend on where the input is cut, unclean paths, and plans outside the object. */
#include <stdlib.h>
#include <string.h>

#include "stacks/atlas/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_path(const char *path)
{
	size_t n = strlen(path);

	require(path[0] == '/' && n < HTTP_PATH_MAX);
	require(!strstr(path, "//") && !strstr(path, "/../") && !strstr(path, "/./"));
	require(n < 3 || strcmp(path + n - 3, "/..") != 0);
}

static void check_plan(const struct http_req *req, uint64_t size)
{
	struct http_obj o = {.size = size, .mtime = 784111777, .mime = http_mime(req->path)};
	struct http_plan p;

	http_respond(req, &o, 1763824000, &p);
	require(p.head_len <= sizeof p.head);
	require(p.body_off <= size && p.body_len <= size - p.body_off);
	require(p.status == 200 || p.body_len == 0 || p.status == 206);
	require(memmem(p.head, p.head_len, "\r\n\r\n", 4) != NULL);
}

static void fuzz_request(const char *p, size_t n)
{
	struct http_req req;
	int whole = http_parse(p, n, &req);

	if (whole > 0) {
		check_path(req.path);
		check_plan(&req, 0);
		check_plan(&req, 1000);
		check_plan(&req, UINT64_MAX);
	}
	for (size_t i = 0, step = n / 64 + 1, decided = 0; i < n; i += step) {
		int part = http_parse(p, i, &req);

		require(part == whole || (part == 0 && !decided));
		decided |= part != 0;
	}
}

static void fuzz_chunked(const char *p, size_t n)
{
	struct http_chunked whole = {0}, bytes = {0};
	int64_t all = http_chunked_skip(&whole, p, n), sum = 0;

	for (size_t i = 0; i < n && !bytes.done; i++) {
		int64_t r = http_chunked_skip(&bytes, p + i, 1);

		if (r < 0) {
			require(r == all);
			return;
		}
		sum += r;
	}
	require(sum == all && whole.done == bytes.done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);

	require(copy != NULL);
	memcpy(copy, data, size);
	fuzz_request(copy, size);
	fuzz_chunked(copy, size);
	free(copy);
	return 0;
}
