/* testbed_link: veth pairs, addresses, routes and offloads of the namespace one is in.
 *
 * One idea: both ends of a pair are made where they belong by one rtnetlink request, so that the
 * host's namespace never sees either.
 *
 * Limits: IPv4. rtnetlink(7), netdevice(7), RFC 3549.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/testbed_ns.h"

/* A netlink request under construction. */
struct nlreq {
	struct nlmsghdr h;
	char body[1024];
};

static void *nl_reserve(struct nlreq *r, size_t len)
{
	void *p = (char *)r + NLMSG_ALIGN(r->h.nlmsg_len);

	memset(p, 0, NLMSG_ALIGN(len));
	r->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->h.nlmsg_len) + len);
	return p;
}

static struct rtattr *nl_attr(struct nlreq *r, int type, const void *data, size_t len)
{
	struct rtattr *a = nl_reserve(r, RTA_LENGTH(len));

	a->rta_type = (unsigned short)type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	return a;
}

static void nl_end(struct nlreq *r, struct rtattr *nest)
{
	r->h.nlmsg_len = NLMSG_ALIGN(r->h.nlmsg_len); /* a nest that ends beyond it is ignored */
	nest->rta_len = (unsigned short)((char *)r + r->h.nlmsg_len - (char *)nest);
}

static void nl_begin(struct nlreq *r, int type, int flags, size_t head)
{
	memset(&r->h, 0, sizeof r->h);
	r->h.nlmsg_len = NLMSG_HDRLEN;
	r->h.nlmsg_type = (unsigned short)type;
	r->h.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
	nl_reserve(r, head);
}

/* Send, wait for the kernel's verdict. */
static int nl_do(const struct nlreq *r)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[2048];
	} ans;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = send(fd, r, r->h.nlmsg_len, 0);
	if (n >= 0)
		n = recv(fd, &ans, sizeof ans, 0);
	if (n < 0)
		err = -errno;
	else if (n < (ssize_t)NLMSG_LENGTH(sizeof ans.e) || ans.h.nlmsg_type != NLMSG_ERROR)
		err = -EPROTO;
	else
		err = ans.e.error;
	close(fd);
	return err;
}

int nl_veth(const char *name, const char *peer, int peer_ns_fd)
{
	struct rtattr *info, *data, *other;
	struct nlreq r;

	nl_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	nl_attr(&r, IFLA_IFNAME, name, strlen(name) + 1);
	info = nl_attr(&r, IFLA_LINKINFO, NULL, 0);
	nl_attr(&r, IFLA_INFO_KIND, "veth", 4);
	data = nl_attr(&r, IFLA_INFO_DATA, NULL, 0);
	other = nl_attr(&r, VETH_INFO_PEER, NULL, 0);
	nl_reserve(&r, sizeof(struct ifinfomsg));
	nl_attr(&r, IFLA_IFNAME, peer, strlen(peer) + 1);
	nl_attr(&r, IFLA_NET_NS_FD, &peer_ns_fd, sizeof peer_ns_fd);
	nl_end(&r, other);
	nl_end(&r, data);
	nl_end(&r, info);
	return nl_do(&r);
}

/* dst/prefix by gateway (NULL: directly) on ifname; congestion is what the kernel's sockets use on
 * this route whatever the namespace's default is (NULL: that default). An existing route is
 * replaced. */
int nl_route(const char *dst, int prefix, const char *gateway, const char *ifname,
	     const char *congestion)
{
	struct rtmsg m = {.rtm_family = AF_INET,
			  .rtm_dst_len = (unsigned char)prefix,
			  .rtm_table = RT_TABLE_MAIN,
			  .rtm_protocol = gateway ? RTPROT_STATIC : RTPROT_KERNEL,
			  .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
			  .rtm_type = RTN_UNICAST};
	const unsigned int index = if_nametoindex(ifname);
	struct rtattr *metrics;
	struct in_addr a;
	struct nlreq r;

	nl_begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof m);
	memcpy(NLMSG_DATA(&r.h), &m, sizeof m);
	if (inet_pton(AF_INET, dst, &a) != 1)
		return -EINVAL;
	a.s_addr &= htonl(prefix ? ~0u << (32 - prefix) : 0);
	nl_attr(&r, RTA_DST, &a, sizeof a);
	if (gateway) {
		if (inet_pton(AF_INET, gateway, &a) != 1)
			return -EINVAL;
		nl_attr(&r, RTA_GATEWAY, &a, sizeof a);
	}
	nl_attr(&r, RTA_OIF, &index, sizeof index);
	if (congestion) {
		metrics = nl_attr(&r, RTA_METRICS, NULL, 0);
		nl_attr(&r, RTAX_CC_ALGO, congestion, strlen(congestion) + 1);
		nl_end(&r, metrics);
	}
	return nl_do(&r);
}

static int if_ioctl(unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, request, ifr))
		err = -errno;
	close(fd);
	return err;
}

static void if_name(struct ifreq *ifr, const char *name)
{
	memset(ifr, 0, sizeof *ifr);
	snprintf(ifr->ifr_name, sizeof ifr->ifr_name, "%s", name);
}

int if_up(const char *name, const char *addr, int prefix)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct ifreq ifr;
	int err;

	if (addr) {
		if (inet_pton(AF_INET, addr, &sin.sin_addr) != 1)
			return -EINVAL;
		if_name(&ifr, name);
		memcpy(&ifr.ifr_addr, &sin, sizeof sin);
		err = if_ioctl(SIOCSIFADDR, &ifr);
		if (err)
			return err;
		sin.sin_addr.s_addr = htonl(~0u << (32 - prefix));
		if_name(&ifr, name);
		memcpy(&ifr.ifr_netmask, &sin, sizeof sin);
		err = if_ioctl(SIOCSIFNETMASK, &ifr);
		if (err)
			return err;
	}
	if_name(&ifr, name);
	err = if_ioctl(SIOCGIFFLAGS, &ifr);
	if (err)
		return err;
	ifr.ifr_flags |= IFF_UP;
	return if_ioctl(SIOCSIFFLAGS, &ifr);
}

int if_offload(const char *name, uint32_t ethtool_cmd, bool on)
{
	struct ethtool_value v = {.cmd = ethtool_cmd, .data = on};
	struct ifreq ifr;

	if_name(&ifr, name);
	ifr.ifr_data = (void *)&v;
	return if_ioctl(SIOCETHTOOL, &ifr);
}
