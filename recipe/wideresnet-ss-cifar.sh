#!/usr/bin/env bash
# WideResNet 26 2x96d with shake-shake on CIFAR-10 with the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] wideresnet-ss-cifar.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_wideresnet_shakeshake)"
sweep cifar10_wideresnet_shakeshake ${smoke[@]+"${smoke[@]}"} "$@"
