#!/bin/bash
# Every command line in a document runs. Lines are taken from the READMEs (indented by four) and the manual
# pages (.Dl); names that stand for the reader's own (eth1, /srv/video, DIR ...) are replaced by ones of
# this test, long runs are shortened by further options. A program that no rule below knows is a failure.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root
need_programs curl openssl ip

programs='make|dcn|atlas|dcn-load|dcn-null|dcn-wan|dcn-whatif|iowindow|aead-bench|nvme-check'

documented() {
	local docs
	docs=$({ git ls-files '*.md' '*.1' 2>/dev/null || find . -name '*.md' -o -name '*.1'; } | sort)
	# shellcheck disable=SC2086 # file names without spaces
	sed -nE "s/^(    |\.Dl )(\\$ )?(($programs) .*)/\3/p" $docs |
		grep -vE '^dcn(s|c)?0? +198\.|^tests/' | sed -E 's/ {2,}.*//; s/ \[[^]]*\]//g; s/\\-/-/g' | sort -u
}

setup() {
	netns_up
	mkdir -p "$tmp/www" "$tmp/none"
	head -c 300000 /dev/urandom >"$tmp/www/index.html"
	cert ec
	ip -n "$srv_ns" link set v0 down && ip -n "$srv_ns" link set v0 name eth1 && ip -n "$srv_ns" link set eth1 up
	ip -n "$srv_ns" link add ws type veth peer name ws1
	ip -n "$srv_ns" link add wc type veth peer name wc1
	for i in ws ws1 wc wc1; do ip -n "$srv_ns" link set $i up; done
	ip -n "$srv_ns" addr add 198.18.2.254/24 dev ws
	ip -n "$srv_ns" addr add 198.18.3.254/24 dev wc
	ip netns exec "$srv_ns" sysctl -qw net.ipv4.ip_forward=1
	build/dcn run --no-plot --out "$tmp/smoke" --set content.dir="$tmp/content" --set sweep.connections=4 \
		--set sweep.tls=off --set run.duration=300ms --set run.repetitions=2 workloads/smoke.exp \
		>"$tmp/smoke.log" 2>&1 || { tail -n 2 "$tmp/smoke.log"; return 1; }
	content=$(dirname "$(find "$tmp/content" -name catalog.json | head -n 1)")
	ip netns exec "$srv_ns" build/dcn-null --ip 198.18.0.1 --content "$content" --port 80 --tls-port 443 \
		--cert "$tmp/ec.pem" --key "$tmp/ec.key" >"$tmp/null.log" 2>&1 &
	null_pid=$!
	sleep 1
}

# The server of these lines runs until it is told to stop: it must be up after a second and end well.
serves() { # command...
	"$@" >"$tmp/out" 2>&1 &
	local pid=$!
	sleep 1.5
	kill -TERM $pid 2>/dev/null || { cat "$tmp/out"; return 1; }
	wait $pid
	[ $? -eq 0 ] || { cat "$tmp/out"; return 1; }
}

subst() {
	sed -e "s#192\.0\.2\.2/24#$atlas_ip/24#; s#/srv/video#$tmp/www#; s#/srv/content#$content#; s#/srv/file#$tmp/file#" \
		-e "s#--content DIR#--content $content#; s#ca\.pem#$tmp/ec.pem#; s#\bc\.pem#$tmp/ec.pem#; s#\bk\.pem#$tmp/ec.key#" \
		-e "s#results/[a-z0-9]*/2026[0-9A-Za-z-]*#$tmp/smoke#; s#--create 2GiB#--create 32MiB#; s#--out DIR#--out $tmp/whatif#" \
		<<<"$1"
}

run_line() {
	local -a word
	read -ra word <<<"$(subst "$1")"
	local prog=${word[0]}
	word[0]=build/$prog
	case "$prog ${word[1]:-}" in
	'make -C'*) # a kernel module: where there are headers to build it with
		[ ! -d "/lib/modules/$(uname -r)/build" ] || make -n "${word[@]:1}" ;;
	make*) make -n "${word[@]:1}" ;; # running `make check` from within itself would never end
	'atlas '*) serves ip netns exec "$srv_ns" "${word[@]}" ;;
	'dcn-null '*) serves ip netns exec "$srv_ns" "${word[@]}" --port 8080 --tls-port 8443 ;;
	'dcn-wan '*) serves ip netns exec "$srv_ns" "${word[@]}" ;;
	'dcn-load '*)
		[[ $1 != *'--rate'* ]] || word+=(--rate 50)
		in_client "${word[@]}" --duration 500ms --warmup 100ms --connections 32 --cache-ratio 0 ;;
	'dcn run') "${word[@]}" --no-plot --out "$tmp/run$RANDOM" --set content.dir="$tmp/content" --set content.hot=4MiB \
		--set content.cold=32MiB --set content.object_size=64KiB --set content.cache_budget=none --set sweep.connections=4 \
		--set sweep.stack=null --set run.duration=300ms --set run.warmup=100ms --set run.repetitions=1 ;;
	'dcn compare') build/dcn compare --stacks null,null --metrics net_gbps "$tmp/smoke" && [[ $1 == *--stacks* ]] ;;
	'dcn headroom') "${word[@]:0:2}" "$tmp/smoke" || [ $? -eq 1 ] ;; # 1: every run was invalid on a busy machine
	'dcn restore') build/dcn restore ;;
	'dcn catalog') # needs a disk of its own, and the right to read it
		"${word[@]:0:2}" "$content" "$tmp/extents.json" 2>"$tmp/out" ||
			grep -qE 'superblock|disk of its own|neither ext4' "$tmp/out" ;;
	'dcn '*) "${word[@]}" ;;
	'iowindow '*) [ -e "$tmp/file" ] || head -c 33554432 /dev/zero >"$tmp/file"
		"${word[@]}" --duration 300ms ;;
	'dcn-whatif '* | 'aead-bench '*) timeout 120 "${word[@]}" ;;
	*) echo "no rule for: $1"; return 1 ;;
	esac
}

setup >"$tmp/why" 2>&1 || { echo "not ok set-up: $(tail -n 2 "$tmp/why" | tr '\n' ' ')"; exit 1; }
n=0
while read -r line; do
	n=$((n + 1))
	check "$line" run_line "$line" </dev/null
done < <(documented)
kill "$null_pid" 2>/dev/null
wait "$null_pid" 2>/dev/null
if [ $n -lt 15 ]; then echo "not ok only $n command lines were found"; bad=1; fi
finish
