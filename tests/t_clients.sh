#!/bin/bash
# Real clients against atlas: curl, wget, wrk, h2load and Chromium, HTTP and HTTPS, whole files and
# ranges, byte-exact. Needs root (network namespaces).
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root
need_programs curl openssl ip

files=(0 1 511 512 513 4096 15871 15872 15873 16384 31744 63488 63489 307200 5000001)

setup() {
	netns_up
	mkdir -p "$tmp/www/sub"
	for n in "${files[@]}"; do
		head -c "$n" /dev/urandom >"$tmp/www/f$n"
	done
	cp "$tmp/www/f307200" "$tmp/www/sub/a b.ts"
	echo '#EXTM3U' >"$tmp/www/list.m3u8"
	ln -s /etc/passwd "$tmp/www/outside"
	ln -s f512 "$tmp/www/inside"
	mkdir "$tmp/www/noread"
	cert ec
	atlas_up "$@"
}

fetch_all() { # url prefix
	local n
	for n in "${files[@]}"; do
		in_client curl -sS --max-time 20 --cacert "$tmp/ec.pem" -o "$tmp/got" "$1/f$n" &&
			cmp -s "$tmp/got" "$tmp/www/f$n" || { echo "f$n differs"; return 1; }
	done
}

ranges() { # url prefix
	local r off len f=$tmp/www/f5000001
	for r in 0-0 1-1 0-511 511-512 15871-15872 100000-999999 4999999- -1 -70000 63487-63489; do
		in_client curl -sS --max-time 20 --cacert "$tmp/ec.pem" -r "$r" -o "$tmp/got" \
			-w '%{http_code}' "$1/f5000001" | grep -q 206 || { echo "range $r: no 206"; return 1; }
		case $r in
		-*) tail -c "${r#-}" "$f" >"$tmp/want" ;;
		*-) tail -c "+$((${r%-} + 1))" "$f" >"$tmp/want" ;;
		*) off=${r%-*} len=$((${r#*-} - ${r%-*} + 1))
			tail -c "+$((off + 1))" "$f" | head -c "$len" >"$tmp/want" ;;
		esac
		cmp -s "$tmp/got" "$tmp/want" || { echo "range $r differs"; return 1; }
	done
}

status() { # expected status, curl arguments...
	local want=$1 got
	shift
	got=$(in_client curl -sS --max-time 10 --path-as-is -o /dev/null -w '%{http_code}' "$@") || return 1
	[ "$got" = "$want" ] || { echo "status $got, not $want: $*"; return 1; }
}

statuses() {
	status 404 "$1/nothing" && status 404 "$1/sub" &&
		status 403 "$1/outside" && status 200 "$1/inside" &&
		status 400 "$1/../../etc/passwd" && status 400 "$1/%2e%2e/etc/passwd" || return 1
	status 405 -X DELETE "$1/f512" && status 416 -r 600-700 "$1/f512" &&
		status 200 -I "$1/f512" && status 200 "$1/sub/a%20b.ts" || return 1
	local etag
	etag=$(in_client curl -sSI "$1/f512" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
	status 304 -H "If-None-Match: $etag" "$1/f512" &&
		status 200 -H 'If-None-Match: "x"' "$1/f512" &&
		status 412 -H 'If-Match: "x"' "$1/f512"
}

keepalive() { # one connection, several requests, pipelined too
	in_client curl -sS --max-time 20 -o "$tmp/a" "$1/f512" -o "$tmp/b" "$1/f307200" -o "$tmp/c" "$1/f1" \
		-w '%{num_connects}\n' >"$tmp/n" &&
		cmp -s "$tmp/a" "$tmp/www/f512" && cmp -s "$tmp/b" "$tmp/www/f307200" &&
		[ "$(awk '{s += $1} END {print s}' "$tmp/n")" = 1 ]
}

pipelined() {
	local got
	got=$(in_client bash -c "exec 3<>/dev/tcp/$atlas_ip/80
		printf 'GET /f1 HTTP/1.1\r\nHost: x\r\n\r\nGET /f512 HTTP/1.1\r\nHost: x\r\n\r\nGET /f4096 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3
		timeout 10 cat <&3 | wc -c")
	[ "$got" -gt $((1 + 512 + 4096)) ] && [ "$got" -lt $((1 + 512 + 4096 + 1500)) ]
}

malformed() { # answered with 400, and the server stays up
	local got
	got=$(in_client bash -c "exec 3<>/dev/tcp/$atlas_ip/80; printf 'GET  / HTTP/9.9\r\nbad header\r\n\r\n' >&3; timeout 5 head -n1 <&3")
	case $got in *' 400 '* | *' 505 '*) ;; *) echo "got: $got"; return 1 ;; esac
	in_client bash -c "exec 3<>/dev/tcp/$atlas_ip/443; head -c 4000 /dev/urandom >&3; timeout 2 cat <&3" >/dev/null 2>&1
	status 200 "http://$atlas_ip/f512"
}

wget_get() {
	in_client wget -q -T 10 -t 1 --ca-certificate="$tmp/ec.pem" -O "$tmp/got" "$1/f307200" &&
		cmp -s "$tmp/got" "$tmp/www/f307200"
}

wrk_run() {
	in_client wrk -t1 -c16 -d2s "$1/f307200" >"$tmp/wrk" 2>&1 && grep -q 'requests in' "$tmp/wrk" &&
		! grep -qE 'Socket errors|Non-2xx' "$tmp/wrk" || { cat "$tmp/wrk"; return 1; }
}

h2load_run() {
	in_client h2load --h1 -n 200 -c 8 "$1/f307200" >"$tmp/h2load" 2>&1 &&
		grep -q '200 succeeded, 0 failed' "$tmp/h2load" || { tail -5 "$tmp/h2load"; return 1; }
}

fnv() { # FNV-1a of standard input, as the page computes it
	perl -0777 -ne '$h = 2166136261; for (unpack "C*") { $h = (($h ^ $_) * 16777619) & 0xffffffff } print $h'
}

chromium_get() { # url prefix
	local want_a want_r dom
	cat >"$tmp/www/page.html" <<'HTML'
<!doctype html><title>t</title><body>waiting<script>
const fnv = b => { let h = 2166136261; for (const x of b) h = Math.imul(h ^ x, 16777619) >>> 0; return h; };
(async () => {
  const a = new Uint8Array(await (await fetch('/f307200', {cache: 'no-store'})).arrayBuffer());
  const r = await fetch('/f5000001', {cache: 'no-store', headers: {Range: 'bytes=1000-70000'}});
  const p = new Uint8Array(await r.arrayBuffer());
  document.body.textContent = `a=${a.length}:${fnv(a)} r=${r.status}:${p.length}:${fnv(p)} end`;
})().catch(e => { document.body.textContent = 'failed ' + e + ' end'; });
</script>
HTML
	want_a=$(fnv <"$tmp/www/f307200")
	want_r=$(tail -c +1001 "$tmp/www/f5000001" | head -c 69001 | fnv)
	dom=$(HOME=$tmp in_client timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-quic \
		--no-first-run --disable-background-networking --disable-component-update --disable-sync \
		--ignore-certificate-errors --user-data-dir="$tmp/chromium" --virtual-time-budget=20000 \
		--dump-dom "$1/page.html" 2>"$tmp/chromium.log")
	case $dom in
	*"a=307200:$want_a r=206:69001:$want_r end"*) ;;
	*) echo "dom: $dom"; tail -n 3 "$tmp/chromium.log"; return 1 ;;
	esac
}

rsa() { # another server with an RSA certificate
	atlas_down
	cert rsa
	atlas_up rsa || return 1
	in_client curl -sS --max-time 10 --cacert "$tmp/rsa.pem" -o "$tmp/got" "https://$atlas_ip/f307200" &&
		cmp -s "$tmp/got" "$tmp/www/f307200" || return 1
	in_client curl -sS --max-time 10 --cacert "$tmp/rsa.pem" --tls13-ciphers TLS_AES_256_GCM_SHA384 \
		-o "$tmp/got" "https://$atlas_ip/f307200" && cmp -s "$tmp/got" "$tmp/www/f307200"
}

clean_stop() {
	kill -TERM "$atlas_pid"
	wait "$atlas_pid"
	[ $? -eq 0 ] || return 1
	atlas_pid=
	[ ! -e "$tmp/atlas.sock" ]
}

setup ec || { echo "not ok atlas starts: $(tail -n 3 "$tmp/atlas.log")"; exit 1; }
for u in "http://$atlas_ip" "https://$atlas_ip"; do
	p=${u%%:*}
	check "$p: every file byte-exact (curl)" fetch_all "$u"
	check "$p: ranges byte-exact (curl)" ranges "$u"
	have wget && check "$p: wget" wget_get "$u"
	have wrk && check "$p: wrk" wrk_run "$u"
	have h2load && check "$p: h2load" h2load_run "$u"
	if have chromium; then check "$p: chromium, whole and range" chromium_get "$u"; else echo "skip $p: chromium: not installed; make deps"; fi
done
check "status codes, traversal and symlinks" statuses "http://$atlas_ip"
check "keep-alive" keepalive "http://$atlas_ip"
check "pipelining" pipelined
check "malformed input is answered and survived" malformed
check "RSA certificate and AES-256-GCM" rsa
check "clean stop on SIGTERM" clean_stop
finish
