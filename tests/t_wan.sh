#!/bin/bash
# The WAN box live: server | wan | client in three namespaces, probes by python3's sockets, the kernel's
# TCP at both ends. `tests/t_wan.sh bench` measures the accuracy of the delay instead.
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root
need_programs ip ethtool python3
WAN=${WAN:-build/dcn-wan}
[ -x "$WAN" ] || { echo "skip all: $WAN is not built"; exit 77; }

pids=()

cleanup() {
	trap - EXIT INT TERM
	local p
	for p in "${pids[@]}" $wan_pid; do kill -9 "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
	netns_down
	rm -rf "$tmp"
}

# counter DIR NAME of the last box that ended
counter() { python3 -c 'import json,sys; print(int(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]]))' "$tmp/wan.json" "$1" "$2"; }

probe() { ip netns exec "$cli_ns" timeout 60 python3 "$tmp/probe.py" "$@"; }

cat >"$tmp/probe.py" <<'PY'
import hashlib, socket, statistics, sys, threading, time
SRV = "198.18.0.1"
DATA = bytes((i * 7 + (i >> 8)) & 255 for i in range(1 << 20))
def echo():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((SRV, 7))
    while True:
        s.sendto(*s.recvfrom(2000))
def body(c):
    n = int(c.recv(100))
    while n:
        n -= c.send(DATA[:n])
    c.close()
def serve():
    threading.Thread(target=echo, daemon=True).start()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((SRV, 80))
    s.listen(50)
    while True:
        threading.Thread(target=body, args=(s.accept()[0],), daemon=True).start()
def flow(n, gap):
    "round-trip times in ms of n echoes of one flow, and how many got lost"
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((SRV, 7))
    rtt = []
    for i in range(-1, n):  # the first resolves addresses
        t = time.perf_counter()
        s.send(b"%d" % i)
        try:
            s.recv(100)
            if i >= 0:
                rtt.append(1e3 * (time.perf_counter() - t))
        except TimeoutError:
            pass
        time.sleep(gap)
    return rtt
def within(lo, hi, x):
    if not lo <= x <= hi:
        sys.exit("%.3f is not in %g..%g" % (x, lo, hi))
mode, arg = sys.argv[1], [float(a) for a in sys.argv[2:]]
if mode == "serve":
    serve()
elif mode == "rtt":  # LO HI: the median lies between
    within(arg[0], arg[1], statistics.median(flow(40, 0.002)))
elif mode == "accurate":  # MS BASE: never early, and within 5 % as soon as nothing else is in the way
    best = 1e9
    for i in range(20):
        r = flow(20, 0.002)
        best = min([best] + r)
        if best < arg[0]:
            sys.exit("%.3f ms is early" % best)
        if best <= arg[0] * 1.05 + arg[1]:
            sys.exit(0)
    sys.exit("%.3f ms at best for %g, %.3f without the box" % (best, arg[0], arg[1]))
elif mode == "base":
    print("%.3f" % min(flow(50, 0.002)))
elif mode == "range":  # LO HI: flows differ, but a flow keeps its delay
    med = []
    for i in range(12):
        r = flow(4, 0.001)
        within(arg[0], arg[1], min(r))
        med.append(min(r))
    within((arg[1] - arg[0]) / 6, arg[1] - arg[0], max(med) - min(med))
elif mode == "flood":  # N: sends N datagrams, prints how many answers come
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((SRV, 7))
    s.settimeout(0.3)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    n = 0
    for i in range(int(arg[0])):
        s.send(b"%d" % i)
        time.sleep(0.0002)
    try:
        while True:
            s.recv(100)
            n += 1
    except TimeoutError:
        print(n)
elif mode == "get":  # BYTES [SECONDS]: byte-exact, and not faster than that
    n, t, h = int(arg[0]), time.perf_counter(), hashlib.sha256()
    want = hashlib.sha256()
    left = n
    while left:
        want.update(DATA[:left])
        left -= min(left, len(DATA))
    s = socket.create_connection((SRV, 80), 10)
    s.settimeout(20)
    s.send(b"%d" % n)
    while True:
        b = s.recv(1 << 18)
        if not b:
            break
        h.update(b)
    if h.digest() != want.digest():
        sys.exit("body differs")
    if len(arg) > 1 and time.perf_counter() - t < arg[1]:
        sys.exit("faster than the bottleneck")
elif mode == "accuracy":  # N: quantiles of the round-trip time
    r = sorted(flow(int(arg[0]), 0.003))
    print("%.3f %.3f %.3f %.3f" % (r[0], statistics.median(r), r[int(.99 * len(r))], r[-1]))
PY

wan_netns_up || { echo "not ok testbed: namespaces can't be made"; exit 1; }
ip netns exec "$srv_ns" python3 "$tmp/probe.py" serve &
pids+=($!)
for _ in $(seq 50); do probe get 10 2>/dev/null && break; sleep 0.1; done

if [ "${1:-}" = bench ]; then
	echo "rtt_ms min_ms p50_ms p99_ms max_ms error_p50_pct"
	base=$(probe accuracy 100)
	echo "none $base"
	for ms in 1 5 10 20 40 80; do
		wan_up --rtt ${ms}ms >&2
		r=$(probe accuracy 100)
		echo "$ms $r $(echo "$r $base" | awk -v m=$ms '{printf "%.2f", 100 * ($2 - $6 - m) / m}')"
		wan_down
	done
	exit 0
fi

t_delay() { wan_up --rtt 20ms && probe rtt 20 30 && wan_down && [ "$(counter up packets_in)" -gt 40 ]; }
t_accurate() { # to 5 % beyond what the bare path takes
	local base ms
	base=$(probe base) || return 1
	for ms in 1 5 20 80; do
		wan_up --rtt ${ms}ms && probe accurate $ms "$base" && wan_down || { echo "rtt $ms ms"; return 1; }
	done
}
t_data_is_forwarded_by_the_kernel() {
	wan_up --rtt 5ms && [ "$(in_wan cat /proc/sys/net/ipv4/conf/ws/forwarding)" = 1 ] &&
		[ "$(in_wan cat /proc/sys/net/ipv4/conf/wc/forwarding)" = 0 ] && probe get 3000000 && wan_down &&
		! counter down packets_in 2>/dev/null
}
t_range() { wan_up --rtt 10ms..40ms && probe range 10 45 && wan_down; }
t_jitter() { wan_up --rtt 20ms --jitter 5ms && probe rtt 17 28 && probe get 2000000 && wan_down; }
t_loss_is_what_is_counted() {
	local got n=2000 lost
	wan_up --loss 5% --seed 3 && probe rtt 0 9 && got=$(probe flood $n) && wan_down || return 1
	lost=$(counter down lost_random)
	# 50 of the 41 echoes of rtt and 2,000 of flood, five standard deviations around 5 %
	[ $((n - got)) -le "$lost" ] && [ $((lost - n + got)) -le 41 ] || { echo "$got came, $lost lost"; return 1; }
	[ "$lost" -gt 50 ] && [ "$lost" -lt 155 ] || { echo "$lost of $n"; return 1; }
}
t_everything_at_once() {
	wan_up --rtt 4ms..8ms --jitter 2ms --loss 0.5 --burst-loss 0.05:30 --reorder 1:2ms --duplicate 1 \
		--impair both --segment mss && probe get 3000000 && probe get 700000 && wan_down &&
		[ "$(counter down reordered)" -gt 5 ] && [ "$(counter down duplicated)" -gt 5 ] &&
		[ "$(counter down bad)" -eq 0 ] && [ "$(counter up bad)" -eq 0 ] && [ "$(counter down no_memory)" -eq 0 ]
}
t_rate() { # 5 MB at 40 Mbit/s take a second
	wan_up --rate 40Mbit --queue 20p --rtt 5ms && probe get 5000000 0.95 && wan_down &&
		[ "$(counter down queue_drops)" -gt 0 ] && [ "$(counter down queue_bytes_max)" -le 30281 ]
}
rx_packets() { ip netns exec "$cli_ns" cat /proc/net/dev | awk '/v1:/ {print $3}'; }
t_segment() {
	local a b c
	a=$(rx_packets); probe get 5000000 || return 1
	b=$(rx_packets); wan_up --segment mss && probe get 5000000 && wan_down || return 1
	c=$(rx_packets)
	[ $((b - a)) -lt 2000 ] && [ $((c - b)) -ge 3400 ] || { echo "$((b - a)) and $((c - b)) packets"; return 1; }
}
t_segment_with_loss() { wan_up --segment mss --loss 0.3 && probe get 5000000 && wan_down; }
t_stats_socket() {
	wan_up --rtt 3ms && probe rtt 3 20 && python3 - "$tmp/wan.sock" <<-'PY' && wan_down && [ ! -e "$tmp/wan.sock" ]
		import json, socket, sys
		s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
		o = json.loads(b"".join(iter(lambda: s.recv(4096), b"")))
		assert o["up"]["packets_out"] > 10 and o["down"] == {"taken": False}, o
	PY
}
t_leaves_nothing() {
	wan_up --rtt 3ms --loss 1 --segment mss && wan_down &&
		[ "$(in_wan cat /proc/sys/net/ipv4/conf/ws/forwarding)" = 1 ] &&
		[ "$(in_wan cat /proc/sys/net/ipv4/conf/wc/forwarding)" = 1 ] &&
		in_wan ethtool -k wc | grep -q 'tcp-segmentation-offload: on'
}
t_killed_means_dead_path() {
	wan_up --rtt 3ms && kill -9 "$wan_pid" && wait "$wan_pid" 2>/dev/null
	[ "$(probe flood 5)" = 0 ] || { echo "packets pass undelayed"; return 1; }
	wan_up --loss 0.001 && probe rtt 0 9 && wan_down # the next one needs no cleaning up
}
t_stops_when_never_idle() {
	wan_up --loss 0.01 && { probe get 3000000000 >/dev/null 2>&1 & } && sleep 0.5 && wan_down
	local rc=$?
	kill %% 2>/dev/null
	return $rc
}
t_stops_with_its_interface() { # the last one: the testbed is broken then
	local _
	wan_up --rtt 2ms --loss 0.01 && ip -n "$cli_ns" link del v1 || return 1
	for _ in $(seq 100); do
		kill -0 "$wan_pid" 2>/dev/null || return 0
		sleep 0.05
	done
	echo "still there"
	return 1
}
fails() { # exit code, word, command...
	local rc=$1 word=$2 out got
	shift 2
	out=$("$@" 2>&1)
	got=$?
	[ $got -eq "$rc" ] && [[ $out == *"$word"* ]] || { echo "exit $got: $out"; return 1; }
}
t_errors() {
	fails 1 nosuch in_wan "$WAN" --server-if nosuch --client-if wc &&
		fails 2 los in_wan "$WAN" --los 1 && fails 2 loss in_wan "$WAN" --loss 200 &&
		fails 2 needs in_wan "$WAN" --rtt && fails 0 usage "$WAN" --help &&
		fails 1 ip_forward ip netns exec "$cli_ns" "$WAN" --server-if v1 --client-if v1
}

for t in delay accurate data_is_forwarded_by_the_kernel range jitter loss_is_what_is_counted everything_at_once rate \
	segment segment_with_loss stats_socket leaves_nothing killed_means_dead_path errors stops_when_never_idle \
	stops_with_its_interface; do
	check "wan $t" "t_$t"
	[ -z "$wan_pid" ] || { kill -9 "$wan_pid" 2>/dev/null; wait "$wan_pid" 2>/dev/null; wan_pid=; }
done
finish
