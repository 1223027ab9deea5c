#!/bin/bash
# Every storage back end against an NVMe controller that we did not write: QEMU's, behind its IOMMU.
# Prints `ok`, `not ok` and `skip` lines (the guest's and ours); exit 77 if the guest can't be had.
#
# usage: check-nvme.sh [BUILD_DIR]
# PARTS=nvme,diskmap,extents: what is run with the IOMMU; NO_IOMMU=0: without the boot that has none.
# DCN_KERNEL=TREE: another kernel, built there, with everything built in (lockdep.sh).
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
build=$(realpath "${1:-$tree/build}")
dir=${DCN_GUEST:-$build/guest}
[ -n "${DCN_KERNEL:-}" ] || "$here/setup.sh" "$dir" >/dev/null || { rc=$?; [ $rc -ne 77 ] || { echo "skip check-nvme: no guest"; exit 77; }; exit 1; }
tmp=$(mktemp -d /var/tmp/dcn-guest.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
bad=0
PATH=$PATH:/usr/sbin:/sbin

# The kernel module, for the guest's kernel, without a warning.
module() {
	local headers
	headers=${DCN_KERNEL:-$dir/hdr/usr/src/linux-headers-$(cat "$dir/kernel" 2>/dev/null)}
	cp -r "$tree/stacks/atlas/nvme/diskmap" "$tmp/diskmap"
	if make -s -C "$headers" M="$tmp/diskmap" W=1 modules >"$tmp/log" 2>&1 && ! grep -E 'warning|error' "$tmp/log"; then
		echo "ok diskmap: builds without warnings (W=1)"
	else
		echo "not ok diskmap: builds without warnings (W=1): $(grep -m 1 -E 'warning|error' "$tmp/log")"
		bad=1
	fi
	if ! command -v sparse >/dev/null; then
		echo "skip diskmap: sparse finds nothing: sparse is not installed"
	elif make -s -C "$headers" M="$tmp/diskmap" C=2 CHECK=sparse modules 2>&1 | grep 'diskmap/.*\(warning\|error\)'; then
		echo "not ok diskmap: sparse finds nothing: see above"
		bad=1
	else
		echo "ok diskmap: sparse finds nothing"
	fi
}

# A table with one partition: 300 MiB from 1 MiB on.
partition() {
	printf '\0\0\0\0\203\0\0\0\0\10\0\0\0\140\11\0' | dd of="$1" bs=1 seek=446 conv=notrunc status=none &&
		printf '\125\252' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
}

# What the drives hold.
images() {
	"$build/nvme-check" --make 64MiB --seed 1 "$tmp/data0" && "$build/nvme-check" --make 64MiB --seed 2 "$tmp/data4k" &&
		"$build/nvme-check" --make 16MiB --seed 4 "$tmp/second" &&
		cp "$tmp/data0" "$tmp/err0" || return
	mkdir "$tmp/files" && "$build/nvme-check" --make 5000000 --seed 3 "$tmp/files/object" &&
		truncate -s 64M "$tmp/fs0" && mkfs.ext4 -q -O inline_data -d "$tmp/files" "$tmp/fs0" || return
	for i in data0 data4k second err0 fs0; do cp --sparse=always "$tmp/$i" "$tmp/$i.b"; done
	cat >"$tmp/errors" <<X
[inject-error]
event = "read_aio"
errno = "5"
sector = "2048"
once = "off"
X
	if ! command -v mkfs.xfs >/dev/null; then
		echo "skip extents, xfs: mkfs.xfs is not installed; make deps"
		return
	fi
	# XFS wants 300 MB. It lies on a partition, 1 MiB from the start.
	printf '/\n0 0\nd--755 0 0\nobject ---644 0 0 %s\n$\n' "$tmp/files/object" >"$tmp/proto"
	truncate -s 302M "$tmp/fs1" && truncate -s 300M "$tmp/xfs" &&
		partition "$tmp/fs1" &&
		mkfs.xfs -q -p "$tmp/proto" "$tmp/xfs" &&
		dd if="$tmp/xfs" of="$tmp/fs1" bs=1M seek=1 conv=sparse,notrunc status=none && rm "$tmp/xfs"
}

# Each boot has images of its own: both run at once.
# shellcheck disable=SC2054 # commas are QEMU's
drives() { # suffix of the images; sets `data`
	local errors=driver=raw,file.driver=blkdebug,file.config=$tmp/errors,file.image.driver=file
	data=(
		-drive "if=none,id=d0,file=$tmp/data0$1,format=raw" -device nvme,serial=data0,drive=d0,mdts=5
		-drive "if=none,id=d1,file=$tmp/data4k$1,format=raw" -device nvme,id=c1,serial=data4k
		-device nvme-ns,drive=d1,bus=c1,logical_block_size=4096,physical_block_size=4096,nsid=1
		-drive "if=none,id=d6,file=$tmp/second$1,format=raw" -device nvme-ns,drive=d6,bus=c1,nsid=2
		-drive "if=none,id=d2,$errors,file.image.filename=$tmp/err0$1" -device nvme,serial=err0,drive=d2
		-drive "if=none,id=d4,file=$tmp/fs0$1,format=raw" -device nvme,serial=fs0,drive=d4
	)
	[ -z "$1" ] || return 0
	data+=(
		-device "intel-iommu,intremap=on"
		-drive "if=none,id=d3,driver=null-co,size=64M,latency-ns=3000000000,read-zeroes=on"
		-device nvme,serial=slow0,drive=d3,addr=0x1e
	)
	[ ! -e "$tmp/fs1" ] ||
		data+=(-drive "if=none,id=d5,file=$tmp/fs1,format=raw" -device nvme,serial=fs1,drive=d5)
}

boot() { # suffix, parts
	drives "$1"
	"$here/boot.sh" -d "$dir" -i "$tmp/initrd" -m 1280 -c 2 -t 300 "$here/storage.sh" \
		"$build,$tmp/hostile,$tmp/direct,$2" -- "${data[@]}" 2>>"$tmp/qemu.log"
}

module
${CC:-cc} -O1 -Wall -Wextra -pthread -o "$tmp/hostile" "$tmp/diskmap/hostile.c" &&
	${CC:-cc} -O1 -Wall -Wextra -o "$tmp/direct" "$tmp/diskmap/direct.c" || exit 1
export GUEST_MODULES=$tmp/diskmap
"$here/mkinitrd.sh" "$dir" "$tmp/initrd" virtio_pci 9p 9pnet_virtio nvme vfio_pci vfio_iommu_type1 ext4 xfs overlay \
	crc32c_generic diskmap veth af_packet sch_fq || exit 1
images || exit 1

if [ "${NO_IOMMU:-1}" = 1 ]; then
	{
		boot .b diskmap >"$tmp/out.b"
		echo $? >"$tmp/rc.b"
	} &
fi
boot "" "${PARTS:-nvme,diskmap,extents}" | sed -u 's/^\(ok\|not ok\) diskmap/&[IOMMU]/'
[ "${PIPESTATUS[0]}" = 0 ] || bad=1
wait
if [ "${NO_IOMMU:-1}" = 1 ]; then
	sed 's/^\(ok\|not ok\) diskmap/&[no IOMMU]/' "$tmp/out.b"
	[ "$(cat "$tmp/rc.b")" = 0 ] || bad=1
fi

# What the guests wrote and put back is what lies in the images.
for i in 0:1 4k:2 0.b:1 4k.b:2; do
	"$build/nvme-check" --make 64MiB --seed "${i#*:}" "$tmp/want"
	if cmp -s "$tmp/want" "$tmp/data${i%:*}"; then
		echo "ok image data${i%:*} is as it was"
	else
		echo "not ok image data${i%:*} is as it was: it differs"
		bad=1
	fi
done
exit $bad
