/* stats against published tables: t quantiles as in any statistics text (two-sided 95 %, 99 %),
 * and closed forms for 1 and 2 degrees of freedom. */
#include "base/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double a, double b, double rel)
{
	if (!(fabs(a - b) <= rel * fabs(b) + 1e-300))
		fail_msg("%.12g is not %.12g", a, b);
}

static void test_tables(void **state)
{
	static const struct {
		double p, df, t;
	} row[] = {
		{0.975, 1, 12.7062},   {0.975, 2, 4.30265},  {0.975, 3, 3.18245},
		{0.975, 4, 2.77645},   {0.975, 5, 2.57058},  {0.975, 9, 2.26216},
		{0.975, 10, 2.22814},  {0.975, 29, 2.04523}, {0.975, 120, 1.97993},
		{0.995, 4, 4.60409},   {0.95, 7, 1.89458},   {0.9995, 3, 12.9240},
		{0.975, 1e6, 1.95997},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof row / sizeof *row; i++) {
		near(stats_t_quantile(row[i].p, row[i].df), row[i].t, 3e-6);
		near(stats_t_quantile(1 - row[i].p, row[i].df), -row[i].t, 3e-6);
	}
}

static void test_closed_forms(void **state)
{
	(void)state;
	for (double p = 0.501; p < 0.9999; p += 0.0137) {
		near(stats_t_quantile(p, 1), tan(M_PI * (p - 0.5)), 1e-9);
		near(stats_t_quantile(p, 2), (2 * p - 1) * sqrt(2 / (4 * p * (1 - p))), 1e-9);
	}
	near(stats_t_cdf(0, 7), 0.5, 1e-15);
	near(stats_t_cdf(stats_t_quantile(0.3, 6.5), 6.5), 0.3, 1e-12);
	assert_true(isnan(stats_t_quantile(0, 3)));
	assert_true(isnan(stats_t_quantile(1, 3)));
	assert_true(isnan(stats_t_quantile(0.5, 0)));
}

static void test_mean_sd_ci(void **state)
{
	static const double v[] = {2, 4, 4, 4, 5, 5, 7, 9};

	(void)state;
	near(stats_mean(v, 8), 5, 1e-15);
	near(stats_sd(v, 8), 2.138089935299395, 1e-12);
	near(stats_ci95(v, 8), 2.364624 * 2.138089935299395 / sqrt(8), 1e-6);
	assert_true(isnan(stats_mean(v, 0)));
	assert_true(isnan(stats_sd(v, 1)));
	assert_true(isnan(stats_ci95(v, 1)));
}

static void test_paired_ratio(void **state)
{
	static const double a[] = {1, 2, 4, NAN, 3, 0}, b[] = {2, 4, 8, 5, -1, 7};
	static const double c[] = {1, 1, 1, 1}, d[] = {1.1, 1.2, 1.3, 1.15};
	struct stats_ratio r;
	double l[4];

	(void)state;
	assert_int_equal(stats_paired_ratio(a, b, 6, &r), 3);
	near(r.ratio, 2, 1e-12);
	near(r.lo, 2, 1e-9);
	near(r.hi, 2, 1e-9);
	assert_true(r.p < 1e-9);
	assert_int_equal(stats_paired_ratio(c, d, 4, &r), 4);
	for (int i = 0; i < 4; i++)
		l[i] = log(d[i]);
	near(r.ratio, exp(stats_mean(l, 4)), 1e-12);
	near(r.lo, exp(stats_mean(l, 4) - stats_ci95(l, 4)), 1e-12);
	near(r.hi, exp(stats_mean(l, 4) + stats_ci95(l, 4)), 1e-12);
	near(r.p, 2 * stats_t_cdf(-stats_mean(l, 4) / (stats_sd(l, 4) / 2), 3), 1e-9);
	assert_int_equal(stats_paired_ratio(c, c, 4, &r), 4); /* A/A: no effect, no significance */
	near(r.p, 1, 1e-12);
	assert_int_equal(stats_paired_ratio(a, b, 1, &r), 1);
	assert_true(isnan(r.lo) && isnan(r.p));
	assert_int_equal(stats_paired_ratio(a, b, 0, &r), 0);
	assert_true(isnan(r.ratio));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_closed_forms),
		cmocka_unit_test(test_mean_sd_ci),
		cmocka_unit_test(test_paired_ratio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
