/* sim_model: what a simulated controller is like. Private to this room. */
#ifndef ATLAS_NVME_SIM_MODEL_H
#define ATLAS_NVME_SIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

struct sim_model {
	char name[96], source[160];
	uint64_t capacity;     /* bytes */
	uint32_t block;	       /* bytes */
	uint32_t max_transfer; /* bytes, MDTS */
	double bandwidth[2];   /* bytes/s, read and write */
	double latency_ns[2];  /* mean, unloaded, of the whole command */
	double jitter;	       /* share of the latency that is exponentially distributed, 0 to 1 */
	/* options of the device name, not of the file */
	double error_rate;  /* share of commands that fail */
	uint64_t error_lba; /* reads of this block fail (UINT64_MAX: none) */
	uint64_t seed;
	bool real_time;
};

/* "p3700", "./my.model" and options after commas: time=real, seed=5, jitter=0.3, error_rate=0.01,
 * error_lba=1000. A name without "/" is looked up as NAME.model in $ATLAS_MODELS, beside the
 * sources, and where `make install` puts them. 0, or -errno with a sentence that names file and
 * key. */
int sim_model_load(struct sim_model *m, const char *arg, struct errbuf *e);

#endif
