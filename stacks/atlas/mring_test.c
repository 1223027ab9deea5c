/* mring_test: order, bounds, and four writers against one reader. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "stacks/atlas/mring.h"

#define WRITERS	 4
#define MESSAGES 20000

static struct mring *ring;

static void test_fifo_and_full(void **state)
{
	uint8_t msg[MRING_BYTES];
	uint32_t n = 0;

	(void)state;
	ring = mring_new();
	assert_int_equal(mring_get(ring, msg), 0);
	while (mring_put(ring, &n, sizeof n))
		n++;
	assert_int_equal(n, MRING_CELLS);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t got;

		assert_int_equal(mring_get(ring, msg), sizeof got);
		memcpy(&got, msg, sizeof got);
		assert_int_equal(got, i);
	}
	assert_int_equal(mring_get(ring, msg), 0);
	assert_false(mring_put(ring, msg, MRING_BYTES + 1));
	mring_free(ring);
}

static void *writer(void *arg)
{
	uint32_t m[2] = {(uint32_t)(uintptr_t)arg, 0};

	while (m[1] < MESSAGES)
		if (mring_put(ring, m, sizeof m))
			m[1]++;
	return NULL;
}

static void test_many_writers(void **state)
{
	pthread_t t[WRITERS];
	uint32_t next[WRITERS] = {0}, m[2];
	uint8_t msg[MRING_BYTES];
	unsigned int got = 0;

	(void)state;
	ring = mring_new();
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, writer, (void *)i), 0);
	while (got < WRITERS * MESSAGES) {
		if (!mring_get(ring, msg))
			continue;
		memcpy(m, msg, sizeof m);
		assert_true(m[0] < WRITERS);
		assert_int_equal(m[1], next[m[0]]); /* each writer's own order, none lost */
		next[m[0]]++;
		got++;
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	mring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fifo_and_full),
		cmocka_unit_test(test_many_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
