#!/usr/bin/env bash
# ViT-S on CIFAR-10 with mixup and a long schedule, with the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] vit-cifar-heavy.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "$(expected cifar10_vit_heavy)"
sweep cifar10_vit_heavy ${smoke[@]+"${smoke[@]}"} "$@"
