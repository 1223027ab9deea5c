/* testbed_ns: network namespaces as files in /run/netns, and work done inside one.
 *
 * Main thread of the driver; all calls may block for some milliseconds.
 */
#ifndef HARNESS_TESTBED_NS_H
#define HARNESS_TESTBED_NS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

#define NETNS_DIR "/run/netns"

/* Does this process have the rights of root over network and mounts? */
bool ns_is_privileged(void);
/* For an ordinary user: move this process (single-threaded) into a user namespace of its own, where
 * it may make network namespaces, with a private /run. Nothing of it is seen outside, and it all
 * ends with the process. 0, or -errno with a sentence. */
int ns_enter_user(struct errbuf *e);

/* Make a namespace and its file NETNS_DIR/name (as ip-netns(8) does), return an O_CLOEXEC
 * descriptor. -errno with a sentence on failure. */
int ns_make(const char *name, struct errbuf *e);
/* Remove the file; the namespace goes when its last process does. A missing one is no error. */
void ns_remove(const char *name);

/* Run fn(arg, e) in a child inside the namespace, with a /sys that shows it; returns what fn
 * returned (at most 0) and its sentence. */
int ns_call(int ns_fd, int (*fn)(void *arg, struct errbuf *e), void *arg, struct errbuf *e);

/* Inode of a namespace file, by which processes in it are known; 0 if there is none. */
uint64_t ns_inode(const char *path);

/* rtnetlink and ioctls, for use inside ns_call. All return 0 or -errno. */
int nl_veth(const char *name, const char *peer, int peer_ns_fd);
int nl_route(const char *dst, int prefix, const char *gateway, const char *ifname,
	     const char *congestion);
int if_up(const char *name, const char *addr, int prefix); /* addr NULL: only up */
int if_offload(const char *name, uint32_t ethtool_cmd, bool on);

#endif
