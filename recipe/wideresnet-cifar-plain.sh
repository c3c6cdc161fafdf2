#!/usr/bin/env bash
# wideresnet-cifar.sh without the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] wideresnet-cifar-plain.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_wideresnet)"
sweep cifar10_wideresnet --config.gnp.r=0 --config.gnp.alpha=0 ${smoke[@]+"${smoke[@]}"} "$@"
