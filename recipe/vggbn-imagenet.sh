#!/usr/bin/env bash
# VGG-16 with batch norm on ImageNet with the penalty. Pass the folders of images by
# --config.imagenet_train_dir=DIR --config.imagenet_val_dir=DIR.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] vggbn-imagenet.sh [--config.FIELD=VALUE ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
smoke=(--config.dataset.num_classes=10)
begin "$(expected imagenet_vgg)"
sweep imagenet_vgg ${smoke[@]+"${smoke[@]}"} "$@"
