#!/bin/bash
# The diskmap module under a kernel that checks its locks. Debian ships no such kernel (none of its amd64, cloud
# and rt images has CONFIG_PROVE_LOCKING), but the source: this builds it, small, with lockdep, atomic-sleep, DMA and slab
# checks, and runs diskmap.sh there, hostile program included, with and without the IOMMU. A log with any
# complaint fails.
#
# usage: lockdep.sh [BUILD_DIR]     some ten minutes and 2 GB the first time, so not part of `make check`
# DCN_LOCKDEP=DIR: where the kernel is built and kept (default BUILD_DIR/guest-lockdep).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${1:-$here/../../build}")
dir=${DCN_LOCKDEP:-$build/guest-lockdep}
skip() { echo "skip lockdep: $*"; exit 77; }

for p in flex bison bc; do command -v $p >/dev/null || skip "$p is not installed: apt-get install flex bison bc libelf-dev"; done
guest=$("$here/setup.sh" "${DCN_GUEST:-$build/guest}") || skip "no guest"
mkdir -p "$dir/root/bin" "$dir/root/lib/modules/none/kernel"
cp "$guest/root/bin/busybox" "$dir/root/bin/"
version=$(sed 's/^\([0-9]*\.[0-9]*\).*/\1/' "$guest/kernel")
tree=$dir/linux-source-$version
if [ ! -e "$dir/ready" ]; then
	(cd "$dir" && apt-get download -qq "linux-source-$version") || skip "cannot download linux-source-$version"
	dpkg-deb --fsys-tarfile "$dir"/linux-source-*.deb | tar -xO "./usr/src/linux-source-$version.tar.xz" | tar -xJ -C "$dir"
	rm "$dir"/linux-source-*.deb
	make -s -C "$tree" allnoconfig KCONFIG_ALLCONFIG="$here/lockdep.config"
	nice make -s -C "$tree" -j"$(nproc)" vmlinux modules
	ln -sf "$tree/vmlinux" "$dir/vmlinux"
	touch "$dir/ready"
fi
DCN_KERNEL=$tree DCN_GUEST=$dir PARTS=diskmap "$here/check-nvme.sh" "$build"
