#!/bin/bash
# dcn-load against the null server and against a server that misbehaves, on the loopback of a namespace
# of its own: both loops, each engine, HTTP and TLS, verification, every kind of error, limits, signals.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root
need_programs ip openssl python3

load=${LOAD:-build/dcn-load} null=${NULL:-build/dcn-null}
plain=http://127.0.0.1:8080 tls=https://127.0.0.1:8443
pids=()

stop_all() {
	local p
	for p in "${pids[@]}"; do
		kill "$p" 2>/dev/null
		wait "$p" 2>/dev/null
	done
	pids=()
}
trap 'stop_all; cleanup' EXIT

# For the foreground only: in the background $! must be the program itself.
in_ns() { ip netns exec "$srv_ns" "$@"; }

wait_ready() { # log
	local _
	for _ in $(seq 100); do
		grep -q ready "$1" && return 0
		sleep 0.1
	done
	echo "not ready: $(cat "$1")"
	return 1
}

null_up() { # content directory, further arguments...
	local dir=$1
	shift
	: >"$tmp/null.log"
	ip netns exec "$srv_ns" "$null" --ip 127.0.0.1 --port 8080 --tls-port 8443 --cert "$tmp/ec.pem" --key "$tmp/ec.key" \
		--content "$dir" "$@" 2>"$tmp/null.log" &
	pids+=($!)
	wait_ready "$tmp/null.log"
}

content() { # directory, seed, size, hot, cold
	mkdir -p "$1"
	printf '{"version": 1, "seed": %s, "object_size": %s, "hot": %s, "cold": %s}\n' \
		"$2" "$3" "$4" "$5" >"$1/catalog.json"
}

# dcn-load with short times; JSON to $tmp/out, messages to $tmp/err
run() {
	in_ns "$load" --content "$tmp/c" --connections 32 --warmup 100ms --duration 500ms "$@" \
		>"$tmp/out" 2>"$tmp/err"
}

# A Python expression over the result d must be true.
holds() {
	python3 - "$tmp/out" "$1" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
S = 307200
sys.exit(0 if eval(sys.argv[2]) else f"{sys.argv[2]} is false: " + json.dumps(
    {k: v for k, v in d.items() if k not in ("hist", "samples")}))
PY
}

good="d['errors_total'] == 0 and d['reconnects'] == 0 and d['responses'] > 0 and not d['interrupted'] \
 and abs(d['body_bytes'] - d['responses'] * S) <= d['connections'] * S \
 and abs(d['net_gbps'] - d['body_bytes'] * 8e-9 / d['window_s']) < 1e-6 \
 and sum(n for _, n in d['hist']['latency_us']) == d['responses'] \
 and d['samples'][-1] == [d['t_end_ns'], d['body_bytes'], d['responses']] \
 and d['latency_ms']['p50'] >= d['ttfb_ms']['p50'] > 0"

closed() { # url, engine
	run --url "$1" --cacert "$tmp/ec.pem" --engine "$2" && holds "$good" &&
		holds "d['engine'] == '$2' and d['tls'] == ('$1'[:5] == 'https') and d['planned_latency_ms'] is None" &&
		holds "d['tls_suite'] == ('TLS_AES_128_GCM_SHA256' if d['tls'] else None)" &&
		holds "(d['verified_responses'] > 0) == ('$2' != 'sink') and d['verify_failures'] == 0"
}

open_loop() { # url, engine
	run --url "$1" --cacert "$tmp/ec.pem" --engine "$2" --mode open --rate 200 && holds "$good" &&
		holds "d['planned_latency_ms']['mean'] >= d['latency_ms']['mean'] and d['mode'] == 'open'"
}

verify_all() { # url
	run --url "$1" --cacert "$tmp/ec.pem" --engine curl --verify all --cache-ratio 50 --warm-hot &&
		holds "$good" && holds "d['verified_share'] == 1 and d['verified_responses'] == d['responses']" &&
		holds "d['hot_requests'] > 0 and d['cold_requests'] > 0"
}

one_bad_object() { # url, engine: the server serves /hot/000001 with one wrong byte
	run --url "$1" --cacert "$tmp/ec.pem" --engine "$2" --verify all --cache-ratio 100 &&
		holds "d['verify_failures'] > 0 and d['errors']['bad_content'] > 0 and d['responses'] > 0" &&
		grep -q '/hot/000001: wrong byte at offset 153600' "$tmp/err" && ! grep -q '/hot/000002' "$tmp/err"
}

fails() { # exit status, what stderr must say, arguments...
	local want=$1 says=$2 rc
	shift 2
	run "$@"
	rc=$?
	[ $rc -eq "$want" ] || { echo "exit $rc, not $want: $(cat "$tmp/err")"; return 1; }
	grep -q -- "$says" "$tmp/err" || { echo "does not say '$says': $(cat "$tmp/err")"; return 1; }
	[ ! -s "$tmp/out" ] || { echo "printed a result"; return 1; }
	[ "$(grep -c 'error:' "$tmp/err")" -eq 1 ] || { echo "more than one sentence: $(cat "$tmp/err")"; return 1; }
}

server_killed() { # url, engine
	local pid load_pid rc
	null_up "$tmp/c" || return 1
	pid=${pids[-1]}
	rm -f "$tmp/events"
	ip netns exec "$srv_ns" "$load" --content "$tmp/c" --connections 32 --warmup 100ms --duration 20s --url "$1" \
		--cacert "$tmp/ec.pem" --engine "$2" --events-fd 3 >"$tmp/out" 2>"$tmp/err" 3>"$tmp/events" &
	load_pid=$!
	wait_start
	kill -9 "$pid"
	wait $load_pid
	rc=$?
	pids=()
	[ $rc -eq 1 ] && grep -q "the server at $1 died" "$tmp/err" || { echo "exit $rc: $(cat "$tmp/err")"; return 1; }
}

wait_start() { # the window of a load in the background has begun
	local _
	for _ in $(seq 200); do
		grep -qs start "$tmp/events" && return 0
		sleep 0.05
	done
}

interrupted() { # signal
	rm -f "$tmp/events"
	ip netns exec "$srv_ns" "$load" --content "$tmp/c" --connections 8 --warmup 100ms --duration 20s --url $plain \
		--events-fd 3 >"$tmp/out" 2>"$tmp/err" 3>"$tmp/events" &
	local pid=$!
	wait_start
	kill "-$1" $pid
	wait $pid || { echo "exit $?: $(cat "$tmp/err")"; return 1; }
	holds "d['interrupted'] and d['window_s'] < 19 and d['t_end_ns'] > d['t_start_ns']"
}

events() {
	run --url $plain --events-fd 3 3>"$tmp/events" && python3 - "$tmp" <<'PY'
import json, sys
d = json.load(open(sys.argv[1] + "/out"))
want = f"ready\nstart {d['t_start_ns']}\nend {d['t_end_ns']}\n"
got = open(sys.argv[1] + "/events").read()
sys.exit(0 if got == want and d["t_end_ns"] - d["t_start_ns"] == 500000000 else f"{got!r}, not {want!r}")
PY
}

residency() { # objects that were just written are in the page cache; cold 5 to 9 do not exist
	local i
	mkdir -p "$tmp/r/hot" "$tmp/r/cold"
	content "$tmp/r" 1 307200 5 5
	for i in 0 1 2 3 4; do head -c 307200 /dev/zero | tee "$tmp/r/hot/00000$i" >"$tmp/r/cold/00000$i"; done
	in_ns "$load" --content "$tmp/r" --connections 8 --warmup 0 --duration 500ms --url $plain --residency 1 \
		--cache-ratio 50 --verify off >"$tmp/out" 2>"$tmp/err" &&
		holds "d['residency']['hot_samples'] == d['residency']['hot_resident'] == d['hot_requests']" &&
		holds "d['residency']['cold_samples'] == d['residency']['cold_resident'] == d['cold_requests']"
}

# A server that answers HEAD properly and GET in a way of its own.
bad_server() { # mode
	: >"$tmp/bad.log"
	ip netns exec "$srv_ns" python3 - "$1" 2>"$tmp/bad.log" <<'PY' &
import os, socket, struct, sys, threading, time
mode, S = sys.argv[1], 307200
def serve(c):
    buf, served = b"", 0
    try:
        while True:
            while b"\r\n\r\n" not in buf:
                d = c.recv(4096)
                if not d:
                    return
                buf += d
            head, buf = buf.split(b"\r\n\r\n", 1)
            ok = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % S
            if head.startswith(b"HEAD"):
                c.sendall(ok)
            elif mode == "stale":
                if served:
                    return
                served = 1
                c.sendall(ok + bytes(S))
            elif mode == "hang":
                pass
            elif mode == "short":
                c.sendall(ok + b"x" * 1000)
                c.shutdown(socket.SHUT_WR)
                return
            elif mode == "reset":
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.close()
                return
            elif mode == "status":
                c.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
            elif mode == "length":
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
            elif mode == "garbage":
                c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
                return
            elif mode == "interim":
                for b in b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + ok:
                    c.sendall(bytes([b]))
                c.sendall(bytes(S))
            elif mode == "close":
                c.sendall(ok.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + bytes(S))
                return
    except OSError:
        pass
    finally:
        c.close()
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 8081))
s.listen(100)
print("ready", file=sys.stderr, flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
PY
	pids+=($!)
	wait_ready "$tmp/bad.log"
}

misbehaving() { # mode, engine, expression
	local rc
	bad_server "$1" || return 1
	in_ns "$load" --content "$tmp/c" --connections 4 --warmup 50ms --duration 650ms --timeout 300ms \
		--verify off --url http://127.0.0.1:8081 --engine "$2" >"$tmp/out" 2>"$tmp/err"
	rc=$?
	stop_all
	[ $rc -eq 0 ] || { # nothing at all arrived: the sentence counts the errors
		grep -q 'nothing came from .* in the window ([1-9][0-9]* errors)' "$tmp/err" && [ "$3" = none ] && return 0
		echo "exit $rc: $(cat "$tmp/err")"
		return 1
	}
	holds "$3"
}

null_http() { # pipelining, HEAD, errors, split requests, byte for byte
	in_ns python3 - <<'PY'
import hashlib, socket
S, M = 307200, (1 << 64) - 1
def mix(z):
    z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & M
    z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & M
    return z ^ (z >> 31)
def obj(i, seed=1):
    k = mix(seed ^ mix(i + 1))
    return b"".join(mix((k + w * 0x9e3779b97f4a7c15) & M).to_bytes(8, "little") for w in range(S // 8))
def ask(data, pieces=1):
    c = socket.create_connection(("127.0.0.1", 8080))
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    n = max(1, len(data) // pieces)
    for i in range(0, len(data), n):
        c.sendall(data[i:i + n])
    c.settimeout(10)
    got = b""
    while True:
        d = c.recv(65536)
        if not d:
            return got
        got += d
g = lambda p, v="1.1", m="GET", h="": f"{m} {p} HTTP/{v}\r\nHost: x\r\n{h}\r\n".encode()
got = ask(g("/hot/000003") + g("/hot/000004", m="HEAD") + g("/cold/000007", h="Connection: close\r\n"), 7)
h1, rest = got.split(b"\r\n\r\n", 1)
assert h1.startswith(b"HTTP/1.1 200 OK") and rest[:S] == obj(3), "first"
h2, rest = rest[S:].split(b"\r\n\r\n", 1)
assert b"Content-Length: 307200" in h2 and b"Connection" not in h2, "HEAD"
h3, body = rest.split(b"\r\n\r\n", 1)
assert b"Connection: close" in h3 and body == obj((1 << 32) + 7), "third"
assert ask(g("/hot/000001", "1.0"))[-S:] == obj(1)
assert b" 404 " in ask(g("/nothing", h="Connection: close\r\n"))
assert b" 405 " in ask(g("/hot/000001", m="POST", h="Connection: close\r\n"))
assert b" 400 " in ask(b"hello\r\n\r\n")
assert b" 431 " in ask(b"GET /" + b"a" * 5000)
many = ask(g("/hot/000001") * 20 + g("/hot/000002", h="Connection: close\r\n"))
assert many.count(b"HTTP/1.1 200 OK") == 21 and many.endswith(obj(2)), "21 pipelined"
PY
}

ip netns add "$srv_ns" && ip -n "$srv_ns" link set lo up || exit 1
atlas_ip=127.0.0.1 cert ec
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$tmp/other.key" \
	-out "$tmp/other.pem" -days 2 -subj /CN=other 2>/dev/null
content "$tmp/c" 1 307200 20 200
content "$tmp/seed2" 2 307200 20 200
content "$tmp/size2" 1 1000 20 200
content "$tmp/few" 1 307200 3 3

null_up "$tmp/c" --workers 2 || { echo "not ok null server: $(cat "$tmp/null.log")"; exit 1; }
check "null server speaks HTTP, bytes exact" null_http
for e in curl sink mixed; do
	check "closed loop, $e" closed $plain $e
	check "closed loop, TLS, $e" closed $tls $e
	check "open loop, $e" open_loop $plain $e
	check "open loop, TLS, $e" open_loop $tls $e
done
check "verify all" verify_all $plain
check "verify all, TLS" verify_all $tls
check "events and exact window" events
check "residency" residency
check "SIGINT ends early" interrupted INT
check "SIGTERM ends early" interrupted TERM
check "another seed is noticed" eval "run --url $plain --engine curl --verify all --content '$tmp/seed2' &&
	holds \"d['responses'] == 0 and d['errors']['bad_content'] == d['errors_total'] > 0\""
check "another object size is noticed" fails 1 'the catalogue in .* says 1000' --url $plain --content "$tmp/size2"
check "another object size is noticed, sink" fails 1 'the catalogue in .* says 1000' --url $plain \
	--content "$tmp/size2" --engine sink
check "wrong certificate" fails 1 'certificate' --url $tls --cacert "$tmp/other.pem" --engine curl
check "wrong certificate, sink" fails 1 'certificate' --url $tls --cacert "$tmp/other.pem" --engine sink
check "insecure" eval "run --url $tls --insecure --engine mixed && holds \"\$good\""
check "HTTP to the TLS port" fails 1 'cannot connect' --url http://127.0.0.1:8443 --engine curl
check "TLS to the HTTP port" fails 1 'no answer within --timeout' --url https://127.0.0.1:8080 --engine sink \
	--insecure --timeout 500ms
check "too few ports" eval "in_ns sysctl -qw net.ipv4.ip_local_port_range='40000 40009' &&
	fails 1 'net.ipv4.ip_local_port_range' --url $plain"
in_ns sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
check "too few files" eval "( ulimit -n 90; fails 1 'open files' --url $plain )"
check "unknown option" fails 2 'unknown option --conections' --url $plain --conections 3
check "no catalogue" fails 1 "$tmp/nowhere/catalog.json" --url $plain --content "$tmp/nowhere"
check "unwritable certificate list" fails 1 "$tmp/nowhere.pem" --url $tls --engine sink --cacert "$tmp/nowhere.pem"
stop_all

null_up "$tmp/few" --corrupt /hot/000001
cp "$tmp/few/catalog.json" "$tmp/c/catalog.json"
for e in curl mixed; do
	check "one wrong byte, $e" one_bad_object $plain $e
	check "one wrong byte, TLS, $e" one_bad_object $tls $e
done
stop_all
content "$tmp/c" 1 307200 20 200

check "no server" fails 1 'cannot connect' --url $plain --engine curl
check "no server, sink" fails 1 'cannot connect' --url $plain --engine sink
for e in curl sink mixed; do
	check "server killed, $e" server_killed $plain $e
	check "server killed, TLS, $e" server_killed $tls $e
done
for e in curl sink; do
	check "server hangs, $e" misbehaving hang $e none
	check "short body, $e" misbehaving short $e "d['errors']['short_body'] == d['errors_total'] > 0"
	check "reset, $e" misbehaving reset $e none
	check "status 503, $e" misbehaving status $e none
	check "length 10, $e" misbehaving length $e "d['errors']['short_body'] == d['errors_total'] > 0"
	check "not HTTP, $e" misbehaving garbage $e none
	check "interim response in pieces, $e" misbehaving interim $e "d['errors_total'] == 0 and d['responses'] > 0"
	# libcurl gives up at the sixth stale connection of a handle, whatever lies between
	check "kept connection closed under a request, $e" misbehaving stale $e \
		"d['responses'] > 0 and d['reconnects'] > 0 and d['errors_total'] <= ('$e' == 'curl') * d['errors']['reset']"
	check "server closes each time, $e" misbehaving close $e \
		"d['errors_total'] == 0 and d['responses'] > 0 and d['reconnects'] > 0"
done
finish
