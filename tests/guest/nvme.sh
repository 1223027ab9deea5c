# shellcheck shell=dash disable=SC2015,SC2034,SC2046,SC2086,SC2154
# Runs in the guest (sourced by storage.sh): every storage back end against emulated controllers.
#
# Drives, by serial: data0 (512-byte blocks, contents of seed 1), data4k (4096-byte blocks, seed 2), err0
# (reads of block 2048 fail), fs0 (ext4 with one file); at 0000:00:1e.0 one that answers after seconds.
check=$build/nvme-check
dmesg -c >/dev/null
slow=0000:00:1e.0
# The kernel would look for partitions on the slow one.
echo vfio-pci >/sys/bus/pci/devices/$slow/driver_override
param_nvme=poll_queues=1 mods nvme crc32c_generic ext4
find_disks 5
data0=$(disk $bdf_data0) data4k=$(disk $bdf_data4k) err0=$(disk $bdf_err0)

$H "$check" --label "uring 512" --write uring:/dev/$data0 || bad=1
$H "$check" --label "uring 4096" --seed 2 --write uring:/dev/$data4k || bad=1
$H "$check" --label "uring" --error 1MiB uring:/dev/$err0 || bad=1
irqs() { awk '/nvme/ && !/q0$/ {for (i = 2; i < NF; i++) if ($i + 0 == $i) s += $i} END {print s + 0}' /proc/interrupts; }
before=$(irqs)
$H "$check" --label "uring polled" --poll --write uring:/dev/$data0 >/tmp/out 2>&1 || bad=1
after=$(irqs)
cat /tmp/out
grep -q "^  uring, polled" /tmp/out && [ $before = $after ]
say "uring: polled completions take no interrupt" $? "$before, then $after interrupts; $(head -n 2 /tmp/out | tr '\n' ' ')"
$H "$check" --label "uring polled" --poll --error 1MiB uring:/dev/$err0 || bad=1
$H "$check" --label "passthru 512" --write passthru:/dev/ng${data0#nvme} || bad=1
$H "$check" --label "passthru 4096" --seed 2 --nofd --write passthru:/dev/ng${data4k#nvme} || bad=1
$H "$check" --label "passthru" --error 1MiB --status 281 passthru:/dev/ng${err0#nvme} || bad=1

mods vfio_iommu_type1 vfio_pci
$H "$check" --label "vfio polled 512" --poll --write vfio:$bdf_data0 || bad=1
$H "$check" --label "vfio interrupts 4096" --seed 2 --write vfio:$bdf_data4k || bad=1
$H "$check" --label "passthru namespace 2" --seed 4 --nsid 2 passthru:/dev/ng$(echo ${data4k#nvme} | sed s/n1$/n2/) || bad=1
$H "$check" --label "vfio namespace 2" --seed 4 --nsid 2 vfio:$bdf_data4k || bad=1
$H "$check" --label "vfio" --error 1MiB --status 281 vfio:$bdf_err0 || bad=1
[ -e /sys/class/nvme ] && [ "$(driver_of $bdf_data0)" = nvme ]
say "vfio gives the device back to its driver" $?

# Several threads, a queue pair each; counted, not timed: system calls a read.
window="$H $build/iowindow --window 64 --batch 16 --warmup 50ms --duration 400ms --json"
field() { sed "s/.*\"$1\":\([^,}]*\).*/\1/" /tmp/out; }
few_calls() { [ "$(field errors)" = 0 ] && [ "$(field syscalls_per_io | awk '{print ($1 <= 0.1)}')" = 1 ]; }
$window --threads 2 --poll --device vfio:$bdf_data0 >/tmp/out 2>&1
[ "$(field errors)" = 0 ] && [ "$(field syscalls_per_io)" = 0.0 ]
say "vfio polled by two threads makes no system call" $? "$(tail -n 1 /tmp/out)"
wait_disk $bdf_data0
$window --device uring:/dev/$(disk $bdf_data0) >/tmp/out 2>&1
few_calls
say "uring makes at most 0.1 system calls a read" $? "$(tail -n 1 /tmp/out)"

# An owner that dies leaves a note; the next one takes over, and the device works.
kill_owners vfio 20 vfio:$bdf_data0
$H "$check" --label "vfio after 20 killed owners" --poll vfio:$bdf_data0 || bad=1
start_owner vfio:$bdf_data0
kill -9 $pid
wait $pid 2>/dev/null
[ "$(driver_of $bdf_data0)" = vfio-pci ] # or restore would have nothing to do
say "a killed owner leaves the device with vfio" $?
$H "$build/dcn" restore >/tmp/out 2>&1
[ "$(driver_of $bdf_data0)" = nvme ] && wait_disk $bdf_data0
say "dcn restore gives back what a dead owner had" $? "$(tail -n 1 /tmp/out)"
$H "$check" --label "uring after dcn restore" uring:/dev/$(disk $bdf_data0) || bad=1
$H "$check" --label "vfio timeout" --error 1MiB vfio:$slow,timeout=500ms >/tmp/out 2>&1
grep -q "^ok vfio timeout: an error of the device reaches" /tmp/out
say "vfio: a command without an answer times out" $? "$(head -n 3 /tmp/out | tr '\n' ' ')"

# A mounted file system keeps its controller.
mkdir -p /mnt
fs0=$(disk $bdf_fs0)
mount -t ext4 /dev/$fs0 /mnt
$H "$check" vfio:$bdf_fs0 >/tmp/out 2>&1
grep -q "mounted or otherwise in use" /tmp/out
say "vfio refuses a mounted device" $? "$(tail -n 1 /tmp/out)"
$H "$check" --write passthru:/dev/ng${fs0#nvme} >/tmp/out 2>&1
grep -q "mounted or otherwise in use" /tmp/out
say "passthru refuses to write to a mounted device" $? "$(tail -n 1 /tmp/out)"
$H "$check" --write uring:/dev/$fs0 >/tmp/out 2>&1
grep -q "mounted or otherwise in use" /tmp/out
say "uring refuses to write to a mounted device" $? "$(tail -n 1 /tmp/out)"
umount /mnt

# Taken, served, given back, mounted.
$H "$check" --error 1MiB vfio:$bdf_fs0 >/tmp/out 2>&1
wait_disk $bdf_fs0 && mount -t ext4 -o ro /dev/$(disk $bdf_fs0) /mnt && [ -s /mnt/object ]
say "the kernel mounts what vfio gave back" $?
umount /mnt
clean_log nvme
