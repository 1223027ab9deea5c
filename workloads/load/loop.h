/* loop: the parts of a run that loop.c and run.c share. */
#ifndef LOAD_LOOP_H
#define LOAD_LOOP_H

#include "workloads/load/run.h"

void slot_append(struct slot_list *l, struct slot *s);
void slot_unlink(struct slot_list *l, struct slot *s);
void slot_connect(struct run *r, struct slot *s);
void slot_go(struct run *r, struct slot *s);
void run_arrivals(struct run *r, uint64_t now);

#endif
