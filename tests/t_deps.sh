#!/bin/bash
# tests/deps with stand-ins for dpkg-query, apt-get and id: what it asks for, when, and what it leaves.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0
tmp=$(mktemp -d /tmp/dcn-deps.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/bin"
export PATH="$tmp/bin:$PATH"

ok() { echo "ok $1"; }
no() { # name, file
	echo "not ok $1: $(tail -n 3 "$2" | tr '\n' ' ')"
	bad=1
}
stub() { # name; body on stdin
	{ echo '#!/bin/bash'; cat; } >"$tmp/bin/$1" && chmod 755 "$tmp/bin/$1"
}
run() { # uid, packages to leave out: output in $tmp/out, calls of apt-get in $tmp/calls
	: >"$tmp/calls"
	tests/deps list | sed 's/|.*//' | grep -vxF -e "$2" | sed 's/^/installed /' >"$tmp/have"
	stub id <<<"echo $1"
	tests/deps >"$tmp/out" 2>&1
	rc=$?
}

stub dpkg-query <<<"cat $tmp/have"
stub update-rc.d <<<"exit 0"
stub apt-get <<<"echo \"\$*\" >>$tmp/calls; ls /usr/sbin/policy-rc.d >>$tmp/policy 2>&1; exit 0"
before=$(cat /usr/sbin/policy-rc.d 2>/dev/null)

run 0 none
if [ $rc -eq 0 ] && [ ! -s "$tmp/out" ] && [ ! -s "$tmp/calls" ]; then
	ok "all there: silent and idle"
else
	no "all there: silent and idle" "$tmp/out"
fi

run 1000 fio
if [ $rc -eq 1 ] && grep -q 'run as root: apt-get install .*fio' "$tmp/out" && [ ! -s "$tmp/calls" ]; then
	ok "not root: says what to run"
else
	no "not root: says what to run" "$tmp/out"
fi

if [ "$(command id -u)" = 0 ] || [ -w /usr/sbin ]; then
	run 0 fio
	if [ $rc -eq 0 ] && grep -q 'install --no-install-recommends fio$' "$tmp/calls" &&
		! grep -q 'No such file' "$tmp/policy"; then
		ok "root: installs just that, with services held back"
	else
		no "root: installs just that, with services held back" "$tmp/out"
	fi
	stub apt-get <<<"echo \"\$*\" >>$tmp/calls; echo 'E: no such package'; exit 100"
	run 0 fio
	if [ $rc -eq 1 ] && grep -q 'E: no such package' "$tmp/out" && [ "$(grep -c ' install ' "$tmp/calls")" = 2 ]; then
		ok "failure: once more after an update, then the reason"
	else
		no "failure: once more after an update, then the reason" "$tmp/out"
	fi
	if [ "$before" = "$(cat /usr/sbin/policy-rc.d 2>/dev/null)" ]; then
		ok "policy-rc.d is as before"
	else
		no "policy-rc.d is as before" /usr/sbin/policy-rc.d
	fi
else
	echo "skip installation: needs root for policy-rc.d"
fi
exit $bad
