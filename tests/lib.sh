# Shared by tests/t_*.sh: two namespaces joined by a veth pair, atlas between them, results as lines.
# Everything made here has this shell's pid in its name and is removed on exit.
# shellcheck shell=bash disable=SC2034

bad=0
tmp=$(mktemp -d /var/tmp/dcn-test.XXXXXX)
srv_ns=dcnt-$$-s cli_ns=dcnt-$$-c
atlas_ip=198.18.0.2
atlas_pid=

cleanup() {
	trap - EXIT INT TERM
	[ -z "$atlas_pid" ] || { kill "$atlas_pid" 2>/dev/null; wait "$atlas_pid" 2>/dev/null; }
	for n in "$srv_ns" "$cli_ns"; do
		[ ! -e "/run/netns/$n" ] || ip netns del "$n"
	done
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

cert() { # ec | rsa: $tmp/KIND.pem and $tmp/KIND.key
	local alg=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1)
	[ "$1" = ec ] || alg=(-newkey rsa:2048)
	openssl req -x509 "${alg[@]}" -nodes -keyout "$tmp/$1.key" -out "$tmp/$1.pem" -days 2 -subj /CN=dcn \
		-addext "subjectAltName=IP:$atlas_ip,IP:198.18.0.1" 2>/dev/null
}

atlas_up() { # certificate kind, further arguments...
	local kind=$1 i
	shift
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
