/* report: the counters of the WAN box as JSON. */
#ifndef WORKLOADS_WAN_REPORT_H
#define WORKLOADS_WAN_REPORT_H

#include <jansson.h>

#include "workloads/wan/path.h"
#include "workloads/wan/port.h"

/* One direction: `in` received it, `out` sent it (new reference). A direction that the kernel
 * forwards: path NULL. */
json_t *wan_report_path(const struct wan_path *path, const struct wan_port *in,
			const struct wan_port *out);

#endif
