#!/bin/bash
# The Linux kernel's TCP as atlas's peer over long and lossy paths: {0, 20, 80 ms} x {0, 0.1, 1, 3 %}, plaintext
# and TLS at once, every byte compared. Each path is a testbed of its own with its own atlas and WAN box; all run
# side by side, because they mostly wait.
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_root
need_programs ip curl openssl python3
WAN=${WAN:-build/dcn-wan}
[ -x "$WAN" ] || { echo "skip all: $WAN is not built"; exit 77; }

bytes=3000001 # not a multiple of segment, record or block
main=$tmp
labs=()

cleanup() { # of the script: its labs first, each takes down its own
	trap - EXIT INT TERM
	local p
	for p in "${labs[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${labs[@]}"; do wait "$p"; done
	rm -rf "$main"
}

lab_cleanup() {
	trap - EXIT INT TERM
	local p
	for p in $(jobs -p); do kill "$p" 2>/dev/null; done
	wait
	netns_down
}

fetch() { # scheme, file of the answer
	in_client curl -sS --max-time 150 --cacert "$main/ec.pem" -o "$2" "$1://$atlas_ip/object" &&
		cmp "$2" "$main/www/object"
}

# What both ends counted: losses were there, and repaired; nothing was sealed twice with another tag.
counted() { # loss
	python3 - "$tmp/wan.json" "$tmp/stats.json" "$1" "$bytes" <<-'PY'
		import json, sys
		wan, atlas = (json.load(open(p)) for p in sys.argv[1:3])
		loss, size = float(sys.argv[3]), int(sys.argv[4])
		total = lambda group, name: sum(w[group][name] for w in atlas["workers"])
		assert total("tcp", "bytes_out") >= 2 * size, "bytes_out"
		assert sum(w["guard_resets"] + w["read_errors"] for w in atlas["workers"]) == 0, "guard_resets, read_errors"
		if loss:
		    lost = wan["down"]["lost_random"]
		    assert lost > 0, "the WAN box lost nothing"
		    assert total("tcp", "bytes_rexmit") >= lost * 500, "%d packets lost, %d bytes sent again" % (
		        lost, total("tcp", "bytes_rexmit"))
	PY
}

path() { # rtt in ms, loss in per cent
	local a b
	wan_netns_up || return 1
	wan_up --rtt "$1ms" --loss "$2" --seed 4711 --segment mss || return 1
	ip netns exec "$srv_ns" "${ATLAS:-build/atlas}" --if v0 --ip "$atlas_ip/24" --gw 198.18.0.254 --root "$main/www" \
		--tls-cert "$main/ec.pem" --tls-key "$main/ec.key" --stats "$tmp/atlas.sock" --io-window 16 --buffers 64 \
		>"$tmp/atlas.out" 2>"$tmp/atlas.log" &
	atlas_pid=$!
	for _ in $(seq 200); do grep -qs ready "$tmp/atlas.log" && break; sleep 0.05; done
	fetch http "$tmp/plain" &
	a=$!
	fetch https "$tmp/tls" &
	b=$!
	wait $a || { echo "plaintext"; wait $b; return 1; }
	wait $b || { echo "TLS"; return 1; }
	sleep 0.5 # atlas copies its rooms' counters ten times a second
	python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
print(b"".join(iter(lambda: s.recv(65536), b"")).decode())' "$tmp/atlas.sock" >"$tmp/stats.json" || return 1
	wan_down || return 1
	counted "$2"
}

lab() { # number, rtt, loss
	srv_ns=dcnt-$$-s$1 wan_ns=dcnt-$$-w$1 cli_ns=dcnt-$$-c$1
	tmp=$main/$1
	mkdir "$tmp"
	trap lab_cleanup EXIT
	trap 'exit 130' INT TERM
	path "$2" "$3"
}

mkdir "$main/www"
cert ec
python3 -c 'import random, sys; random.seed(1); sys.stdout.buffer.write(random.randbytes(int(sys.argv[1])))' \
	"$bytes" >"$main/www/object"
n=0 names=()
for rtt in 0 20 80; do
	for loss in 0 0.1 1 3; do
		lab $n $rtt $loss >"$main/why$n" 2>&1 &
		labs+=($!)
		names+=("$rtt ms, $loss % loss")
		n=$((n + 1))
	done
done
for i in "${!labs[@]}"; do
	check "kernel as peer, ${names[i]}: exact, plaintext and TLS" eval "wait ${labs[i]} || { cat '$main/why$i'; false; }"
done
labs=()
finish
