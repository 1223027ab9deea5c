/* For the collectors' tests: a sink that remembers, and recorded trees that change in place.
 *
 * A recorded tree is tests/fixtures/collectors/NAME/{before,after}/...: "before" is copied to a
 * scratch directory; kit_advance() writes "after" over it, into the same files, as the kernel would
 * show other numbers through a descriptor that stays open. A file that "after" lacks becomes empty.
 */
#ifndef COLLECTORS_TEST_KIT_H
#define COLLECTORS_TEST_KIT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/procfs.h"
#include "harness/collector.h"

#define KIT_MAX 128

struct kit_value {
	char name[48], why[256];
	double value;
	int has, emitted;
};

struct kit {
	struct collector_sink sink; /* first */
	struct kit_value v[KIT_MAX];
	int n;
	char root[64], proc[80], sys[80], name[64];
};

static inline struct kit_value *kit_slot(struct kit *k, const char *name, int emitted)
{
	for (int i = 0; i < k->n; i++)
		if (!strcmp(k->v[i].name, name) && k->v[i].emitted == emitted)
			return &k->v[i];
	assert_true(k->n < KIT_MAX);
	snprintf(k->v[k->n].name, sizeof k->v[0].name, "%s", name);
	k->v[k->n].emitted = emitted;
	return &k->v[k->n++];
}

static inline void kit_on_emit(struct collector_sink *s, uint64_t t_ns, const char *name, double v)
{
	struct kit_value *slot = kit_slot((struct kit *)s, name, 1);

	(void)t_ns;
	slot->value = v;
	slot->has = 1;
}

static inline void kit_on_result(struct collector_sink *s, const char *name, double v)
{
	struct kit_value *slot = kit_slot((struct kit *)s, name, 0);

	slot->value = v;
	slot->has = 1;
}

static inline void kit_on_missing(struct collector_sink *s, const char *name, const char *why)
{
	struct kit_value *slot = kit_slot((struct kit *)s, name, 0);

	assert_true(why && *why);
	snprintf(slot->why, sizeof slot->why, "%s", why);
}

static inline void kit_copy(struct kit *k, const char *part)
{
	char cmd[512];

	snprintf(cmd, sizeof cmd,
		 "find %s -type f -exec truncate -s 0 {} + && cp -r "
		 "tests/fixtures/collectors/%s/%s/. %s",
		 k->root, k->name, part, k->root);
	assert_int_equal(system(cmd), 0);
}

static inline void kit_begin(struct kit *k, const char *fixture)
{
	memset(k, 0, sizeof *k);
	k->sink = (struct collector_sink){kit_on_emit, kit_on_result, kit_on_missing};
	snprintf(k->root, sizeof k->root, "/tmp/dcn-collectors-XXXXXX");
	assert_non_null(mkdtemp(k->root));
	snprintf(k->proc, sizeof k->proc, "%s/proc", k->root);
	snprintf(k->sys, sizeof k->sys, "%s/sys", k->root);
	snprintf(k->name, sizeof k->name, "%s", fixture);
	if (*fixture)
		kit_copy(k, "before");
}

static inline void kit_advance(struct kit *k)
{
	kit_copy(k, "after");
}

static inline void kit_end(struct kit *k)
{
	char cmd[128];

	snprintf(cmd, sizeof cmd, "rm -rf %s", k->root);
	assert_int_equal(system(cmd), 0);
}

/* A result; fails the test if there is none. */
static inline double kit_get(struct kit *k, const char *name)
{
	struct kit_value *v = kit_slot(k, name, 0);

	if (!v->has)
		fail_msg("%s is missing: %s", name, v->why);
	return v->value;
}

/* The reason why there is no result; NULL if there is one. */
static inline const char *kit_why(struct kit *k, const char *name)
{
	struct kit_value *v = kit_slot(k, name, 0);

	return v->has ? NULL : v->why;
}

static inline void kit_near(struct kit *k, const char *name, double want)
{
	double got = kit_get(k, name), eps = 1e-9 * (want < 0 ? -want : want) + 1e-12;

	if (got < want - eps || got > want + eps)
		fail_msg("%s is %.12g, not %.12g", name, got, want);
}

/* Every metric of the table must have a value or a reason, and nothing else may be told. */
static inline void kit_complete(struct kit *k, const struct collector_ops *ops)
{
	for (const struct collector_metric *m = ops->metrics; m->name; m++) {
		struct kit_value *v = kit_slot(k, m->name, 0);

		if (!v->has && !v->why[0])
			fail_msg("%s has neither a value nor a reason", m->name);
	}
	for (int i = 0; i < k->n; i++) {
		const struct collector_metric *m = ops->metrics;

		while (m->name && strcmp(m->name, k->v[i].name))
			m++;
		if (!m->name)
			fail_msg("%s is not in the collector's table", k->v[i].name);
	}
}

#define KIT_S 1000000000ull

/* Called by kit_run when its time goes on, if set. */
static void (*kit_on_time)(double s) __attribute__((unused));

static inline void kit_time(double s)
{
	if (kit_on_time)
		kit_on_time(s);
}

/* Open, mark at 10 s, advance, mark at 12 s, finish with 4e9 body bytes, close. */
static inline void kit_run(struct kit *k, const struct collector_ops *ops,
			   struct collector_env *env)
{
	struct collector *c = NULL;
	struct errbuf e = {""};

	env->proc_root = k->proc;
	env->sys_root = k->sys;
	env->options = env->options ? env->options : "";
	env->interval_ns = KIT_S / 10;
	assert_int_equal(ops->probe(env, &e), 0);
	assert_int_equal(ops->open(&c, env, &e), 0);
	kit_time(9);
	ops->sample(c, 9 * KIT_S, &k->sink);
	kit_time(10);
	ops->mark(c, 0, 10 * KIT_S);
	kit_advance(k);
	kit_time(11);
	ops->sample(c, 11 * KIT_S, &k->sink);
	kit_time(12);
	ops->mark(c, 1, 12 * KIT_S);
	ops->finish(c, 4000000000ull, &k->sink);
	ops->close(c);
	kit_complete(k, ops);
}

#endif
