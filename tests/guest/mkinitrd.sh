#!/bin/bash
# A tiny initramfs: busybox, the modules asked for with what they depend on, and ./init.
#
# usage: mkinitrd.sh DIR OUT MODULE...      DIR as made by setup.sh; $GUEST_MODULES: a directory with more modules
# Inside, /mods/NAME.order lists what to insert for NAME, in order.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(cd "$1" && pwd) out=$2
shift 2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,tmp,mods,host}
cp "$dir/root/bin/busybox" "$root/bin/busybox"
for a in $("$dir/root/bin/busybox" --list); do
	[ "$a" = busybox ] || ln -sf busybox "$root/bin/$a"
done

find_ko() {
	find ${GUEST_MODULES:+"$GUEST_MODULES"} "$dir"/root/lib/modules/*/kernel \( -name "$1.ko" -o -name "${1//_/-}.ko" \
		-o -name "${1//-/_}.ko" \) | sed -n 1p
}

declare -A seen
emit() { # module, file of the load order
	local name=${1//-/_} ko dep
	[ -z "${seen[$name]:-}" ] || return 0
	seen[$name]=1
	ko=$(find_ko "$1")
	[ -n "$ko" ] || return 0 # built in
	for dep in $(objcopy -O binary -j .modinfo --set-section-flags .modinfo=alloc "$ko" /dev/stdout |
		tr '\0' '\n' | sed -n 's/^depends=//p' | tr , ' '); do
		emit "$dep" "$2"
	done
	[ -f "$root/mods/$name.ko" ] || objcopy --strip-debug "$ko" "$root/mods/$name.ko"
	echo "$name" >>"$2"
}
for m in "$@"; do
	seen=()
	emit "$m" "$root/mods/${m//-/_}.order"
done
cp "$here/init" "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | "$dir/root/bin/busybox" cpio -o -H newc 2>/dev/null) >"$out"
