#!/bin/bash
# atlas on its own: every variant, several workers, memory, allocations, bad command lines, garbage
# on the wire. Needs root (network namespaces).
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root
need_programs curl openssl ip wrk perl

stat_sum() { # JSON name of a worker's counter: its sum over the workers
	perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "stats: $!\n";
		my ($t, $n) = (join("", <$s>), 0);
		$n += $1 while $t =~ /"$ARGV[1]":(\d+)/g;
		print $n' "$tmp/atlas.sock" "$1"
}

exact() { # url file
	in_client curl -sS --max-time 20 --cacert "$tmp/ec.pem" -o "$tmp/got" "$1/$2" &&
		cmp -s "$tmp/got" "$tmp/www/$2"
}

variant() {
	atlas_up ec --variant "$1" || { tail -n 2 "$tmp/atlas.log"; return 1; }
	exact "http://$atlas_ip" f307200 && exact "https://$atlas_ip" f307200 &&
		exact "http://$atlas_ip" f5000001 && exact "https://$atlas_ip" f5000001
	local rc=$?
	atlas_down
	return $rc
}

small_records() {
	atlas_up ec --record-size 1024 --pull 4096 --io-window 2 --buffers 8 --congestion newreno --no-pacing || return 1
	exact "https://$atlas_ip" f5000001 && exact "http://$atlas_ip" f5000001
	local rc=$?
	atlas_down
	return $rc
}

wrk_quietly() { # connections, url
	in_client wrk -t1 -c"$1" -d2s "$2/f307200" >"$tmp/wrk" 2>&1 && ! grep -qE 'Socket errors|Non-2xx' "$tmp/wrk"
}

workers() {
	atlas_up ec --workers 2 || return 1
	wrk_quietly 32 "http://$atlas_ip" && exact "http://$atlas_ip" f5000001 && exact "https://$atlas_ip" f5000001 || return 1
	sleep 0.3
	perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]);
		my @n = join("", <$s>) =~ /"requests":(\d+)/g;
		die "requests by worker: @n\n" unless @n == 2 && $n[0] && $n[1]' "$tmp/atlas.sock"
	local rc=$?
	atlas_down
	return $rc
}

# In the steady state nothing is allocated: jemalloc's counter of the worker does not move. The free lists grow to the
# most that was ever under way, on a busy machine some time after the start: so four times as many connections come before.
allocations() { # url
	local a b
	wrk_quietly 64 "$1" || return 1
	in_client wrk -t1 -c16 -d6s "$1/f307200" >"$tmp/wrk" 2>&1 &
	local pid=$!
	sleep 3
	a=$(stat_sum thread_allocated)
	sleep 2
	b=$(stat_sum thread_allocated)
	wait $pid
	[ "$a" -gt 0 ] || { echo "no jemalloc"; return 1; }
	[ "$a" -eq "$b" ] || { echo "allocated $((b - a)) bytes in 2 s"; return 1; }
}

interface_gone() {
	local i
	atlas_up "$@" || return 1
	ip -n "$cli_ns" link del v1
	for i in $(seq 50); do
		kill -0 "$atlas_pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -0 "$atlas_pid" 2>/dev/null && { echo "it still runs"; return 1; }
	wait "$atlas_pid"
	[ $? -eq 1 ] && grep -q "interface v0 has gone" "$tmp/atlas.log" || { cat "$tmp/atlas.log"; return 1; }
	atlas_pid=
	netns_down && netns_up
}

rss_kb() { awk '/^VmRSS/ {print $2}' "/proc/$atlas_real/status"; }

# Resident memory with N TLS connections that do next to nothing, into $rss.
rss_with() { # N
	: >"$tmp/events"
	in_client build/dcn-load --url "https://$atlas_ip" --content "$tmp/www" --connections "$1" --duration 4s \
		--warmup 500ms --mode open --rate 20 --cache-ratio 100 --verify off --engine sink --insecure \
		--events-fd 9 9>"$tmp/events" >"$tmp/load.json" 2>"$tmp/load.err" &
	local pid=$! i
	for i in $(seq 300); do grep -q start "$tmp/events" && break; sleep 0.1; done
	sleep 1
	rss=$(rss_kb)
	[ "$(stat_sum conns)" -ge "$1" ] || { echo "only $(stat_sum conns) of $1 connections"; cat "$tmp/load.err"; wait $pid; return 1; }
	wait $pid
}

# DESIGN: at 1,000 connections at most 64 MB beyond the I/O buffers; 4 KB an idle TLS connection.
memory() {
	local few many
	rss_with 1000 && few=$rss && rss_with 4000 && many=$rss || return 1
	echo "resident: $few KB with 1000 TLS connections, $many KB with 4000"
	[ $((few - 256 * 68)) -le $((64 * 1024)) ] && [ $((many - few)) -le $((3000 * 4)) ]
}

usage() { # expected exit, expected words, arguments...
	local want=$1 words=$2 rc
	shift 2
	ip netns exec "$srv_ns" build/atlas "$@" >"$tmp/out" 2>&1
	rc=$?
	[ $rc -eq "$want" ] && [ "$(wc -l <"$tmp/out")" -eq 1 ] && grep -q -- "$words" "$tmp/out" ||
		{ echo "exit $rc for: $*:"; cat "$tmp/out"; return 1; }
}

usages() {
	local ok=(--if v0 --ip "$atlas_ip/24" --root "$tmp/www")
	usage 2 'unknown option' --nonsense &&
		usage 2 'are needed' --if v0 &&
		usage 2 'root is needed' --if v0 --ip "$atlas_ip/24" &&
		usage 1 'cannot read the catalogue' --if v0 --ip "$atlas_ip/24" --device "extents:$tmp/none,uring:/dev/null" &&
		usage 2 'number from' "${ok[@]}" --io-window 0 &&
		usage 2 'ADDR/PREFIX' --if v0 --ip 198.18.0.2 --root / &&
		usage 2 'belong together' "${ok[@]}" --tls-cert x &&
		usage 2 'not known' "${ok[@]}" --variant fast &&
		usage 2 'multiple of 512' "${ok[@]}" --record-size 1000 &&
		usage 1 'nosuchif' --if nosuchif --ip "$atlas_ip/24" --root "$tmp/www" &&
		usage 1 '198.18.0.1' --if v0 --ip 198.18.0.1/24 --root "$tmp/www" &&
		usage 1 "$tmp/none" --if v0 --ip "$atlas_ip/24" --root "$tmp/none" &&
		usage 1 "$tmp/none.pem" "${ok[@]}" --tls-cert "$tmp/none.pem" --tls-key "$tmp/ec.key"
}

# Random frames, and frames that are nearly right, from a raw socket on the client's side.
garbage() {
	in_client perl -e '
		use Socket; srand 1;
		socket(my $s, 17, 3, unpack("n", pack("S", 3))) or die "socket: $!\n";
		ioctl($s, 0x8933, my $ifr = pack("a16x24", "v1")) or die "index: $!\n";
		my $to = pack("S n i x12", 17, 0x0800, unpack("x16 i", $ifr));
		my $ok = pack("H*", "ffffffffffff0200000000010800450000280001000040060000c6120081c6120002d903005000000001000000005002ffff00000000");
		for my $i (1 .. 20000) {
			my $f = $i % 2 ? $ok : pack("C*", map { int rand 256 } 1 .. 14 + rand 1400);
			substr($f, rand length $f, 1) = chr int rand 256 for 1 .. 3;
			send($s, $f, 0, $to);
		}'
	exact "http://$atlas_ip" f307200 && [ "$(stat_sum requests)" -gt 0 ]
}

netns_up
mkdir -p "$tmp/www/hot" "$tmp/www/cold"
for n in 307200 5000001; do head -c $n /dev/urandom >"$tmp/www/f$n"; done
for i in 0 1 2 3; do cp "$tmp/www/f307200" "$tmp/www/hot/00000$i"; done
cp "$tmp/www/f307200" "$tmp/www/cold/000000"
printf '{"version":1,"seed":1,"object_size":307200,"hot":4,"cold":1}\n' >"$tmp/www/catalog.json"
cert ec
for v in $(build/atlas --help | sed -n '/^Variants/,$ s/^  \([a-z]*\) .*/\1/p'); do
	check "atlas:$v serves exact bytes" variant "$v"
done
check "1 KiB records, a window of two reads, NewReno" small_records
check "two workers share the flows" workers
check "bad command lines: one sentence each" usages
atlas_up ec || { echo "not ok atlas starts"; exit 1; }
atlas_real=$atlas_pid
check "steady state allocates nothing, plaintext" allocations "http://$atlas_ip"
check "steady state allocates nothing, TLS" allocations "https://$atlas_ip"
check "garbage on the wire is survived" garbage
atlas_down
atlas_up ec
atlas_real=$atlas_pid
check "memory at 1,000 idle TLS connections" memory
check "an interface that goes ends the server with a sentence" interface_gone ec
check "the same for one that polls" interface_gone ec --variant poll
finish
