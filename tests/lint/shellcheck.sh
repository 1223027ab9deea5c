#!/bin/bash
# Shell scripts: shellcheck at warning level.
set -u
cd "$(dirname "$0")/../.." || exit 1
command -v shellcheck >/dev/null || { echo "no shellcheck; make deps"; exit 1; }
git ls-files '*.sh' tests/run tests/deps tests/install tests/figures tests/bench .ci/run | sort -u |
	while read -r f; do [ -f "$f" ] && head -n1 "$f" | grep -q 'bash\|sh$' && echo "$f"; done |
	xargs shellcheck -x -S warning
