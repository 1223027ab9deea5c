#!/bin/bash
# Who may include whom (DESIGN.md section 2): base knows nobody; a room knows base, itself and the
# contracts listed here; only harness/registry.c names all stacks and collectors; inside atlas, the
# rooms nvme net tcp tls http do not know each other, only the core ties them together.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0

allowed() { # room of the includer -> regular expression of what it may include
	case "$1" in
	base) echo '^base/' ;;
	stacks/atlas/http | stacks/atlas/net | stacks/atlas/tcp | stacks/atlas/tls | stacks/atlas/nvme)
		echo "^(base|$1)/" ;;
	stacks/atlas) echo '^(base|stacks/atlas)/|^harness/stack\.h$' ;;
	stacks/null) echo '^(base|stacks/null)/|^workloads/content\.h$|^harness/stack\.h$|^stacks/atlas/tls/(tls|aead)\.h$' ;;
	stacks/nginx | stacks/external | stacks) echo "^base/|^$1/|^stacks/[a-z_]*\.h$|^harness/(stack|testbed|child)\.h$" ;;
	collectors) echo '^(base|collectors)/|^harness/(collector|testbed)\.h$' ;;
	workloads | workloads/load | workloads/wan | workloads/iowindow)
		echo '^(base|workloads)/|^stacks/atlas/(tls/aead|nvme/nvme|nvme/uring_files|net/pktio|net/csum)\.h$' ;;
	harness) echo '^(base|harness)/|^workloads/(content|wan/wan)\.h$|^stacks/atlas/nvme/(vfio_bind|catalog)\.h$' ;;
	*) echo '^$' ;;
	esac
}

while read -r f; do
	room=$(dirname "$f")
	case "$f" in
	*_test.c | *_fuzz.c) continue ;; # a test may tie rooms together
	stacks/*_stack.c) room=${room/stacks\/atlas/stacks/nginx}; room=${room/stacks\/null/stacks/nginx} ;;
	esac
	re=$(allowed "$room")
	while IFS=: read -r line text; do
		inc=$(printf '%s' "$text" | sed 's/.*"\(.*\)".*/\1/')
		if ! printf '%s' "$inc" | grep -qE "$re|^$(dirname "$f")/"; then
			echo "$f:$line: $room must not include $inc"
			bad=1
		fi
	done < <(grep -nE '^#include "' "$f")
done < <(git ls-files '*.c' '*.h' | grep -v '^stacks/atlas/nvme/diskmap/')
exit $bad
