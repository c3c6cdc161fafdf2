#!/usr/bin/env bash
# Compares radii of the penalty on images held out from the training set; no test image is used.
# [WORKING_DIR=DIR] [SEEDS="0 1"] [RADII="0 0.05 0.1 0.2 0.5 1 2"] [ALPHA=0.8] [SMOKE=1]
#     choose-radius.sh CONFIG [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
config=${1:?name a file in config/, such as digits_noise}
shift
[[ ${SMOKE:-} != 1 ]] || RADII=${RADII:-0 1}
begin "a table of validation errors by radius; train with the best one." "0 1"
working_dir=$working_dir/choose-radius
for radius in ${RADII:-0 0.05 0.1 0.2 0.5 1 2}; do
    alpha=${ALPHA:-0.8}
    [[ $radius != 0 ]] || alpha=0 # standard training
    train_seeds "$config" ${smoke[@]+"${smoke[@]}"} --config.use_test_set=False \
        --config.gnp.r="$radius" --config.gnp.alpha="$alpha" "$@"
done
compare
