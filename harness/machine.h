/* machine: facts about the host that results must carry. Reads /proc and /sys; changes nothing. */
#ifndef HARNESS_MACHINE_H
#define HARNESS_MACHINE_H

#include <jansson.h>
#include <stdint.h>

struct machine {
	char cpu[128], kernel[256], os[128], host_kind[64];
	int cpus;
	uint64_t llc_bytes; /* of one cache; 0 unknown */
	int llc_shared;	    /* CPUs that share one; 0 unknown */
	uint64_t mem_bytes;
	uint64_t nofile;       /* hard limit of descriptors */
	double first_touch_us; /* per 4 KiB page never touched before; NAN unknown */
	double retouch_us;     /* per page given back and taken again */
};

void machine_read(struct machine *m);
/* Measure the cost of first touches: 64 MiB, some 10 to 200 ms. */
void machine_touch(struct machine *m);
json_t *machine_json(const struct machine *m);

#endif
