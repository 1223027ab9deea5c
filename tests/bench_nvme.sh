#!/bin/bash
# Part of make bench: the storage library against fio's io_uring engine, same flags, in paired blocks.
# Prints ratios (library / fio) with 95 % intervals over the blocks; asserts nothing.
#
# usage: tests/bench_nvme.sh [BLOCKS]     on a file in tmpfs, and on the content disk
set -u
cd "$(dirname "$0")/.." || exit 1
blocks=${1:-10}
disk=${DCN_CONTENT:-/var/tmp/dcn-content}
shm=$(mktemp -d /dev/shm/dcn-bench.XXXXXX) || exit 1
trap 'rm -rf "$shm"' EXIT
mkdir -p "$disk"

point() { # engine file window batch -> iops cpu_us syscalls
	build/iowindow --device "uring:$2" --create 512MiB --window "$3" --batch "$4" --engine "$1" --duration 700ms \
		--warmup 150ms --json 2>/dev/null | python3 -c '
import json, sys
j = json.load(sys.stdin)
print(j["disk_iops"], j["cpu_us_per_io"], j["syscalls_per_io"] or 0, int(j["valid"]))'
}

ratios() { # lines: iops cpu calls valid, iops cpu calls valid -> one line
	python3 -c '
import math, sys
T = [0, 0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14]
rows = [list(map(float, l.split())) for l in sys.stdin]
rows = [r for r in rows if len(r) == 8 and r[3] and r[7]]
def ratio(a, b):
    logs = [math.log(r[a] / r[b]) for r in rows]
    n = len(logs); mean = sum(logs) / n
    half = (T[min(n, 15)] * math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1) / n)) if n > 1 else float("nan")
    return "%.2f [%.2f, %.2f]" % (math.exp(mean), math.exp(mean - half), math.exp(mean + half))
if len(rows) < 2:
    sys.exit("  too few valid pairs: %d" % len(rows))
print("IOPS %s  CPU a read %s  system calls a read %.3f  (%d pairs)" % (ratio(0, 4), ratio(1, 5),
      sum(r[2] for r in rows) / len(rows), len(rows)))'
}

series() { # label file window batch
	local i a b
	printf '%-28s' "$1, window $3$([ "$4" = 1 ] || echo ", batch $4")"
	for i in $(seq "$blocks"); do
		if [ $((i % 2)) = 0 ]; then
			a=$(point native "$2" "$3" "$4") b=$(point fio "$2" "$3" "$4")
		else
			b=$(point fio "$2" "$3" "$4") a=$(point native "$2" "$3" "$4")
		fi
		echo "$a $b"
	done | ratios
}

echo "storage library / fio, 16 KiB random reads, $blocks paired blocks, 95 % intervals:"
for w in 1 8 32 128; do series tmpfs "$shm/file" "$w" 1; done
series tmpfs "$shm/file" 64 16
for w in 1 8 32 128; do series disk "$disk/bench-window.dat" "$w" 1; done
series disk "$disk/bench-window.dat" 64 16
rm -f "$disk/bench-window.dat"
