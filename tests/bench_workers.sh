#!/bin/bash
# Two workers against one: CPU a gigabyte and throughput, content on tmpfs, in paired blocks.
#
# The driver keeps server and client on different CPUs; on two CPUs two workers then can't have one each. Here they
# may share with the client: with fewer than four CPUs the second worker runs beside the load, the client is the
# limit, and CPU a gigabyte (atlas's own, and of all CPUs) is what says whether a second worker costs more.
#
#   tests/bench_workers.sh [BUILD_DIR]   BLOCKS=5 SECONDS_EACH=3 CONNECTIONS=128 by environment
#
# Exit 77 without root or with a single CPU. A benchmark: it judges nothing.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
bin=$(cd "${1:-$here/build}" && pwd) || exit 1
blocks=${BLOCKS:-5} secs=${SECONDS_EACH:-3} conns=${CONNECTIONS:-128}
srv=dcnx-bw-s cli=dcnx-bw-c

[ "$(id -u)" = 0 ] || { echo "skip bench_workers: needs root for network namespaces"; exit 77; }
n=$(nproc)
[ "$n" -ge 2 ] || { echo "skip bench_workers: needs two CPUs"; exit 77; }
if [ "$n" -ge 4 ]; then load_cpus=2-$((n - 1)); else load_cpus=1-$((n - 1)); fi

work=$(mktemp -d /dev/shm/dcn-bw.XXXXXX) atlas_pid=
cleanup() {
	[ -n "$atlas_pid" ] && kill "$atlas_pid" 2>/dev/null && wait "$atlas_pid" 2>/dev/null
	ip netns del $srv 2>/dev/null
	ip netns del $cli 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ip netns add $srv && ip netns add $cli || exit 1
ip link add bws netns $srv numrxqueues 2 numtxqueues 2 type veth peer name bwc netns $cli numrxqueues 2 numtxqueues 2 || exit 1
ip -n $srv addr add 198.18.0.1/24 dev bws && ip -n $srv link set bws up && ip -n $srv link set lo up
ip -n $cli addr add 198.18.0.129/24 dev bwc && ip -n $cli link set bwc up && ip -n $cli link set lo up

mkdir "$work/hot" "$work/cold"
printf '{"version":1,"seed":1,"object_size":307200,"hot":64,"cold":1}\n' >"$work/catalog.json"
for i in $(seq 0 63); do head -c 307200 /dev/urandom >"$work/hot/$(printf %06d "$i")"; done
cp "$work/hot/000000" "$work/cold/000000"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key.pem" \
	-out "$work/cert.pem" -days 2 -subj /CN=dcn -addext subjectAltName=IP:198.18.0.2 2>/dev/null

busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
own() { awk '{ print $14 + $15 }' "/proc/$atlas_pid/stat"; }

one() { # workers, scheme, name
	local b0 o0 i
	ip netns exec $srv taskset -c "0-$(($1 - 1))" "$bin/atlas" --if bws --ip 198.18.0.2/24 --root "$work" --workers "$1" \
		--tls-cert "$work/cert.pem" --tls-key "$work/key.pem" 2>"$work/atlas.log" &
	atlas_pid=$!
	for i in $(seq 100); do grep -q ready "$work/atlas.log" && break; sleep 0.05; done
	b0=$(busy) o0=$(own)
	ip netns exec $cli taskset -c "$load_cpus" "$bin/dcn-load" --url "$2://198.18.0.2" --cacert "$work/cert.pem" \
		--content "$work" --connections "$conns" --warmup 0s --duration "${secs}s" --cache-ratio 100 --engine sink \
		--verify off >"$work/$3.json" 2>"$work/load.log" || { cat "$work/load.log" "$work/atlas.log" >&2; exit 1; }
	echo "$(($(own) - o0)) $(($(busy) - b0))" >"$work/$3.cpu"
	kill "$atlas_pid" && wait "$atlas_pid" 2>/dev/null
	atlas_pid=
}

for scheme in http https; do
	for b in $(seq "$blocks"); do
		for k in $( ((b % 2)) && echo 1 2 || echo 2 1); do one "$k" $scheme "$scheme.$k.$b"; done
	done
done
echo "CPUs: $n; load on $load_cpus; $blocks blocks"
python3 - "$work" "$blocks" "$(getconf CLK_TCK)" <<'END'
import json, math, sys
work, blocks, hz = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
def ratio(a, b):
    d = [math.log(y / x) for x, y in zip(a, b)]
    m = sum(d) / len(d)
    if len(d) < 2:
        return f"{math.exp(m):.3f}"
    h = T.get(len(d) - 1, 2) * math.sqrt(sum((x - m) ** 2 for x in d) / (len(d) - 1) / len(d))
    return f"{math.exp(m):.3f} [{math.exp(m - h):.3f}, {math.exp(m + h):.3f}]"
for scheme in "http", "https":
    net, own, host, lim = {}, {}, {}, {}
    for k in 1, 2:
        runs = [json.load(open(f"{work}/{scheme}.{k}.{b + 1}.json")) for b in range(blocks)]
        cpu = [[int(x) / hz for x in open(f"{work}/{scheme}.{k}.{b + 1}.cpu").read().split()] for b in range(blocks)]
        gb = [r["body_bytes"] / 1e9 for r in runs]
        net[k] = [r["net_gbps"] for r in runs]
        own[k] = [c[0] / g for c, g in zip(cpu, gb)]
        host[k] = [c[1] / g for c, g in zip(cpu, gb)]
        lim[k] = sum(r["client_limited"] for r in runs)
    print(f"{scheme:6} two workers / one: throughput {ratio(net[1], net[2])}, atlas's CPU a GB {ratio(own[1], own[2])}, "
          f"all CPUs a GB {ratio(host[1], host[2])}; client the limit in {lim[1]} and {lim[2]} of {blocks}")
END
