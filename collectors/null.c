/* collector null: measures nothing. With it alone the sampler runs at its full rate, so that two
 * runs, with and without, show what sampling itself costs. */
#include "harness/collector.h"

static const struct collector_metric metrics[] = {{NULL, NULL, NULL}};
static int nothing; /* something to point at */

static int null_probe(const struct collector_env *env, struct errbuf *e)
{
	(void)env;
	(void)e;
	return 0;
}

static int null_open(struct collector **out, const struct collector_env *env, struct errbuf *e)
{
	(void)env;
	(void)e;
	*out = (struct collector *)&nothing;
	return 0;
}

static void null_mark(struct collector *c, int which, uint64_t t_ns)
{
	(void)c;
	(void)which;
	(void)t_ns;
}

static void null_sample(struct collector *c, uint64_t t_ns, struct collector_sink *s)
{
	(void)c;
	(void)t_ns;
	(void)s;
}

static void null_finish(struct collector *c, uint64_t net_bytes, struct collector_sink *s)
{
	(void)c;
	(void)net_bytes;
	(void)s;
}

static void null_close(struct collector *c)
{
	(void)c;
}

const struct collector_ops collector_null = {
	.name = "null",
	.metrics = metrics,
	.probe = null_probe,
	.open = null_open,
	.mark = null_mark,
	.sample = null_sample,
	.finish = null_finish,
	.close = null_close,
};
