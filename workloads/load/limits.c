/* limits: see limits.h. A run that dies of EMFILE at connection 15,873 has wasted minutes. */
#include "workloads/load/limits.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* linux/in.h since 6.3; older C libraries lack it */
#endif

#define SPARE_FILES 64 /* stdio, epoll, files of the residency check, libcurl's own, libraries */

int limits_check_files(uint32_t connections, uint64_t hard, struct errbuf *e)
{
	if ((uint64_t)connections + SPARE_FILES <= hard)
		return 0;
	return errf(
		e, -EMFILE,
		"%u connections need %u open files, but the limit is %llu: raise it "
		"(`ulimit -Hn` as root, or LimitNOFILE / limits.conf), or use --connections %llu",
		connections, connections + SPARE_FILES, (unsigned long long)hard,
		(unsigned long long)(hard > SPARE_FILES ? hard - SPARE_FILES : 0));
}

int limits_files(uint32_t connections, struct errbuf *e)
{
	struct rlimit rl;
	int err;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return 0; /* unknown: try */
	err = limits_check_files(connections, rl.rlim_max, e);
	if (err)
		return err;
	if (rl.rlim_cur < (uint64_t)connections + SPARE_FILES) {
		rl.rlim_cur = (uint64_t)connections + SPARE_FILES;
		if (setrlimit(RLIMIT_NOFILE, &rl) != 0)
			return errf(e, -EMFILE, "cannot raise the limit of open files to %u: %s",
				    connections + SPARE_FILES, strerror(errno));
	}
	return 0;
}

uint32_t limits_count_reserved(const char *list, uint32_t lo, uint32_t hi)
{
	uint32_t n = 0;

	while (*list >= '0' && *list <= '9') {
		char *end;
		unsigned long a = strtoul(list, &end, 10), b = a;

		if (*end == '-')
			b = strtoul(end + 1, &end, 10);
		if (a < lo)
			a = lo;
		if (b > hi)
			b = hi;
		if (a <= b)
			n += (uint32_t)(b - a + 1);
		list = *end == ',' ? end + 1 : end;
	}
	return n;
}

int limits_check_ports(uint32_t connections, uint32_t lo, uint32_t hi, uint32_t reserved,
		       struct errbuf *e)
{
	uint32_t have = hi >= lo ? hi - lo + 1 - reserved : 0;

	if (connections <= have)
		return 0;
	return errf(
		e, -EADDRNOTAVAIL,
		"%u connections to one address need as many local ports, but "
		"net.ipv4.ip_local_port_range is %u to %u (%u usable): widen it with "
		"`sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or use --connections %u",
		connections, lo, hi, have, have);
}

static bool read_line(const char *path, char *buf, int size)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fgets(buf, size, f) != NULL;
	fclose(f);
	return ok;
}

static bool read_range(uint32_t *lo, uint32_t *hi)
{
	char range[64];

	return read_line("/proc/sys/net/ipv4/ip_local_port_range", range, sizeof range) &&
	       sscanf(range, "%u %u", lo, hi) == 2;
}

int limits_ports(uint32_t connections, struct errbuf *e)
{
	char list[4096] = "";
	uint32_t lo, hi;

	if (!read_range(&lo, &hi))
		return 0; /* unknown: try */
	read_line("/proc/sys/net/ipv4/ip_local_reserved_ports", list, sizeof list);
	return limits_check_ports(connections, lo, hi, limits_count_reserved(list, lo, hi), e);
}

void ports_init(struct ports *p)
{
	if (!read_range(&p->lo, &p->hi) || !p->lo || p->hi < p->lo || p->hi > 65535)
		p->lo = p->hi = 0;
	p->next = p->lo;
}

bool ports_window(struct ports *p, uint32_t *lo, uint32_t *hi)
{
	if (!p->hi)
		return false;
	*lo = p->next;
	*hi = p->hi - p->next < PORTS_WINDOW ? p->hi : p->next + PORTS_WINDOW - 1;
	p->next = *hi == p->hi ? p->lo : *hi + 1;
	return true;
}

void ports_spread(struct ports *p, int fd)
{
	uint32_t lo, hi, range;

	if (!ports_window(p, &lo, &hi))
		return;
	range = hi << 16 | lo;
	if (setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof range) != 0)
		p->hi = 0; /* an older kernel: don't ask again */
}
