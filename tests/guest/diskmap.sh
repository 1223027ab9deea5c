# shellcheck shell=dash disable=SC2015,SC2086,SC2154,SC2012,SC2034
# Runs in the guest: the diskmap module against emulated controllers, honest programs and a hostile one.
# Arguments: CHECK (nvme-check), HOSTILE, DIRECT. Drives by serial as in nvme.sh: data0, data4k, err0, fs0.
check=$1 hostile=$2 direct=$3
bad=0
say() { [ "$2" = 0 ] && echo "ok diskmap: $1" || { echo "not ok diskmap: $1: ${3:-exit $2}"; bad=1; }; }

dmesg -c >/dev/null
mods nvme crc32c_generic ext4
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(ls -d /sys/block/nvme*n1 2>/dev/null | wc -l)" -ge 4 ] && break
	sleep 0.5
done
for n in /sys/class/nvme/nvme*; do
	s=$(sed 's/ *$//' "$n/serial")
	eval "dev_$s=${n##*/}n1 bdf_$s=$(cat "$n/address")"
done
give() { # bdf, driver ("" = the usual one)
	echo "$2" >/sys/bus/pci/devices/$1/driver_override
	[ ! -e /sys/bus/pci/devices/$1/driver ] || echo $1 >/sys/bus/pci/devices/$1/driver/unbind
	echo $1 >/sys/bus/pci/drivers_probe
}
load() {
	insmod /mods/diskmap.ko queues=3 depth=${1:-128} buffer_mib=64
}
wait_running() {
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		grep -q running /tmp/out 2>/dev/null && return
		sleep 0.3
	done
}

load
give $bdf_data0 diskmap
give $bdf_data4k diskmap
give $bdf_err0 diskmap
[ -c /dev/diskmap0 ] && [ -c /dev/diskmap2 ]
say "takes controllers" $? "$(dmesg | tail -n 1)"
dmesg | grep 'diskmap.*queues'

$H "$check" --label "diskmap 512" --write diskmap:0 || bad=1
$H "$check" --label "diskmap 4096" --seed 2 --write --poll diskmap:1 || bad=1
$H "$check" --label "diskmap" --error 1MiB diskmap:2 || bad=1
# Counted, not timed: one system call a batch.
$H "${check%/*}/iowindow" --window 64 --batch 16 --threads 2 --poll --duration 1s --json --device diskmap:0 >/tmp/out 2>&1
calls=$(sed 's/.*"syscalls_per_io":\([^,}]*\).*/\1/' /tmp/out)
grep -q '"errors":0' /tmp/out && [ "$(echo "$calls" | awk '{print ($1 <= 0.1)}')" = 1 ]
say "at most 0.1 system calls a read, two threads" $? "$(tail -n 1 /tmp/out)"
$H "$hostile" /dev/diskmap0 3 || bad=1

mode=none
[ ! -d /sys/class/iommu/dmar0 ] || mode=iommu
$H "$direct" /dev/diskmap0 $mode || bad=1

# Owners that die at a full window. All commands of a dead owner are over before its memory is free.
for k in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	: >/tmp/out
	$H "$check" --forever diskmap:0 >/tmp/out 2>&1 &
	pid=$!
	wait_running
	kill -9 $pid
	wait $pid 2>/dev/null
	grep -q running /tmp/out || { say "owner $k" 1 "$(cat /tmp/out)"; break; }
done
$H "$check" --label "diskmap after 20 killed owners" diskmap:0 || bad=1

# The device is taken away under a running program: it gets an error, the kernel no oops.
: >/tmp/out
$H "$check" --forever diskmap:1 >/tmp/out 2>&1 &
pid=$!
wait_running
give $bdf_data4k ""
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 $pid 2>/dev/null || break; sleep 0.5; done
if kill -9 $pid 2>/dev/null; then say "a program whose device is gone ends" 1; else say "a program whose device is gone ends" 0; fi
wait $pid 2>/dev/null

give $bdf_data0 ""
give $bdf_err0 ""
rmmod diskmap
say "unloads" $?
load 512
give $bdf_fs0 diskmap
[ -c /dev/diskmap0 ]
say "loads again" $?
give $bdf_fs0 ""
rmmod diskmap
sleep 1
mkdir -p /mnt
for d in /sys/bus/pci/devices/$bdf_fs0/nvme/nvme*/nvme*n1; do mount -t ext4 -o ro /dev/${d##*/} /mnt; done
[ -s /mnt/object ]
say "the kernel has its device again and mounts it" $?
umount /mnt

dmesg | grep -iE 'DMAR.*fault|BUG|WARNING|Oops|general protection|no answer|lockdep|possible' >/tmp/klog
[ ! -s /tmp/klog ]
say "the kernel log is clean" $? "$(head -n 3 /tmp/klog | tr '\n' ' ')"
(exit $bad)
