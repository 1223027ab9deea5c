/* whatif_events: the heap of whatif_events.h. Ties in time leave in the order they came, so that a
 * run is the same everywhere. */
#include "collectors/whatif_events.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static bool before(const struct event *a, const struct event *b)
{
	return a->t_ns != b->t_ns ? a->t_ns < b->t_ns : a->order < b->order;
}

int events_put(struct events *q, struct event ev)
{
	uint64_t i = q->n;

	if (q->n == q->cap) {
		uint64_t cap = q->cap ? 2 * q->cap : 1024;
		struct event *v = realloc(q->v, cap * sizeof *v);

		if (!v)
			return -ENOMEM;
		q->v = v;
		q->cap = cap;
	}
	ev.order = q->order++;
	q->n++;
	for (; i && before(&ev, &q->v[(i - 1) / 2]); i = (i - 1) / 2)
		q->v[i] = q->v[(i - 1) / 2];
	q->v[i] = ev;
	return 0;
}

struct event events_take(struct events *q)
{
	struct event top = q->v[0], last = q->v[--q->n];
	uint64_t i = 0, kid;

	while ((kid = 2 * i + 1) < q->n) {
		if (kid + 1 < q->n && before(&q->v[kid + 1], &q->v[kid]))
			kid++;
		if (!before(&q->v[kid], &last))
			break;
		q->v[i] = q->v[kid];
		i = kid;
	}
	q->v[i] = last;
	return top;
}

void events_free(struct events *q)
{
	free(q->v);
	*q = (struct events){0};
}
