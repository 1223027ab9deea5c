/* bench_content: the objects a cell asks for, made once and kept.
 *
 * One idea: a directory for each (object size, seed), so that experiments of different sizes do not
 * undo each other's files; hot and cold counts only grow what is there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "harness/bench.h"
#include "harness/interrupt.h"

static bool show_content(void *arg, uint64_t done, uint64_t total)
{
	static uint64_t last;
	uint64_t now = clock_ns();

	(void)arg;
	if (interrupt_soon())
		return false;
	if (total < 100000000 || (now - last < NSEC_PER_SEC && done < total))
		return true;
	last = now;
	fprintf(stderr, "\rdcn: content: %.1f of %.1f GB written", (double)done / 1e9,
		(double)total / 1e9);
	if (done >= total)
		fputc('\n', stderr);
	return true;
}

uint64_t bench_hot_bytes(const struct bench *b, const struct cell *c)
{
	uint64_t v = cell_size(b->x, c, "content.hot"), least = (b->x->quick ? 256ull : 1024ull)
								<< 20;

	if (v)
		return v;
	v = b->machine.llc_bytes * (b->x->quick ? 8 : 16);
	return v > least ? v : least;
}

int bench_content(struct bench *b, const struct cell *c, struct errbuf *e)
{
	struct content want = {0};
	int err;

	want.seed = cell_count(b->x, c, "content.seed");
	want.object_size = cell_size(b->x, c, "content.object_size");
	want.hot = (uint32_t)((bench_hot_bytes(b, c) + want.object_size - 1) / want.object_size);
	want.cold = (uint32_t)((cell_size(b->x, c, "content.cold") + want.object_size - 1) /
			       want.object_size);
	if (b->have_content && !memcmp(&want, &b->content, sizeof want))
		return 0;
	snprintf(b->content_dir, sizeof b->content_dir, "%s/%llu-seed%llu", b->content_base,
		 (unsigned long long)want.object_size, (unsigned long long)want.seed);
	if (mkdir(b->content_base, 0755) && errno != EEXIST)
		return errf(e, -errno, "content directory %s: %s; set content.dir or DCN_CONTENT",
			    b->content_base, strerror(errno));
	log_info("content: %u hot and %u cold objects of %llu bytes in %s", want.hot, want.cold,
		 (unsigned long long)want.object_size, b->content_dir);
	err = content_make(b->content_dir, &want, show_content, NULL, e);
	b->have_content = !err;
	b->content = want;
	return err;
}
