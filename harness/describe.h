/* describe: `dcn describe`: what an experiment would do, without doing it. */
#ifndef HARNESS_DESCRIBE_H
#define HARNESS_DESCRIBE_H

#include <stdbool.h>

/* Print the resolved experiment, its cells, metrics and time to stdout. Exit status. */
int describe(const char *file, bool quick, char *const *sets, int nsets);
/* All keys with kind, default and meaning. */
int describe_keys(void);

#endif
