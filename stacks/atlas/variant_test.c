/* variant_test: each name changes something, one thing alone; joined names change both, in any
 * order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stacks/atlas/variant.h"

static int changes(const struct variant *v, const struct variant *from)
{
	return (strcmp(v->aead, from->aead) != 0) + (v->copy != from->copy) +
	       (v->fifo != from->fifo) + (v->gso != from->gso) + (v->poll != from->poll) +
	       (v->prefetch != from->prefetch);
}

static void test_single(void **state)
{
	const struct variant *v, *plain = variant_find("");

	(void)state;
	assert_non_null(plain);
	for (unsigned int i = 1; (v = variant_at(i)); i++) {
		assert_ptr_equal(variant_find(v->name), v);
		assert_int_equal(changes(v, plain), 1);
		assert_true(v->text[0]);
	}
	assert_null(variant_find("fast"));
	assert_null(variant_find("cop"));
}

static void test_joined(void **state)
{
	const struct variant *a, *b, *v, *plain = variant_find("");
	char name[VARIANT_NAME];

	(void)state;
	for (unsigned int i = 1; (a = variant_at(i)); i++)
		for (unsigned int k = 1; (b = variant_at(k)); k++) {
			snprintf(name, sizeof name, "%s%c%s", a->name, k % 2 ? ':' : '+', b->name);
			v = variant_find(name);
			if (i == k) {
				assert_null(v);
				continue;
			}
			assert_non_null(v);
			assert_string_equal(v->name, name);
			assert_int_equal(changes(v, plain), 2);
			assert_int_equal(changes(v, a), 1);
			assert_int_equal(changes(v, b), 1);
		}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {":",	       "copy:",	    ":copy",	 "copy::poll",
					  "copy:fast", "copy poll", "copy,poll", "copy:poll:copy"};
	char name[4 * VARIANT_NAME] = "copy";

	(void)state;
	for (unsigned int i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_null(variant_find(bad[i]));
	for (int i = 0; i < 20; i++)
		strcat(name, ":poll");
	assert_null(variant_find(name));
	assert_non_null(variant_find("copy:openssl:prefetch:fifo:nogso:poll"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_single),
					   cmocka_unit_test(test_joined),
					   cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
