#!/usr/bin/env bash
# Trains the published comparison, vision transformers on CIFAR-10 without the penalty, with it, and
# with it after a zero warmup, and writes a table of our test errors beside the published ones.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [MODELS="ViT_TI16 ViT_S16 ViT_B16"] [SMOKE=1] reproduce.sh
#     [--config.FIELD=VALUE ...]
# What is done stays done: called again, it goes on. TASK=i TASKS=n trains the i-th of n shares, from
# 0, on one of n GPUs; a Slurm array of n tasks does so by itself.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
smoke=(--config.model.model_params.transformer.num_layers=1)
begin "27 trainings, 24 h at 125 TFLOP/s; the table says what is to be expected."
working_dir=$working_dir/reproduce
task=${TASK:-${SLURM_ARRAY_TASK_ID:-0}} tasks=${TASKS:-${SLURM_ARRAY_TASK_COUNT:-1}} cell=0
unset SLURM_ARRAY_TASK_ID # the seeds are not shared out once more

# train_cell FLAG...: trains, if it falls to this task.
train_cell() {
    if ((cell++ % tasks == task)); then
        train "$@" >/dev/null
    fi
}

for seed in ${SEEDS:-0 1 2}; do
    for model in ${MODELS:-ViT_TI16 ViT_S16 ViT_B16}; do
        flags=(--config.model.model_name="$model" --config.init_seeds="$seed")
        flags+=(--config.seeds="$seed" ${smoke[@]+"${smoke[@]}"} "$@")
        train_cell cifar10_vit "${flags[@]}" --config.gnp.r=0 --config.gnp.alpha=0
        train_cell cifar10_vit "${flags[@]}"
        train_cell cifar10_vit_zero_warmup "${flags[@]}"
    done
done
"$python" -P -m gnp.main.reproduction --runs="$working_dir" --out="$working_dir"
