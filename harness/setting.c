/* setting: the table of experiment keys, and the checks each kind of value gets.
 *
 * One idea: what a key may hold is data. A check answers with a sentence that says what to write
 * instead; the caller puts file and line in front of it. DESIGN.md section 5.
 */
#include "harness/setting.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

#define KIB 1024.0
#define GIB (KIB * KIB * KIB)
#define SEC 1e9
#define MS  1e6

/* section, key, kind, default, words, min, max, help */
const struct setting settings[] = {
	{"experiment", "title", SETTING_TEXT, "", NULL, 0, 0, "what the experiment shows"},
	{"experiment", "figure", SETTING_TEXT, "", NULL, 0, 0,
	 "plots/FIGURE.gp draws it; default: the file's name"},
	{"experiment", "x", SETTING_TEXT, "connections", NULL, 0, 0, "swept key on the x axis"},
	{"experiment", "notes", SETTING_TEXT, "", NULL, 0, 0, "sentence for the caption"},

	{"testbed", "kind", SETTING_CHOICE, "netns", "netns", 0, 0,
	 "network namespaces on one host"},
	{"testbed", "server_cpus", SETTING_TEXT, "auto", NULL, 0, 0,
	 "auto = those that take the content disk's interrupts; or a list: 0,2-3"},
	{"testbed", "client_cpus", SETTING_TEXT, "auto", NULL, 0, 0, "auto = the others"},
	{"testbed", "steering", SETTING_CHOICE, "rps", "rps none", 0, 0,
	 "process each side's packets on its own CPUs"},
	{"testbed", "congestion", SETTING_TEXT, "cubic", NULL, 0, 0,
	 "congestion control, both sides"},
	{"testbed", "rtt", SETTING_SPAN, "0", NULL, 0, 10 * SEC,
	 "delay per flow: 20ms or 10ms..40ms"},
	{"testbed", "jitter", SETTING_DURATION, "0", NULL, 0, 10 * SEC,
	 "added to each packet's delay"},
	{"testbed", "loss", SETTING_PERCENT, "0", NULL, 0, 0, "random loss, per cent of packets"},
	{"testbed", "burst_loss", SETTING_TEXT, "0", NULL, 0, 0,
	 "Gilbert-Elliott loss: P,R in per cent"},
	{"testbed", "reorder", SETTING_PERCENT, "0", NULL, 0, 0, "per cent of packets sent late"},
	{"testbed", "duplicate", SETTING_PERCENT, "0", NULL, 0, 0, "per cent of packets doubled"},
	{"testbed", "rate", SETTING_RATE, "0", NULL, 0, 0, "bottleneck: 1Gbit; 0 = none"},
	{"testbed", "queue", SETTING_SIZE, "", NULL, 1500, GIB,
	 "bytes queued before the bottleneck"},
	{"testbed", "segment", SETTING_CHOICE, "none", "none mss", 0, 0,
	 "mss = break up GSO packets, as a real network does"},

	{"content", "dir", SETTING_TEXT, "", NULL, 0, 0,
	 "where objects are kept; default: $DCN_CONTENT or /var/tmp/dcn-content"},
	{"content", "object_size", SETTING_SIZE, "300KiB", NULL, 1, GIB, "bytes of an object"},
	{"content", "hot", SETTING_SIZE, "auto", "auto", 1, 1e15,
	 "hot set; auto: larger than the LLC"},
	{"content", "cold", SETTING_SIZE, "6GiB", NULL, 1, 1e15,
	 "cold set: at least 4 x the budget"},
	{"content", "cache_budget", SETTING_SIZE, "auto", "auto none", 16 * KIB *KIB, 1e15,
	 "page cache of a stock server; auto = hot + 256MiB, none = uncapped"},
	{"content", "seed", SETTING_COUNT, "1", NULL, 0, 9e15, "of the objects' bytes"},

	{"load", "program", SETTING_CHOICE, "dcn-load", "dcn-load iowindow", 0, 0,
	 "who makes the load"},
	{"load", "engine", SETTING_CHOICE, "mixed", "curl sink mixed native fio", 0, 0,
	 "dcn-load: curl, sink, mixed; iowindow: native, fio"},
	{"load", "tls", SETTING_CHOICE, "off", "on off", 0, 0, "HTTPS"},
	{"load", "certificate", SETTING_CHOICE, "ecdsa", "ecdsa rsa", 0, 0, "made for the run"},
	{"load", "mode", SETTING_CHOICE, "closed", "closed open", 0, 0,
	 "closed loop, or open: planned send times"},
	{"load", "rate", SETTING_NUMBER, "0", NULL, 0, 1e9, "requests per second, open loop"},
	{"load", "rate_of_ceiling", SETTING_PERCENT, "0", NULL, 0, 0,
	 "open loop: rate as per cent of the block's lower ceiling, disk or client"},
	{"load", "connections", SETTING_COUNT, "128", NULL, 1, 64000, "persistent, concurrent"},
	{"load", "cache_ratio", SETTING_PERCENT, "0", NULL, 0, 0,
	 "per cent of requests to the hot set"},
	{"load", "verify", SETTING_CHOICE, "sampled", "off sampled all", 0, 0,
	 "content, byte by byte"},
	{"load", "residency", SETTING_COUNT, "64", NULL, 0, 1e9,
	 "look up every Nth object in the page cache before its request; 0 = never"},
	{"load", "ramp", SETTING_DURATION, "", NULL, 0, 600 * SEC, "connections are opened over"},
	{"load", "timeout", SETTING_DURATION, "30s", NULL, 100 * MS, 600 * SEC, "of one request"},
	{"load", "window", SETTING_COUNT, "128", NULL, 1, 65536, "iowindow: reads outstanding"},
	{"load", "io_size", SETTING_SIZE, "16KiB", NULL, 512, 16 * KIB *KIB,
	 "iowindow: bytes a read"},
	{"load", "device", SETTING_TEXT, "", NULL, 0, 0, "iowindow: device; default: the content"},
	{"load", "threads", SETTING_COUNT, "1", NULL, 1, 256, "iowindow: threads"},

	{"stack", "name", SETTING_STACK, "nginx", NULL, 0, 0, "stack, or stack:variant"},
	{"stack", "workers", SETTING_COUNT, "", NULL, 1, 1024, "default: one a server CPU"},
	{"stack", "io_window", SETTING_COUNT, "", NULL, 1, 1e6, "atlas: reads in flight"},
	{"stack", "io_depth", SETTING_COUNT, "", NULL, 1, 1e6, "atlas: depth of an I/O ring"},
	{"stack", "buffers", SETTING_COUNT, "", NULL, 1, 1e7, "atlas: I/O buffers"},
	{"stack", "record_size", SETTING_SIZE, "", NULL, 512, 16384,
	 "atlas: bytes of a TLS record"},
	{"stack", "pull", SETTING_SIZE, "", NULL, 512, 16 * KIB *KIB, "atlas: longest read"},
	{"stack", "fetch", SETTING_COUNT, "", NULL, 1, 64, "atlas: completions a turn takes"},
	{"stack", "min_pull", SETTING_SIZE, "", NULL, 0, 64 * KIB,
	 "atlas: window that must open before it is read for"},
	{"stack", "idle", SETTING_DURATION, "", NULL, 0, 3600 * SEC,
	 "idle timeout of a connection"},
	{"stack", "device", SETTING_TEXT, "", NULL, 0, 0, "atlas: uring:, extents:auto,DEVICE"},
	{"stack", "pktio", SETTING_TEXT, "", NULL, 0, 0, "atlas: network back end, e.g. packet"},
	{"stack", "stages", SETTING_CHOICE, "", "on off", 0, 0,
	 "atlas: count cycles by stage of a turn"},
	{"stack", "command", SETTING_TEXT, "", NULL, 0, 0, "external: command template"},
	{"stack", "url", SETTING_TEXT, "", NULL, 0, 0, "external: base URL"},
	{"stack", "caches", SETTING_CHOICE, "", "on off", 0, 0, "external: is the page cache used"},

	{"run", "warmup", SETTING_DURATION, "2s", NULL, 0, 3600 * SEC, "load before the window"},
	{"run", "duration", SETTING_DURATION, "10s", NULL, 100 * MS, 86400 * SEC,
	 "measured window"},
	{"run", "repetitions", SETTING_COUNT, "5", NULL, 1, 1000,
	 "blocks: each runs every cell once"},
	{"run", "twin", SETTING_COUNT, "1", NULL, 1, 1000,
	 "changes nothing: sweep it to measure a cell against itself (dcn aa)"},
	{"run", "seed", SETTING_COUNT, "1", NULL, 0, 9e15, "of orders and request streams"},
	{"run", "ready_timeout", SETTING_DURATION, "10s", NULL, 100 * MS, 600 * SEC,
	 "a stack must answer within"},
	{"run", "ceilings", SETTING_WORDS, "disk, client, crypto", "disk client crypto none", 0, 0,
	 "limits measured in every block"},

	{"collect", "collectors", SETTING_WORDS, "cpu, net, disk, process", NULL, 0, 0,
	 "what is measured beside the load"},
	{"collect", "interval", SETTING_DURATION, "100ms", NULL, 1 * MS, 60 * SEC, "of samples"},
	{"collect", "active", SETTING_CHOICE, "on", "on off", 0, 0,
	 "off = CPUs are read at the window's ends, nothing else: what collectors cost (dcn aa)"},
	{"collect", "llc.events", SETTING_TEXT, "", NULL, 0, 0, "extra events by libpfm4 name"},
	{"collect", "membw.source", SETTING_TEXT, "", NULL, 0, 0,
	 "force a source: imc, umc, df, pfm, pcm, resctrl"},
	{"collect", "model.options", SETTING_TEXT, "", NULL, 0, 0, "of the memory-traffic model"},
};
const int settings_n = sizeof settings / sizeof *settings;

_Static_assert(sizeof settings / sizeof *settings <= SETTINGS_MAX, "raise SETTINGS_MAX");

int setting_find(const char *section, const char *key)
{
	for (int i = 0; i < settings_n; i++)
		if (!strcmp(settings[i].section, section) && !strcmp(settings[i].key, key))
			return i;
	return -1;
}

int setting_find_name(const char *name)
{
	int found = -1;

	if (!strcmp(name, "stack"))
		return setting_find("stack", "name");
	for (int i = 0; i < settings_n; i++) {
		const struct setting *s = &settings[i];
		size_t n = strlen(s->section);

		if (!strncmp(name, s->section, n) && name[n] == '.' &&
		    !strcmp(name + n + 1, s->key))
			return i;
		if (strcmp(name, s->key))
			continue;
		if (found >= 0)
			found = settings_n; /* two sections have it; a full name may still come */
		else
			found = i;
	}
	return found == settings_n ? -2 : found;
}

/* Is `text` one of the blank-separated `words`? */
static int has_word(const char *words, const char *text)
{
	size_t n = strlen(text);

	for (const char *p = words; p && *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");

		if (len == n && !memcmp(p, text, n))
			return 1;
		p += len;
	}
	return 0;
}

static int check_words(const struct setting *s, const char *text, struct errbuf *e)
{
	char word[64];

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ","), skip = strspn(p, " \t");

		skip = skip < n ? skip : n;
		snprintf(word, sizeof word, "%.*s", (int)(n - skip), p + skip);
		for (size_t k = strlen(word); k && (word[k - 1] == ' ' || word[k - 1] == '\t');)
			word[--k] = 0;
		if (!*word)
			return errf(e, -EINVAL, "'%s' has an empty item; write a, b, c", text);
		if (s->words && !has_word(s->words, word))
			return errf(e, -EINVAL, "'%s' is not known; choose from: %s", word,
				    s->words);
		p += n;
		p += *p == ',';
	}
	return 0;
}

static int check_stack(const char *text, struct errbuf *e)
{
	size_t n =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+:");

	if (!*text || text[n] || n > 40)
		return errf(e, -EINVAL, "'%s' is not the name of a stack; `dcn doctor` lists them",
			    text);
	return 0;
}

static int check_range(const struct setting *s, double v, const char *text, struct errbuf *e)
{
	char lo[32], hi[32];

	if (v >= s->min && v <= s->max)
		return 0;
	if (s->kind == SETTING_SIZE) {
		units_size_text((uint64_t)s->min, lo, sizeof lo);
		units_size_text((uint64_t)s->max, hi, sizeof hi);
	} else if (s->kind == SETTING_DURATION || s->kind == SETTING_SPAN) {
		units_duration_text((uint64_t)s->min, lo, sizeof lo);
		units_duration_text((uint64_t)s->max, hi, sizeof hi);
	} else {
		snprintf(lo, sizeof lo, "%.15g", s->min);
		snprintf(hi, sizeof hi, "%.15g", s->max);
	}
	return errf(e, -EINVAL, "%s is out of range; %s to %s is possible", text, lo, hi);
}

int setting_check(const struct setting *s, const char *text, struct errbuf *e)
{
	uint64_t v = 0, w = 0;
	double d = 0;

	if (!*text) /* "not set" is allowed where it is the default */
		return *s->def ? errf(e, -EINVAL, "the value is empty; the default is %s", s->def)
			       : 0;
	if (s->kind != SETTING_CHOICE && s->kind != SETTING_WORDS && has_word(s->words, text))
		return 0;
	switch (s->kind) {
	case SETTING_TEXT:
		return 0;
	case SETTING_CHOICE:
		return has_word(s->words, text)
			       ? 0
			       : errf(e, -EINVAL, "'%s' is not possible; choose from: %s", text,
				      s->words);
	case SETTING_WORDS:
		return check_words(s, text, e);
	case SETTING_STACK:
		return check_stack(text, e);
	case SETTING_COUNT:
		if (units_count(text, &v))
			return errf(e, -EINVAL, "'%s' is not a whole number", text);
		return check_range(s, (double)v, text, e);
	case SETTING_NUMBER:
		if (units_number(text, &d))
			return errf(e, -EINVAL, "'%s' is not a number", text);
		return check_range(s, d, text, e);
	case SETTING_PERCENT:
		if (units_percent(text, &d))
			return errf(e, -EINVAL, "'%s' is not a percentage; write 0 to 100", text);
		return 0;
	case SETTING_SIZE:
		if (units_size(text, &v))
			return errf(e, -EINVAL, "'%s' is not a size; write for example 300KiB",
				    text);
		return check_range(s, (double)v, text, e);
	case SETTING_DURATION:
		if (units_duration(text, &v))
			return errf(e, -EINVAL,
				    "'%s' is not a duration; write for example 500ms or 3s", text);
		return check_range(s, (double)v, text, e);
	case SETTING_SPAN:
		if (units_duration_range(text, &v, &w))
			return errf(e, -EINVAL, "'%s' is not a duration; write 20ms or 10ms..40ms",
				    text);
		return check_range(s, (double)w, text, e);
	case SETTING_RATE:
		if (strcmp(text, "0") && units_rate(text, &v))
			return errf(e, -EINVAL, "'%s' is not a rate; write for example 1Gbit",
				    text);
		return 0;
	}
	return 0;
}

int setting_distance(const char *a, const char *b)
{
	int row[64], la = (int)strnlen(a, 63), lb = (int)strnlen(b, 63);

	for (int j = 0; j <= lb; j++)
		row[j] = j;
	for (int i = 1; i <= la; i++) {
		int diag = row[0];

		row[0] = i;
		for (int j = 1; j <= lb; j++) {
			int sub = diag + (a[i - 1] != b[j - 1]), best = row[j] + 1;

			diag = row[j];
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			row[j] = sub < best ? sub : best;
		}
	}
	return row[lb];
}

struct nearest {
	const char *name;
	int distance;
};

static void consider(struct nearest *n, const char *name, const char *wrong)
{
	int d = setting_distance(name, wrong), limit = (int)strlen(wrong) / 3 + 1;

	if (d <= limit && (!n->name || d < n->distance))
		*n = (struct nearest){name, d};
}

const char *setting_nearest(const char *section, const char *wrong)
{
	struct nearest n = {NULL, 0};

	if (!section) {
		consider(&n, "sweep", wrong);
		consider(&n, "quick", wrong);
	} else if (!strcmp(section, "sweep")) {
		consider(&n, "stack", wrong);
	}
	for (int i = 0; i < settings_n; i++) {
		if (!section)
			consider(&n, settings[i].section, wrong);
		else if (!strcmp(section, "sweep") || !strcmp(section, settings[i].section))
			consider(&n, settings[i].key, wrong);
	}
	return n.name;
}
