#!/bin/bash
# Every header compiles alone.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
for h in $(git ls-files '*.h' | grep -v '^stacks/atlas/nvme/diskmap/'); do
	gcc -std=gnu11 -D_GNU_SOURCE -DDCN_VERSION='""' -I. -Wall -Wextra -Werror -fsyntax-only -x c "$h" || bad=1
done
exit $bad
