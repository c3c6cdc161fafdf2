#!/usr/bin/env bash
# Dense-sparse-dense training (arXiv 1607.04381) and dense training of a small wide residual network on
# the digits. After a third of the epochs, weights up to 0.03 become zero. After two thirds, they are
# released.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] dense-sparse-dense.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
smoke=(--config.dataset.num_channels=1 --config.total_epochs=3)
begin "no published test error; a minute a seed on two CPU cores."
epochs=(9 10 20)
[[ ${SMOKE:-} != 1 ]] || epochs=(0 1 2)
threshold=regularization.weight.threshold
sparse="$threshold.limits=[('*Conv*/kernel', 0.03, 'elements')] $threshold.first_epoch=${epochs[0]}
    $threshold.last_epoch=${epochs[1]} $threshold.release_epoch=${epochs[2]}"
sweep digits --variant="" --variant="$sparse" ${smoke[@]+"${smoke[@]}"} "$@"
