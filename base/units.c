/* units: numbers with a unit.
 *
 * One idea: split a text into a number and a suffix, look the suffix up in a table, multiply. The
 * number goes through strtod only when it has a fraction, so that whole numbers stay exact up to
 * 64 bits. Limits: no sign, no hexadecimal, no locale (the project never calls setlocale).
 */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit sizes[] = {
	{"", 1},
	{"B", 1},
	{"k", 1ull << 10},
	{"K", 1ull << 10},
	{"KiB", 1ull << 10},
	{"M", 1ull << 20},
	{"MiB", 1ull << 20},
	{"G", 1ull << 30},
	{"GiB", 1ull << 30},
	{"T", 1ull << 40},
	{"TiB", 1ull << 40},
	{"kB", 1000},
	{"KB", 1000},
	{"MB", 1000ull * 1000},
	{"GB", 1000ull * 1000 * 1000},
	{"TB", 1000ull * 1000 * 1000 * 1000},
	{NULL, 0},
};

static const struct unit durations[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000ull * 1000},
	{"s", 1000ull * 1000 * 1000},
	{"m", 60ull * 1000 * 1000 * 1000},
	{"min", 60ull * 1000 * 1000 * 1000},
	{"h", 3600ull * 1000 * 1000 * 1000},
	{NULL, 0},
};

static const struct unit rates[] = {
	{"bit", 1},
	{"bit/s", 1},
	{"kbit", 1000},
	{"kbit/s", 1000},
	{"Mbit", 1000ull * 1000},
	{"Mbit/s", 1000ull * 1000},
	{"Gbit", 1000ull * 1000 * 1000},
	{"Gbit/s", 1000ull * 1000 * 1000},
	{NULL, 0},
};

static const struct unit *find_unit(const struct unit *u, const char *name)
{
	for (; u->name; u++)
		if (!strcmp(u->name, name))
			return u;
	return NULL;
}

/* The end of "digits[.digits]" at s, or NULL if there is no digit. */
static const char *number_end(const char *s)
{
	const char *p = s;

	while (isdigit((unsigned char)*p))
		p++;
	if (p == s)
		return NULL;
	if (*p == '.') {
		if (!isdigit((unsigned char)p[1]))
			return NULL;
		for (p++; isdigit((unsigned char)*p);)
			p++;
	}
	return p;
}

static int whole(const char *s, const char *end, uint64_t *out)
{
	uint64_t v = 0;

	for (; s < end; s++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	*out = v;
	return 0;
}

static int scaled(const char *s, const struct unit *table, uint64_t *out)
{
	const char *end = number_end(s), *unit = end;
	const struct unit *u;
	uint64_t v;
	double d;

	if (!end)
		return -EINVAL;
	while (*unit == ' ')
		unit++;
	u = find_unit(table, unit);
	if (!u)
		return -EINVAL;
	if (!memchr(s, '.', (size_t)(end - s))) {
		if (whole(s, end, &v) || __builtin_mul_overflow(v, u->factor, &v))
			return -ERANGE;
		*out = v;
		return 0;
	}
	d = strtod(s, NULL) * (double)u->factor;
	if (!(d < 18446744073709549568.0)) /* the largest double below 2^64 */
		return -ERANGE;
	*out = (uint64_t)(d + 0.5);
	return 0;
}

int units_size(const char *s, uint64_t *out)
{
	return scaled(s, sizes, out);
}

int units_duration(const char *s, uint64_t *out)
{
	if (!strcmp(s, "0")) {
		*out = 0;
		return 0;
	}
	return scaled(s, durations, out);
}

int units_rate(const char *s, uint64_t *out)
{
	return scaled(s, rates, out);
}

int units_count(const char *s, uint64_t *out)
{
	const char *end = number_end(s);

	if (!end || *end || memchr(s, '.', (size_t)(end - s)))
		return -EINVAL;
	return whole(s, end, out);
}

int units_number(const char *s, double *out)
{
	char *end;
	double d;

	if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
		return -EINVAL;
	if (s[strspn(s, "0123456789.eE+-")])
		return -EINVAL;
	d = strtod(s, &end);
	if (*end)
		return -EINVAL;
	if (!isfinite(d))
		return -ERANGE;
	*out = d;
	return 0;
}

int units_percent(const char *s, double *out)
{
	const char *end = number_end(s);
	double d;

	if (!end || (*end && strcmp(end, "%") && strcmp(end, " %")))
		return -EINVAL;
	d = strtod(s, NULL);
	if (d > 100)
		return -ERANGE;
	*out = d;
	return 0;
}

int units_duration_range(const char *s, uint64_t *lo, uint64_t *hi)
{
	const char *dots = strstr(s, "..");
	char first[32];
	uint64_t a, b;
	int err;

	if (!dots) {
		err = units_duration(s, &a);
		b = a;
	} else {
		if ((size_t)(dots - s) >= sizeof first)
			return -EINVAL;
		snprintf(first, sizeof first, "%.*s", (int)(dots - s), s);
		err = units_duration(first, &a);
		if (!err)
			err = units_duration(dots + 2, &b);
	}
	if (err)
		return err;
	if (a > b)
		return -EINVAL;
	*lo = a;
	*hi = b;
	return 0;
}

/* The largest unit in which `v` is a whole number, else one decimal if that is exact, else the
 * smallest unit. */
static const char *shortest(uint64_t v, const struct unit *u, int n, char *buf, size_t len)
{
	for (int i = n - 1; i > 0; i--) {
		if (v && v % u[i].factor == 0) {
			snprintf(buf, len, "%llu%s", (unsigned long long)(v / u[i].factor),
				 u[i].name);
			return buf;
		}
		if (v > u[i].factor && v % (u[i].factor / 10) == 0 && u[i].factor % 10 == 0) {
			snprintf(buf, len, "%.1f%s", (double)v / (double)u[i].factor, u[i].name);
			return buf;
		}
	}
	snprintf(buf, len, "%llu%s", (unsigned long long)v, v ? u[0].name : "");
	return buf;
}

const char *units_size_text(uint64_t bytes, char *buf, size_t len)
{
	static const struct unit u[] = {
		{"", 1},
		{"KiB", 1ull << 10},
		{"MiB", 1ull << 20},
		{"GiB", 1ull << 30},
	};

	return shortest(bytes, u, 4, buf, len);
}

const char *units_duration_text(uint64_t ns, char *buf, size_t len)
{
	static const struct unit u[] = {
		{"ns", 1},
		{"us", 1000},
		{"ms", 1000ull * 1000},
		{"s", 1000ull * 1000 * 1000},
	};

	return shortest(ns, u, 4, buf, len);
}
