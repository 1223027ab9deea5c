#!/bin/bash
# What the guest needs, once: Debian's own kernel, its modules and headers, busybox; an ELF kernel that
# boots fast (PVH), and an initramfs. Nothing is installed but qemu (make deps); the kernel's packages are
# only unpacked. Prints the directory.
#
# usage: setup.sh [DIR]      default build/guest of this tree
# exit: 0, or 77 with a reason when the packages can't be had
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../../build/guest}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd)
skip() { echo "skip guest: $*" >&2; exit 77; }

command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is not installed; make deps"
command -v apt-get >/dev/null || skip "needs Debian packages of the guest's kernel"
command -v python3 >/dev/null || skip "needs python3 to unpack the kernel"

# The meta-package names the current kernel; it moves.
kernel=$(apt-cache show --no-all-versions linux-image-amd64 2>/dev/null |
	sed -n 's/^Depends: linux-image-\([^ ]*\).*/\1/p')
[ -n "$kernel" ] || skip "apt does not know linux-image-amd64; apt-get update"
stamp=$dir/ready-$kernel

if [ ! -e "$stamp" ]; then
	rm -rf "$dir"/{debs,root,hdr}
	mkdir -p "$dir"/{debs,root,hdr}
	kbuild=linux-kbuild-${kernel%%.*}.$(echo "$kernel" | cut -d. -f2)
	(cd "$dir/debs" && apt-get download -qq "linux-image-$kernel" "linux-headers-$kernel" \
		"linux-headers-${kernel%-amd64}-common" "$kbuild" busybox-static >&2) ||
		skip "cannot download the packages of kernel $kernel"
	dpkg-deb --fsys-tarfile "$dir"/debs/linux-image-*.deb | tar -x -C "$dir/root" ./boot \
		"./lib/modules/$kernel/kernel"
	dpkg -x "$dir"/debs/busybox-static_*.deb "$dir/root"
	for d in "$dir"/debs/linux-headers*.deb "$dir"/debs/linux-kbuild*.deb; do dpkg -x "$d" "$dir/hdr"; done
	sed -i "s#^include /usr/src#include $dir/hdr/usr/src#" "$dir/hdr/usr/src/linux-headers-$kernel/Makefile"
	python3 "$here/extract-vmlinux.py" "$dir/root/boot/vmlinuz-$kernel" "$dir/vmlinux"
	rm -rf "$dir/debs"
	touch "$stamp"
fi
echo "$kernel" >"$dir/kernel"
echo "$dir"
