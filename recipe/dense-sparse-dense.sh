#!/usr/bin/env bash
# Dense-sparse-dense training (arXiv 1607.04381) and dense training of a small wide residual network on
# the digits. After a third of the epochs, weights up to 0.03 become zero. After two thirds, they are
# released.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [SMOKE=1] dense-sparse-dense.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
threshold=--config.regularization.weight.threshold
smoke=(
    --config.dataset.num_channels=1 --config.total_epochs=3
    "$threshold.first_epoch=0" "$threshold.last_epoch=1" "$threshold.release_epoch=2"
)
begin "no published test error; a minute a seed on two CPU cores."
working_dir=$working_dir/dense train_seeds digits ${smoke[@]+"${smoke[@]}"} "$@"
working_dir=$working_dir/dense-sparse-dense train_seeds digits \
    "$threshold.limits=[('*Conv*/kernel', 0.03, 'elements')]" \
    "$threshold.first_epoch=9" "$threshold.last_epoch=10" "$threshold.release_epoch=20" \
    ${smoke[@]+"${smoke[@]}"} "$@"
compare
