#!/bin/bash
# cppcheck, with a reason beside each exclusion.
set -u
cd "$(dirname "$0")/../.." || exit 1
command -v cppcheck >/dev/null || { echo "no cppcheck; make deps"; exit 1; }
# shellcheck disable=SC2054
args=(
	--enable=warning,portability,performance --std=c11 --error-exitcode=1 --inline-suppr --quiet
	-j2 -D_GNU_SOURCE '-DDCN_VERSION="x"' -I. --cppcheck-build-dir=build/cppcheck
	--suppress=missingIncludeSystem  # system headers are not its business
	--suppress=normalCheckLevelMaxBranches # says only that it looked less deeply
	--suppress=nullPointerArithmetic # container_of of sys/queue.h
	--suppress=uninitvar # uthash's HASH_ITER: the loop assigns before use; gcc and clang check the rest
	--suppress=unknownMacro          # cmocka's and sys/queue.h's loop macros
)
mkdir -p build/cppcheck
git ls-files '*.c' | grep -vE '^stacks/atlas/nvme/diskmap/|_test\.c$|_fuzz\.c$' |
	cppcheck "${args[@]}" --file-list=-
