#!/bin/bash
# make install and uninstall: everything lands under the prefix, works from there, and goes again; what
# was there before stays.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0
check() { # name, command...
	local name=$1 why
	shift
	if why=$("$@" 2>&1); then
		echo "ok $name"
	else
		echo "not ok $name: $(printf '%s' "$why" | tail -n 2 | tr '\n' ' ')"
		bad=1
	fi
}
tmp=$(mktemp -d /tmp/dcn-install.XXXXXX)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
build=${BUILD:-build}
[ -x "$build/dcn" ] || { echo "skip all: $build/dcn is not built; make"; exit 77; }

mkdir -p "$tmp/pre/fix/bin"
echo mine >"$tmp/pre/fix/bin/other"
check install tests/install "$tmp/pre/fix" "$build" install
for f in bin/dcn bin/dcn-load bin/atlas bin/dcn-null share/dcn/workloads/fig2.exp share/dcn/plots/fig2.gp \
	share/man/man1/atlas.1; do
	check "has $f" test -s "$tmp/pre/fix/$f"
done
check "atlas runs" "$tmp/pre/fix/bin/atlas" --help
check "dcn describes an installed experiment" "$tmp/pre/fix/bin/dcn" describe \
	"$tmp/pre/fix/share/dcn/workloads/smoke.exp"
check "again over itself" tests/install "$tmp/pre/fix" "$build" install
check uninstall tests/install "$tmp/pre/fix" "$build" uninstall
check "nothing of ours is left" test "$(cd "$tmp/pre/fix" && find . -type f)" = ./bin/other
check "uninstall twice" tests/install "$tmp/pre/fix" "$build" uninstall
# shellcheck disable=SC2317 # called through check
refuses() { ! tests/install /proc/nowhere "$build" install 2>"$tmp/err" && grep -q /proc/nowhere "$tmp/err"; }
check "says where it can't write" refuses
exit $bad
