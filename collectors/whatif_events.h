/* whatif_events: what happens next; a binary heap of events by time, then by order of insertion. */
#ifndef COLLECTORS_WHATIF_EVENTS_H
#define COLLECTORS_WHATIF_EVENTS_H

#include <stdint.h>

struct event {
	uint64_t t_ns, order;
	uint32_t type, id; /* the caller's */
	uint32_t off, len;
};

struct events {
	struct event *v;
	uint64_t n, cap, order;
};

/* 0 or -ENOMEM. ev.order is set here. */
int events_put(struct events *q, struct event ev);
/* The earliest; q must not be empty. */
struct event events_take(struct events *q);
void events_free(struct events *q);

#endif
