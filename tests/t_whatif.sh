#!/bin/bash
# dcn-whatif end to end: atlas records a trace while it serves, the trace is replayed; a small experiment
# of the model becomes a folder with figures. Needs root (network namespaces) for the first part.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_programs gnuplot
WHATIF=${WHATIF:-build/dcn-whatif}
[ -x "$WHATIF" ] || { echo "skip all: $WHATIF is not built"; exit 77; }

size=5000000

value() { # key of the last JSON object
	sed -nE "s/^ *\"$1\": ([0-9.]+),?$/\1/p" "$tmp/json" | head -n 1
}

record() { # scheme
	netns_up && mkdir -p "$tmp/www" && head -c "$size" /dev/urandom >"$tmp/www/f" && cert ec || return 1
	atlas_up ec --trace "$tmp/trace" || { tail -n 1 "$tmp/atlas.log"; return 1; }
	in_client curl -sS --max-time 20 --cacert "$tmp/ec.pem" -o "$tmp/got" "$1://$atlas_ip/f" || return 1
	atlas_down
	ip netns del "$srv_ns"
	ip netns del "$cli_ns"
	cmp -s "$tmp/got" "$tmp/www/f" || { echo "content differs"; return 1; }
	"$WHATIF" --trace "$tmp/trace" --warm 0 --sample 1 >"$tmp/json"
}

between() { # name, low, high
	local v
	v=$(value "$1")
	awk -v v="${v:-x}" -v lo="$2" -v hi="$3" 'BEGIN {exit !(v + 0 == v && v >= lo && v <= hi)}' ||
		{ echo "$1 is ${v:-missing}, not $2 to $3"; return 1; }
}

# Each byte was read once, sealed once and sent once (what is sent again is read again).
encrypted() {
	record https && grep -q '"simulated": true' "$tmp/json" && between disk_bytes "$size" $((size + size / 3)) &&
		between net_bytes "$size" $((size + size / 3)) && between cpu_read_hit_pct 99 100 || return 1
	local lines
	lines=$(sed -n '/"cpu_read": {/,/}/s/.*"lines": \([0-9]*\),/\1/p' "$tmp/json")
	[ "$lines" -ge $((size / 64)) ] || { echo "only $lines lines sealed"; return 1; }
}

plain() {
	record http && between disk_bytes "$size" $((size + size / 3)) && between net_bytes "$size" $((size + size / 3)) || return 1
	! grep -q '"cpu_read": {' "$tmp/json" || { echo "plaintext was sealed"; return 1; }
}

sweep() {
	cat >"$tmp/small.exp" <<'END'
[experiment]
title = A test
cross = line_rate, min_pull, free_list
[whatif]
llc = 1MiB
connections = 20
io_window = 16
buffers = 32
[sweep]
line_rate = 1Gbit, 2Gbit
min_pull = 62KiB, 0
free_list = lifo, fifo
llc = 512KiB, 1MiB, 2MiB
io_window = 8, 16
[run]
repetitions = 2
END
	[ "$("$WHATIF" --sweep "$tmp/small.exp" --out "$tmp/dir" 2>"$tmp/err")" = "$tmp/dir" ] || { cat "$tmp/err"; return 1; }
	local f
	for f in runs.csv summary.csv meta.json experiment.exp whatif.svg whatif.pdf whatif.png; do
		[ -s "$tmp/dir/$f" ] || { echo "no $f"; return 1; }
	done
	grep -q 'SIMULATED' "$tmp/dir/whatif.svg" || { echo "the figure does not say that it is simulated"; return 1; }
	! grep -E "warning|error" "$tmp/err" || return 1
	"$WHATIF" --plot "$tmp/dir" && ! "$WHATIF" --sweep "$tmp/small.exp" --out "$tmp/dir" 2>/dev/null
}

check "a small experiment of the model, with figures" sweep
if [ "$(id -u)" -eq 0 ] && have ip && have curl && have openssl; then
	check "trace of an encrypted download, replayed" encrypted
	check "trace of a plain download, replayed" plain
else
	echo "skip traces: need root, ip, curl and openssl"
fi
finish
