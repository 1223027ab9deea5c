/* model against closed forms: shares within five standard deviations, the bottleneck exactly. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "workloads/wan/model.h"

#define N 400000

static struct wan_cfg config(const char *const *kv)
{
	struct wan_cfg c;
	struct errbuf e = {""};

	wan_cfg_init(&c);
	for (; *kv; kv += 2)
		if (wan_cfg_set(&c, kv[0], kv[1], &e))
			fail_msg("%s", e.s);
	if (wan_cfg_finish(&c, &e))
		fail_msg("%s", e.s);
	return c;
}
#define CONFIG(...) config((const char *const[]){__VA_ARGS__, NULL})

/* `n` of `of` trials with probability p; `spread` widens it for correlated trials. */
static void assert_share(double n, double of, double p, double spread)
{
	double sd = sqrt(of * p * (1 - p)) * spread;

	if (fabs(n - of * p) > 5 * sd)
		fail_msg("%g of %g is not a share of %g", n, of, p);
}

static void test_independent_fates(void **state)
{
	struct wan_cfg c = CONFIG("loss", "2%", "reorder", "5", "duplicate", "0.5%");
	struct wan_fate f;
	int lost = 0, late = 0, twice = 0;

	(void)state;
	wan_fate_init(&f, &c, WAN_DOWN);
	for (int i = 0; i < N; i++) {
		unsigned int fate = wan_fate_draw(&f);

		lost += !!(fate & WAN_LOST);
		late += !!(fate & WAN_LATE);
		twice += !!(fate & WAN_TWICE);
		assert_true(!(fate & WAN_LOST) || !(fate & (WAN_LATE | WAN_TWICE)));
	}
	assert_share(lost, N, 0.02, 1);
	assert_share(late, N - lost, 0.05, 1);
	assert_share(twice, N - lost, 0.005, 1);
}

/* Gilbert-Elliott: share lost p / (p + r) * (1 - h), mean burst length 1 / r, and the variance of
 * the share is (2 / (p + r) - 1) times that of independent packets. */
static void test_burst_loss(void **state)
{
	static const struct {
		const char *text;
		double p, r, h;
	} t[] = {{"0.1:20", 0.001, 0.2, 0},
		 {"1/50/30", 0.01, 0.5, 0.3},
		 {"0.5%,10%,0%", 0.005, 0.1, 0}};

	(void)state;
	for (size_t k = 0; k < sizeof t / sizeof t[0]; k++) {
		struct wan_cfg c = CONFIG("burst_loss", t[k].text, "seed", "5");
		double in_bad = t[k].p / (t[k].p + t[k].r),
		       spread = sqrt(2 / (t[k].p + t[k].r) - 1);
		int lost = 0, bad = 0, bursts = 0;
		struct wan_fate f;

		wan_fate_init(&f, &c, WAN_DOWN);
		for (int i = 0; i < N; i++) {
			bool was = f.bad;

			lost += wan_fate_draw(&f) == WAN_LOST_BURST;
			bad += f.bad;
			bursts += f.bad && !was;
		}
		assert_share(bad, N, in_bad, spread);
		assert_share(lost, N, in_bad * (1 - t[k].h), spread);
		/* Lengths are geometric: mean 1/r, variance (1-r)/r^2. */
		assert_true(fabs((double)bad / bursts - 1 / t[k].r) <
			    5 * sqrt((1 - t[k].r) / bursts) / t[k].r);
	}
}

static void test_seed_and_direction(void **state)
{
	struct wan_cfg c = CONFIG("loss", "30", "impair", "both", "seed", "7"), d = c;
	struct wan_fate a, b, up, other;
	int up_differs = 0, other_differs = 0;

	(void)state;
	d.seed = 8;
	wan_fate_init(&a, &c, WAN_DOWN);
	wan_fate_init(&b, &c, WAN_DOWN);
	wan_fate_init(&up, &c, WAN_UP);
	wan_fate_init(&other, &d, WAN_DOWN);
	for (int i = 0; i < 1000; i++) {
		unsigned int x = wan_fate_draw(&a);

		assert_int_equal(x, wan_fate_draw(&b));
		up_differs += x != wan_fate_draw(&up);
		other_differs += x != wan_fate_draw(&other);
	}
	assert_true(up_differs > 300 && other_differs > 300);
	c = CONFIG("loss", "100");
	wan_fate_init(&up, &c, WAN_UP); /* only data is impaired unless asked */
	assert_int_equal(wan_fate_draw(&up), 0);
}

static void test_rate_is_exact(void **state)
{
	struct wan_cfg c = CONFIG("rate", "7Mbit", "queue", "256MiB");
	struct wan_bottleneck b;
	uint64_t last = 0;

	(void)state;
	assert_int_equal(wan_bottleneck_init(&b, &c), 0);
	for (int i = 1; i <= 20000; i++) {
		last = wan_bottleneck_admit(&b, 0, 1514);
		/* Rounded down once, not once a packet. */
		assert_int_equal(last, (uint64_t)i * 1514 * 8 * 1000000000ull / 7000000);
	}
	/* An idle link starts at the arrival. */
	assert_int_equal(wan_bottleneck_admit(&b, last + 1000, 700), last + 1000 + 800000);
	wan_bottleneck_free(&b);
}

static void test_byte_queue(void **state)
{
	struct wan_cfg c = CONFIG("rate", "8Mbit", "queue", "10000"); /* 1 byte a microsecond */
	struct wan_bottleneck b;
	int in = 0;

	(void)state;
	assert_int_equal(wan_bottleneck_init(&b, &c), 0);
	while (wan_bottleneck_admit(&b, 0, 1000) != WAN_DROPPED)
		in++;
	assert_int_equal(in, 10);
	assert_int_equal(wan_bottleneck_backlog(&b, 0), 10000);
	assert_int_equal(wan_bottleneck_admit(&b, 999999, 1000), WAN_DROPPED);
	assert_int_equal(wan_bottleneck_admit(&b, 1000000, 1000), 11000000);
	assert_int_equal(wan_bottleneck_backlog(&b, 11000000), 0);
	wan_bottleneck_free(&b);
}

static void test_packet_queue(void **state)
{
	struct wan_cfg c = CONFIG("rate", "8Mbit", "queue", "3p");
	struct wan_bottleneck b;

	(void)state;
	assert_int_equal(wan_bottleneck_init(&b, &c), 0);
	for (int round = 0; round < 5; round++) {
		uint64_t t = (uint64_t)round * 1000000;

		assert_int_equal(wan_bottleneck_admit(&b, t, 100), t + 100000);
		assert_int_equal(wan_bottleneck_admit(&b, t, 10), t + 110000);
		assert_int_equal(wan_bottleneck_admit(&b, t, 10), t + 120000);
		assert_int_equal(wan_bottleneck_admit(&b, t, 10), WAN_DROPPED);
		assert_int_equal(wan_bottleneck_admit(&b, t + 100000, 10), t + 130000);
		assert_int_equal(wan_bottleneck_admit(&b, t + 100000, 10), WAN_DROPPED);
	}
	wan_bottleneck_free(&b);
}

/* D/D/1/K: offered twice the rate, half is lost, whatever the queue. */
static void test_overload(void **state)
{
	static const char *const queue[] = {"20000", "100p"};

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct wan_cfg c = CONFIG("rate", "8Mbit", "queue", queue[k]);
		struct wan_bottleneck b;
		int in = 0;

		assert_int_equal(wan_bottleneck_init(&b, &c), 0);
		for (uint64_t i = 0; i < 10000; i++)
			in += wan_bottleneck_admit(&b, i * 500000, 1000) != WAN_DROPPED;
		assert_true(in >= 5000 && in <= 5000 + 110);
		wan_bottleneck_free(&b);
	}
}

/* Flow delays are uniform: mean and variance of a uniform distribution, and each flow keeps its
 * own. */
static void test_flow_delay(void **state)
{
	struct wan_cfg c = CONFIG("rtt", "10ms..40ms"), d = CONFIG("rtt", "25ms");
	double sum = 0, sq = 0, n = 20000, mean = 25e6, var = 30e6 * 30e6 / 12;

	(void)state;
	for (uint64_t i = 0; i < (uint64_t)n; i++) {
		double x = (double)wan_flow_delay(&c, i);

		assert_true(x >= 10e6 && x <= 40e6);
		assert_true(x == (double)wan_flow_delay(&c, i));
		sum += x;
		sq += (x - mean) * (x - mean);
		assert_int_equal(wan_flow_delay(&d, i), 25 * NSEC_PER_MSEC);
	}
	assert_true(fabs(sum / n - mean) < 5 * sqrt(var / n));
	/* Fourth central moment of a uniform: 9/5 var^2, so Var(sample variance) = 0.8 var^2 / n.
	 */
	assert_true(fabs(sq / n - var) < 5 * sqrt(0.8 / n) * var);
}

static void test_options(void **state)
{
	static const char *const bad[][2] = {
		{"rtt", "10"},
		{"rtt", "40ms..10ms"},
		{"rtt", "1h"},
		{"loss", "101"},
		{"loss", "x"},
		{"burst_loss", "1"},
		{"burst_loss", "1:0"},
		{"rate", "100"},
		{"rate", "-1Mbit"},
		{"queue", "12x"},
		{"queue", "0p"},
		{"segment", "jumbo"},
		{"impair", "sideways"},
		{"seed", "-1"},
		{"reorder", "1:2:3"},
		{"jitter", "3"},
		{"server_if", "much-too-long-a-name"},
	};
	struct wan_cfg c;
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		wan_cfg_init(&c);
		if (wan_cfg_set(&c, bad[i][0], bad[i][1], &e) != -EINVAL)
			fail_msg("%s = %s was accepted", bad[i][0], bad[i][1]);
		assert_non_null(strstr(e.s, bad[i][0]));
	}
	assert_int_equal(wan_cfg_set(&c, "los", "1", &e), -ENOENT);
	for (int i = 0; wan_options[i].name; i++) /* every testbed key can be switched off */
		if (wan_options[i].testbed) {
			assert_int_equal(wan_cfg_set(&c, wan_options[i].name, "none", &e), 0);
			assert_int_equal(wan_cfg_set(&c, wan_options[i].name, "0", &e), 0);
		}
	wan_cfg_init(&c);
	wan_cfg_set(&c, "jitter", "3ms", &e);
	wan_cfg_set(&c, "rtt", "2ms", &e);
	assert_int_equal(wan_cfg_finish(&c, &e), -EINVAL);
	wan_cfg_init(&c);
	wan_cfg_set(&c, "queue", "10p", &e);
	assert_int_equal(wan_cfg_finish(&c, &e), -EINVAL);
	c = CONFIG("burst-loss", "1:10", "rtt", "0");
	assert_false(wan_takes(&c, WAN_UP));
	assert_true(wan_takes(&c, WAN_DOWN));
	c = CONFIG("rtt", "5ms", "segment", "mss");
	assert_true(wan_takes(&c, WAN_UP));
	assert_false(wan_takes(&c, WAN_DOWN)); /* the kernel cuts and forwards data */
	c = CONFIG("rate", "100Mbit", "rtt", "40ms");
	assert_int_equal(c.queue_bytes, 500000); /* one bandwidth-delay product */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_independent_fates),
		cmocka_unit_test(test_burst_loss),
		cmocka_unit_test(test_seed_and_direction),
		cmocka_unit_test(test_rate_is_exact),
		cmocka_unit_test(test_byte_queue),
		cmocka_unit_test(test_packet_queue),
		cmocka_unit_test(test_overload),
		cmocka_unit_test(test_flow_delay),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
