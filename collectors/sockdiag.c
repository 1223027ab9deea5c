/* sockdiag: see sockdiag.h; sock_diag(7), linux/inet_diag.h.
 *
 * tcp_info has grown over the years: the returned length decides how much of it there is.
 */
#include "collectors/sockdiag.h"

#include <errno.h>
#include <linux/in.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ESTABLISHED 1 /* TCP_ESTABLISHED, the kernel's number */
#define PORTION	    32768

int sockdiag_open(struct sockdiag *d)
{
	memset(d, 0, sizeof *d);
	d->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	return d->fd < 0 ? -errno : 0;
}

static int ask(struct sockdiag *d)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} req = {
		.h = {.nlmsg_len = sizeof req,
		      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.r = {.sdiag_family = AF_INET,
		      .sdiag_protocol = IPPROTO_TCP,
		      .idiag_ext = 1 << (INET_DIAG_INFO - 1),
		      .idiag_states = 1 << ESTABLISHED},
	};

	return send(d->fd, &req, sizeof req, 0) == (ssize_t)sizeof req;
}

/* One connection: the write queue's bytes, and what tcp_info tells. */
static void take_socket(struct sockdiag_sums *s, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof *m);
	const struct rtattr *a = (const struct rtattr *)(m + 1);
	struct tcp_info ti = {0};

	if (left < 0)
		return;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_INFO)
			memcpy(&ti, RTA_DATA(a),
			       RTA_PAYLOAD(a) < sizeof ti ? RTA_PAYLOAD(a) : sizeof ti);
	s->n++;
	s->held += m->idiag_wqueue;
	s->rtt_us += ti.tcpi_rtt;
	s->cwnd += ti.tcpi_snd_cwnd;
}

int sockdiag_take(struct sockdiag_sums *s, const void *buf, int len)
{
	const struct nlmsghdr *h = buf;

	for (; NLMSG_OK(h, (unsigned int)len); h = NLMSG_NEXT(h, len)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return 1;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY)
			take_socket(s, h);
	}
	return 0;
}

void sockdiag_step(struct sockdiag *d)
{
	_Alignas(struct nlmsghdr) char buf[PORTION];
	ssize_t n;

	if (d->fd < 0)
		return;
	if (!d->dumping)
		d->dumping = ask(d);
	if (!d->dumping)
		return;
	n = recv(d->fd, buf, sizeof buf, MSG_DONTWAIT);
	if (n <= 0)
		d->dumping = n < 0 && errno == EAGAIN;
	else if (sockdiag_take(&d->sums, buf, (int)n))
		d->dumping = 0;
}

void sockdiag_close(struct sockdiag *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}
