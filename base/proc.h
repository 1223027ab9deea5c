/* proc: what identifies a process. Pids are reused, a pid with its start time is not. Any thread.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <sys/types.h>

/* Start time in clock ticks since boot, field 22 of /proc/PID/stat; 0 if there is no such process
 * (proc(5)). */
unsigned long long proc_start_time(pid_t pid);

#endif
