/* headroom: `dcn headroom`: how near each stack comes to the ceilings of its block. */
#ifndef HARNESS_HEADROOM_H
#define HARNESS_HEADROOM_H

/* For each stack and point of a results folder: throughput as a share of the lower one of the
 * disk's and the client's ceiling of the same block (geometric mean over repetitions, 95 %
 * interval), and which ceiling that was. Table on stdout. Returns an exit status: 0, or 1 when
 * there is nothing to compare (said on stderr). */
int headroom(const char *dir);

#endif
