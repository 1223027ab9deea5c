/* observe: samples, marks and results come through; what can't be measured says why; a collector
 * that hangs is given up without taking the run with it. The collectors here are made up: this file
 * stands in for registry.c. */
#include "harness/observe.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "harness/registry.h"

struct collector {
	int marks, samples;
	uint64_t t[2];
};

static struct collector one;
static _Atomic bool release;

static int fake_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	(void)env, (void)e;
	memset(&one, 0, sizeof one);
	*out = &one;
	return 0;
}

static int cant(const struct collector_env *env, struct errbuf *e)
{
	(void)env;
	return errf(e, -ENOENT, "no such counter; buy one");
}

static void fake_mark(struct collector *c, int which, uint64_t t_ns)
{
	c->t[which] = t_ns;
	c->marks++;
}

static void fake_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	s->emit(s, t_ns, "fake_total", ++c->samples);
}

static void hang(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	(void)c, (void)t_ns, (void)s;
	while (!release)
		usleep(1000);
}

static void fake_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	s->result(s, "fake_total", c->samples);
	s->result(s, "fake_bytes", (double)net_bytes);
	s->missing(s, "fake_other", "because");
}

static void fake_close(struct collector *c)
{
	c->marks = -1;
}

static void hang_in_mark(struct collector *c, int which, uint64_t t_ns)
{
	if (which)
		hang(c, t_ns, NULL);
}

static void hang_in_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	s->result(s, "fake_total", 1);
	hang(c, net_bytes, s);
	s->result(s, "fake_total", 2); /* into memory that is nobody's any more */
}

static void hang_in_close(struct collector *c)
{
	hang(c, 0, NULL);
}

static const struct collector_metric metrics[] = {
	{"fake_total", "", ""}, {"fake_bytes", "", ""}, {"fake_other", "", ""}, {NULL, NULL, NULL}};
static const struct collector_metric gpu_metrics[] = {{"gpu_pct", "%", ""}, {NULL, NULL, NULL}};

static const struct collector_ops fake = {"fake",    metrics,	  NULL,	       fake_open,
					  fake_mark, fake_sample, fake_finish, fake_close};
static const struct collector_ops gpu = {"gpu", gpu_metrics, cant, fake_open,
					 NULL,	NULL,	     NULL, fake_close};
static const struct collector_ops stuck = {"stuck",   metrics, NULL,	    fake_open,
					   fake_mark, hang,    fake_finish, fake_close};

static const struct collector_ops stuck_mark = {"stuck_mark", metrics, NULL,	    fake_open,
						hang_in_mark, NULL,    fake_finish, fake_close};
static const struct collector_ops stuck_finish = {
	"stuck_finish", metrics, NULL, fake_open, fake_mark, NULL, hang_in_finish, fake_close};
static const struct collector_ops stuck_close = {
	"stuck_close", metrics, NULL, fake_open, fake_mark, NULL, fake_finish, hang_in_close};

const struct collector_ops *registry_collector(const char *name, struct errbuf *e)
{
	static const struct collector_ops *const all[] = {&fake,       &gpu,	      &stuck,
							  &stuck_mark, &stuck_finish, &stuck_close};

	for (int i = 0; i < 6; i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	errf(e, -EINVAL, "there is no collector '%s'", name);
	return NULL;
}

static const struct collector_env env = {
	.proc_root = "/proc", .sys_root = "/sys", .options = "", .interval_ns = 2000000};

static void test_all_comes_through(void **state)
{
	struct metrics m = {.n = 0};
	const struct sample *s;
	struct observe *o;
	struct errbuf e;
	int missing = 0, n;

	(void)state;
	assert_int_equal(observe_open(&o, "fake, gpu", &env, &m, &missing, &e), 0);
	assert_int_equal(missing, 1);
	assert_string_equal(metrics_find(&m, "gpu_pct")->why, "no such counter; buy one");
	observe_mark(o, 0);
	while (observe_samples(o, &n), n < 3)
		usleep(1000);
	observe_mark(o, 1);
	observe_finish(o, 12345, &m);
	assert_int_equal(one.marks, 2);
	assert_true(one.t[1] > one.t[0]);
	s = observe_samples(o, &n);
	assert_true(n >= 3);
	for (int i = 0; i < n; i++) {
		assert_string_equal(s[i].metric, "fake_total");
		assert_true(s[i].value == i + 1);
		assert_true(!i || s[i].t_ns > s[i - 1].t_ns);
	}
	assert_true(metrics_get(&m, "fake_bytes") == 12345);
	assert_true(isnan(metrics_get(&m, "fake_other")));
	assert_string_equal(metrics_find(&m, "fake_other")->why, "because");
	observe_stop(o);
	assert_int_equal(one.marks, -1); /* closed */
	observe_samples(o, &n);
	assert_true(n >= 3); /* the samples stay */
	observe_close(o);
}

static void test_unknown(void **state)
{
	struct metrics m = {.n = 0};
	struct observe *o;
	struct errbuf e;
	int missing = 0;

	(void)state;
	assert_int_equal(observe_open(&o, "fake, nonsense", &env, &m, &missing, &e), -EINVAL);
	assert_int_equal(one.marks, -1); /* the first one was closed again */
}

/* Wherever a collector hangs, the run goes on, and what was to be measured has the reason. */
static void test_hang(void **state)
{
	static const char *const where[] = {"stuck", "stuck_mark", "stuck_finish", "stuck_close"};

	(void)state;
	observe_patience_ms = 200;
	for (int i = 0; i < 4; i++) {
		struct metrics m = {.n = 0};
		struct observe *o;
		struct errbuf e;
		int missing = 0, n;
		char want[48];

		release = false;
		assert_int_equal(observe_open(&o, where[i], &env, &m, &missing, &e), 0);
		usleep(20000);
		observe_mark(o, 0);
		observe_mark(o, 1);
		observe_finish(o, 1, &m);
		snprintf(want, sizeof want, "collector %s hung", where[i]);
		if (i < 3) {
			assert_string_equal(metrics_find(&m, "fake_total")->why, want);
			observe_samples(o, &n);
			assert_int_equal(n, 0);
		} else { /* it had its results before */
			assert_true(metrics_get(&m, "fake_bytes") == 1);
		}
		observe_stop(o);
		assert_true(observe_hung(o));
		observe_close(o);
		release = true; /* only so that the sanitizer sees idle threads */
		usleep(20000);
		assert_true(metrics_get(&m, "fake_total") == 0 ||
			    isnan(metrics_get(&m, "fake_total")));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_comes_through),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_hang),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
