#!/usr/bin/env bash
# Trains on the handwritten digits with and without the gradient-norm penalty, and compares.
# Arguments are passed to both trainings, such as --config.seeds=1 or --working_dir=DIR.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
prepare_environment

working_dir=$root/runs/quickstart
for argument in "$@"; do
    [[ $argument != --working_dir=* ]] || working_dir=${argument#--working_dir=}
done

echo "Standard training:" >&2
plain=$(train digits "$@" --config.gnp.r=0 --config.gnp.alpha=0)
echo "With the penalty:" >&2
penalized=$(train digits --config.gnp.r=0.1 --config.gnp.alpha=0.8 "$@")

"$python" -P -m gnp.main.report --runs="$plain" --runs="$penalized" --out="$working_dir"
