# shellcheck shell=dash disable=SC1090,SC2034,SC2154
# Runs in the guest (sourced by init): the storage tests named, one after the other in one boot.
# Arguments: BUILD directory, HOSTILE, DIRECT (programs of stacks/atlas/nvme/diskmap), names of scripts here.
build=$1 hostile=$2 direct=$3
shift 3
here=/host$TREE/tests/guest
. "$here/lib.sh"
for part in "$@"; do . "$here/$part.sh"; done
(exit $bad)
