# shellcheck shell=dash disable=SC2015,SC2086,SC2154,SC2012,SC2034
# Runs in the guest: the files of an ext4 file system, served without it through every back end.
# Arguments: BUILD directory. Drives by serial: fs0 (ext4 with `object`, bytes of seed 3, and small files).
build=$1
bad=0
say() { [ "$2" = 0 ] && echo "ok extents: $1" || { echo "not ok extents: $1: ${3:-exit $2}"; bad=1; }; }

mods nvme crc32c_generic ext4 veth af_packet vfio_iommu_type1 vfio_pci
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ -e /sys/block/nvme0n1 ] && break
	sleep 0.5
done
bdf=$(cat /sys/class/nvme/nvme0/address)
fs=/run/fs cat=$TMPDIR/catalog
mkdir -p /host$fs
mount_fs() { mount -t ext4 /dev/nvme0n1 /host$fs; }
check() { # label, device
	$H "$build/nvme-check" --label "extents over $1" --seed 3 --path object "extents:$cat,$2" || bad=1
}

mount_fs
$H "$build/atlas-catalog" $fs $cat
say "a catalogue is taken" $?
$H "$build/atlas-catalog" /proc $TMPDIR/no >/tmp/out 2>&1
[ $? = 1 ] && grep -q "disk of its own" /tmp/out
say "a file system without a disk is refused" $? "$(cat /tmp/out)"
dd if=/dev/zero of=/host$fs/hole bs=4096 seek=5 count=1 2>/dev/null
$H "$build/atlas-catalog" $fs $TMPDIR/no >/tmp/out 2>&1
[ $? = 1 ] && grep -q "hole" /tmp/out
say "a file with a hole is refused" $? "$(cat /tmp/out)"
rm /host$fs/hole
$H /usr/bin/fallocate -l 65536 $fs/unwritten
$H "$build/atlas-catalog" $fs $TMPDIR/no >/tmp/out 2>&1
[ $? = 1 ] && grep -q "never written" /tmp/out
say "a file that was allocated and not written is refused" $? "$(cat /tmp/out)"
rm /host$fs/unwritten

# While it is mounted: leases. Whoever wants to write waits for the reads, and the file is served no more.
$H "$build/nvme-check" --label "extents with leases" --seed 3 --path object "extents:$cat@$fs,uring:/dev/nvme0n1" || bad=1
: >/tmp/out
$H "$build/nvme-check" --forever --path object "extents:$cat@$fs,uring:/dev/nvme0n1" >/tmp/out 2>&1 &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do grep -q running /tmp/out && break; sleep 0.3; done
: >>/host$fs/object
say "a writer gets the file" $?
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 $pid 2>/dev/null || break; sleep 0.3; done
grep -q "result -116" /tmp/out
say "and it is served no more" $? "$(tail -n 1 /tmp/out)"
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
umount /host$fs

check uring uring:/dev/nvme0n1
check passthru passthru:/dev/ng0n1
check vfio vfio:$bdf

# atlas serves them, over the network, plain and encrypted.
$H "$build/nvme-check" --make 5000000 --seed 3 $TMPDIR/want
cat >$TMPDIR/net.sh <<'X'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip link add v0 type veth peer name v1 && ip netns add c && ip link set v1 netns c
ip link set lo up; ip link set v0 up
ip -n c addr add 198.18.0.129/24 dev v1; ip -n c link set v1 up; ip -n c link set lo up
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $TMPDIR/key -out $TMPDIR/cert \
	-days 2 -subj /CN=dcn 2>/dev/null
mkdir -p $TMPDIR/empty
X
$H /bin/bash $TMPDIR/net.sh
serve() { # label, device
	$H "$build/atlas" --if v0 --ip 198.18.0.2/24 --root $TMPDIR/empty --device "extents:$cat,$2" --tls-cert $TMPDIR/cert \
		--tls-key $TMPDIR/key --stats $TMPDIR/sock >$TMPDIR/log 2>&1 &
	pid=$!
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		grep -q ready $TMPDIR/log && break
		sleep 0.5
	done
	for scheme in http https; do
		rm -f $TMPDIR/got
		$H /usr/sbin/ip netns exec c curl -sk --max-time 30 -o $TMPDIR/got $scheme://198.18.0.2/object
		cmp -s $TMPDIR/want $TMPDIR/got
		say "atlas serves over $1, $scheme" $? "$(tail -n 1 $TMPDIR/log) $(wc -c <$TMPDIR/got)"
	done
	[ "$($H /usr/sbin/ip netns exec c curl -s --max-time 30 -o /dev/null -w '%{http_code}' http://198.18.0.2/none)" = 404 ]
	say "atlas answers 404 over $1" $?
	kill $pid
	wait $pid
}
serve vfio vfio:$bdf
mods diskmap
echo diskmap >/sys/bus/pci/devices/$bdf/driver_override
echo $bdf >/sys/bus/pci/devices/$bdf/driver/unbind
echo $bdf >/sys/bus/pci/drivers_probe
echo 64 >/sys/module/diskmap/parameters/buffer_mib
echo $bdf >/sys/bus/pci/drivers/diskmap/unbind
echo $bdf >/sys/bus/pci/drivers_probe
check diskmap diskmap:0
serve diskmap diskmap:0
echo >/sys/bus/pci/devices/$bdf/driver_override
echo $bdf >/sys/bus/pci/drivers/diskmap/unbind
echo $bdf >/sys/bus/pci/drivers_probe
sleep 1

# A file system that was mounted again is not the one of the catalogue.
mount_fs
umount /host$fs
$H "$build/nvme-check" --path object "extents:$cat,uring:/dev/nvme0n1" >/tmp/out 2>&1
grep -q "mounted again" /tmp/out
say "a file system mounted since then is refused" $? "$(cat /tmp/out)"
(exit $bad)
