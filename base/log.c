/* log: see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *log_prog = "dcn";
static enum log_level log_max = LOG_INFO;

static const char *const level_text[] = {
	[LOG_ERR] = "error: ", [LOG_WARN] = "warning: ", [LOG_INFO] = "", [LOG_DEBUG] = "debug: "};

void log_init(const char *prog, enum log_level level)
{
	log_prog = prog;
	log_max = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	int head, body;
	size_t n;
	va_list ap;

	if (level > log_max)
		return;
	head = snprintf(line, sizeof line, "%s: %s", log_prog, level_text[level]);
	if (head < 0 || (size_t)head >= sizeof line)
		return;
	va_start(ap, fmt);
	body = vsnprintf(line + head, sizeof line - (size_t)head, fmt, ap);
	va_end(ap);
	if (body < 0)
		return;
	n = (size_t)head + (size_t)body;
	if (n > sizeof line - 2)
		n = sizeof line - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nobody left to tell */
}
