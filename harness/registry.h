/* registry: the one place that knows every stack and collector. */
#ifndef HARNESS_REGISTRY_H
#define HARNESS_REGISTRY_H

#include <stdbool.h>

#include "harness/collector.h"
#include "harness/stack.h"

extern const struct stack_ops *const registry_stacks[];		/* NULL-terminated */
extern const struct collector_ops *const registry_collectors[]; /* NULL-terminated */

/* "nginx:aio" -> its table and "aio" (into *variant, pointing into `name`; "" if none). NULL and a
 * sentence with the nearest name if there is none. */
const struct stack_ops *registry_stack(const char *name, const char **variant, struct errbuf *e);
const struct collector_ops *registry_collector(const char *name, struct errbuf *e);
/* Does the page cache serve this stack? True if unknown. */
bool registry_caches(const char *stack);

#endif
