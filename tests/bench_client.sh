#!/bin/bash
# What the load generator's engines cost per body gigabyte, and whether they agree.
#
# A null server on one CPU, dcn-load on another, a veth pair between two namespaces, packets steered to
# the CPU of their side. Engines are interleaved in blocks, so that drift of the machine cancels; only
# ratios within a block are worth reading. Then the same at a modest rate in an open loop, where neither
# end is the limit: throughput, errors and latency should agree.
#
#   tests/bench_client.sh [BUILD_DIR]      BLOCKS=3 SECONDS_EACH=3 CONNECTIONS=256
#                                          RATE=800 (requests/s, open loop) by environment
#
# Prints a table per scheme and the ratios; exit 77 without root or with a single CPU. A benchmark: it
# judges nothing.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
bin=$(cd "${1:-$here/build}" && pwd) || exit 1
blocks=${BLOCKS:-3} secs=${SECONDS_EACH:-3} conns=${CONNECTIONS:-256} engines=${ENGINES:-curl sink mixed}
rate=${RATE:-800}
srv=dcnx-bc-s cli=dcnx-bc-c

[ "$(id -u)" = 0 ] || { echo "skip bench_client: needs root for network namespaces"; exit 77; }
[ "$(nproc)" -ge 2 ] || { echo "skip bench_client: needs two CPUs"; exit 77; }

work=$(mktemp -d) null_pid=
cleanup() {
	[ -n "$null_pid" ] && kill "$null_pid" 2>/dev/null && wait "$null_pid" 2>/dev/null
	ip netns del $srv 2>/dev/null
	ip netns del $cli 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ip netns add $srv && ip netns add $cli || exit 1
ip link add dcnxbcs netns $srv type veth peer name dcnxbcc netns $cli || exit 1
ip -n $srv addr add 198.18.0.1/24 dev dcnxbcs && ip -n $srv link set dcnxbcs up
ip -n $cli addr add 198.18.0.129/24 dev dcnxbcc && ip -n $cli link set dcnxbcc up
ip -n $srv link set lo up && ip -n $cli link set lo up
ip netns exec $srv sh -c 'echo 1 > /sys/class/net/dcnxbcs/queues/rx-0/rps_cpus' 2>/dev/null
ip netns exec $cli sh -c 'echo 2 > /sys/class/net/dcnxbcc/queues/rx-0/rps_cpus' 2>/dev/null
for ns in $srv $cli; do
	ip netns exec $ns sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null
	ip netns exec $ns sysctl -qw net.ipv4.ip_local_port_range="1024 65535"
done

echo '{"version": 1, "seed": 1, "object_size": 307200, "hot": 64, "cold": 4096}' > "$work/catalog.json"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key.pem" \
	-out "$work/cert.pem" -days 2 -subj /CN=dcn -addext subjectAltName=IP:198.18.0.1 2>/dev/null
ip netns exec $srv taskset -c 0 "$bin/dcn-null" --ip 198.18.0.1 --port 80 --tls-port 443 \
	--cert "$work/cert.pem" --key "$work/key.pem" --content "$work" 2>"$work/null.log" &
null_pid=$!
for _ in $(seq 50); do grep -q ready "$work/null.log" && break; sleep 0.1; done

busy() { # busy ticks of CPU 1: user nice system irq softirq
	awk '$1 == "cpu1" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}

load() { # scheme, engine, name, further arguments...
	local scheme=$1 e=$2 name=$3 t0
	shift 3
	t0=$(busy)
	ip netns exec $cli taskset -c 1 "$bin/dcn-load" --url "$scheme://198.18.0.1" --cacert "$work/cert.pem" \
		--content "$work" --connections "$conns" --warmup 1s --duration "${secs}s" --engine "$e" \
		"$@" >"$work/$name.json" || exit 1
	echo $(($(busy) - t0)) >"$work/$name.busy"
}

for scheme in http https; do
	for b in $(seq "$blocks"); do
		for e in $engines; do
			load $scheme "$e" "$scheme.$e.$b"
			load $scheme "$e" "open.$scheme.$e.$b" --mode open --rate "$rate"
		done
	done
done

python3 - "$work" "$blocks" "$engines" <<'PY'
import json, math, sys
work, blocks, engines = sys.argv[1], int(sys.argv[2]), sys.argv[3].split()
gm = lambda v: math.exp(sum(math.log(x) for x in v) / len(v))
for scheme in "http", "https":
    print(f"\n{scheme:6} {'net_gbps':>9} {'cpu_s/GB':>9} {'core_s/GB':>9} {'p50_ms':>8} {'p99_ms':>8} "
          f"{'errors':>6} {'verified':>8} {'cpu_pct':>7} limited")
    cost = {}
    for e in engines:
        runs = [json.load(open(f"{work}/{scheme}.{e}.{b+1}.json")) for b in range(blocks)]
        core = [int(open(f"{work}/{scheme}.{e}.{b+1}.busy").read()) / 100 for b in range(blocks)]
        cost[e] = [r["cpu_s"] / r["body_bytes"] * 1e9 for r in runs]
        # the core's ticks cover ramp and warm-up too: scale by all bytes that came, about
        whole = [c / (r["body_bytes"] * (r["window_s"] + 1) / r["window_s"]) * 1e9 for c, r in zip(core, runs)]
        print(f"{e:6} {gm([r['net_gbps'] for r in runs]):9.2f} {gm(cost[e]):9.3f} {gm(whole):9.3f} "
              f"{gm([r['latency_ms']['p50'] for r in runs]):8.2f} {gm([r['latency_ms']['p99'] for r in runs]):8.2f} "
              f"{sum(r['errors_total'] for r in runs):6} {runs[0]['verified_share']:8.3f} "
              f"{gm([r['cpu_pct'] for r in runs]):7.1f} {sum(r['client_limited'] for r in runs)}/{blocks}")
    print("open loop, " + "each engine at the same rate:")
    for e in engines:
        runs = [json.load(open(f"{work}/open.{scheme}.{e}.{b+1}.json")) for b in range(blocks)]
        print(f"{e:6} {gm([r['net_gbps'] for r in runs]):9.2f} {gm([r['cpu_s'] / r['body_bytes'] * 1e9 for r in runs]):9.3f} "
              f"{'':9} {gm([r['latency_ms']['p50'] for r in runs]):8.2f} {gm([r['latency_ms']['p99'] for r in runs]):8.2f} "
              f"{sum(r['errors_total'] for r in runs):6} {runs[0]['verified_share']:8.3f} "
              f"{gm([r['cpu_pct'] for r in runs]):7.1f} {sum(r['client_limited'] for r in runs)}/{blocks}")
    for e in engines[1:]:
        ratios = [a / b for a, b in zip(cost[engines[0]], cost[e])]
        print(f"{engines[0]} costs {gm(ratios):.2f} x {e} per GB (blocks {min(ratios):.2f} to {max(ratios):.2f})")
PY
