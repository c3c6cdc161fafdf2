#!/usr/bin/env bash
# wideresnet-cifar.sh with SAM: the penalty with alpha = 1.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] wideresnet-cifar-sam.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_wideresnet)"
sweep cifar10_wideresnet --config.gnp.alpha=1 ${smoke[@]+"${smoke[@]}"} "$@"
