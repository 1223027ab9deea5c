#!/bin/bash
# The WAN box against the kernel's netem, in an emulated machine (many kernels lack netem; Debian's has it).
# Exit 77 where the guest can't be had.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
dir=${DCN_GUEST:-$build/guest}
wan=$(realpath "${WAN:-$build/dcn-wan}")
[ -x "$wan" ] || { echo "skip all: $wan is not built"; exit 77; }
tests/guest/setup.sh "$dir" >/dev/null || { rc=$?; [ $rc -ne 77 ] || { echo "skip all: no guest"; exit 77; }; exit 1; }
tmp=$(mktemp -d /var/tmp/dcn-guest.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
tests/guest/mkinitrd.sh "$dir" "$tmp/initrd" virtio_pci 9p 9pnet_virtio veth sch_netem af_packet || exit 1
tests/guest/boot.sh -d "$dir" -i "$tmp/initrd" -m 768 -c 2 -t 150 tests/guest/wan.sh "$wan"
