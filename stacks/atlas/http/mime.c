/* http, mime: media types by file name extension.
 *
 * A table searched from the top, players' files first: what a video server is asked for most is
 * found first. Types after the IANA registry, RFC 8216 (HLS) and ISO/IEC 23009-1 (DASH).
 */
#include "stacks/atlas/http/impl.h"

#include <string.h>

static const struct {
	const char *ext, *type;
} types[] = {
	{"ts", "video/mp2t"},
	{"m4s", "video/iso.segment"},
	{"mp4", "video/mp4"},
	{"m4v", "video/mp4"},
	{"cmfv", "video/mp4"},
	{"m4a", "audio/mp4"},
	{"cmfa", "audio/mp4"},
	{"cmft", "application/mp4"},
	{"m3u8", "application/vnd.apple.mpegurl"},
	{"m3u", "audio/mpegurl"},
	{"mpd", "application/dash+xml"},
	{"init", "video/mp4"},
	{"aac", "audio/aac"},
	{"vtt", "text/vtt"},
	{"ttml", "application/ttml+xml"},
	{"webm", "video/webm"},
	{"mkv", "video/x-matroska"},
	{"mov", "video/quicktime"},
	{"mp3", "audio/mpeg"},
	{"ogg", "audio/ogg"},
	{"opus", "audio/ogg"},
	{"flac", "audio/flac"},
	{"wav", "audio/wav"},
	{"html", "text/html; charset=utf-8"},
	{"htm", "text/html; charset=utf-8"},
	{"css", "text/css; charset=utf-8"},
	{"js", "text/javascript; charset=utf-8"},
	{"mjs", "text/javascript; charset=utf-8"},
	{"json", "application/json"},
	{"txt", "text/plain; charset=utf-8"},
	{"csv", "text/csv; charset=utf-8"},
	{"md", "text/markdown; charset=utf-8"},
	{"xml", "application/xml"},
	{"jpg", "image/jpeg"},
	{"jpeg", "image/jpeg"},
	{"png", "image/png"},
	{"gif", "image/gif"},
	{"webp", "image/webp"},
	{"avif", "image/avif"},
	{"svg", "image/svg+xml"},
	{"ico", "image/vnd.microsoft.icon"},
	{"woff2", "font/woff2"},
	{"woff", "font/woff"},
	{"ttf", "font/ttf"},
	{"wasm", "application/wasm"},
	{"pdf", "application/pdf"},
	{"zip", "application/zip"},
	{"gz", "application/gzip"},
	{"tar", "application/x-tar"},
};

const char *http_mime(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
	struct http_str ext;

	if (!dot)
		return "application/octet-stream";
	ext = (struct http_str){dot + 1, strlen(dot + 1)};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (http_is(ext, types[i].ext))
			return types[i].type;
	return "application/octet-stream";
}
