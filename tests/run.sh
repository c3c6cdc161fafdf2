#!/usr/bin/env bash
# Runs the tests: tests/run.sh [--all] [pytest arguments]; --all takes the slow ones too.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe/common.sh"
prepare_environment dev,data

selection=()
if [[ ${1:-} == --all ]]; then
    shift
    selection=(-m "slow or not slow")
fi
cd "$root"
# Files, not tests, are shared out, as fixtures that train are those of a file.
exec "$python" -m pytest -n auto --maxprocesses=4 --dist=loadfile ${selection[@]+"${selection[@]}"} "$@"
