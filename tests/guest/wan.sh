# shellcheck shell=dash disable=SC2086,SC2154
# Runs in the guest (sourced by init): the WAN box against the kernel's netem, same probe, same path.
# Arguments: DCN_WAN, the path of the program.
wan=$1
bad=0
mods veth sch_netem af_packet
cp /bin/busybox /dev/shm/busybox
in_ns() { n=$1; shift; $H ip netns exec $n "$@"; }
for n in s w c; do $H ip netns add $n; $H ip -n $n link set lo up; done
$H ip link add s0 netns s type veth peer name ws netns w
$H ip link add c0 netns c type veth peer name wc netns w
$H ip -n s addr add 198.18.0.1/24 dev s0; $H ip -n w addr add 198.18.0.254/24 dev ws
$H ip -n c addr add 198.18.1.129/24 dev c0; $H ip -n w addr add 198.18.1.254/24 dev wc
for i in s:s0 w:ws w:wc c:c0; do $H ip -n ${i%:*} link set ${i#*:} up; done
$H ip -n s route add default via 198.18.0.254; $H ip -n c route add default via 198.18.1.254
in_ns w /dev/shm/busybox sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

# mean round-trip time in us (busybox prints min/avg/max in ms), and packets that came back
rtt() { in_ns c /dev/shm/busybox ping -c "$1" -i "$2" -W 2 -q 198.18.0.1 >/tmp/ping; }
mean() { sed -n 's|.*= [0-9.]*/\([0-9]*\)\.\([0-9]*\)/.*|\1\2|p' /tmp/ping; }
came() { sed -n 's/.* \([0-9]*\) packets received.*/\1/p' /tmp/ping; }
box_up() {
	rm -f /dev/shm/wan.log
	in_ns w $wan --server-if ws --client-if wc "$@" >/dev/shm/wan.json 2>/dev/shm/wan.log &
	pid=$!
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		grep -qs ready /dev/shm/wan.log && return
		sleep 0.3
	done
	cat /dev/shm/wan.log
}
box_down() { kill $pid; wait $pid; }
netem() { in_ns $1 tc qdisc add dev $2 root netem $3; }
netem_off() { in_ns $1 tc qdisc del dev $2 root; }

rtt 20 0.1
base=$(mean)
for ms in 5 20 80; do
	netem c c0 "delay ${ms}ms"
	rtt 40 0.1
	a=$(mean)
	netem_off c c0
	box_up --rtt ${ms}ms
	rtt 40 0.1
	b=$(mean)
	box_down
	# Within 5 % of the delay; emulation itself is noisy by about half a millisecond.
	d=$((b > a ? b - a : a - b))
	if [ $d -le $((ms * 50 + 500)) ]; then
		echo "ok wan: $ms ms is netem's: $a us and $b us (bare path $base us)"
	else
		echo "not ok wan: $ms ms is netem's: $a us by netem, $b us by the box, bare path $base us"
		bad=1
	fi
done

# 400 packets at 20 %: both within five standard deviations (8) of 80 lost.
netem s s0 "loss 20%"
rtt 400 0.01
a=$((400 - $(came)))
netem_off s s0
box_up --loss 20%
rtt 400 0.01
b=$((400 - $(came)))
box_down
if [ $a -gt 40 ] && [ $a -lt 120 ] && [ $b -gt 40 ] && [ $b -lt 120 ]; then
	echo "ok wan: loss as netem's: $a and $b of 400"
else
	echo "not ok wan: loss as netem's: $a and $b of 400"
	bad=1
fi
(exit $bad)
