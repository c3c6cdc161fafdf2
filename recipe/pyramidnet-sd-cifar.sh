#!/usr/bin/env bash
# PyramidNet-272 with ShakeDrop on CIFAR-10, AutoAugment and mixcut, with the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] pyramidnet-sd-cifar.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_pyramidnet_shakedrop)"
sweep cifar10_pyramidnet_shakedrop ${smoke[@]+"${smoke[@]}"} "$@"
