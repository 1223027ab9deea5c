# shellcheck shell=dash disable=SC2015,SC2034,SC2086,SC2154
# What the storage tests in the guest share; sourced there, $H and mods() are init's.
bad=0
say() { [ "$2" = 0 ] && echo "ok $1" || { echo "not ok $1: ${3:-exit $2}"; bad=1; }; }

# Until the command says yes, at most that many tenths of a second.
within() { # tenths, command...
	left=$1
	shift
	until "$@"; do
		[ $left -gt 0 ] || return 1
		left=$((left - 1))
		usleep 100000
	done
}

have_disks() { [ "$(ls -d /sys/block/nvme*n1 2>/dev/null | wc -l)" -ge $1 ]; }
# Controllers of the kernel's driver by the drives' serials: $bdf_SERIAL.
find_disks() { # how many there must be
	within 300 have_disks $1
	for n in /sys/class/nvme/nvme*; do
		eval "bdf_$(sed 's/ *$//' "$n/serial")=$(cat "$n/address")"
	done
}
# The name of a controller's disk changes whenever its driver does.
disk() { # bdf; prints nvme0n1
	for d in /sys/bus/pci/devices/$1/nvme/nvme*/nvme*n1; do [ -e $d ] && echo ${d##*/}; done
}
has_disk() { d=$(disk $1) && [ -b /dev/$d ]; }
wait_disk() { within 300 has_disk $1; }
driver_of() { basename "$(readlink /sys/bus/pci/devices/$1/driver)"; }
give() { # bdf, driver ("" = the usual one)
	echo "$2" >/sys/bus/pci/devices/$1/driver_override
	[ ! -e /sys/bus/pci/devices/$1/driver ] || echo $1 >/sys/bus/pci/devices/$1/driver/unbind
	echo $1 >/sys/bus/pci/drivers_probe
}

# Start nvme-check --forever and return when its window is full: $pid.
start_owner() { # arguments
	: >/tmp/out
	$H "$check" --forever "$@" >/tmp/out 2>&1 &
	pid=$!
	within 300 grep -q running /tmp/out
}
# An owner dies at a full window, so many times.
kill_owners() { # label, times, arguments
	label=$1 times=$2 killed=0
	shift 2
	while [ $killed -lt $times ]; do
		start_owner "$@" || break
		kill -9 $pid
		wait $pid 2>/dev/null
		killed=$((killed + 1))
	done
	[ $killed = $times ]
	say "$label: $times owners killed at a full window" $? "after $killed: $(tail -n 1 /tmp/out)"
}

clean_log() { # label; since the last call
	dmesg -c | grep -iE 'DMAR.*fault|BUG:|kernel BUG|WARNING|Oops|general protection|no answer|lockdep|possible|suspicious' >/tmp/klog
	[ ! -s /tmp/klog ]
	say "$1: the kernel log is clean" $? "$(head -n 3 /tmp/klog | tr '\n' ' ')"
}
