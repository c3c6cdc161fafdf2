#!/usr/bin/env bash
# Trains on handwritten digits without and with the gradient-norm penalty, where 40 % of the training labels
# are redrawn at random, and compares the errors on test images, whose labels are right. The last line says
# in words what came out. About a minute on two CPU cores.
# Arguments are passed to both trainings, such as --config.seeds=1 --config.init_seeds=1,
# --working_dir=DIR, or --config.dataset.label_noise=0 for the digits with right labels.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
prepare_environment

working_dir=$root/runs/quickstart
for argument in "$@"; do
    [[ $argument != --working_dir=* ]] || working_dir=${argument#--working_dir=}
done

echo "Standard training:" >&2
standard=$(train digits_noise "$@" --config.gnp.r=0 --config.gnp.alpha=0)
echo "The same with the gradient-norm penalty, r = 1 and alpha = 0.8:" >&2
penalized=$(train digits_noise --config.gnp.r=1 --config.gnp.alpha=0.8 "$@")

"$python" -P -m gnp.main.report --runs="$standard" --runs="$penalized" --out="$working_dir"
