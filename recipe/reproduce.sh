#!/usr/bin/env bash
# Trains the published comparison: vision transformers on CIFAR-10 without the penalty, with it, and
# with it after a zero warmup. Writes a table of our test errors and the published ones.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [MODELS="ViT_TI16 ViT_S16 ViT_B16"] [SMOKE=1] reproduce.sh
#     [--config.FIELD=VALUE ...]
# Call it again to resume and to retry failed trainings. TASK=i TASKS=n trains the i-th of n shares,
# counted from 0; add CUDA_VISIBLE_DEVICES=i to use the i-th GPU. Each task of a Slurm array trains one
# share.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[[ ${SMOKE:-} != 1 ]] || MODELS=${MODELS:-ViT_TI16}
begin "27 trainings, 22 h at 125 TFLOP/s; the table has the expected test errors."
working_dir=$working_dir/reproduce
tasks=${TASKS:-${SLURM_ARRAY_TASK_COUNT:-1}}
task=${TASK:-$((${SLURM_ARRAY_TASK_ID:-0} - ${SLURM_ARRAY_TASK_MIN:-0}))}
if ((task < 0 || task >= tasks)); then
    echo "There is no share $task of $tasks; shares count from 0, as in TASK=0 TASKS=4 or --array=0-3." >&2
    exit 2
fi
unset SLURM_ARRAY_TASK_ID # the seeds are not split again
mkdir -p "$working_dir"
cell=0 failures=0

# train_cell CONFIG FLAG...: trains, if the cell belongs to this task. A failure is counted, and the next
# cell follows. A training stopped by SIGINT, SIGUSR1 or SIGTERM stops the script.
train_cell() {
    ((cell++ % tasks == task)) || return 0
    local code=0
    train "$@" >/dev/null || code=$?
    case $code in
        0) ;;
        130 | 138 | 143) exit "$code" ;;
        *) failures=$((failures + 1)) ;;
    esac
}

for seed in $SEEDS; do
    for model in ${MODELS:-ViT_TI16 ViT_S16 ViT_B16}; do
        flags=(--config.model.model_name="$model" --config.init_seeds="$seed")
        flags+=(--config.seeds="$seed" ${smoke[@]+"${smoke[@]}"} "$@")
        train_cell cifar10_vit "${flags[@]}" --config.gnp.r=0 --config.gnp.alpha=0
        train_cell cifar10_vit "${flags[@]}"
        train_cell cifar10_vit_zero_warmup "${flags[@]}"
    done
done
"$python" -P -m gnp.main.reproduction --runs="$working_dir" --out="$working_dir"
if ((failures > 0)); then
    echo "Failed trainings, see above: $failures. Call this script again to retry them." >&2
    exit 1
fi
