# shellcheck shell=dash disable=SC2015,SC2086,SC2154,SC2012,SC2034
# Runs in the guest (sourced by init): every storage back end against emulated controllers.
# Arguments: CHECK, the path of nvme-check.
#
# Drives, by serial: data0 (512-byte blocks, contents of seed 1), data4k (4096-byte blocks, seed 2), err0
# (reads of block 2048 fail), slow0 (answers after 8 s), fs0 (ext4 with one file).
check=$1
bad=0
say() { [ "$2" = 0 ] && echo "ok $1" || { echo "not ok $1: ${3:-exit $2}"; bad=1; }; }

dmesg -c >/dev/null
mods nvme crc32c_generic ext4
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(ls -d /sys/block/nvme*n1 2>/dev/null | wc -l)" -ge 5 ] && break
	sleep 0.5
done
for n in /sys/class/nvme/nvme*; do
	s=$(sed 's/ *$//' "$n/serial")
	eval "dev_$s=${n##*/}n1 bdf_$s=$(cat "$n/address")"
done

$H "$check" --label "uring 512" --write uring:/dev/$dev_data0 || bad=1
$H "$check" --label "uring 4096" --seed 2 --write uring:/dev/$dev_data4k || bad=1
$H "$check" --label "uring" --error 1MiB uring:/dev/$dev_err0 || bad=1
$H "$check" --label "passthru 512" --write passthru:/dev/ng${dev_data0#nvme} || bad=1
$H "$check" --label "passthru 4096" --seed 2 --nofd --write passthru:/dev/ng${dev_data4k#nvme} || bad=1
$H "$check" --label "passthru" --error 1MiB passthru:/dev/ng${dev_err0#nvme} || bad=1

mods vfio_iommu_type1 vfio_pci
$H "$check" --label "vfio polled 512" --poll --write vfio:$bdf_data0 || bad=1
$H "$check" --label "vfio interrupts 4096" --seed 2 --write vfio:$bdf_data4k || bad=1
$H "$check" --label "vfio" --error 1MiB vfio:$bdf_err0 || bad=1
[ -e /sys/class/nvme ] && [ "$(basename "$(readlink /sys/bus/pci/devices/$bdf_data0/driver)")" = nvme ]
say "vfio gives the device back to its driver" $?

# Several threads, a queue pair each; counted, not timed: system calls a read.
window="$H ${check%/*}/iowindow --window 64 --batch 16 --duration 1s --json"
field() { sed "s/.*\"$1\":\([^,}]*\).*/\1/" /tmp/out; }
$window --threads 2 --poll --device vfio:$bdf_data0 >/tmp/out 2>&1
[ "$(field errors)" = 0 ] && [ "$(field syscalls_per_io)" = 0.0 ]
say "vfio polled by two threads makes no system call" $? "$(tail -n 1 /tmp/out)"
give_back() { [ -e /dev/$dev_data0 ] && return; sleep 1; }
for i in 1 2 3 4 5; do give_back; done
$window --device uring:/dev/$dev_data0 >/tmp/out 2>&1
[ "$(field errors)" = 0 ] && [ "$(field syscalls_per_io | awk '{print ($1 <= 0.1)}')" = 1 ]
say "uring makes at most 0.1 system calls a read" $? "$(tail -n 1 /tmp/out)"

# An owner that dies leaves a note; the next one takes over, and the device works.
: >/tmp/out
$H "$check" --forever vfio:$bdf_data0 >/tmp/out 2>&1 &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10; do grep -q running /tmp/out && break; sleep 0.3; done
kill -9 $pid
wait $pid 2>/dev/null
$H "$check" --label "vfio after an owner was killed" --poll vfio:$bdf_data0 || bad=1
$H "${check%/*}/dcn" restore >/tmp/out 2>&1
[ "$(basename "$(readlink /sys/bus/pci/devices/$bdf_data0/driver)")" = nvme ]
say "dcn restore gives back what a dead owner had" $? "$(tail -n 1 /tmp/out)"
$H "$check" --label "vfio timeout" --error 1MiB vfio:$bdf_slow0,timeout=1s >/tmp/out 2>&1
grep -q "^ok vfio timeout: an error of the device reaches" /tmp/out
say "vfio: a command without an answer times out" $? "$(head -n 3 /tmp/out | tr '\n' ' ')"

# A mounted file system keeps its controller.
mkdir -p /mnt
mount -t ext4 /dev/$dev_fs0 /mnt
$H "$check" vfio:$bdf_fs0 >/tmp/out 2>&1
grep -q "mounted or otherwise in use" /tmp/out
say "vfio refuses a mounted device" $? "$(tail -n 1 /tmp/out)"
$H "$check" --write passthru:/dev/ng${dev_fs0#nvme} >/tmp/out 2>&1
grep -q "mounted or otherwise in use" /tmp/out
say "passthru refuses to write to a mounted device" $? "$(tail -n 1 /tmp/out)"
umount /mnt

dmesg | grep -iE 'DMAR.*fault|BUG|WARNING|Oops|general protection' >/tmp/klog
[ ! -s /tmp/klog ]
say "the kernel log is clean" $? "$(head -n 2 /tmp/klog | tr '\n' ' ')"
(exit $bad)
