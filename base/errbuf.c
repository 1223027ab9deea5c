/* errbuf: see errbuf.h. */
#include "base/errbuf.h"

#include <stdarg.h>
#include <stdio.h>

int errf(struct errbuf *e, int err, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return err;
	va_start(ap, fmt);
	vsnprintf(e->s, sizeof e->s, fmt, ap);
	va_end(ap);
	return err;
}
