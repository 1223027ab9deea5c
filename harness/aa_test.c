/* aa: made-up runs whose differences are known: none between twins, 10 % by collectors in one
 * metric, Holm's correction, blocks that are not complete. */
#include "harness/aa.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[32], path[64];
static FILE *runs;

static void begin(void)
{
	snprintf(dir, sizeof dir, "/tmp/dcn-aa-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/runs.csv", dir);
	runs = fopen(path, "w");
	assert_non_null(runs);
	fputs("cell,repetition,stack,tls,twin,active,valid,wall_s,net_gbps,cpu_s_per_gb,"
	      "collect_cpu_pct,why\n",
	      runs);
}

static void put(int block, const char *stack, int twin, const char *active, int valid, double gbps,
		double cpu)
{
	int cell = (stack[0] == 'a' ? 4 : 0) + 2 * (twin - 1) + (active[1] == 'n');

	fprintf(runs, "%d,%d,%s,on,%d,%s,%d,1,%.9g,%.9g,%s,\n", cell, block, stack, twin, active,
		valid, gbps, cpu, active[1] == 'n' ? "0.25" : "0.01");
}

static void end(void)
{
	char cmd[80];

	snprintf(cmd, sizeof cmd, "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

static const struct aa_line *find(const struct aa *a, const char *key, const char *metric,
				  const char *point)
{
	for (int i = 0; i < a->n; i++)
		if (!strcmp(a->line[i].key, key) && !strcmp(a->line[i].metric, metric) &&
		    !strcmp(a->line[i].point, point))
			return &a->line[i];
	fail_msg("no line %s %s %s", key, metric, point);
	return NULL;
}

static struct aa a;

/* Blocks differ by much, twins within a block by +-1 %; collectors cost nginx 10 % of CPU. */
static void test_found(void **state)
{
	static const double drift[] = {5, 9, 4, 7, 6}, wobble[] = {1.01, 0.99, 1.01, 0.99, 1};
	const struct aa_line *l;
	struct errbuf e;
	char text[160];

	(void)state;
	begin();
	for (int b = 0; b < 5; b++)
		for (int s = 0; s < 2; s++)
			for (int twin = 1; twin < 3; twin++)
				for (int on = 0; on < 2; on++)
					put(b + 1, s ? "atlas" : "nginx", twin, on ? "on" : "off",
					    1, drift[b] * (twin == 2 ? wobble[b] : 1),
					    drift[b] * (on && !s ? 1.1 * wobble[b] : 1));
	fclose(runs);
	assert_int_equal(aa_read(&a, dir, &e), 8); /* 2 keys, 2 stacks, 2 of the metrics */
	l = find(&a, "active", "cpu_s_per_gb", "nginx");
	assert_int_equal(l->r.n, 5);
	assert_true(fabs(l->r.ratio - 1.1 * pow(1.01 * 1.01 * 0.99 * 0.99, 0.2)) < 1e-9);
	assert_true(l->r.lo > 1.08 && l->r.hi < 1.12 && l->differs);
	l = find(&a, "twin", "net_gbps", "atlas");
	assert_true(fabs(l->r.ratio - pow(1.01 * 1.01 * 0.99 * 0.99, 0.2)) < 1e-9);
	assert_false(l->differs);
	/* Twins' CPU is the same in every block: no difference at all, p is 1. */
	l = find(&a, "twin", "cpu_s_per_gb", "nginx");
	assert_true(fabs(l->r.ratio - 1) < 1e-12 && !l->differs);
	assert_int_equal(a.found, 1);
	assert_true(fabs(a.cpu_pct - 0.25) < 1e-12 && fabs(a.cpu_max - 0.25) < 1e-12);
	assert_non_null(strstr(aa_sentence(&a, text, sizeof text), "A DIFFERENCE IS FOUND in 1"));
	end();
}

/* p = 0.03 once in four lines is no difference; the sentence says how wide the intervals are. */
static void test_holm(void **state)
{
	static const double r[] = {1.03, 1.05, 1.02, 1.05};
	const struct aa_line *l;
	struct errbuf e;
	char text[160], want[32];

	(void)state;
	begin();
	for (int b = 0; b < 4; b++)
		for (int s = 0; s < 2; s++)
			for (int on = 0; on < 2; on++)
				put(b + 1, s ? "atlas" : "nginx", 1, on ? "on" : "off", 1,
				    5 * (on && s       ? r[b]
					 : on && b % 2 ? 1.001
						       : 1),
				    1 + b);
	fclose(runs);
	assert_int_equal(aa_read(&a, dir, &e), 4);
	l = find(&a, "active", "net_gbps", "atlas");
	assert_true(l->r.p < 0.05 && l->r.lo > 1); /* alone it would be one */
	assert_true(fabs(l->p_holm - fmin(1, 4 * l->r.p)) < 1e-9 || l->p_holm > l->r.p);
	assert_false(l->differs);
	assert_int_equal(a.found, 0);
	snprintf(want, sizeof want, "reaches %.1f %%", 100 * (l->r.hi - 1));
	assert_non_null(strstr(aa_sentence(&a, text, sizeof text), want));
	end();
}

/* Of three blocks one has an invalid run, one lacks a run: one pair is left, and nothing is said.
 */
static void test_incomplete(void **state)
{
	const struct aa_line *l;
	struct errbuf e;
	char text[160];

	(void)state;
	begin();
	for (int b = 1; b < 4; b++)
		for (int on = 0; on < 2; on++)
			if (b != 3 || on)
				put(b, "null", 1, on ? "on" : "off", b != 2 || on, 4 + on, 1);
	fclose(runs);
	assert_true(aa_read(&a, dir, &e) > 0);
	l = find(&a, "active", "net_gbps", "null");
	assert_int_equal(l->r.n, 1);
	assert_true(fabs(l->r.ratio - 1.25) < 1e-12 && isnan(l->p_holm) && !l->differs);
	assert_non_null(strstr(aa_sentence(&a, text, sizeof text), "two blocks or more"));
	assert_int_equal(aa_write(dir, &e), 0);
	snprintf(path, sizeof path, "%s/aa.csv", dir);
	assert_int_equal(access(path, R_OK), 0);
	end();
}

/* A key that goes with the stack names nothing; one that tells points apart does. */
static void test_names(void **state)
{
	static const char *const stack[] = {"nginx", "atlas"};
	struct errbuf e;

	(void)state;
	begin();
	rewind(runs);
	fputs("cell,repetition,stack,ratio,connections,active,valid,wall_s,net_gbps,why\n", runs);
	for (int b = 1; b < 3; b++)
		for (int s = 0; s < 2; s++)
			for (int conns = 1; conns < 3 - s; conns++)
				for (int on = 0; on < 2; on++)
					fprintf(runs, "0,%d,%s,%d,%d,%s,1,1,%d,\n", b, stack[s],
						100 * !s, conns, on ? "on" : "off", 5 + b);
	assert_int_equal(ftruncate(fileno(runs), ftell(runs)), 0);
	fclose(runs);
	assert_int_equal(aa_read(&a, dir, &e), 3);
	find(&a, "active", "net_gbps", "nginx connections=1");
	find(&a, "active", "net_gbps", "nginx connections=2");
	find(&a, "active", "net_gbps", "atlas");
	end();
}

static void test_other_folders(void **state)
{
	struct errbuf e = {""};

	(void)state;
	begin();
	rewind(runs);
	fputs("cell,repetition,stack,valid,wall_s,net_gbps,why\n0,1,null,1,1,5,\n", runs);
	assert_int_equal(ftruncate(fileno(runs), ftell(runs)), 0);
	fclose(runs);
	assert_int_equal(aa_read(&a, dir, &e), 0);
	assert_int_equal(aa_write(dir, &e), 0);
	snprintf(path, sizeof path, "%s/aa.csv", dir);
	assert_int_not_equal(access(path, F_OK), 0);
	end();
	assert_true(aa_read(&a, dir, &e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),	      cmocka_unit_test(test_holm),
		cmocka_unit_test(test_incomplete),    cmocka_unit_test(test_names),
		cmocka_unit_test(test_other_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
