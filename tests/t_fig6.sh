#!/bin/bash
# Figure 6 from end to end: the simulated drive (labelled so, with the model's numbers), a file on the content disk with
# fio beside the library, and a point that is no closed loop. Counts and relations that hold at any speed.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_programs fio gnuplot

column() { # csv name, further columns as NAME=VALUE: the values of matching rows
	awk -F, -v name="$2" -v want="${*:3}" '
		NR == 1 {for (i = 1; i <= NF; i++) c[$i] = i; n = split(want, w, " "); next}
		{for (i = 1; i <= n; i++) {split(w[i], kv, "="); if ($c[kv[1]] != kv[2]) next} print $c[name]}' "$1"
}
all() { # predicate of awk on $1, values on stdin; there must be some
	awk "!($1) {bad = 1} END {exit bad || !NR}"
}

simulated() {
	build/dcn run --out "$tmp/sim" --set load.device=sim:p3700 --set sweep.engine=native --set sweep.window=1,128 \
		--set run.warmup=20ms --set run.duration=100ms --set run.repetitions=2 workloads/fig6.exp &&
		column "$tmp/sim/runs.csv" valid | all '$1 == 1'
}
# Data sheet: 2,800 MB/s, 20 us.
model() {
	column "$tmp/sim/runs.csv" disk_read_gbps window=128 | all '$1 > 22.1 && $1 < 22.5' &&
		column "$tmp/sim/runs.csv" disk_lat_us_mean window=128 | all '$1 < 1000' &&
		column "$tmp/sim/runs.csv" disk_lat_us_mean window=1 | all '$1 > 19 && $1 < 21'
}
labelled() {
	grep -qi simulated "$tmp/sim/fig6.svg" && grep -qi simulated "$tmp/sim/report.html" && grep -q simulated "$tmp/sim/meta.json"
}
measured() {
	DCN_CONTENT=$tmp/content build/dcn run --no-plot --out "$tmp/disk" --set content.cold=64MiB --set sweep.window=1,8 \
		--set run.warmup=100ms --set run.duration=300ms --set run.repetitions=1 workloads/fig6.exp &&
		[ "$(column "$tmp/disk/runs.csv" engine | sort | uniq -c | tr -s ' \n' ' ')" = " 2 fio 2 native " ]
}
littles_law() { # of those that count
	column "$tmp/disk/runs.csv" little_ratio valid=1 | all '$1 > 0.95 && $1 < 1.05'
}
# ours counts its calls: one a turn, so at most one a read; fio's are not known, and not 0
calls() {
	column "$tmp/disk/runs.csv" syscalls_per_io engine=native | all '$1 > 0 && $1 <= 1.01' &&
		column "$tmp/disk/runs.csv" syscalls_per_io engine=fio | all '$1 == ""'
}
batch_limits() {
	! build/iowindow --device sim:p3700 --window 4 --batch 5 2>"$tmp/out" && grep -q batch "$tmp/out"
}

check "fig6: the simulated drive" simulated
check "fig6: it does what its data sheet says" model
check "fig6: it is labelled simulated in figure, report and data" labelled
check "fig6: the content disk, library and fio in the same block" measured
check "fig6: Little's law holds for every valid point" littles_law
check "fig6: system calls are counted, or missing" calls
check "iowindow: a batch larger than the window is refused" batch_limits
finish
