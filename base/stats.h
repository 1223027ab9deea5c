/* stats: means, Student t and paired ratios over independent repetitions.
 *
 * Never feed it samples of one run: they are autocorrelated, and the interval would be far too
 * narrow. Pure functions, any thread. A result that does not exist (n too small, a value not
 * positive) is NAN.
 */
#ifndef BASE_STATS_H
#define BASE_STATS_H

double stats_mean(const double *v, int n);
/* Sample standard deviation (n - 1); NAN for n < 2. */
double stats_sd(const double *v, int n);
/* P(T <= t) of Student's distribution with `df` > 0 degrees of freedom. */
double stats_t_cdf(double t, double df);
/* The t with stats_t_cdf(t, df) = p, 0 < p < 1; relative error below 1e-9. */
double stats_t_quantile(double p, double df);
/* Half-width of the 95 % confidence interval of the mean; NAN for n < 2. */
double stats_ci95(const double *v, int n);

struct stats_ratio {
	int n;	       /* pairs used */
	double ratio;  /* geometric mean of b / a */
	double lo, hi; /* 95 % interval; NAN for n < 2 */
	double p;      /* two-sided, H0: ratio = 1; NAN for n < 2 */
};

/* b / a over pairs (a[i], b[i]) measured in the same block, through the mean of log(b / a). Pairs
 * with a value that is NAN or not positive are left out. Returns the pairs used. */
int stats_paired_ratio(const double *a, const double *b, int n, struct stats_ratio *out);

#endif
