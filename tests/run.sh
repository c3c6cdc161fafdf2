#!/usr/bin/env bash
# Runs the tests: tests/run.sh [--all] [pytest arguments]; --all takes the slow ones too.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe/common.sh"
prepare_environment dev

selection=()
if [[ ${1:-} == --all ]]; then
    shift
    selection=(-m "slow or not slow")
fi
cd "$root"
exec "$python" -m pytest ${selection[@]+"${selection[@]}"} "$@"
