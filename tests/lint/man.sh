#!/bin/bash
# Manual pages: mandoc finds nothing worse than style. Pages of this project may name each other
# before they are installed.
set -u
cd "$(dirname "$0")/../.." || exit 1
command -v mandoc >/dev/null || { echo "no mandoc; make deps"; exit 1; }
out=$(git ls-files '*.1' | xargs mandoc -Tlint -W warning 2>&1 | grep -v 'mandoc.db')
printf '%s' "$out"
[ -z "$out" ]
