/* tcp_script_test: runs the packet scripts of scripts/, each a page about one rule of an RFC.
 *
 * A script is prose and lines of `TIME VERB ...`; TIME is `+seconds` after the line before. Numbers
 * are relative: the peer's to its ISN, the server's to its own, so the SYNs are 0 and data begins
 * at 1. Between two lines nothing may leave the server but what the script expects.
 *
 *     config mss=1460 push=1460 cc=newreno pacing=0 rcv_wnd=65535 idle=60 keepalive=0 timewait=1
 *     +0 open [mss N] [sack] [ts] [wscale N] [win N]     handshake, 10 ms; ESTABLISHED
 *     +0 < S. 1:1001(1000) ack 1 win 500 <sack 1:2 4:5, ts 7, mss 1460>    the peer sends
 *     +0 <+ . 1:1(0) ack 1461                            the same; the next line: same burst
 *     +0 > P. 1:1461(1460) ack 1 win 500 <...>           the server must send, at that time
 *     +0 avail N | end | abort | resume                  the source has N bytes in all, ...
 *     +0 hold | release                                  the source is (not) busy: no pushes
 *     +0 consume N                                       rx takes N bytes from now on, then none
 *     +0 icmp MTU SEQ                                    "fragmentation needed"
 *     +0 port N | lport N                                the peer's or our port from now on
 *     +0 expect state|ca|closed|rx|cwnd|acked|stat NAME VALUE
 *
 * Flags are tcpdump's (S F R . and P, which is not compared). ack, win and options are compared
 * if given. ts VAL echoes the latest time stamp of the server; ts VAL ECR says which (ms since the
 * SYN-ACK). An expected time is met within 3 ms.
 */
#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stacks/atlas/tcp/tcp_priv.h"

#define SCRIPTS	  "stacks/atlas/tcp/scripts"
#define TOLERANCE (3 * NSEC_PER_MSEC)
#define OUT_MAX	  256
#define LINE	  256

struct sent {
	struct tcp_seg g;
	uint64_t at;
	uint8_t hdr[TCP_HDR_MAX];
};

struct script {
	const char *file;
	int line;
	char text[LINE], why[LINE + 128];
	bool failed;

	struct tcp_stack *s;
	struct tcp_cfg cfg;
	struct tcp_conn *c;
	uint64_t now;
	bool have_iss, closed, hold, rx_fin, burst;
	enum tcp_reason reason;
	uint32_t iss, irs, ts_base, ts_last, rx, consume;
	uint64_t avail, acked;
	uint16_t rport, lport;
	struct sent out[OUT_MAX];
	int nout;
};

static const uint8_t zeros[65536];

static void wrong(struct script *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void wrong(struct script *x, const char *fmt, ...)
{
	va_list ap;

	if (x->failed)
		return;
	x->failed = true;
	va_start(ap, fmt);
	vsnprintf(x->why, sizeof x->why, fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s:%d: %s\n    %s\n", x->file, x->line, x->why, x->text);
}

/* ---- the stack's hooks ---- */

static int on_xmit(void *ctx, const struct tcp_out *o)
{
	struct script *x = ctx;
	struct sent *p = &x->out[x->nout];

	if (x->nout == OUT_MAX) {
		wrong(x, "too many segments");
		return -105;
	}
	memcpy(p->hdr, o->hdr, o->hdr_len);
	if (tcp_parse(p->hdr, o->hdr_len, &p->g))
		wrong(x, "the server sent a header that does not parse");
	p->g.len = o->len;
	p->at = x->now;
	if (!x->have_iss && (p->g.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		x->have_iss = true;
		x->iss = p->g.seq;
		x->ts_base = p->g.tsval;
	}
	if (p->g.ts_ok)
		x->ts_last = p->g.tsval;
	x->nout++;
	return 0;
}

static void *on_accept(void *ctx, struct tcp_conn *c, const struct tcp_tuple *t)
{
	struct script *x = ctx;

	(void)t;
	x->c = c;
	return x;
}

static uint32_t on_rx(void *ctx, struct tcp_conn *c, const uint8_t *p, uint32_t len)
{
	struct script *x = ctx;
	uint32_t n = min32(len, x->consume);

	(void)c, (void)p;
	x->consume -= n;
	x->rx += n;
	return n;
}

/* A source that is never late: what is asked for is pushed at once. */
static void on_want(void *ctx, struct tcp_conn *c)
{
	struct script *x = ctx;
	struct tcp_want w;

	while (!x->hold && tcp_next(c, &w)) {
		struct iovec v = {(void *)zeros, w.len};

		if (tcp_push(c, w.off, &v, 1, w.len, NULL, x->now) <= 0)
			return;
	}
}

static void on_acked(void *ctx, struct tcp_conn *c, uint64_t off)
{
	(void)c;
	((struct script *)ctx)->acked = off;
}

static void on_event(void *ctx, struct tcp_conn *c, enum tcp_event ev, enum tcp_reason why)
{
	struct script *x = ctx;

	if (ev == TCP_EV_RX_FIN)
		x->rx_fin = true;
	if (ev != TCP_EV_CLOSED || c != x->c)
		return;
	if (x->closed)
		wrong(x, "closed twice");
	x->closed = true;
	x->reason = why;
	x->c = NULL;
}

static const struct tcp_ops script_ops = {on_xmit, on_accept, on_rx, on_want, on_acked, on_event};

/* ---- time ---- */

/* Let timers fire until `until`, or until something leaves. */
static void advance(struct script *x, uint64_t until, bool stop_at_output)
{
	for (;;) {
		uint64_t t = tcp_next_timer(x->s);

		if (t > until || (stop_at_output && x->nout))
			break;
		x->now = max64(x->now, t);
		tcp_timers(x->s, x->now);
	}
	if (!stop_at_output || !x->nout) {
		x->now = max64(x->now, until);
		tcp_timers(x->s, x->now);
	}
}

static void settle(struct script *x)
{
	tcp_flush_acks(x->s, x->now);
	tcp_timers(x->s, x->now);
}

static void start(struct script *x)
{
	if (x->s)
		return;
	x->s = tcp_stack_new(&x->cfg, &script_ops, x, NULL);
	x->now = NSEC_PER_SEC;
}

/* ---- the language ---- */

static struct tcp_tuple tuple(const struct script *x)
{
	struct tcp_tuple t = {.lport = x->lport, .rport = x->rport};

	t.local = ipaddr_v4((const uint8_t[]){198, 18, 0, 1});
	t.remote = ipaddr_v4((const uint8_t[]){198, 18, 0, 2});
	return t;
}

static uint8_t parse_flags(const char *w)
{
	uint8_t f = 0;

	for (; *w; w++)
		f |= *w == 'S'	 ? TCP_SYN
		     : *w == 'F' ? TCP_FIN
		     : *w == 'R' ? TCP_RST
		     : *w == 'P' ? TCP_PSH
		     : *w == '.' ? TCP_ACK
				 : 0;
	return f;
}

/* Options between < and >, into g as the peer (`in`) or the server would write them. */
static void parse_opts(struct script *x, char *s, struct tcp_seg *g, bool in)
{
	uint32_t sack_base = in ? x->iss : x->irs, v, e;
	int n;

	for (char *tok = strtok(s, ",>"); tok; tok = strtok(NULL, ",>")) {
		while (isspace((unsigned char)*tok))
			tok++;
		if (sscanf(tok, "mss %u", &v) == 1) {
			g->mss = (uint16_t)v;
		} else if (sscanf(tok, "wscale %u", &v) == 1) {
			g->wscale = (int8_t)v;
		} else if (!strncmp(tok, "sackOK", 6)) {
			g->sack_ok = true;
		} else if (sscanf(tok, "ts %u%n", &v, &n) == 1) {
			g->ts_ok = true;
			g->tsval = in ? v : x->ts_base + v;
			g->tsecr = in ? x->ts_last : 0;
			if (sscanf(tok + n, "%u", &e) == 1)
				g->tsecr = in ? x->ts_base + e : e;
		} else if (!strncmp(tok, "sack", 4)) {
			for (tok += 4; sscanf(tok, " %u:%u%n", &v, &e, &n) == 2; tok += n) {
				g->sack[g->nsack].start = sack_base + v;
				g->sack[g->nsack++].end = sack_base + e;
			}
		} else if (*tok) {
			wrong(x, "unknown option '%s'", tok);
		}
	}
}

struct pkt {
	struct tcp_seg g;
	bool has_ack, has_win, has_opts;
};

/* FLAGS SEQ:END(LEN) [ack N] [win N] [<options>] */
static bool parse_pkt(struct script *x, char *s, bool in, struct pkt *p)
{
	char flags[16], *opts = strchr(s, '<');
	unsigned int seq, end, len, v;
	const char *w;

	*p = (struct pkt){.g = {.t = tuple(x), .wscale = -1, .data = zeros}};
	if (opts)
		*opts++ = '\0';
	if (sscanf(s, " %15s %u:%u(%u)", flags, &seq, &end, &len) != 4 || end - seq != len) {
		wrong(x, "expected FLAGS SEQ:END(LEN)");
		return false;
	}
	p->g.flags = parse_flags(flags);
	p->g.seq = (in ? x->irs : x->iss) + seq;
	p->g.len = len;
	w = strstr(s, "ack ");
	p->has_ack = w && sscanf(w, "ack %u", &v) == 1;
	if (p->has_ack)
		p->g.ack = (in ? x->iss : x->irs) + v;
	w = strstr(s, "win ");
	p->has_win = w && sscanf(w, "win %u", &v) == 1;
	p->g.wnd = p->has_win ? (uint16_t)v : 65535;
	p->has_opts = opts != NULL;
	if (opts)
		parse_opts(x, opts, &p->g, in);
	return !x->failed;
}

static void do_in(struct script *x, char *s)
{
	struct pkt p;

	if (!parse_pkt(x, s, true, &p))
		return;
	tcp_input(x->s, &p.g, x->now);
	if (!x->burst)
		settle(x);
}

static void compare(struct script *x, const struct pkt *p, const struct sent *o, uint64_t at)
{
	const struct tcp_seg *w = &p->g, *g = &o->g;
	char got[LINE];

	snprintf(got, sizeof got,
		 "flags %02x %u:%u(%u) ack %u win %u mss %u wscale %d nsack %u ts %u %u", g->flags,
		 g->seq - x->iss, g->seq - x->iss + g->len, g->len, g->ack - x->irs, g->wnd, g->mss,
		 g->wscale, g->nsack, g->tsval - x->ts_base, g->tsecr);
	if ((w->flags ^ g->flags) & ~TCP_PSH || w->seq != g->seq || w->len != g->len)
		wrong(x, "other segment: %s", got);
	if ((p->has_ack && w->ack != g->ack) || (p->has_win && w->wnd != g->wnd))
		wrong(x, "other ack or window: %s", got);
	if (o->at + TOLERANCE < at || o->at > at + TOLERANCE)
		wrong(x, "at %+.6f s from the expected time: %s",
		      ((double)o->at - (double)at) / 1e9, got);
	if (!p->has_opts)
		return;
	if (w->mss != g->mss || w->wscale != g->wscale || w->sack_ok != g->sack_ok ||
	    w->ts_ok != g->ts_ok || (w->ts_ok && w->tsecr && w->tsecr != g->tsecr) ||
	    w->nsack != g->nsack || memcmp(w->sack, g->sack, g->nsack * sizeof g->sack[0]))
		wrong(x, "other options: %s", got);
}

static void do_out(struct script *x, char *s, uint64_t at)
{
	struct pkt p;

	if (!x->nout)
		advance(x, at + TOLERANCE, true);
	if (!x->nout) {
		wrong(x, "the server sent nothing");
		return;
	}
	if (!parse_pkt(x, s, false, &p))
		return;
	compare(x, &p, &x->out[0], at);
	x->now = max64(x->now, x->out[0].at);
	memmove(x->out, x->out + 1, (size_t)--x->nout * sizeof x->out[0]);
}

static void do_open(struct script *x, const char *s)
{
	struct tcp_seg g = {
		.t = tuple(x), .flags = TCP_SYN, .seq = x->irs, .wnd = 65535, .wscale = -1};
	bool ts = strstr(s, "ts");
	const char *w;

	g.mss = 1460;
	if ((w = strstr(s, "mss")))
		g.mss = (uint16_t)atoi(w + 3);
	if ((w = strstr(s, "wscale")))
		g.wscale = (int8_t)atoi(w + 6);
	if ((w = strstr(s, "win")))
		g.wnd = (uint16_t)atoi(w + 3);
	g.sack_ok = strstr(s, "sack");
	g.ts_ok = ts;
	g.tsval = 1;
	tcp_input(x->s, &g, x->now);
	if (x->nout != 1 || x->out[0].g.flags != (TCP_SYN | TCP_ACK)) {
		wrong(x, "no SYN-ACK");
		return;
	}
	x->nout = 0;
	advance(x, x->now + 10 * NSEC_PER_MSEC, false);
	g = (struct tcp_seg){.t = tuple(x),
			     .flags = TCP_ACK,
			     .seq = x->irs + 1,
			     .ack = x->iss + 1,
			     .wnd = g.wnd,
			     .wscale = -1,
			     .ts_ok = ts,
			     .tsval = 11,
			     .tsecr = x->ts_last};
	tcp_input(x->s, &g, x->now);
	settle(x);
	if (!x->c || x->c->state != TS_ESTABLISHED)
		wrong(x, "not ESTABLISHED");
}

static const char *const reason_name[] = {"NONE", "DONE",  "RESET", "TIMEOUT",
					  "IDLE", "ABORT", "NOMEM", "UNREACH"};

static void do_expect(struct script *x, const char *s)
{
	char what[32] = "", name[32] = "", value[32] = "";
	struct tcp_info info;
	struct tcp_stats st;
	uint64_t got = 0;
	int n = sscanf(s, " %31s %31s %31s", what, name, value);
	static const struct {
		const char *name;
		size_t at;
	} stat[] = {
		{"rto_fired", offsetof(struct tcp_stats, rto_fired)},
		{"tlp_fired", offsetof(struct tcp_stats, tlp_fired)},
		{"fast_recoveries", offsetof(struct tcp_stats, fast_recoveries)},
		{"spurious", offsetof(struct tcp_stats, spurious)},
		{"challenge_acks", offsetof(struct tcp_stats, challenge_acks)},
		{"paws_drops", offsetof(struct tcp_stats, paws_drops)},
		{"zero_window_probes", offsetof(struct tcp_stats, zero_window_probes)},
		{"bytes_rexmit", offsetof(struct tcp_stats, bytes_rexmit)},
		{"bytes_out", offsetof(struct tcp_stats, bytes_out)},
		{"conns", offsetof(struct tcp_stats, conns)},
	};

	if (!strcmp(what, "closed")) {
		if (!x->closed || strcmp(reason_name[x->reason], name))
			wrong(x, "%s", x->closed ? reason_name[x->reason] : "not closed");
		return;
	}
	if (!strcmp(what, "stat") && n == 3) {
		tcp_get_stats(x->s, &st);
		for (size_t i = 0; i < sizeof stat / sizeof stat[0]; i++)
			if (!strcmp(stat[i].name, name))
				memcpy(&got, (char *)&st + stat[i].at, sizeof got);
		if (got != strtoull(value, NULL, 10))
			wrong(x, "%s is %llu", name, (unsigned long long)got);
		return;
	}
	if (!strcmp(what, "rx") || !strcmp(what, "acked") || !strcmp(what, "fin")) {
		got = what[0] == 'r' ? x->rx : what[0] == 'a' ? x->acked : x->rx_fin;
		if (got != strtoull(name, NULL, 10))
			wrong(x, "%s is %llu", what, (unsigned long long)got);
		return;
	}
	if (!x->c) {
		wrong(x, "no connection");
		return;
	}
	tcp_get_info(x->c, &info);
	if (!strcmp(what, "state") ? strcmp(info.state, name)
	    : !strcmp(what, "ca")  ? strcmp(info.ca_state, name)
				   : strcmp(what, "cwnd") || info.cwnd != strtoul(name, NULL, 10))
		wrong(x, "state %s, ca %s, cwnd %u", info.state, info.ca_state, info.cwnd);
}

static void do_config(struct script *x, char *s)
{
	for (char *tok = strtok(s, " \n"); tok; tok = strtok(NULL, " \n")) {
		char *eq = strchr(tok, '=');
		uint64_t v = eq ? strtoull(eq + 1, NULL, 10) : 0;
		size_t n = eq ? (size_t)(eq - tok) : 0;

#define KEY(k) (n == strlen(k) && !memcmp(tok, k, n))
		if (KEY("mss"))
			x->cfg.mss = (uint16_t)v;
		else if (KEY("push"))
			x->cfg.max_push = (uint32_t)v;
		else if (KEY("cc"))
			x->cfg.cc = strcmp(eq + 1, "newreno") ? TCP_CC_CUBIC : TCP_CC_NEWRENO;
		else if (KEY("pacing"))
			x->cfg.pacing = v;
		else if (KEY("rcv_wnd"))
			x->cfg.rcv_wnd = (uint32_t)v;
		else if (KEY("idle"))
			x->cfg.idle_ns = v * NSEC_PER_SEC;
		else if (KEY("keepalive"))
			x->cfg.keepalive_ns = v * NSEC_PER_SEC;
		else if (KEY("timewait"))
			x->cfg.timewait_ns = v * NSEC_PER_SEC;
		else
			wrong(x, "unknown setting '%s'", tok);
#undef KEY
	}
}

/* A verb of the application; false if it is none. */
static bool do_app(struct script *x, const char *verb, const char *rest)
{
	struct tcp_tuple t = tuple(x);
	unsigned int a = 0, b = 0;

	sscanf(rest, "%u %u", &a, &b);
	if (!strcmp(verb, "icmp")) {
		tcp_pmtu(x->s, &t, x->iss + b, (uint16_t)a);
	} else if (!strcmp(verb, "port")) {
		x->rport = (uint16_t)a;
		x->have_iss = x->closed = false;
	} else if (!strcmp(verb, "lport")) {
		x->lport = (uint16_t)a;
	} else if (!strcmp(verb, "consume")) {
		x->consume = a;
	} else if (!strcmp(verb, "hold")) {
		x->hold = true;
	} else if (!x->c) {
		return false;
	} else if (!strcmp(verb, "avail")) {
		tcp_avail(x->c, a);
	} else if (!strcmp(verb, "end")) {
		tcp_end(x->c);
	} else if (!strcmp(verb, "abort")) {
		tcp_abort(x->c);
	} else if (!strcmp(verb, "resume")) {
		tcp_rx_resume(x->c);
	} else if (!strcmp(verb, "release")) {
		x->hold = false;
		on_want(x, x->c);
	} else {
		return false;
	}
	settle(x);
	return true;
}

static void do_line(struct script *x, char *s)
{
	char verb[16];
	double dt;
	int n = 0;
	uint64_t at;

	if (!strncmp(s, "config ", 7)) {
		do_config(x, s + 7);
		return;
	}
	start(x);
	if (sscanf(s, "+%lf %15s %n", &dt, verb, &n) < 2 || !n) {
		wrong(x, "expected +TIME VERB");
		return;
	}
	at = x->now + (uint64_t)(dt * 1e9 + 0.5);
	s += n;
	if (!strcmp(verb, ">")) {
		do_out(x, s, at);
		return;
	}
	if (!x->burst)
		advance(x, at, false);
	if (x->nout) {
		compare(x, &(struct pkt){.g = {.seq = ~x->out[0].g.seq}}, &x->out[0], x->out[0].at);
		return;
	}
	x->burst = !strcmp(verb, "<+");
	if (x->burst || !strcmp(verb, "<"))
		do_in(x, s);
	else if (!strcmp(verb, "open"))
		do_open(x, s);
	else if (!strcmp(verb, "expect"))
		do_expect(x, s);
	else if (!do_app(x, verb, s))
		wrong(x, "unknown verb, or no connection to do it to");
}

static bool run_script(const char *path)
{
	static struct script x;
	FILE *f = fopen(path, "r");

	memset(&x, 0, sizeof x);
	x.file = path;
	x.irs = 1000000;
	x.rport = 4000;
	x.lport = 80;
	x.consume = UINT32_MAX;
	x.cfg = (struct tcp_cfg){.max_conns = 16,
				 .mss = 1460,
				 .max_push = 1460,
				 .cc = TCP_CC_NEWRENO,
				 .timewait_ns = NSEC_PER_SEC,
				 .isn_secret = {1, 2},
				 .ports = {80}};
	if (!f) {
		wrong(&x, "cannot open");
		return false;
	}
	while (!x.failed && fgets(x.text, sizeof x.text, f)) {
		char copy[LINE], *p = copy;

		x.line++;
		x.text[strcspn(x.text, "\r\n#")] = '\0';
		snprintf(copy, sizeof copy, "%s", x.text);
		while (isspace((unsigned char)*p))
			p++;
		if (*p)
			do_line(&x, p);
	}
	fclose(f);
	if (x.nout && !x.failed) {
		snprintf(x.text, sizeof x.text, "(end)");
		wrong(&x, "a segment more than expected");
	}
	tcp_stack_free(x.s);
	return !x.failed;
}

static void test_scripts(void **state)
{
	DIR *d = opendir(SCRIPTS);
	struct dirent *e;
	char path[512];
	int n = 0, failed = 0;

	(void)state;
	if (!d) {
		fprintf(stderr, "no %s: run me in the top directory\n", SCRIPTS);
		fail_msg("no scripts");
	}
	while ((e = readdir(d))) {
		size_t l = strlen(e->d_name);

		if (l < 4 || strcmp(e->d_name + l - 4, ".pkt"))
			continue;
		snprintf(path, sizeof path, "%s/%s", SCRIPTS, e->d_name);
		n++;
		failed += !run_script(path);
	}
	closedir(d);
	assert_int_equal(failed, 0);
	assert_true(n >= 12);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scripts)};
	int failed = 0;

	if (argc < 2)
		return cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 1; i < argc; i++)
		failed += !run_script(argv[i]);
	return failed != 0;
}
