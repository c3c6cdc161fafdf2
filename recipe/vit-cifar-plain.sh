#!/usr/bin/env bash
# vit-cifar-basic.sh without the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] vit-cifar-plain.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_vit)"
sweep cifar10_vit --config.gnp.r=0 --config.gnp.alpha=0 ${smoke[@]+"${smoke[@]}"} "$@"
