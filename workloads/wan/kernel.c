/* kernel: sysctl, ethtool and ARP of the WAN box's namespace.
 *
 * One idea: the kernel is the router, and stays it for everything that need not be touched. A
 * direction is taken away from it by its per-interface `forwarding` switch: packets still reach our
 * packet socket, which sees them first, and then the kernel drops them without a word (no ICMP). If
 * the box is killed the switch stays off: the path is dead, and nobody measures an undelayed
 * network by mistake.
 *
 * Documentation/networking/ip-sysctl.rst (conf/interface/forwarding), arp(7), packet(7).
 */
#include "workloads/wan/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISCARD_PORT 9

static int any_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

int wan_kernel_if(const char *ifname, uint8_t ip4[4], struct errbuf *e)
{
	struct ifreq r = {0};
	int fd = any_socket(), err = 0;

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", ifname);
	if (ioctl(fd, SIOCGIFFLAGS, &r))
		err = errf(e, -ENODEV,
			   "no interface %s in this network namespace; `ip link` lists those there "
			   "are",
			   ifname);
	else if (!(r.ifr_flags & IFF_UP))
		err = errf(e, -ENETDOWN, "interface %s is down; `ip link set %s up` brings it up",
			   ifname, ifname);
	else if (ioctl(fd, SIOCGIFADDR, &r))
		err = errf(e, -EADDRNOTAVAIL,
			   "interface %s has no IPv4 address; the hosts beside it need a gateway",
			   ifname);
	else
		memcpy(ip4, &((struct sockaddr_in *)&r.ifr_addr)->sin_addr, 4);
	close(fd);
	return err;
}

static int write_switch(const char *path, bool on)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, on ? "1\n" : "0\n", 2) != 2)
		err = -errno;
	close(fd);
	return err;
}

int wan_kernel_check_forward(struct errbuf *e)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_forward", "re");
	int v = 0;

	if (f) {
		if (fscanf(f, "%d", &v) != 1)
			v = 0;
		fclose(f);
	}
	return v ? 0
		 : errf(e, -EINVAL,
			"this namespace does not forward; `sysctl -w net.ipv4.ip_forward=1` in it");
}

int wan_kernel_forward(const char *ifname, bool on, struct errbuf *e)
{
	char path[80];
	int err;

	snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/forwarding", ifname);
	err = write_switch(path, on);
	return err ? errf(e, err, "%s: %s; root of the network namespace is needed", path,
			  strerror(-err))
		   : 0;
}

int wan_kernel_tso(const char *ifname, bool on, struct errbuf *e)
{
	struct ethtool_value v = {.cmd = ETHTOOL_STSO, .data = on};
	struct ifreq r = {.ifr_data = (char *)&v};
	int fd = any_socket(), err;

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", ifname);
	err = ioctl(fd, SIOCETHTOOL, &r) ? -errno : 0;
	close(fd);
	return err ? errf(e, err, "segmentation offload of %s can't be switched %s: %s", ifname,
			  on ? "on" : "off", strerror(-err))
		   : 0;
}

static struct sockaddr_in address(const uint8_t ip4[4], uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	memcpy(&a.sin_addr, ip4, 4);
	return a;
}

int wan_kernel_mac(int fd, const char *ifname, const uint8_t ip4[4], uint8_t mac[6])
{
	struct sockaddr_in a = address(ip4, 0);
	struct arpreq r = {0};

	memcpy(&r.arp_pa, &a, sizeof a);
	snprintf(r.arp_dev, sizeof r.arp_dev, "%s", ifname);
	if (ioctl(fd, SIOCGARP, &r) || !(r.arp_flags & ATF_COM))
		return -EAGAIN;
	memcpy(mac, r.arp_ha.sa_data, 6);
	return 0;
}

void wan_kernel_ask(int fd, const uint8_t ip4[4])
{
	struct sockaddr_in a = address(ip4, DISCARD_PORT);

	/* Whether it gets there does not matter: ARP comes first. */
	if (sendto(fd, "", 0, MSG_DONTWAIT, (struct sockaddr *)&a, sizeof a) < 0)
		return;
}
