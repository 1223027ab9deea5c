#!/bin/bash
# The driver from outside: bad input, a whole run, resuming, signals, kill -9 and restore. Whatever
# happens, nothing stays behind: no namespace, process, cgroup or scratch directory of that run.
# shellcheck disable=SC2154,SC2034
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh disable=SC2154,SC2034
. tests/lib.sh

DCN=${DCN:-build/dcn}
need_root
[ -x "$DCN" ] || { echo "skip all: $DCN is not built; make"; exit 77; }
bin=$(cd "$(dirname "$DCN")" && pwd)
export DCN_PLOTS=$PWD/plots DCN_CONTENT=$tmp/content

cat >"$tmp/tiny.exp" <<'END'
[experiment]
title = Tiny
[content]
object_size = 16KiB
hot = 1MiB
cold = 4MiB
cache_budget = none
[sweep]
stack = null
connections = 2, 4
[run]
warmup = 100ms
duration = 300ms
repetitions = 2
ceilings = none
END

# expect STATUS 'words that the message must hold' command...
expect() {
	local want=$1 words=$2 got
	shift 2
	"$@" >"$tmp/out" 2>"$tmp/err"
	got=$?
	[ "$got" -eq "$want" ] || { echo "exit $got instead of $want: $(tail -n 2 "$tmp/err")"; return 1; }
	grep -qF -- "$words" "$tmp/err" "$tmp/out" || { echo "no '$words' in: $(tail -n 2 "$tmp/err")"; return 1; }
}

one_sentence() { # the message of the last expect was one line
	[ "$(grep -c . "$tmp/err")" -eq 1 ] || { echo "more than one line:"; cat "$tmp/err"; return 1; }
}

# nothing that process $1 made is left
clean() {
	local pid=$1 i
	for i in $(seq 50); do
		[ -z "$(left "$pid")" ] && return 0
		sleep 0.1
	done
	left "$pid"
	return 1
}

left() {
	ls -d "/run/netns/dcn-$1-"* "/run/dcn/$1-"* "/run/dcn-runs/run-$1.undo" \
		"/sys/fs/cgroup/memory/dcn-$1" "/sys/fs/cgroup/dcn-$1" 2>/dev/null
	# processes that it started were given this run's content directory
	pgrep -f "$tmp/content" 2>/dev/null
}

bad_input() {
	local x=$tmp/bad.exp
	expect 2 "usage: dcn" "$DCN" || return 1
	expect 2 "no command 'rum'" "$DCN" rum || return 1
	expect 2 "run takes one" "$DCN" run || return 1
	expect 2 "No such file" "$DCN" run "$tmp/none.exp" || return 1
	printf '[load]\nconections = 5\n' >"$x"
	expect 2 "bad.exp:2: unknown key 'conections' in [load]; did you mean 'connections'?" "$DCN" run "$x" &&
		one_sentence || return 1
	printf '[run]\nduration = 3\n' >"$x"
	expect 2 "bad.exp:2: run.duration: '3' is not a duration" "$DCN" run "$x" && one_sentence || return 1
	printf '[sweep]\nstack = nginx:oia\n' >"$x"
	expect 2 "did you mean 'nginx:aio'" "$DCN" run "$x" && one_sentence || return 1
	expect 2 "--set" "$DCN" run --set load.tls=maybe "$tmp/tiny.exp" && one_sentence || return 1
	printf '[content]\nhot = 64MiB\ncold = 64MiB\n[sweep]\nstack = nginx\n' >"$x"
	expect 2 "is too small for a page-cache budget" "$DCN" run "$x" && one_sentence || return 1
	mkdir -p "$tmp/full.d" && touch "$tmp/full.d/x"
	expect 2 "not empty" "$DCN" run --out "$tmp/full.d" "$tmp/tiny.exp" && one_sentence || return 1
	expect 2 "collector 'gpu'" "$DCN" run --out "$tmp/o1" --set collect.collectors=gpu "$tmp/tiny.exp" || return 1
	[ ! -e "$tmp/o1" ] || { echo "a folder was left"; return 1; }
}

bad_places() {
	expect 1 "set content.dir" "$DCN" run --out "$tmp/o2" --set content.dir=/proc/dcn "$tmp/tiny.exp" || return 1
	[ ! -e "$tmp/o2" ] || { echo "an empty results folder was left"; return 1; }
	mkdir "$tmp/small" && mount -t tmpfs -o size=2m none "$tmp/small" || return 1
	expect 1 "$tmp/small" "$DCN" run --out "$tmp/o3" --set "content.dir=$tmp/small" "$tmp/tiny.exp"
	local rc=$?
	umount "$tmp/small"
	[ $rc -eq 0 ] || return 1
	expect 1 "/proc/x" "$DCN" run --out /proc/x/y "$tmp/tiny.exp" || return 1
	mkdir "$tmp/alone" && cp "$DCN" "$tmp/alone/" || return 1
	expect 1 "dcn-load is missing: run make" "$tmp/alone/dcn" run --out "$tmp/o4" "$tmp/tiny.exp" || return 1
}

whole_run() {
	local d=$tmp/whole
	expect 0 "$d" "$DCN" run --out "$d" "$tmp/tiny.exp" || return 1
	[ "$(wc -l <"$d/runs.csv")" -eq 5 ] || { echo "runs.csv has not 4 rows"; return 1; }
	[ "$(wc -l <"$d/summary.csv")" -eq 3 ] || { echo "summary.csv has not 2 rows"; return 1; }
	local f
	for f in experiment.exp meta.json samples.csv journal tiny.svg tiny.pdf tiny.png latency/cell000-rep1.csv \
		raw/cell001-rep2.json; do
		[ -s "$d/$f" ] || { echo "$f is missing"; return 1; }
	done
	head -c 4 "$d/tiny.pdf" | grep -q %PDF || { echo "not a PDF"; return 1; }
	expect 0 report.html "$DCN" report "$d" && grep -q '</html>' "$d/report.html" && grep -q '<svg' "$d/report.html" || return 1
	expect 0 "no difference shown" "$DCN" compare "$d" "$d" || return 1
	expect 1 "no run with stack = nginks" "$DCN" compare --stacks null,nginks "$d" && one_sentence || return 1
	# what was written back describes the same experiment
	"$DCN" describe "$d/experiment.exp" | grep -v '^; written' >"$tmp/d1"
	"$DCN" describe "$tmp/tiny.exp" | grep -v '^; written' >"$tmp/d2"
	diff "$tmp/d1" "$tmp/d2" || return 1
	expect 0 "" "$DCN" run --resume "$d" || return 1 # all is done: nothing runs
	[ "$(wc -l <"$d/runs.csv")" -eq 5 ] || { echo "resuming a finished run added rows"; return 1; }
}

# start a long run in the background and wait for its first row
start_run() { # folder
	setsid "$DCN" run --no-plot --out "$1" --set run.repetitions=3 "$tmp/tiny.exp" >"$tmp/bg.out" 2>"$tmp/bg.err" &
	run_pid=$!
	local i
	for i in $(seq 300); do
		[ -s "$1/journal" ] && return 0
		kill -0 "$run_pid" 2>/dev/null || break
		sleep 0.1
	done
	echo "it never finished a run: $(tail -n 1 "$tmp/bg.err")"
	return 1
}

ended() { # status
	wait "$run_pid"
	local rc=$?
	[ $rc -eq "$1" ] || { echo "exit $rc instead of $1: $(tail -n 2 "$tmp/bg.err")"; return 1; }
}

resumes() { # folder: the rest runs, each cell and repetition exactly once
	expect 0 "$1" "$DCN" run --no-plot --resume "$1" || return 1
	[ "$(tail -n +2 "$1/runs.csv" | cut -d, -f1,2 | sort | uniq -c | awk '$1 == 1' | wc -l)" -eq 6 ] &&
		[ "$(wc -l <"$1/runs.csv")" -eq 7 ] || { cut -c1-40 "$1/runs.csv"; return 1; }
}

interrupt() {
	start_run "$tmp/int" && kill -INT "$run_pid" && ended 130 && clean "$run_pid" || return 1
	[ "$(wc -l <"$tmp/int/runs.csv")" -lt 7 ] || { echo "it ran to the end"; return 1; }
	grep -q '"interrupted"' "$tmp/int/meta.json" || { echo "meta.json does not say so"; return 1; }
	resumes "$tmp/int"
}

interrupt_twice() {
	start_run "$tmp/int2" && kill -INT "$run_pid" && sleep 0.05 && kill -INT "$run_pid" && ended 130 &&
		clean "$run_pid" && resumes "$tmp/int2"
}

one_at_a_time() {
	start_run "$tmp/first" || return 1
	expect 1 "another dcn (process $run_pid) is measuring" "$DCN" run --out "$tmp/second" "$tmp/tiny.exp" && one_sentence &&
		[ ! -e "$tmp/second" ] && kill -TERM "$run_pid" && ended 143 && clean "$run_pid"
}

terminate() { start_run "$tmp/term" && kill -TERM "$run_pid" && ended 143 && clean "$run_pid"; }

killed() {
	start_run "$tmp/kill" || return 1
	kill -KILL "$run_pid"
	ended 137 || return 1
	expect 0 "" "$DCN" restore && clean "$run_pid" && resumes "$tmp/kill"
}

bad_servers() {
	local x=(--no-plot --set sweep.stack=external --set sweep.connections=2 --set run.repetitions=1
		--set run.ready_timeout=1s --set 'stack.url=http://{ip}:80')
	expect 1 "FAILED" "$DCN" run --out "$tmp/e1" "${x[@]}" --set 'stack.command=echo so sad >&2; exit 3' "$tmp/tiny.exp" || return 1
	grep -q "so sad" "$tmp/e1/runs.csv" || { echo "the server's last words are lost"; cat "$tmp/e1/runs.csv"; return 1; }
	expect 1 "did not get ready within 1s" "$DCN" run --out "$tmp/e2" "${x[@]}" --set "stack.command=sleep 100.$$" "$tmp/tiny.exp" || return 1
	[ -z "$(pgrep -f "sleep 100\.$$")" ] || { echo "the server still runs"; return 1; }
	# ready, then gone in the middle of the run
	expect 1 "the server died" "$DCN" run --out "$tmp/e3" "${x[@]}" --set run.duration=5s \
		--set "stack.command=timeout 2 $bin/dcn-null --ip {ip} --port 80 --content {root}" "$tmp/tiny.exp"
}

# A stock server inside its page-cache budget, both cache ratios.
budget() {
	local d=$tmp/budget
	expect 0 "$d" "$DCN" run --no-plot --out "$d" --set sweep.stack=nginx --set sweep.connections=4 \
		--set sweep.load.cache_ratio=0,100 --set content.hot=4MiB --set content.cold=128MiB \
		--set content.cache_budget=32MiB --set run.repetitions=1 --set content.object_size=64KiB \
		"$tmp/tiny.exp" || [ "$(wc -l <"$d/runs.csv")" -eq 3 ] || return 1
	python3 - "$d/runs.csv" <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert len(rows) == 2, len(rows)
for r in rows:
    # a busy machine may make a run invalid, but not for its cache ratio
    assert r["valid"] == "1" or "cache ratio" not in r["why"], r["why"]
    assert abs(float(r["cache_hit_bytes_pct"]) - float(r["cache_ratio"])) < 20, r["cache_hit_bytes_pct"]
    assert float(r["net_gbps"]) > 0
END
	local rc=$?
	ls -d /sys/fs/cgroup/memory/dcn-[0-9]* /sys/fs/cgroup/dcn-[0-9]* 2>/dev/null | while read -r cg; do
		[ -e "/proc/${cg##*-}" ] || { echo "$cg was left"; exit 1; }
	done || return 1
	return $rc
}

check "bad input is refused in one sentence with exit 2" bad_input
check "bad places and missing programs are named" bad_places
check "a whole run leaves all its files" whole_run
if have nginx; then
	check "a stock server inside a page-cache budget" budget
else
	echo "skip a stock server inside a page-cache budget: nginx is not installed; make deps"
fi
check "first SIGINT: finishes the run, exits 130, can be resumed" interrupt
check "second SIGINT: stops at once, can be resumed" interrupt_twice
check "a second dcn run at once is refused and names the first" one_at_a_time
check "SIGTERM: exits 143, nothing left" terminate
check "kill -9: dcn restore leaves nothing, can be resumed" killed
check "servers that fail, hang or die" bad_servers
finish
