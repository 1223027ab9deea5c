# shellcheck shell=dash disable=SC2015,SC2034,SC2046,SC2086,SC2154
# Runs in the guest (sourced by storage.sh): the diskmap module against emulated controllers, honest
# programs and a hostile one. Drives by serial as in nvme.sh: data0, data4k, err0, fs0.
check=$build/nvme-check
mode=none
[ ! -d /sys/class/iommu/dmar0 ] || mode=iommu

dmesg -c >/dev/null
mods nvme crc32c_generic ext4
find_disks 4
# 65: 64 for nvme-check, and the PRP lists of the mapped submission queue
load() { insmod /mods/diskmap.ko queues=3 depth=${1:-128} buffer_mib=65; }

load
give $bdf_data0 diskmap
give $bdf_data4k diskmap
give $bdf_err0 diskmap
[ -c /dev/diskmap0 ] && [ -c /dev/diskmap2 ]
say "diskmap: takes controllers" $? "$(dmesg | tail -n 1)"
dmesg | grep 'diskmap.*queues'

$H "$check" --label "diskmap 512" --write diskmap:0 || bad=1
$H "$check" --label "diskmap 4096" --seed 2 --write --poll diskmap:1 || bad=1
$H "$check" --label "diskmap namespace 2" --seed 4 --nsid 2 diskmap:1,nsid=2 || bad=1
$H "$check" --label "diskmap" --error 1MiB --status 281 diskmap:2 || bad=1
# Counted, not timed: one system call a batch.
few_calls() {
	calls=$(sed 's/.*"syscalls_per_io":\([^,}]*\).*/\1/' /tmp/out)
	grep -q '"errors":0' /tmp/out && [ "$(echo "$calls" | awk '{print ($1 <= 0.1)}')" = 1 ]
}
window="$H $build/iowindow --window 64 --batch 16 --poll --warmup 50ms --duration 400ms --json"
$window --threads 2 --device diskmap:0 >/tmp/out 2>&1
few_calls
say "diskmap: at most 0.1 system calls a read, two threads" $? "$(tail -n 1 /tmp/out)"
$H "$hostile" /dev/diskmap0 2 || bad=1

$H "$direct" /dev/diskmap0 $mode || bad=1
if [ $mode = iommu ]; then
	$H "$check" --label "diskmap direct 512" --write diskmap:0,direct || bad=1
	$H "$check" --label "diskmap direct 4096" --seed 2 --write --poll diskmap:1,nsid=1,direct || bad=1
	$H "$check" --label "diskmap direct" --error 1MiB --status 281 diskmap:2,direct || bad=1
	$window --device diskmap:0,direct >/tmp/out 2>&1
	few_calls
	say "diskmap direct: at most 0.1 system calls a read" $? "$(tail -n 1 /tmp/out)"
	kill_owners "diskmap direct" 5 diskmap:0,direct
else
	$H "$check" diskmap:0,direct >/tmp/out 2>&1
	grep -q "needs a translating IOMMU" /tmp/out
	say "diskmap direct: refused without an IOMMU, and why" $? "$(cat /tmp/out)"
fi

# Owners that die at a full window. All commands of a dead owner are over before its memory is free.
kill_owners diskmap 20 diskmap:0
$H "$check" --label "diskmap after 20 killed owners" diskmap:0 || bad=1

# The device is taken away under a running program: it gets an error, the kernel no oops.
start_owner diskmap:1
give $bdf_data4k ""
is_over() { ! kill -0 $pid 2>/dev/null; }
within 300 is_over
say "diskmap: a program whose device is gone ends" $?
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null

give $bdf_data0 ""
give $bdf_err0 ""
rmmod diskmap
say "diskmap: unloads" $?
load 512
give $bdf_fs0 diskmap
[ -c /dev/diskmap0 ]
say "diskmap: loads again" $?
give $bdf_fs0 ""
rmmod diskmap
mkdir -p /mnt
wait_disk $bdf_fs0 && mount -t ext4 -o ro /dev/$(disk $bdf_fs0) /mnt && [ -s /mnt/object ]
say "diskmap: the kernel has its device again and mounts it" $?
umount /mnt
clean_log diskmap
