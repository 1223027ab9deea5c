#!/bin/bash
# clang-tidy on the checks named in .clang-tidy.
set -u
cd "$(dirname "$0")/../.." || exit 1
ct=$(command -v clang-tidy-14 || command -v clang-tidy) || { echo "no clang-tidy; make deps"; exit 1; }
git ls-files '*.c' | grep -vE '^stacks/atlas/nvme/diskmap/|_test\.c$|_fuzz\.c$' |
	xargs -P2 -n8 "$ct" --quiet -- -std=gnu11 -D_GNU_SOURCE '-DDCN_VERSION="x"' -I. 2>&1 |
	grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -' | tee build/tidy.log
! grep -qE '(warning|error):' build/tidy.log
