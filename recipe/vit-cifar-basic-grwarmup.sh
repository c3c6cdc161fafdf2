#!/usr/bin/env bash
# ViT-S on CIFAR-10: standard training for 40 epochs, then with the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [SMOKE=1] vit-cifar-basic-grwarmup.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
smoke=(--config.model.model_params.transformer.num_layers=2)
begin "10.68 % test error; 0.5 h a seed at 125 TFLOP/s."
train_seeds cifar10_vit_zero_warmup ${smoke[@]+"${smoke[@]}"} "$@"
compare
