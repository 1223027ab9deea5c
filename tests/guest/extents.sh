# shellcheck shell=dash disable=SC2015,SC2034,SC2046,SC2086,SC2154
# Runs in the guest (sourced by storage.sh): the files of a file system, served without it through every
# back end. Drives by serial: fs0 (ext4 on the whole disk), fs1 (XFS on a partition, if there is an
# xfs.ko); both hold `object`, bytes of seed 3.
check=$build/nvme-check
dmesg -c >/dev/null
mods nvme crc32c_generic ext4 xfs overlay veth af_packet sch_fq vfio_iommu_type1 vfio_pci
find_disks 1
fs=/run/fs cat=$TMPDIR/catalog
mkdir -p /host$fs
with_fs() { mount -t $type /dev/$(disk $bdf)$part /host$fs; }
without_fs() { umount /host$fs; }
check() { # label, device
	$H "$check" --label "extents, $type over $1" --seed 3 --path object "extents:$cat,$2" || bad=1
}
stale() { # what, word, device
	$H "$check" --path object "extents:$cat,$3" >/tmp/out 2>&1
	grep -q "$2" /tmp/out
	say "extents, $type: $1 is refused" $? "$(cat /tmp/out)"
}
# The file that $1 makes can't be in a catalogue, for the reason $2.
refused() { # reason's words, what, command...
	words=$1 what=$2
	shift 2
	"$@" >/dev/null 2>&1
	$H "$build/dcn" catalog $fs $TMPDIR/no >/tmp/out 2>&1
	[ $? = 1 ] && grep -q "$words" /tmp/out
	say "extents, $type: $what is refused" $? "$(cat /tmp/out)"
	rm -f /host$fs/odd
}
hole() { dd if=/dev/zero of=/host$fs/odd bs=4096 seek=5 count=1; }
unwritten() { $H /usr/bin/fallocate -l 65536 $fs/odd; }
inline() { echo short >/host$fs/odd; }
shared() { $H /bin/cp --reflink=always $fs/object $fs/odd; }

# While it is mounted: leases. Whoever wants to write waits for the reads, and the file is served no more.
leases() {
	on=uring:/dev/$(disk $bdf)
	$H "$check" --label "extents, $type with leases" --seed 3 --path object "extents:$cat@$fs,$on" || bad=1
	start_owner --path object "extents:$cat@$fs,$on"
	touch -r /host$fs/object /tmp/then
	: >>/host$fs/object
	say "extents, $type: a writer gets the file" $?
	within 300 grep -q "result -116" /tmp/out
	say "extents, $type: and it is served no more" $? "$(tail -n 1 /tmp/out)"
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
}

network() {
	cat >$TMPDIR/net.sh <<'N'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip link add v0 type veth peer name v1 && ip netns add c && ip link set v1 netns c
ip link set lo up; ip link set v0 up
ip -n c addr add 198.18.0.129/24 dev v1; ip -n c link set v1 up; ip -n c link set lo up
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $TMPDIR/key -out $TMPDIR/cert \
	-days 2 -subj /CN=dcn 2>/dev/null
N
	$H /bin/bash $TMPDIR/net.sh
	$H "$check" --make 5000000 --seed 3 $TMPDIR/want
}
# atlas serves them, over the network, plain and encrypted.
serve() { # label, device
	: >$TMPDIR/log
	$H "$build/atlas" --if v0 --ip 198.18.0.2/24 --device "extents:$cat,$2" --tls-cert $TMPDIR/cert \
		--tls-key $TMPDIR/key --stats $TMPDIR/sock >$TMPDIR/log 2>&1 &
	pid=$!
	within 300 grep -q ready $TMPDIR/log
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

# dcn takes the catalogue itself, the file system stays mounted; every byte is verified by the load.
dcn_run() {
	mkdir -p /host/run/build /host/run/tree /host$fs/dcn
	mount --bind /host$build /host/run/build
	mount --bind /host$TREE /host/run/tree
	mount -t tmpfs tmp /host/tmp
	$H /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin /run/build/dcn run --no-plot --out $TMPDIR/results \
		--set content.dir=$fs/dcn --set sweep.stack=atlas --set sweep.tls=off --set sweep.connections=4 \
		--set stack.device=extents:auto,uring:/dev/$(disk $bdf) --set content.hot=512KiB --set content.cold=2MiB \
		--set run.warmup=100ms --set run.duration=2s --set run.repetitions=1 --set run.ceilings=none \
		/run/tree/workloads/smoke.exp >/tmp/out 2>&1
	rc=$?
	umount /host/tmp /host/run/build /host/run/tree
	# valid and errors are columns of runs.csv
	awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) c[$i] = i} NR == 2 {ok = $c["valid"] == 1 && $c["errors"] == 0}
		END {exit !ok}' $TMPDIR/results/runs.csv && [ $rc = 0 ]
	say "dcn run, stack.device=extents:auto on $type: verified" $? "$(grep -m 1 warning /tmp/out || tail -n 1 /tmp/out)"
	rm -rf /host$fs/dcn
}

# ---- ext4, the whole disk, every back end ----
type=ext4 part="" bdf=$bdf_fs0
with_fs
$H "$build/dcn" catalog $fs $cat
say "dcn catalog: a catalogue is taken" $?
$H "$build/dcn" catalog /proc $TMPDIR/no >/tmp/out 2>&1
[ $? = 1 ] && grep -q "disk of its own" /tmp/out
say "extents: a file system without a disk is refused" $? "$(cat /tmp/out)"
mkdir -p /host/run/o/u /host/run/o/w /host/run/o/m /host/run/o/l
mount -t overlay overlay -o lowerdir=/host$fs:/host/run/o/l /host/run/o/m
$H "$build/dcn" catalog /run/o/m $TMPDIR/no >/tmp/out 2>&1
[ $? = 1 ] && grep -q "disk of its own" /tmp/out
say "extents: an overlay is refused" $? "$(cat /tmp/out)"
umount /host/run/o/m
refused "hole" "a file with a hole" hole
refused "never written" "a file that was allocated and not written" unwritten
refused "inside its inode" "a file inside its inode" inline
leases
$H "$build/dcn" catalog $fs $cat >/dev/null 2>&1
without_fs
check uring uring:/dev/$(disk $bdf)
check passthru passthru:/dev/ng$(disk $bdf | sed s/nvme//)
check vfio vfio:$bdf
network
serve vfio vfio:$bdf
mods diskmap
echo 64 >/sys/module/diskmap/parameters/buffer_mib
give $bdf diskmap
check diskmap diskmap:0
serve diskmap diskmap:0
give $bdf ""
wait_disk $bdf
# A file system that was mounted again is not the one of the catalogue.
with_fs
without_fs
stale "a file system mounted since then" "mounted again" uring:/dev/$(disk $bdf)

# ---- XFS, a partition ----
if [ -n "${bdf_fs1:-}" ] && [ -d /sys/module/xfs ]; then
	type=xfs part=p1 bdf=$bdf_fs1
	with_fs
	say "xfs: mounted" $?
	dcn_run
	$H "$build/atlas-catalog" $fs $cat
	say "atlas-catalog: a catalogue of XFS is taken" $?
	refused "hole" "a file with a hole" hole
	refused "never written" "a file that was allocated and not written" unwritten
	refused "shares blocks" "a file that shares blocks" shared
	leases
	$H "$build/atlas-catalog" $fs $cat >/dev/null 2>&1
	without_fs
	check uring uring:/dev/$(disk $bdf)
	check vfio vfio:$bdf
	wait_disk $bdf
	# XFS counts no mounts: its inodes tell. The byte lies in no sampled block.
	with_fs
	printf x | dd of=/host$fs/object bs=1 seek=1000000 conv=notrunc 2>/dev/null
	without_fs
	stale "a file changed since then" "has changed" uring:/dev/$(disk $bdf)
	with_fs
	mv /host$fs/object /host$fs/gone
	cp /host$fs/gone /host$fs/object
	$H "$build/atlas-catalog" $fs $cat >/dev/null 2>&1
	rm /host$fs/object
	without_fs
	stale "a file removed since then" "was removed" uring:/dev/$(disk $bdf)
fi
clean_log extents
