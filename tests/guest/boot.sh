#!/bin/bash
# Boot the guest, run one script in it, exit with the script's code.
#
# usage: boot.sh [-d DIR] [-i INITRD] [-m MB] [-c CPUS] [-t SECONDS] [-a KERNEL_ARGS] SCRIPT [ARG,...] [-- QEMU_ARG...]
# SCRIPT must be below / of the host, readable by 9p (see ./init for what it finds). Its output is the
# guest's console. exit: 124 when the time is over, 125 when QEMU failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
dir=$tree/build/guest initrd="" mem=512 cpus=1 seconds=120 append=""
while getopts d:i:m:c:t:a: o; do
	case $o in
	d) dir=$OPTARG ;;
	i) initrd=$OPTARG ;;
	m) mem=$OPTARG ;;
	c) cpus=$OPTARG ;;
	t) seconds=$OPTARG ;;
	a) append=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
script=$(realpath "${1:?script}")
shift
args=
if [ $# -gt 0 ] && [ "$1" != -- ]; then
	args=$1
	shift
fi
[ "${1:-}" != -- ] || shift

timeout -k 5 "$seconds" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -vga none \
	-machine q35 -accel tcg,thread=multi -cpu max,la57=off -smp "$cpus" -m "$mem" \
	-kernel "$dir/vmlinux" -initrd "${initrd:-$dir/initrd}" \
	-append "console=ttyS0 panic=-1 quiet $append guest.tree=$tree guest.script=$script guest.args=$args" \
	-serial stdio -device isa-debug-exit,iobase=0xf4,iosize=0x04 \
	-fsdev local,id=hr,path=/,security_model=none,readonly=on,multidevs=remap \
	-device virtio-9p-pci,fsdev=hr,mount_tag=hostroot "$@" </dev/null | sed -u 's/\r//g'
rc=${PIPESTATUS[0]}
[ "$rc" -ne 124 ] || { echo "guest: no end after $seconds s"; exit 124; }
[ "$rc" -ge 3 ] || { echo "guest: QEMU failed ($rc)"; exit 125; }
exit $(((rc >> 1) - 1))
