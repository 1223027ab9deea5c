#!/bin/bash
# Every source is as clang-format leaves it.
set -u
cd "$(dirname "$0")/../.." || exit 1
cf=$(command -v clang-format-14 || command -v clang-format) || { echo "no clang-format; make deps"; exit 1; }
git ls-files '*.c' '*.h' | grep -v '^stacks/atlas/nvme/diskmap/' | xargs "$cf" --dry-run -Werror
