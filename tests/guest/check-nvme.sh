#!/bin/bash
# Every storage back end against an NVMe controller that we did not write: QEMU's, behind its IOMMU.
# Prints `ok`, `not ok` and `skip` lines (the guest's and ours); exit 77 if the guest can't be had.
# usage: check-nvme.sh [BUILD_DIR]
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
build=$(realpath "${1:-$tree/build}")
dir=${DCN_GUEST:-$build/guest}
"$here/setup.sh" "$dir" >/dev/null || { rc=$?; [ $rc -ne 77 ] || { echo "skip check-nvme: no guest"; exit 77; }; exit 1; }
tmp=$(mktemp -d /var/tmp/dcn-guest.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
bad=0

# The kernel module, for the guest's kernel, without a warning.
cp -r "$tree/stacks/atlas/nvme/diskmap" "$tmp/diskmap"
if make -s -C "$dir/hdr/usr/src/linux-headers-$(cat "$dir/kernel")" M="$tmp/diskmap" W=1 modules >"$tmp/log" 2>&1 &&
	! grep -E 'warning|error' "$tmp/log"; then
	echo "ok diskmap: builds without warnings"
else
	echo "not ok diskmap: builds without warnings: $(grep -m 1 -E 'warning|error' "$tmp/log")"
	bad=1
fi
if ! command -v sparse >/dev/null; then
	echo "skip diskmap: sparse finds nothing: sparse is not installed"
elif make -s -C "$dir/hdr/usr/src/linux-headers-$(cat "$dir/kernel")" M="$tmp/diskmap" C=2 CHECK=sparse modules 2>&1 |
	grep 'diskmap/.*\(warning\|error\)'; then
	echo "not ok diskmap: sparse finds nothing: see above"
	bad=1
else
	echo "ok diskmap: sparse finds nothing"
fi
${CC:-cc} -O1 -Wall -Wextra -pthread -o "$tmp/hostile" "$tmp/diskmap/hostile.c" &&
	${CC:-cc} -O1 -Wall -Wextra -o "$tmp/direct" "$tmp/diskmap/direct.c" || exit 1

export GUEST_MODULES=$tmp/diskmap
"$here/mkinitrd.sh" "$dir" "$tmp/initrd" virtio_pci 9p 9pnet_virtio nvme vfio_pci vfio_iommu_type1 ext4 \
	crc32c_generic diskmap veth af_packet || exit 1
"$build/nvme-check" --make 64MiB --seed 1 "$tmp/data0" && "$build/nvme-check" --make 64MiB --seed 2 "$tmp/data4k" &&
	cp "$tmp/data0" "$tmp/err0" || exit 1
mkdir "$tmp/files" && "$build/nvme-check" --make 5000000 --seed 3 "$tmp/files/object" &&
	truncate -s 64M "$tmp/fs0" && mkfs.ext4 -q -d "$tmp/files" "$tmp/fs0" || exit 1
cat >"$tmp/errors" <<X
[inject-error]
event = "read_aio"
errno = "5"
sector = "2048"
once = "off"
X

# shellcheck disable=SC2054 # commas are QEMU's
data=(
	-drive "if=none,id=d0,file=$tmp/data0,format=raw" -device nvme,serial=data0,drive=d0,mdts=5
	-drive "if=none,id=d1,file=$tmp/data4k,format=raw" -device nvme,id=c1,serial=data4k
	-device nvme-ns,drive=d1,bus=c1,logical_block_size=4096,physical_block_size=4096
	-drive "if=none,id=d2,driver=raw,file.driver=blkdebug,file.config=$tmp/errors,file.image.driver=file,file.image.filename=$tmp/err0"
	-device nvme,serial=err0,drive=d2
	-drive "if=none,id=d4,file=$tmp/fs0,format=raw" -device nvme,serial=fs0,drive=d4
)
# shellcheck disable=SC2054
slow=(
	-drive "if=none,id=d3,driver=null-co,size=64M,latency-ns=8000000000,read-zeroes=on"
	-device nvme,serial=slow0,drive=d3
)
# shellcheck disable=SC2054
iommu=(-device intel-iommu,intremap=on)
boot() { "$here/boot.sh" -d "$dir" -i "$tmp/initrd" -m 1280 -t 150 "$@" 2>"$tmp/qemu.log" || bad=1; }

[ -n "${ONLY_DISKMAP:-}" ] || boot "$here/nvme.sh" "$build/nvme-check" -- "${iommu[@]}" "${data[@]}" "${slow[@]}"
[ -n "${ONLY_NVME:-}" ] || boot -c 2 "$here/diskmap.sh" "$build/nvme-check,$tmp/hostile,$tmp/direct" -- "${iommu[@]}" "${data[@]}" | sed 's/^\(ok\|not ok\) /&[IOMMU] /'
[ -n "${ONLY_NVME:-}" ] || boot -c 2 "$here/diskmap.sh" "$build/nvme-check,$tmp/hostile,$tmp/direct" -- "${data[@]}" | sed 's/^\(ok\|not ok\) /&[no IOMMU] /'

[ -n "${ONLY_NVME:-}" ] || boot "$here/extents.sh" "$build" -- "${iommu[@]}" \
	-drive "if=none,id=d4,file=$tmp/fs0,format=raw" -device nvme,serial=fs0,drive=d4

# What the guest wrote and put back is what lies in the images.
for i in 0:1 4k:2; do
	"$build/nvme-check" --make 64MiB --seed "${i#*:}" "$tmp/want"
	if cmp -s "$tmp/want" "$tmp/data${i%:*}"; then
		echo "ok image data${i%:*} is as it was"
	else
		echo "not ok image data${i%:*} is as it was: it differs"
		bad=1
	fi
done
exit $bad
