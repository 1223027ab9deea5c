#!/bin/bash
# Counters from outside: instruments that are not ours must agree with the collectors, what a collector changes
# on the system is put back also after kill -9, and a stack compared with itself is reported.
# shellcheck disable=SC2154,SC2034,SC2016
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh disable=SC2154,SC2034
. tests/lib.sh

DCN=${DCN:-build/dcn}
need_root
[ -x "$DCN" ] || { echo "skip all: $DCN is not built; make"; exit 77; }
DCN=$(cd "$(dirname "$DCN")" && pwd)/dcn
export DCN_PLOTS=$PWD/plots DCN_CONTENT=$tmp/content
exp=$PWD/workloads/aa.exp
small=(--quick --set sweep.stack=null --set run.duration=1s --set run.warmup=100ms --set content.hot=1MiB
	--set content.cold=4MiB --set content.object_size=16KiB --set content.cache_budget=none
	--set load.connections=4)

# --- a stack against itself ---

against_itself() {
	local d=$tmp/aa rc
	"$DCN" run "${small[@]}" --set run.repetitions=2 --out "$d" "$exp" 2>"$tmp/err" || { tail -n 3 "$tmp/err"; return 1; }
	for f in aa.csv aa.svg aa.pdf aa.png; do
		[ -s "$d/$f" ] || { echo "$f is missing: $(tail -n 2 "$tmp/err")"; return 1; }
	done
	grep -qF "$(sed -n "1s/^# //p" "$d/aa.csv")" "$d/aa.svg" || { echo "the figure does not say"; return 1; }
	grep -q "A stack against itself</h2>" "$d/report.html" || { echo "the report does not say"; return 1; }
	python3 - "$d" <<'END'
import csv, math, sys
rows = list(csv.DictReader(open(sys.argv[1] + "/runs.csv")))
assert len(rows) == 8, len(rows)
for r in rows: # a share of a core, and the same CPU per gigabyte
    assert abs(float(r["client_cpu_s_per_gb"]) * float(r["net_gbps"]) / 8 * 100 / float(r["client_cpu_pct"]) - 1) < 0.02, r
lines = list(csv.DictReader(l for l in open(sys.argv[1] + "/aa.csv") if l[0] != "#"))
assert {l["key"] for l in lines} == {"twin", "active"}, lines
assert {l["metric"] for l in lines} >= {"net_gbps", "latency_ms_p99", "host_cpu_s_per_gb"}, lines
for l in lines:
    # by hand: the mean over blocks of the difference of mean logarithms
    side = lambda r: r["twin"] == "2" if l["key"] == "twin" else r["active"] == "on"
    d = []
    for b in ("1", "2"):
        of = [r for r in rows if r["repetition"] == b]
        if any(r["valid"] != "1" or not float(r[l["metric"]] or 0) for r in of):
            continue
        mean = lambda s: sum(math.log(float(r[l["metric"]])) for r in of if side(r) == s) / 2
        d.append(mean(True) - mean(False))
    assert int(l["blocks"]) == len(d)
    assert abs(float(l["ratio"]) / math.exp(sum(d) / len(d)) - 1) < 1e-4, l
on = sorted(float(r["collect_cpu_pct"]) for r in rows if r["active"] == "on")
assert on[len(on) // 2] <= 1, on # sampling at 100 ms costs at most 1 % of one core
for r in rows:
    cpu = float(r["collect_cpu_pct"])
    assert cpu >= 0
    if r["active"] == "on":
        assert r["stack_cpu_pct"], r
    else: # nothing but the CPU is measured
        assert not r["stack_cpu_pct"] and not r["net_tx_gbps"] and r["host_cpu_s_per_gb"], r
END
}

# --- latency ---

# A server on the loopback that waits 25 ms before it answers: dcn-load must say what curl says.
slow_server() {
	cat <<'END'
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_HEAD(self):
        self.do_GET()
    def do_GET(self):
        time.sleep(0.025)
        try:
            body = open(sys.argv[1] + self.path, "rb").read()
        except OSError:
            body = b"x" * 16384
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
    def log_message(self, *a):
        pass
class S(http.server.ThreadingHTTPServer):
    daemon_threads = True
s = S(("127.0.0.1", 0), H)
print(s.server_address[1], flush=True)
s.serve_forever()
END
}

latency_agrees() {
	local dir port pid try i rc=1
	dir=$(dirname "$(find "$tmp/content" -name catalog.json | head -n 1)")
	[ -d "$dir" ] || { echo "no content: the test before failed"; return 1; }
	slow_server >"$tmp/slow.py"
	python3 "$tmp/slow.py" "$dir" >"$tmp/port" 2>"$tmp/slow.err" &
	pid=$!
	for i in $(seq 100); do [ -s "$tmp/port" ] && break; sleep 0.1; done
	port=$(cat "$tmp/port")
	for try in 1 2 3; do
		"$(dirname "$DCN")/dcn-load" --url "http://127.0.0.1:$port" --content "$dir" --connections 1 --duration 1s --warmup 100ms \
			--mode closed --cache-ratio 100 --verify off --seed 1 --engine curl >"$tmp/load.json" 2>"$tmp/load.err" ||
			{ cat "$tmp/load.err"; break; }
		# one connection, as many requests
		curl -s -o /dev/null -w '%{time_total}\n' "http://127.0.0.1:$port/hot/000000?[1-30]" >"$tmp/times"
		python3 - "$tmp/load.json" "$tmp/times" && { rc=0; break; } <<'END'
import json, statistics, sys
ours = json.load(open(sys.argv[1]))["latency_ms"]
theirs = 1000 * statistics.median(map(float, open(sys.argv[2])))
print(f"dcn-load {ours['p50']:.2f} ms, curl {theirs:.2f} ms")
assert ours["p50"] >= 25 * 0.99 and abs(ours["p50"] / theirs - 1) < 0.1
END
	done
	kill "$pid"
	wait "$pid" 2>/dev/null
	return $rc
}

# --- the cache simulator, in another's hands ---

in_subshell() { ("$@"); }

# Two files and libc: a shared object of them, loaded by a program that knows nothing else of us.
llcsim_is_closed() {
	local d=$tmp/plugin
	mkdir -p "$d/collectors" && cp collectors/llcsim.[ch] "$d/collectors/" && cd "$d" || return 1
	cat >plugin.c <<'END'
#include "collectors/llcsim.h"
/* What a plugin would do: a disk fills a buffer of 64 KiB, a CPU seals it, a NIC sends it. */
int run(void);
int run(void)
{
	struct llcsim_cfg cfg = {.bytes = 1 << 20, .ways = 16, .ddio = 2, .index = LLC_MODULO};
	struct llcsim *llc;
	struct llc_count n;

	if (llcsim_new(&llc, &cfg))
		return 1;
	for (int i = 0; i < 1000; i++) {
		llcsim_touch(llc, LLC_DMA_IN, 0, 0x100000, 65536);
		llcsim_touch(llc, LLC_READ, 0, 0x100000, 65536);
		llcsim_touch(llc, LLC_WRITE, 0, 0x100000, 65536);
		llcsim_touch(llc, LLC_DMA_OUT, 1, 0x100000, 65536);
	}
	n = llcsim_total(llc);
	llcsim_free(llc);
	/* It stays in the cache: nothing was read, nothing written. */
	return n.all != 4 * 1000 * 1024 || n.reads || n.writes;
}
END
	printf '#include <dlfcn.h>\nint main(void){void *h = dlopen("./plugin.so", RTLD_NOW); int (*f)(void) = h ? (int (*)(void))dlsym(h, "run") : 0; return f ? f() : 2;}\n' >host.c
	gcc -std=c11 -Wall -Wextra -Werror -O2 -shared -fPIC -I. -Wl,-z,defs plugin.c collectors/llcsim.c -o plugin.so &&
		gcc -std=gnu11 -O host.c -o host && ./host || { echo "exit $?"; return 1; }
	nm -D -u plugin.so | sed 's/@.*//; s/.* //' | grep -vE '^(calloc|free|memset|__stack_chk_fail|_ITM_.*|__gmon_start__|__cxa_finalize)$' &&
		{ echo "it needs more than it says"; return 1; }
	return 0
}

# --- doctor ---

doctor_complete() {
	COLUMNS=80 "$DCN" doctor >"$tmp/d80" && "$DCN" doctor --json >"$tmp/djson" || return 1
	python3 - "$tmp/d80" "$tmp/djson" <<'END'
import json, re, sys
text = open(sys.argv[1]).read().splitlines()
assert max(map(len, text)) <= 80, max(text, key=len)
assert all(l == l.rstrip() for l in text), "blanks at an end"
for l in text: # names and verdicts stand in their columns
    assert not l or re.match(r"(\S|  \S.{19} (NO |yes|!  |   ) \S| {27}\S)", l), l
found = json.load(open(sys.argv[2]))
names = {}
for f in found:
    names.setdefault(f["group"], {})[f["name"]] = f
    assert f["text"] and not f["text"].endswith(("; ", ": ")), f
want = {"machine": "cpu numa llc memory clock kind", "kernel": "release options",
        "testbed": "cpus disk content", "stacks": "atlas atlas:copy atlas:openssl atlas:prefetch atlas:fifo atlas:nogso "
        "atlas:poll nginx nginx:aio nginx:workers nginx:direct nginx:ktls external null",
        "storage back ends": "uring extents passthru vfio diskmap sim", "network back ends": "packet",
        "collectors": "cpu net disk process llc membw profile null"}
for group, list in want.items():
    for name in list.split():
        assert name in names.get(group, {}), (group, name)
for group in ("stacks", "storage back ends", "collectors"):
    for f in names[group].values(): # a verdict each; what is missing has a reason of some words
        assert "ok" in f and (f["ok"] or len(f["text"].split()) > 3), f
assert "first touch" in names["machine"] and "ddio ways" in names["machine"] and "free pages" in names["machine"]
END
}

# --- the NMI watchdog ---

# A pcm-memory that switches the watchdog off again and again, prints numbers, and neither cleans up nor ends: what
# puts the setting back has to end it first.
fake_pcm() {
	mkdir -p "$tmp/bin"
	cat >"$tmp/bin/pcm-memory" <<END
#!/bin/bash
trap '' TERM
head -n 2 $PWD/tests/fixtures/collectors/pcm/one-socket.csv
for i in {1..300}; do
	echo 0 >/proc/sys/kernel/nmi_watchdog
	tail -n 1 $PWD/tests/fixtures/collectors/pcm/one-socket.csv
	sleep 0.1
done 2>/dev/null
END
	chmod 755 "$tmp/bin/pcm-memory"
}

# In a mount namespace of its own: there the watchdog is a file of ours, at first 1.
with_watchdog() { # script
	echo 1 >"$tmp/watchdog"
	PATH="$tmp/bin:$PATH" DCN=$DCN TMP=$tmp EXP=$exp unshare -m bash -c \
		'mount --make-rprivate / && mount --bind "$TMP/watchdog" /proc/sys/kernel/nmi_watchdog || exit 9
'"$1" 2>"$tmp/err"
}

pcm_run='"$DCN" run --no-plot --quick --set sweep.stack=null --set run.duration=300ms --set run.warmup=100ms --set content.hot=1MiB \
	--set content.cold=4MiB --set content.object_size=16KiB --set content.cache_budget=none --set load.connections=4 \
	--set run.repetitions=1 --set collect.collectors=membw --set collect.membw.source=pcm \
	--set sweep.active=on --set sweep.twin=1'

watchdog_after_run() {
	with_watchdog "$pcm_run"' --set run.duration=1s --out "$TMP/pcm" "$EXP" >/dev/null; [ "$(cat /proc/sys/kernel/nmi_watchdog)" = 1 ]' ||
		{ echo "the watchdog is $(cat "$tmp/watchdog"): $(tail -n 2 "$tmp/err")"; return 1; }
	python3 -c "
import csv
r = list(csv.DictReader(open('$tmp/pcm/runs.csv')))[0]
assert r['mem_source'] == '5' and abs(float(r['mem_read_gbps']) / 32 - 1) < 0.4, r['mem_read_gbps']" # 4,000 MB/s
}

# Killed in the middle of a cell, the moment its pcm-memory has switched the watchdog off.
watchdog_after_kill() {
	with_watchdog "$pcm_run"' --set run.warmup=20s --out "$TMP/pcmk" "$EXP" >/dev/null &
		pid=$!
		for i in $(seq 200); do grep -q "^dir " /run/dcn-runs/run-$pid.undo 2>/dev/null &&
			[ "$(cat /proc/sys/kernel/nmi_watchdog)" = 0 ] && break; sleep 0.1; done
		[ "$(cat /proc/sys/kernel/nmi_watchdog)" = 0 ] || { kill $pid; echo never >&2; exit 8; }
		kill -KILL $pid; wait $pid 2>/dev/null
		[ "$(cat /proc/sys/kernel/nmi_watchdog)" = 0 ] || { echo "nothing to restore" >&2; exit 7; }
		"$DCN" restore && sleep 0.5 && [ "$(cat /proc/sys/kernel/nmi_watchdog)" = 1 ]' ||
		{ echo "the watchdog is $(cat "$tmp/watchdog"): $(tail -n 6 "$tmp/err")"; return 1; }
}

check "a stack against itself: figure, report, ratios by hand, collectors below 1 % of a core" against_itself
if have curl; then
	check "latency: dcn-load and curl agree on a server that waits 25 ms" latency_agrees
else
	echo "skip latency: no curl; make deps"
fi
check "doctor: everything is asked, the table fits 80 columns, --json holds the same" doctor_complete
check "the cache simulator is a closed library: two files, loaded by a stranger" in_subshell llcsim_is_closed
fake_pcm
if [ -e /proc/sys/kernel/nmi_watchdog ] && unshare -m true 2>/dev/null; then
	check "pcm-memory: the NMI watchdog is as before after a run" watchdog_after_run
	check "pcm-memory: dcn restore puts the NMI watchdog back after kill -9" watchdog_after_kill
else
	echo "skip the NMI watchdog: this kernel has none, or no mount namespaces"
fi
finish
