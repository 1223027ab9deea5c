# Shared by tests/t_*.sh: two namespaces joined by a veth pair, or three with the WAN box in the middle; atlas;
# results as lines.
# Everything made here has this shell's pid in its name and is removed on exit.
# shellcheck shell=bash disable=SC2034

bad=0
tmp=$(mktemp -d /var/tmp/dcn-test.XXXXXX)
srv_ns=dcnt-$$-s wan_ns=dcnt-$$-w cli_ns=dcnt-$$-c
atlas_ip=198.18.0.2
atlas_pid=
wan_pid=

netns_down() {
	local n
	for n in "$srv_ns" "$wan_ns" "$cli_ns"; do
		[ ! -e "/run/netns/$n" ] || ip netns del "$n"
	done
}

cleanup() {
	trap - EXIT INT TERM
	[ -z "$atlas_pid" ] || { kill "$atlas_pid" 2>/dev/null; wait "$atlas_pid" 2>/dev/null; }
	netns_down
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

have() { command -v "$1" >/dev/null; }

need_root() {
	[ "$(id -u)" -eq 0 ] || { echo "skip all: needs root for network namespaces"; exit 77; }
}

need_programs() {
	local p
	for p in "$@"; do
		have "$p" || { echo "skip all: $p is not installed; make deps"; exit 77; }
	done
}

check() { # name, command...
	local name=$1
	shift
	if "$@" >"$tmp/why" 2>&1; then
		echo "ok $name"
	else
		echo "not ok $name: $(tail -n 3 "$tmp/why" | tr '\n' ' ')"
		bad=1
	fi
}

finish() { exit $bad; }

in_client() { ip netns exec "$cli_ns" "$@"; }

netns_up() {
	ip netns add "$srv_ns" && ip netns add "$cli_ns" &&
		ip link add v0 netns "$srv_ns" type veth peer name v1 netns "$cli_ns" &&
		ip -n "$srv_ns" link set lo up && ip -n "$cli_ns" link set lo up &&
		ip -n "$srv_ns" addr add 198.18.0.1/24 dev v0 &&
		ip -n "$cli_ns" addr add 198.18.0.129/24 dev v1 &&
		ip -n "$srv_ns" link set v0 up && ip -n "$cli_ns" link set v1 up
}

in_wan() { ip netns exec "$wan_ns" "$@"; }

# server | wan | client: the kernel's 198.18.0.1 and atlas's address on one link, 198.18.1.129 behind the box.
wan_netns_up() {
	local n
	for n in "$srv_ns" "$wan_ns" "$cli_ns"; do
		ip netns add "$n" && ip -n "$n" link set lo up || return 1
	done
	ip link add v0 netns "$srv_ns" type veth peer name ws netns "$wan_ns" &&
		ip link add v1 netns "$cli_ns" type veth peer name wc netns "$wan_ns" &&
		ip -n "$srv_ns" addr add 198.18.0.1/24 dev v0 &&
		ip -n "$wan_ns" addr add 198.18.0.254/24 dev ws &&
		ip -n "$cli_ns" addr add 198.18.1.129/24 dev v1 &&
		ip -n "$wan_ns" addr add 198.18.1.254/24 dev wc &&
		ip -n "$srv_ns" link set v0 up && ip -n "$wan_ns" link set ws up &&
		ip -n "$wan_ns" link set wc up && ip -n "$cli_ns" link set v1 up &&
		ip -n "$srv_ns" route add default via 198.18.0.254 congctl cubic &&
		ip -n "$cli_ns" route add default via 198.18.1.254 &&
		in_wan sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

wan_up() { # options of the WAN box; statistics at $tmp/wan.sock, when it ends in $tmp/wan.json
	local _
	rm -f "$tmp/wan.log"
	ip netns exec "$wan_ns" "${WAN:-build/dcn-wan}" --server-if ws --client-if wc --stats "$tmp/wan.sock" "$@" \
		>"$tmp/wan.json" 2>"$tmp/wan.log" &
	wan_pid=$!
	for _ in $(seq 200); do
		grep -qs ready "$tmp/wan.log" && return 0
		kill -0 "$wan_pid" 2>/dev/null || break
		sleep 0.05
	done
	cat "$tmp/wan.log"
	return 1
}

wan_down() {
	kill "$wan_pid" && wait "$wan_pid"
	local rc=$?
	wan_pid=
	[ $rc -eq 0 ] || cat "$tmp/wan.log"
	return $rc
}

cert() { # ec | rsa: $tmp/KIND.pem and $tmp/KIND.key
	local alg=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1)
	[ "$1" = ec ] || alg=(-newkey rsa:2048)
	openssl req -x509 "${alg[@]}" -nodes -keyout "$tmp/$1.key" -out "$tmp/$1.pem" -days 2 -subj /CN=dcn \
		-addext "subjectAltName=IP:$atlas_ip,IP:198.18.0.1" 2>/dev/null
}

atlas_up() { # certificate kind, further arguments...
	local kind=$1 i
	shift
	[ -z "$atlas_pid" ] || atlas_down # of a check that failed half-way
	ip netns exec "$srv_ns" "${ATLAS:-build/atlas}" --if v0 --ip "$atlas_ip/24" --root "$tmp/www" \
		--tls-cert "$tmp/$kind.pem" --tls-key "$tmp/$kind.key" --stats "$tmp/atlas.sock" "$@" \
		>"$tmp/atlas.out" 2>"$tmp/atlas.log" &
	atlas_pid=$!
	for i in $(seq 100); do
		grep -q ready "$tmp/atlas.log" && return 0
		kill -0 "$atlas_pid" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

atlas_down() {
	kill "$atlas_pid" 2>/dev/null
	wait "$atlas_pid" 2>/dev/null
	atlas_pid=
}
