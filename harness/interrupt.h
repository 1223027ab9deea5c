/* interrupt: SIGINT and SIGTERM as two wishes: stop after this run, or stop now.
 *
 * First SIGINT: the current run is finished and written. Second SIGINT, or SIGTERM: it is given up.
 * The system is restored either way. Handlers only set flags; any thread may look.
 */
#ifndef HARNESS_INTERRUPT_H
#define HARNESS_INTERRUPT_H

#include <stdbool.h>

void interrupt_install(void);
bool interrupt_soon(void); /* stop before the next run */
bool interrupt_now(void);  /* give the current one up */
int interrupt_exit(void);  /* 130, 143, or 0 if there was none */

#endif
