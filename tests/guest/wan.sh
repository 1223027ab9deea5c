# shellcheck shell=dash disable=SC2086,SC2154
# Runs in the guest (sourced by init): the WAN box against the kernel's netem, same probe, same path.
# Arguments: DCN_WAN, the path of the program.
wan=$1
bad=0
mods veth sch_netem af_packet
cp /bin/busybox /dev/shm/busybox
# With paths: busybox would take its own ip for a name alone.
ip="$H /usr/bin/ip" tc=/usr/sbin/tc
in_ns() { n=$1; shift; $ip netns exec $n "$@"; }
for n in s w c; do $ip netns add $n; $ip -n $n link set lo up; done
$ip link add s0 netns s type veth peer name ws netns w
$ip link add c0 netns c type veth peer name wc netns w
$ip -n s addr add 198.18.0.1/24 dev s0; $ip -n w addr add 198.18.0.254/24 dev ws
$ip -n c addr add 198.18.1.129/24 dev c0; $ip -n w addr add 198.18.1.254/24 dev wc
for i in s:s0 w:ws w:wc c:c0; do $ip -n ${i%:*} link set ${i#*:} up; done
$ip -n s route add default via 198.18.0.254; $ip -n c route add default via 198.18.1.254
in_ns w /dev/shm/busybox sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

# shortest round-trip time in us (emulation adds milliseconds to many, never takes any away), and how many
# answers came
rtt() { in_ns c /dev/shm/busybox ping -c "$1" -i "$2" -W 2 -q 198.18.0.1 >/tmp/ping; }
shortest() { sed -n 's|.*= \([0-9]*\)\.\([0-9]*\)/.*|\1\2|p' /tmp/ping; }
came() { sed -n 's/.* \([0-9]*\) packets received.*/\1/p' /tmp/ping; }
box_up() {
	rm -f /dev/shm/wan.log
	$ip netns exec w $wan --server-if ws --client-if wc "$@" >/dev/shm/wan.json 2>/dev/shm/wan.log &
	pid=$!
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		grep -qs ready /dev/shm/wan.log && return
		sleep 0.3
	done
	cat /dev/shm/wan.log
}
box_down() { kill $pid; wait $pid; }
netem() { in_ns $1 $tc qdisc add dev $2 root netem $3; }
netem_off() { in_ns $1 $tc qdisc del dev $2 root; }

rtt 10 0.05
base=$(shortest)
for ms in 10 40; do
	netem c c0 "delay ${ms}ms"
	rtt 25 0.05
	a=$(shortest)
	netem_off c c0
	box_up --rtt ${ms}ms
	rtt 25 0.05
	b=$(shortest)
	box_down
	# Within 5 % of the delay, and a millisecond of emulation.
	d=$((b > a ? b - a : a - b))
	if [ ${#a} -gt 3 ] && [ ${#b} -gt 3 ] && [ $d -le $((ms * 50 + 1000)) ]; then
		echo "ok wan: $ms ms is netem's: $a us and $b us (bare path $base us)"
	else
		echo "not ok wan: $ms ms is netem's: $a us by netem, $b us by the box, bare path $base us"
		bad=1
	fi
done

# 200 packets at 20 %: both within five standard deviations (5.7) of 40 lost.
netem s s0 "loss 20%"
rtt 200 0.01
a=$((200 - $(came)))
netem_off s s0
box_up --loss 20%
rtt 200 0.01
b=$((200 - $(came)))
box_down
if [ $a -gt 11 ] && [ $a -lt 69 ] && [ $b -gt 11 ] && [ $b -lt 69 ]; then
	echo "ok wan: loss as netem's: $a and $b of 200"
else
	echo "not ok wan: loss as netem's: $a and $b of 200"
	bad=1
fi
(exit $bad)
