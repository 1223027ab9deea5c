/* stub */
#include "workloads/load/run.h"
#include <errno.h>
struct engine *engine_sink_new(struct run *r, uint32_t slots, struct errbuf *e)
{
	(void)r;
	(void)slots;
	errf(e, -ENOSYS, "--engine sink is not built yet; use --engine curl");
	return NULL;
}
