#!/usr/bin/env bash
# WideResNet-28-10 on CIFAR-10 with the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] wideresnet-cifar.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_wideresnet)"
sweep cifar10_wideresnet ${smoke[@]+"${smoke[@]}"} "$@"
