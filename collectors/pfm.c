/* perf, names: the one file that knows libpfm4. (<perfmon/pfmlib_perf_event.h> and
 * <linux/perf_event.h> define the same things and cannot meet in one file.) */
#include <errno.h>
#include <perfmon/pfmlib.h>
#include <perfmon/pfmlib_perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "collectors/perf.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int ready;

static void initialise(void)
{
	ready = pfm_initialize();
}

int perf_named(const char *name, struct perf_spec *s, struct errbuf *e)
{
	struct perf_event_attr attr;
	pfm_perf_encode_arg_t arg;
	int r;

	pthread_once(&once, initialise);
	memset(&attr, 0, sizeof attr);
	memset(&arg, 0, sizeof arg);
	arg.size = sizeof arg;
	arg.attr = &attr;
	r = ready == PFM_SUCCESS ? pfm_get_os_event_encoding(name, PFM_PLM0 | PFM_PLM3,
							     PFM_OS_PERF_EVENT_EXT, &arg)
				 : ready;
	if (r != PFM_SUCCESS)
		return errf(e, -ENOENT, "libpfm4 knows no event '%s' for this CPU: %s", name,
			    pfm_strerror(r));
	memset(s, 0, sizeof *s);
	snprintf(s->name, sizeof s->name, "%s", name);
	s->type = attr.type;
	s->config = attr.config;
	s->config1 = attr.config1;
	s->config2 = attr.config2;
	s->exclude = (uint64_t)attr.exclude_user | (uint64_t)attr.exclude_kernel << 1 |
		     (uint64_t)attr.exclude_hv << 2;
	s->unit = 1;
	return 0;
}
