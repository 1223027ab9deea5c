#!/bin/bash
# Part of make bench: the storage library against fio's io_uring engine, same flags, in paired blocks.
#
# In each block every point is run by both, one directly after the other, in an order that turns around from
# block to block; ratios are library / fio with 95 % intervals over the blocks. A point that breaks Little's
# law is left out with its partner. Prints whether the targets were met; asserts nothing.
#
# usage: tests/bench_nvme.sh [BLOCKS]     default 10; about 17 s a block
#   BENCH_NVME="tmpfs disk sim": which of the parts; DCN_BUILD: where the programs are
# tmpfs: the engines alone (O_DIRECT, no device). There fio's files block, so the kernel hands its reads to worker
# threads, and ours run inline: that difference is part of what is measured. disk: the content disk.
set -u
cd "$(dirname "$0")/.." || exit 1
blocks=${1:-10}
parts=${BENCH_NVME:-tmpfs disk sim}
bin=${DCN_BUILD:-build}
content=${DCN_CONTENT:-/var/tmp/dcn-content}
shm=$(mktemp -d /dev/shm/dcn-bench.XXXXXX) || exit 1
trap 'rm -rf "$shm" "$content/bench-window.dat"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$content"

# label, window, completions a fetch waits for
points='
16k_1 1 1
16k_8 8 1
16k_32 32 1
16k_128 128 1
16k_64 64 1
16k_64_batch16 64 16
'

point() { # engine device window batch -> iops cpu_us syscalls valid
	"$bin/iowindow" --device "$2" --create 512MiB --window "$3" --batch "$4" --engine "$1" --duration 600ms \
		--warmup 100ms --json 2>/dev/null | python3 -c '
import json, sys
j = json.load(sys.stdin)
print(j["disk_iops"], j["cpu_us_per_io"], j["syscalls_per_io"] or 0, int(j["valid"]))' 2>/dev/null || echo "0 0 0 0"
}

series() { # name device: lines NAME LABEL native(4) fio(4)
	local b label window batch x y
	for b in $(seq "$blocks"); do
		while read -r label window batch; do
			[ -n "$label" ] || continue
			if [ $((b % 2)) = 0 ]; then
				x=$(point native "$2" "$window" "$batch") y=$(point fio "$2" "$window" "$batch")
			else
				y=$(point fio "$2" "$window" "$batch") x=$(point native "$2" "$window" "$batch")
			fi
			echo "$1 $label $x $y"
		done <<<"$points"
		echo "  $1: block $b of $blocks" >&2
	done
}

for part in $parts; do
	case $part in
	tmpfs) series tmpfs "uring:$shm/file" ;;
	disk) series disk "uring:$content/bench-window.dat" ;;
	esac
done >"$shm/points"
for w in 1 8 32 64 128 256 512; do
	[[ " $parts " != *" sim "* ]] || "$bin/iowindow" --device sim:p3700 --window $w --duration 500ms --warmup 100ms --json
done >"$shm/sim"

python3 - "$shm/points" "$shm/sim" <<'ENDOFPY'
import json, math, sys

# Student's t, 97.5 %, by degrees of freedom
T = [0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09]

def interval(pairs):
    logs = [math.log(a / b) for a, b in pairs]
    n = len(logs)
    mean = sum(logs) / n
    dev = math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1))
    half = (T[n - 1] if n <= len(T) else 1.96) * dev / math.sqrt(n)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)

rows = {}
for line in open(sys.argv[1]):
    f = line.split()
    rows.setdefault((f[0], f[1]), []).append([float(x) for x in f[2:]])
if rows:
    print("storage library / fio (io_uring, same flags), 16 KiB random reads; ratio [95 % interval]")
    print("%-26s %-22s %-22s %s" % ("", "IOPS", "CPU a read", "system calls a read"))
missed = []
for (part, label), all_ in rows.items():
    broken = [sum(not r[k] for r in all_) for k in (3, 7)]
    ok = [r for r in all_ if r[3] and r[7] and min(r[0], r[1], r[4], r[5]) > 0]
    name = part + " " + label.replace("16k_", "window ").replace("_batch", ", batch ")
    if len(ok) < 2:
        print("%-26s too few valid pairs: %d of %d (invalid: library %d, fio %d)" %
              (name, len(ok), len(all_), *broken))
        missed.append(name + ": no result")
        continue
    iops, cpu = interval([(r[0], r[4]) for r in ok]), interval([(r[1], r[5]) for r in ok])
    calls = sum(r[2] for r in ok) / len(ok)
    fmt = "%.3f [%.3f, %.3f]"
    print("%-26s %-22s %-22s %.3f   %d pairs" % (name, fmt % iops, fmt % cpu, calls, len(ok)))
    if part == "tmpfs" and iops[1] < 0.97:
        missed.append("%s: IOPS ratio surely above %.3f only, 0.97 asked" % (name, iops[1]))
    if part == "tmpfs" and cpu[0] > 1:
        missed.append("%s: CPU a read %.3f of fio's" % (name, cpu[0]))
    if part == "tmpfs" and label.startswith("16k_64") and calls > 0.10:
        missed.append("%s: %.3f system calls a read" % (name, calls))

sim = [json.loads(l) for l in open(sys.argv[2])]
if sim:
    top = max(j["disk_read_gbps"] for j in sim)
    at = next(j for j in sim if j["io_window"] == 128)
    print("sim:p3700 (simulated): at window 128 %.1f of at most %.1f Gb/s, mean latency %.2f ms" %
          (at["disk_read_gbps"], top, at["disk_lat_us_mean"] / 1000))
    if at["disk_read_gbps"] < 0.99 * top or at["disk_lat_us_mean"] >= 1000:
        missed.append("sim:p3700: full throughput at window 128 below 1 ms")
print("targets: " + ("met" if not missed else "NOT met: " + "; ".join(missed)))
ENDOFPY
