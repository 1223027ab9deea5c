/* kernel: what the WAN box asks of the kernel of its namespace: who forwards, who cuts GSO packets,
 * who lives at which MAC. Calls may block briefly (ioctl, /proc).
 */
#ifndef WORKLOADS_WAN_KERNEL_H
#define WORKLOADS_WAN_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"

/* The interface's first IPv4 address. 0, -ENODEV, -ENETDOWN or -EADDRNOTAVAIL with a sentence. */
int wan_kernel_if(const char *ifname, uint8_t ip4[4], struct errbuf *e);
/* Does the namespace forward at all (net.ipv4.ip_forward)? 0 or -EINVAL with a sentence. */
int wan_kernel_check_forward(struct errbuf *e);
/* May the kernel forward what comes in on ifname? What it may not it drops in silence, after packet
 * sockets have seen it. 0 or -errno with a sentence. */
int wan_kernel_forward(const char *ifname, bool on, struct errbuf *e);
/* TCP segmentation offload of ifname: off, the kernel cuts GSO packets that leave there. */
int wan_kernel_tso(const char *ifname, bool on, struct errbuf *e);
/* MAC of an on-link neighbour by the kernel's ARP table. 0, or -EAGAIN: not known. `fd` is any IPv4
 * datagram socket. */
int wan_kernel_mac(int fd, const char *ifname, const uint8_t ip4[4], uint8_t mac[6]);
/* Make the kernel ask for it: sends an empty datagram to its discard port. */
void wan_kernel_ask(int fd, const uint8_t ip4[4]);

#endif
