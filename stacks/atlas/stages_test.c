/* stages_test: every cycle lands in exactly one stage, and off means off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "stacks/atlas/stages.h"

static uint64_t sum(const struct stage_counts *c)
{
	uint64_t n = 0;

	for (int i = 0; i < STAGE_COUNT; i++)
		n += c->cycles[i];
	return n;
}

static void spin(uint64_t cycles)
{
	uint64_t t = stages_now();

	while (stages_now() - t < cycles)
		;
}

static void test_off(void **state)
{
	struct stages s = {0};
	struct stage_counts c;

	(void)state;
	assert_int_equal(stage_enter(&s, STAGE_seal), STAGE_receive);
	stages_turn(&s, true);
	stages_get(&s, &c);
	assert_int_equal(c.on, 0);
	assert_int_equal(c.borders, 0);
	assert_int_equal(sum(&c), 0);
}

/* Stages, nested ones too, add up to the time that passed, to the cycle. */
static void test_adds_up(void **state)
{
	struct stages s;
	struct stage_counts c;
	enum stage was;

	(void)state;
	stages_start(&s);
	stage_enter(&s, STAGE_complete);
	spin(1000);
	was = stage_enter(&s, STAGE_seal);
	assert_int_equal(was, STAGE_complete);
	spin(5000);
	stage_enter(&s, was);
	spin(1000);
	stages_turn(&s, true);
	stages_get(&s, &c);
	assert_int_equal(sum(&c), s.since - s.start_tsc);
	assert_true(c.cycles[STAGE_seal] >= 5000);
	assert_true(c.cycles[STAGE_complete] >= 2000);
	assert_int_equal(c.cycles[STAGE_transmit], 0);
	assert_int_equal(c.borders, 4);
	assert_true(c.border_cycles > 0);
	assert_true(c.hz > 1000000);
}

/* A turn that moved nothing is `empty`, whatever it looked at; sleeping stays sleeping. */
static void test_empty_turn(void **state)
{
	struct stages s;
	struct stage_counts c;

	(void)state;
	stages_start(&s);
	stage_enter(&s, STAGE_receive);
	spin(3000);
	stages_turn(&s, false);
	stage_enter(&s, STAGE_idle);
	spin(3000);
	stages_turn(&s, false);
	stages_get(&s, &c);
	assert_int_equal(c.cycles[STAGE_receive], 0);
	assert_true(c.cycles[STAGE_empty] >= 3000);
	assert_true(c.cycles[STAGE_idle] >= 3000);
	assert_int_equal(sum(&c), s.since - s.start_tsc);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(stage_name[STAGE_receive], "receive");
	assert_string_equal(stage_name[STAGE_idle], "idle");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off), cmocka_unit_test(test_adds_up),
		cmocka_unit_test(test_empty_turn), cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
