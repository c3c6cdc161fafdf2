#!/usr/bin/env bash
# ResNet-50 on CIFAR-10 with the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] resnet-cifar.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_resnet)"
sweep cifar10_resnet ${smoke[@]+"${smoke[@]}"} "$@"
