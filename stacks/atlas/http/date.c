/* http, date: HTTP-date in and out (RFC 9110 5.6.7).
 *
 * Written without strftime and gmtime: a response head holds two dates, and neither the locale nor
 * the time zone database has a say in them. Calendar arithmetic after Hinnant, "chrono-compatible
 * low-level date algorithms" (public domain): years begin in March, eras are 400 years.
 */
#include "stacks/atlas/http/impl.h"

#include <string.h>

#define DATE_MAX 253402300799ll /* 9999-12-31 23:59:59 */

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void put2(char *p, unsigned int v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
}

void http_date_put(time_t t, char out[HTTP_DATE_LEN])
{
	uint64_t s = t < 0 ? 0 : (uint64_t)t > DATE_MAX ? DATE_MAX : (uint64_t)t;
	unsigned int sec = (unsigned int)(s % 86400), day_no = (unsigned int)(s / 86400);
	unsigned int z = day_no + 719468, era = z / 146097, doe = z % 146097;
	unsigned int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned int doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	unsigned int day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 2 : mp - 10;
	unsigned int year = yoe + era * 400 + (month < 2);

	memcpy(out, "Sun, 06 Nov 1994 08:49:37 GMT", HTTP_DATE_LEN);
	memcpy(out, days + (size_t)(day_no + 4) % 7 * 3, 3);
	put2(out + 5, day);
	memcpy(out + 8, months + (size_t)month * 3, 3);
	put2(out + 12, year / 100);
	put2(out + 14, year % 100);
	put2(out + 17, sec / 3600);
	put2(out + 20, sec / 60 % 60);
	put2(out + 23, sec % 60);
}

struct fields {
	int year, month, day, h, m, s;
};

static int name_at(const char *table, size_t count, const char *p)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(table + i * 3, p, 3) == 0)
			return (int)i;
	return -1;
}

static int digits(const char *p, int n)
{
	int v = 0;

	for (; n; n--, p++) {
		if (*p < '0' || *p > '9')
			return -1;
		v = v * 10 + (*p - '0');
	}
	return v;
}

static bool get_time(const char *p, struct fields *f)
{
	f->h = digits(p, 2);
	f->m = digits(p + 3, 2);
	f->s = digits(p + 6, 2);
	return p[2] == ':' && p[5] == ':' && f->h >= 0 && f->h < 24 && f->m >= 0 && f->m < 60 &&
	       f->s >= 0 && f->s <= 60;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool get_imf(struct http_str s, struct fields *f)
{
	if (s.n != HTTP_DATE_LEN || name_at(days, 7, s.p) < 0 || memcmp(s.p + 3, ", ", 2) ||
	    s.p[7] != ' ' || s.p[11] != ' ' || s.p[16] != ' ' || memcmp(s.p + 25, " GMT", 4))
		return false;
	f->day = digits(s.p + 5, 2);
	f->month = name_at(months, 12, s.p + 8);
	f->year = digits(s.p + 12, 4);
	return get_time(s.p + 17, f);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT": the year is the nearest one not more than 50 years ahead. */
static bool get_rfc850(struct http_str s, time_t now, struct fields *f)
{
	size_t comma = 0;
	int this_year = (int)(1970 + now / 31556952);

	while (comma < s.n && s.p[comma] != ',')
		comma++;
	if (comma < 6 || s.n - comma != 24 || name_at(days, 7, s.p) < 0)
		return false;
	s.p += comma;
	if (s.p[1] != ' ' || s.p[4] != '-' || s.p[8] != '-' || s.p[11] != ' ' ||
	    memcmp(s.p + 20, " GMT", 4))
		return false;
	f->day = digits(s.p + 2, 2);
	f->month = name_at(months, 12, s.p + 5);
	f->year = digits(s.p + 9, 2);
	if (f->year < 0)
		return false;
	f->year += this_year / 100 * 100;
	if (f->year > this_year + 50)
		f->year -= 100;
	return get_time(s.p + 12, f);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool get_asctime(struct http_str s, struct fields *f)
{
	if (s.n != 24 || name_at(days, 7, s.p) < 0 || s.p[3] != ' ' || s.p[7] != ' ' ||
	    s.p[10] != ' ' || s.p[19] != ' ')
		return false;
	f->month = name_at(months, 12, s.p + 4);
	f->day = s.p[8] == ' ' ? digits(s.p + 9, 1) : digits(s.p + 8, 2);
	f->year = digits(s.p + 20, 4);
	return get_time(s.p + 11, f);
}

static int month_length(int year, int month)
{
	static const int len[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);

	return len[month] + (month == 1 && leap);
}

bool http_date_get(struct http_str s, time_t now, time_t *out)
{
	struct fields f;
	int y, mp;
	int64_t day;

	if (!get_imf(s, &f) && !get_rfc850(s, now, &f) && !get_asctime(s, &f))
		return false;
	if (f.year < 1601 || f.month < 0 || f.day < 1 || f.day > month_length(f.year, f.month))
		return false;
	y = f.year - (f.month < 2);
	mp = (f.month + 10) % 12;
	day = (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + (153 * mp + 2) / 5 + f.day - 1 -
	      719468;
	*out = day * 86400 + f.h * 3600 + f.m * 60 + f.s;
	return true;
}
