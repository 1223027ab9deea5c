#!/bin/bash
# Every variant of atlas, and joined ones, over a path that loses, reorders and delays, to the kernel's TCP and
# OpenSSL: every byte compared, and something was sent again. Needs root (network namespaces).
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root

# one driver run for all; each variant is a line of its results
measure() {
	local list
	list=$(build/atlas --help | sed -n '/^Variants/,$ s/^  \([a-z]*\) .*/atlas:\1/p' | tr '\n' ',')
	DCN_CONTENT=$tmp/content build/dcn run --no-plot --out "$tmp/run" \
		--set sweep.stack="${list}atlas:copy:openssl, atlas:prefetch:fifo, atlas:nogso+copy" --set sweep.tls=on,off \
		--set sweep.connections=8 --set testbed.rtt=2ms --set testbed.loss=1 --set testbed.reorder=1 \
		--set content.object_size=300KiB --set content.hot=4MiB --set content.cold=32MiB --set content.cache_budget=none \
		--set load.verify=all --set load.engine=curl --set run.warmup=50ms --set run.duration=400ms \
		--set run.repetitions=1 --set run.ceilings=none workloads/smoke.exp >"$tmp/out" 2>&1
	python3 - "$tmp/run/runs.csv" >"$tmp/lines" <<'END'
import csv, sys
for r in csv.DictReader(open(sys.argv[1])):
    f = lambda k: float(r[k]) if r[k] else 0
    name = f"{r['stack']} {'TLS' if r['tls'] == 'on' else 'plain'}"
    bad = [] if f("req_per_s") > 0 else ["no response"]
    bad += ["not all verified"] if f("verified_share") != 1 else []
    bad += [f"{r['errors']} errors"] if f("errors") else []
    bad += ["nothing was sent again"] if not f("retrans_pct") else []
    print(f"not ok {name}: {', '.join(bad)} {r['why']}" if bad else f"ok {name} over loss: exact bytes")
END
}

measure
cat "$tmp/lines"
if [ ! -s "$tmp/lines" ] || grep -q '^not ok' "$tmp/lines"; then
	[ -s "$tmp/lines" ] || echo "not ok variants: $(tail -n 1 "$tmp/out")"
	bad=1
fi
finish
