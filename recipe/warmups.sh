#!/usr/bin/env bash
# Compares the warmups of the penalty on ViT-Ti and CIFAR-10: none, of the radius r, of the weight
# lambda, and zero. All else is equal: r = 0.1, alpha = 0.8, learning rate warmed up for 40 epochs.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] warmups.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
begin "four trainings for each seed. $(expected cifar10_vit)"
sweep cifar10_vit --grid=gr_warmup_strategy=none,r,lambda,zero --config.model.model_name=ViT_TI16 \
    --config.warmup_epochs=40 ${smoke[@]+"${smoke[@]}"} "$@"
