#!/bin/bash
# What the trace of buffer touches costs (atlas --trace, collectors/README.md): a hook when it is off, a touch
# and a further piece of a burst when it is on, and that times a pull of 62 KiB as CPU seconds a gigabyte.
#
#   tests/bench_trace.sh [BUILD_DIR]
#
# A benchmark: it judges nothing. Take the least of the rounds; run it on a calm machine.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
bin=$(cd "${1:-$here/build}" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat >"$work/bench.c" <<'END'
#include <stdio.h>
#include "base/clock.h"
#include "stacks/atlas/net/pktio.h"
#include "stacks/atlas/trace.h"

#define N 4000000u
static double least(double a, double b) { return a < b ? a : b; }

/* ns a call, the loop's own time taken off */
static double each(int what, const struct pkt_tx *v)
{
	double best = 1e9;

	for (int round = 0; round < 15; round++) {
		uint64_t t = clock_ns();

		for (unsigned int i = 0; i < N; i++) {
			__asm__ volatile("" ::"r"(i) : "memory");
			if (what == 1)
				trace_touch(TOUCH_CPU_READ, v, 65536);
			else if (what == 2)
				trace_frames(v, 1);
		}
		best = least(best, (double)(clock_ns() - t) / N);
	}
	return best;
}

int main(void)
{
	struct pkt_tx one = {.niov = 2}, nine = {.niov = 10};
	struct errbuf e;
	double empty = each(0, &one), off = each(1, &one) - empty, on, piece;

	if (trace_open(&e))
		return 1;
	on = each(1, &one) - empty;
	piece = (each(2, &nine) - each(2, &one)) / 8;
	printf("off: %.2f ns a hook\non: %.1f ns a touch, %.1f ns each further piece of a burst\n", off, on, piece);
	/* A pull of 62 KiB: issued, arrived, sealed (read, write), sent in one burst of 5 pieces. */
	printf("on: %.2f us a pull of 62 KiB, %.4f CPU s/GB\n", (5 * on + 4 * piece) / 1e3,
	       (5 * on + 4 * piece) / 1e9 / (62 * 1024) * 1e9);
	return 0;
}
END
gcc -std=gnu11 -D_GNU_SOURCE -O2 -I"$here" "$work/bench.c" "$bin/libdcn.a" -o "$work/bench" -pthread -lm &&
	"$work/bench"
