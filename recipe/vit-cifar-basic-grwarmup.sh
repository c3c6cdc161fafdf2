#!/usr/bin/env bash
# ViT-S on CIFAR-10: standard training for 40 epochs, then with the penalty. As published, it differs from
# vit-cifar-basic.sh in two more fields: alpha is 1 in the place of 0.8, and the learning rate is warmed
# up for those 40 epochs. docs/recipes.md has the steps between the two.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] vit-cifar-basic-grwarmup.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_vit_zero_warmup)"
sweep cifar10_vit_zero_warmup ${smoke[@]+"${smoke[@]}"} "$@"
