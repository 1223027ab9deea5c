#!/bin/bash
# atlas's TCP against the Linux kernel's (nginx, CUBIC) through the WAN box. A benchmark: it judges nothing.
#
#   tests/bench_tcp.sh [grid [DIR...] | fair]      BENCH_OPTIONS="--quick --set ..." BLOCKS=1 SECONDS_EACH=30 by environment
#
# grid: goodput of both over {0, 20, 80 ms} x {0, 0.1, 1, 3 %} x {1, 64} connections in 5 paired blocks (21 minutes);
# prints the ratio of each point with its 95 % interval, the geometric mean and the worst point. Folders of results as
# further arguments are printed again. One connection at 80 ms and 3 % takes longer than a run of the grid for a
# response, so that point has runs of its own (3 minutes more).
# fair: one flow of each through one bottleneck for 30 s: started at once and one 0.2 s after the other, each of them first in turn, and
# the kernel beside itself in both ways (7 minutes a block); prints the ratio of what they got.
# Targets: geometric mean >= 0.95, no point below 0.85; each flow 0.8 to 1.25 of the other.
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root
need_programs ip nginx python3

cleanup() {
	trap - EXIT INT TERM
	fair_down
	rm -rf "$tmp"
}

table() { # results folders; a point in more than one is the last one's
	local d
	rm -f "$tmp/points"
	for d in "$@"; do
		build/dcn compare --stacks nginx,atlas --metrics net_gbps --json "$d" >>"$tmp/points" || return 1
	done
	python3 -c '
import json, math, re, sys
found, text, decode = {}, sys.stdin.read(), json.JSONDecoder()
while text:
    part, end = decode.raw_decode(text)
    text = text[end:].lstrip()
    for p in part:
        at = dict(re.findall(r"(\w+)=(\S+)", p["point"]))
        if p.get("ratio") and {"rtt", "loss", "connections"} <= at.keys():
            found[float(re.sub("[a-z]", "", at["rtt"])), float(at["loss"]), int(at["connections"])] = p
if not found:
    sys.exit("no pairs of nginx and atlas over rtt, loss and connections in these folders")
points = [k + (p,) for k, p in sorted(found.items())]
logs = [math.log(p[3]["ratio"]) for p in points]
worst = min(points, key=lambda p: p[3]["ratio"])
name = lambda p: "%g ms, %g %% loss, %d connection%s" % (p[0], p[1], p[2], "s" * (p[2] > 1))
print("goodput of atlas / goodput of the kernel, paired by block")
print("%5s %6s %5s %6s  %-16s %s" % ("rtt", "loss", "conns", "ratio", "95 % interval", "pairs"))
for p in points:
    r = p[3]
    lo_hi = "[%.2f, %.2f]" % (r["lo"], r["hi"]) if "lo" in r else "one pair only"
    print("%5g %6g %5d %6.2f  %-16s %d%s" % (p[:3] + (r["ratio"], lo_hi, r["pairs"], "  below 0.85" * (r["ratio"] < .85))))
print("geometric mean %.3f of %d points (target 0.95); lowest %.3f (target 0.85): %s" % (
    math.exp(sum(logs) / len(logs)), len(points), worst[3]["ratio"], name(worst)))' <"$tmp/points" || return 1
	echo "$*"
}

run() { # options: the results folder
	# shellcheck disable=SC2086 # options are words
	build/dcn run ${BENCH_OPTIONS:-} "$@" workloads/bench_tcp.exp | tail -n 1
}

grid() { # [results folders]
	local all slow
	if [ $# = 0 ]; then
		all=$(run) && [ -d "$all" ] || exit 1
		slow=$(run --set sweep.rtt=80ms --set sweep.loss=3 --set sweep.connections=1 --set run.duration=15s)
		[ -d "$slow" ] || exit 1
		set -- "$all" "$slow"
	fi
	table "$@" || exit 1
}

fair_up() { # WAN box options...
	wan_netns_up || return 1
	mkdir -p "$tmp/www" && truncate -s 2G "$tmp/www/big"
	printf '%s\n' 'daemon off; user root root; worker_processes 1; error_log stderr;' "pid $tmp/nginx.pid;" \
		'events {}' "http { access_log off; sendfile on; server { listen 198.18.0.1:80; root $tmp/www; } }" >"$tmp/nginx.conf"
	ip netns exec "$srv_ns" nginx -c "$tmp/nginx.conf" 2>"$tmp/nginx.log" &
	ip netns exec "$srv_ns" build/atlas --if v0 --ip "$atlas_ip/24" --gw 198.18.0.254 --root "$tmp/www" \
		>"$tmp/atlas.out" 2>"$tmp/atlas.log" &
	for _ in $(seq 100); do
		grep -qs ready "$tmp/atlas.log" && break
		sleep 0.1
	done
	wan_up --segment mss "$@" || { cat "$tmp/atlas.log" "$tmp/nginx.log"; return 1; }
}

fair_down() {
	local n
	for n in $(jobs -p); do kill "$n" 2>/dev/null; done
	wait
	netns_down
}

got() { # server address, seconds, file: bytes that came
	in_client curl -s --max-time "$2" -o /dev/null -w '%{size_download}\n' "http://$1/big" >"$3"
}

# Two flows for $secs s, the second so many seconds later; their bytes are in $tmp/1 and $tmp/2.
two_flows() { # first server, second server, later, seed
	local a b
	fair_up --rate "$rate" --queue "$queue" --rtt "$rtt" --seed "$4" || exit 1
	got "$1" "$secs" "$tmp/1" &
	a=$!
	[ "$3" = 0 ] || sleep "$3"
	got "$2" "$secs" "$tmp/2" &
	b=$!
	wait $a
	wait $b
	fair_down
}

# One line; the ratio, second to first, goes into the file.
says() { # what, name of the first, name of the second, file
	echo "$(cat "$tmp/1") $(cat "$tmp/2")" | awk -v w="$1" -v a="$2" -v b="$3" -v s="$secs" '{
		printf "  %-13s %s %.1f, %s %.1f Mb/s: %.2f\n", w, a, $1 * 8e-6 / s, b, $2 * 8e-6 / s, $2 / $1}'
	awk '{a[NR] = $1} END {print a[2] / a[1]}' "$tmp/1" "$tmp/2" >>"$4"
}

mean() { # file: geometric
	awk '{s += log($1)} END {printf "%.2f", exp(s / NR)}' "$1"
}

share() { # ratios of atlas to the kernel, of the kernel to atlas: geometric mean of atlas's
	awk 'FNR == NR {s += log($1); next} {s -= log($1)} END {printf "%.2f", exp(s / NR)}' "$1" "$2"
}

fair() {
	local secs=${SECONDS_EACH:-30} rate queue rtt block kernel=198.18.0.1
	echo "two flows through one bottleneck for $secs s: what each got, and the second to the first"
	while read -r rate queue rtt; do
		rm -f "$tmp"/f.*
		echo "$rate, queue $queue, rtt $rtt"
		for block in $(seq "${BLOCKS:-1}"); do
			two_flows $kernel $atlas_ip 0 "$block"
			says "at once" kernel atlas "$tmp/f.once"
			two_flows $atlas_ip $kernel 0 "$block"
			says "at once" atlas kernel "$tmp/f.onrev"
			two_flows $kernel $kernel 0 "$block"
			says "at once" kernel kernel "$tmp/f.kernel"
			two_flows $kernel $atlas_ip 0.2 "$block"
			says "0.2 s later" kernel atlas "$tmp/f.later"
			two_flows $atlas_ip $kernel 0.2 "$block"
			says "0.2 s later" atlas kernel "$tmp/f.first"
			two_flows $kernel $kernel 0.2 "$block"
			says "0.2 s later" kernel kernel "$tmp/f.both"
		done
		echo "  at once, second / first: atlas $(mean "$tmp/f.once"), the kernel beside atlas $(mean "$tmp/f.onrev"), beside itself" \
			"$(mean "$tmp/f.kernel"); atlas / kernel, whoever was first: $(share "$tmp/f.once" "$tmp/f.onrev") (target 0.8 to 1.25)"
		echo "  0.2 s later, second / first: atlas $(mean "$tmp/f.later"), the kernel after atlas $(mean "$tmp/f.first"), after itself" \
			"$(mean "$tmp/f.both"); atlas / kernel, whoever was first: $(share "$tmp/f.later" "$tmp/f.first")"
	done <<-'EOT'
		100Mbit 256KiB 20ms
		200Mbit 1MiB 40ms
	EOT
}

case ${1:-all} in
grid) grid "${@:2}" ;;
fair) fair ;;
all) grid && fair ;;
*) echo "usage: tests/bench_tcp.sh [grid [DIR...] | fair]" >&2; exit 2 ;;
esac
