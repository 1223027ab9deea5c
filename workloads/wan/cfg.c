/* cfg: text into settings of the WAN box.
 *
 * One table holds every option's name, argument, help and parser, so that the program's --help, the
 * driver's check of an experiment file and the parser can't disagree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "workloads/wan/wan.h"

#define DELAY_MAX	(10 * NSEC_PER_SEC)
#define QUEUE_BYTES_MAX (256ull << 20)
#define QUEUE_PKTS_MAX	1000000
#define RATE_MAX	1000000000000ull
#define MTU_FRAME	1514
#define SPIN_DEFAULT	(10 * NSEC_PER_USEC)

static bool is_off(const char *v)
{
	return !*v || !strcmp(v, "0") || !strcmp(v, "none");
}

/* Parsers: 0 or -errno of units.h; the caller has the sentence. */

static int set_if(char *out, const char *v)
{
	if (!*v || strlen(v) >= 16)
		return -EINVAL;
	snprintf(out, 16, "%s", v);
	return 0;
}

static int set_server_if(struct wan_cfg *c, const char *v)
{
	return set_if(c->server_if, v);
}

static int set_client_if(struct wan_cfg *c, const char *v)
{
	return set_if(c->client_if, v);
}

static int set_rtt(struct wan_cfg *c, const char *v)
{
	if (is_off(v)) {
		c->rtt_lo = c->rtt_hi = 0;
		return 0;
	}
	if (units_duration_range(v, &c->rtt_lo, &c->rtt_hi) || c->rtt_hi > DELAY_MAX)
		return -EINVAL;
	return 0;
}

static int set_duration(uint64_t *out, const char *v)
{
	*out = 0;
	return is_off(v) ? 0 : units_duration(v, out) || *out > DELAY_MAX ? -EINVAL : 0;
}

static int set_jitter(struct wan_cfg *c, const char *v)
{
	return set_duration(&c->jitter, v);
}

static int set_spin(struct wan_cfg *c, const char *v)
{
	return set_duration(&c->spin, v);
}

static int set_share(double *out, const char *v)
{
	double pct = 0;

	if (!is_off(v) && units_percent(v, &pct))
		return -EINVAL;
	*out = pct / 100;
	return 0;
}

static int set_loss(struct wan_cfg *c, const char *v)
{
	return set_share(&c->loss, v);
}

static int set_duplicate(struct wan_cfg *c, const char *v)
{
	return set_share(&c->duplicate, v);
}

/* "a:b:c" into up to `max` texts within `buf`; a list separator of any kind. Returns their count.
 */
static int split(char *buf, size_t size, const char *v, char **part, int max)
{
	char *save = NULL;
	int n = 0;

	if (snprintf(buf, size, "%s", v) >= (int)size)
		return max + 1;
	for (char *s = strtok_r(buf, ":/, ", &save); s; s = strtok_r(NULL, ":/, ", &save)) {
		if (n == max)
			return max + 1;
		part[n++] = s;
	}
	return n;
}

/* PCT or PCT:HOLD */
static int set_reorder(struct wan_cfg *c, const char *v)
{
	char buf[64], *part[2] = {NULL};
	int n = split(buf, sizeof buf, v, part, 2);

	c->reorder = 0;
	c->reorder_hold = 0;
	if (is_off(v))
		return 0;
	if (n < 1 || n > 2 || set_share(&c->reorder, part[0]))
		return -EINVAL;
	return n == 2 ? set_duration(&c->reorder_hold, part[1]) : 0;
}

/* P:R or P:R:H, each in per cent */
static int set_burst_loss(struct wan_cfg *c, const char *v)
{
	char buf[64], *part[3] = {NULL};
	int n = split(buf, sizeof buf, v, part, 3);

	c->burst = (struct wan_burst){0};
	if (is_off(v))
		return 0;
	if (n < 2 || n > 3 || set_share(&c->burst.p, part[0]) || set_share(&c->burst.r, part[1]))
		return -EINVAL;
	if (n == 3 && set_share(&c->burst.h, part[2]))
		return -EINVAL;
	return c->burst.r > 0 ? 0 : -EINVAL; /* a burst that never ends is an outage */
}

static int set_rate(struct wan_cfg *c, const char *v)
{
	c->rate = 0;
	if (is_off(v))
		return 0;
	return units_rate(v, &c->rate) || !c->rate || c->rate > RATE_MAX ? -EINVAL : 0;
}

/* "256KiB", "100p", "100 packets" */
static int set_queue(struct wan_cfg *c, const char *v)
{
	char num[32];
	size_t n = strspn(v, "0123456789");
	const char *unit = v + n + strspn(v + n, " ");
	uint64_t count;

	c->queue_bytes = c->queue_packets = 0;
	if (is_off(v))
		return 0;
	if (!strcmp(unit, "p") || !strcmp(unit, "packets")) {
		snprintf(num, sizeof num, "%.*s", (int)n, v);
		if (units_count(num, &count) || !count || count > QUEUE_PKTS_MAX)
			return -EINVAL;
		c->queue_packets = (uint32_t)count;
		return 0;
	}
	if (units_size(v, &c->queue_bytes) || c->queue_bytes > QUEUE_BYTES_MAX)
		return -EINVAL;
	return 0;
}

static int set_segment(struct wan_cfg *c, const char *v)
{
	c->segment = !strcmp(v, "mss");
	return c->segment || is_off(v) ? 0 : -EINVAL;
}

static int set_impair(struct wan_cfg *c, const char *v)
{
	c->impair[WAN_DOWN] = !strcmp(v, "down") || !strcmp(v, "both");
	c->impair[WAN_UP] = !strcmp(v, "up") || !strcmp(v, "both");
	return c->impair[WAN_DOWN] || c->impair[WAN_UP] ? 0 : -EINVAL;
}

static int set_seed(struct wan_cfg *c, const char *v)
{
	return units_count(v, &c->seed);
}

static int set_stats(struct wan_cfg *c, const char *v)
{
	if (strlen(v) >= sizeof c->stats)
		return -EINVAL;
	snprintf(c->stats, sizeof c->stats, "%s", v);
	return 0;
}

const struct wan_option wan_options[] = {
	{"server_if", "IFACE", "interface towards the server", false},
	{"client_if", "IFACE", "interface towards the client", false},
	{"rtt", "TIME|LO..HI", "added round-trip time; a range: uniform, by flow", true},
	{"jitter", "TIME", "added to each packet's delay: uniform in -TIME..TIME", true},
	{"loss", "PCT", "random loss, per cent of packets", true},
	{"burst_loss", "P:R[:H]",
	 "Gilbert-Elliott loss in per cent: P into a burst, R out, H pass inside", true},
	{"reorder", "PCT[:TIME]", "packets that come late by TIME (default: rtt/4, at least 1ms)",
	 true},
	{"duplicate", "PCT", "packets that come twice", true},
	{"rate", "RATE", "bottleneck: 100Mbit, 1Gbit", true},
	{"queue", "BYTES|Np",
	 "its tail-drop queue: 256KiB, or 100p for packets (default: rate x rtt)", true},
	{"segment", "mss|none", "cut GSO packets into MSS-sized ones towards the client", true},
	{"impair", "down|up|both",
	 "direction of loss, reordering, duplication, rate (default down)", false},
	{"seed", "N", "of everything random (default 1)", false},
	{"spin", "TIME", "stay awake this long before a packet is due (default 10us)", false},
	{"stats", "PATH", "UNIX socket that gives the counters as JSON", false},
	{NULL, NULL, NULL, false},
};

/* In the order of wan_options. */
static int (*const setters[])(struct wan_cfg *c, const char *v) = {
	set_server_if,	set_client_if, set_rtt,	      set_jitter, set_loss,
	set_burst_loss, set_reorder,   set_duplicate, set_rate,	  set_queue,
	set_segment,	set_impair,    set_seed,      set_spin,	  set_stats,
};
_Static_assert(sizeof setters / sizeof setters[0] + 1 == sizeof wan_options / sizeof wan_options[0],
	       "each option has its parser");

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '_' || *a == '-') && (*b == '_' || *b == '-')))
			return false;
	return *a == *b;
}

void wan_cfg_init(struct wan_cfg *c)
{
	memset(c, 0, sizeof *c);
	c->seed = 1;
	c->spin = SPIN_DEFAULT;
	c->impair[WAN_DOWN] = true;
}

int wan_cfg_set(struct wan_cfg *c, const char *name, const char *value, struct errbuf *e)
{
	for (int i = 0; wan_options[i].name; i++) {
		if (!same_name(wan_options[i].name, name))
			continue;
		if (setters[i](c, value))
			return errf(e, -EINVAL, "%s = %s: expected %s (%s)", name, value,
				    wan_options[i].arg, wan_options[i].help);
		return 0;
	}
	return errf(e, -ENOENT, "no option %s; dcn-wan --help lists them", name);
}

int wan_cfg_finish(struct wan_cfg *c, struct errbuf *e)
{
	uint64_t bdp;

	if (c->jitter && c->jitter > c->rtt_lo)
		return errf(
			e, -EINVAL,
			"jitter is larger than the smallest rtt: packets would leave before they "
			"came; raise rtt or lower jitter");
	if ((c->queue_bytes || c->queue_packets) && !c->rate)
		return errf(e, -EINVAL,
			    "queue without rate: only a bottleneck has a queue; set rate");
	if (c->reorder > 0 && !c->reorder_hold) {
		c->reorder_hold = c->rtt_hi / 4;
		if (c->reorder_hold < NSEC_PER_MSEC)
			c->reorder_hold = NSEC_PER_MSEC;
	}
	if (c->rate && !c->queue_bytes && !c->queue_packets) {
		bdp = (uint64_t)((double)c->rate / 8 * (double)c->rtt_hi / 1e9);
		c->queue_bytes = bdp < 100 * MTU_FRAME ? 100 * MTU_FRAME : bdp;
	}
	if (c->queue_bytes && c->queue_bytes < MTU_FRAME)
		return errf(e, -EINVAL, "queue is smaller than one packet of %d bytes; raise it",
			    MTU_FRAME);
	if (c->queue_bytes > QUEUE_BYTES_MAX)
		return errf(e, -EINVAL,
			    "queue of %llu bytes (rate x rtt) is more than 256MiB; set queue",
			    (unsigned long long)c->queue_bytes);
	return 0;
}

bool wan_takes(const struct wan_cfg *c, enum wan_dir dir)
{
	if (dir == WAN_UP && c->rtt_hi)
		return true;
	return c->impair[dir] &&
	       (c->loss > 0 || c->burst.p > 0 || c->reorder > 0 || c->duplicate > 0 || c->rate);
}
