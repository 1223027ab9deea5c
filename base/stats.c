/* stats: what the figures' error bars and `dcn compare` stand on.
 *
 * One idea: Student's distribution through the regularised incomplete beta function, evaluated by
 * its continued fraction (Abramowitz and Stegun 26.5.8, modified Lentz), and inverted by bisection:
 * slow beside a table, exact beside it too. Proved against published tables in stats_test.c.
 */
#include "base/stats.h"

#include <math.h>

double stats_mean(const double *v, int n)
{
	double s = 0;

	for (int i = 0; i < n; i++)
		s += v[i];
	return n > 0 ? s / n : NAN;
}

double stats_sd(const double *v, int n)
{
	double m = stats_mean(v, n), s = 0;

	if (n < 2)
		return NAN;
	for (int i = 0; i < n; i++)
		s += (v[i] - m) * (v[i] - m);
	return sqrt(s / (n - 1));
}

/* Continued fraction of the incomplete beta function; converges fast for x < (a+1)/(a+b+2). */
static double beta_fraction(double a, double b, double x)
{
	const double tiny = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1), h;

	d = 1 / (fabs(d) < tiny ? tiny : d);
	h = d;
	for (int m = 1; m <= 10000; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double step;

		d = 1 + even * d;
		c = 1 + even / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = fabs(c) < tiny ? tiny : c;
		h *= d * c;
		d = 1 + odd * d;
		c = 1 + odd / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = fabs(c) < tiny ? tiny : c;
		step = d * c;
		h *= step;
		if (fabs(step - 1) < 1e-15)
			break;
	}
	return h;
}

/* I_x(a, b); y = 1 - x is given apart, so that neither loses digits near 0. */
static double beta_inc(double a, double b, double x, double y)
{
	double front;

	if (x <= 0)
		return 0;
	if (y <= 0)
		return 1;
	front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(a, b, x) / a;
	return 1 - front * beta_fraction(b, a, y) / b;
}

double stats_t_cdf(double t, double df)
{
	double tail = 0.5 * beta_inc(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t));

	return t > 0 ? 1 - tail : tail;
}

double stats_t_quantile(double p, double df)
{
	double lo = 0, hi = 1;

	if (!(p > 0 && p < 1) || !(df > 0))
		return NAN;
	if (p < 0.5)
		return -stats_t_quantile(1 - p, df);
	while (stats_t_cdf(hi, df) < p && hi < 1e100)
		hi *= 2;
	for (int i = 0; i < 200 && hi - lo > 1e-15 * hi; i++) {
		double mid = (lo + hi) / 2;

		if (stats_t_cdf(mid, df) < p)
			lo = mid;
		else
			hi = mid;
	}
	return (lo + hi) / 2;
}

double stats_ci95(const double *v, int n)
{
	if (n < 2)
		return NAN;
	return stats_t_quantile(0.975, n - 1) * stats_sd(v, n) / sqrt(n);
}

int stats_paired_ratio(const double *a, const double *b, int n, struct stats_ratio *out)
{
	double mean = 0, m2 = 0, half, t;
	int k = 0;

	for (int i = 0; i < n; i++) { /* Welford, so that no array is needed */
		double l, d;

		if (!(a[i] > 0) || !(b[i] > 0) || isinf(a[i]) || isinf(b[i]))
			continue;
		l = log(b[i] / a[i]);
		d = l - mean;
		mean += d / ++k;
		m2 += d * (l - mean);
	}
	*out = (struct stats_ratio){k, k ? exp(mean) : NAN, NAN, NAN, NAN};
	if (k < 2)
		return k;
	half = sqrt(m2 / (k - 1) / k);
	t = half > 0 ? fabs(mean) / half : (mean != 0 ? INFINITY : 0);
	out->lo = exp(mean - stats_t_quantile(0.975, k - 1) * half);
	out->hi = exp(mean + stats_t_quantile(0.975, k - 1) * half);
	out->p = isinf(t) ? 0 : 2 * stats_t_cdf(-t, k - 1);
	return k;
}
