/* sockdiag: TCP connections of a network namespace, looked at a few at a time.
 *
 * The kernel hands out a dump of sockets (sock_diag(7)) in portions as they are received: one
 * portion a tick, about a hundred sockets, is a bounded cost whatever their number, and in time
 * every connection is seen. One owner; a step does not block.
 */
#ifndef COLLECTORS_SOCKDIAG_H
#define COLLECTORS_SOCKDIAG_H

#include <stdint.h>

struct sockdiag_sums {
	uint64_t n;		   /* connections looked at, again and again */
	double held, rtt_us, cwnd; /* sums: unacknowledged and unsent bytes; segments */
};

struct sockdiag {
	int fd; /* NETLINK_SOCK_DIAG, of the namespace it was opened in; -1 none */
	int dumping;
	struct sockdiag_sums sums;
};

/* Call inside the namespace. 0 or -errno. */
int sockdiag_open(struct sockdiag *d);
/* Ask for a dump or take its next portion. */
void sockdiag_step(struct sockdiag *d);
/* Take one message portion into the sums; 1 if it ends the dump. For tests. */
int sockdiag_take(struct sockdiag_sums *s, const void *buf, int len);
void sockdiag_close(struct sockdiag *d);

#endif
