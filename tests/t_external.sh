#!/bin/bash
# The ready stacks of stacks/external: each serves exact bytes, plain and TLS, through the driver, every byte
# compared by the load. Needs root (network namespaces).
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root

serves() { # name, tls
	local d=$tmp/$1-$2
	DCN_CONTENT=$tmp/content build/dcn run --no-plot --out "$d" --set sweep.stack=external --set sweep.tls="$2" \
		--set sweep.cache_ratio=50 --set sweep.connections=16 --set content.object_size=100KiB --set content.hot=4MiB \
		--set content.cold=16MiB --set content.cache_budget=none --set load.verify=all --set load.engine=curl \
		--set run.warmup=100ms --set run.duration=500ms --set run.repetitions=1 --set run.ceilings=none \
		--set collect.interval=100ms "stacks/external/$1.exp" >"$tmp/out" 2>&1
	python3 - "$d/runs.csv" <<'END' || { tail -n 5 "$tmp/out"; return 1; }
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
for r in rows:
    if not (float(r["verified_share"] or 0) == 1 and float(r["errors"] or 1) == 0 and float(r["req_per_s"] or 0) > 0):
        sys.exit(f"{r['stack']}: verified {r['verified_share']}, errors {r['errors']}, {r['why']}")
sys.exit(0 if rows else "no row")
END
}

for s in h2o lighttpd; do
	if have $s; then
		check "$s serves exact bytes" serves $s off
		if [ $s = lighttpd ] && [ ! -e /usr/lib/lighttpd/mod_openssl.so ]; then
			echo "skip $s with TLS: lighttpd-mod-openssl is not installed"
			continue
		fi
		check "$s serves exact bytes, TLS" serves $s on
	else
		echo "skip $s: not installed"
	fi
done
finish
