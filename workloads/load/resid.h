/* resid: is an object's file in this machine's page cache? Sampled just before the object is asked
 * for, it tells the cache ratio that was achieved. One thread; opens a file for each question. */
#ifndef LOAD_RESID_H
#define LOAD_RESID_H

#include <stdbool.h>
#include <stdint.h>

struct resid {
	char dir[512];
	uint64_t object_size;
	bool no_cachestat; /* the kernel has none: mincore */
	uint64_t hot_samples, hot_resident, cold_samples, cold_resident;
	uint64_t failures; /* files that could not be looked at */
};

void resid_init(struct resid *r, const char *dir, uint64_t object_size);
/* Look at object `id` and count it; resident means more than half of its pages. */
void resid_sample(struct resid *r, uint64_t id);

/* Resident pages of an open file's first `size` bytes, or -errno. */
int64_t resid_cachestat(int fd, uint64_t size);
int64_t resid_mincore(int fd, uint64_t size);

#endif
