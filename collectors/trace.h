/* trace: where the kernel describes its tracepoints, and where a field lies in a record.
 *
 * tracefs is often not mounted; then it is mounted for nobody but us. Needs root.
 */
#ifndef COLLECTORS_TRACE_H
#define COLLECTORS_TRACE_H

#include <stdbool.h>

#include "base/errbuf.h"

struct trace_point {
	int id; /* perf_event_attr.config */
	char format[4096];
};

struct trace_field {
	int offset, size;
};

/* The directory that holds "events/": a descriptor for trace_point_get, or -errno. */
int trace_dir(const char *sys_root, struct errbuf *e);
/* "block", "block_rq_issue". 0 or -errno. */
int trace_point_get(int dir, const char *system, const char *name, struct trace_point *p,
		    struct errbuf *e);
/* From the text of a format file. */
bool trace_point_field(const struct trace_point *p, const char *name, struct trace_field *f);

#endif
