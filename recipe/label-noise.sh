#!/usr/bin/env bash
# The table of the method: test errors by share of wrong labels, without the penalty, with controls that
# could explain a gain otherwise, and with the forms of the penalty.
# [WORKING_DIR=DIR] [SEEDS="0 1 2 3 4"] [NOISE="0.4 0 0.2 0.6 0.8"] [METHODS="standard l2_3e-3 ..."]
#     [R=1] [SAM_R=0.5] [EXACT_R=0.5] [ZERO_WARMUP=3] [JOBS=1] [SHARPNESS=1] [SMOKE=1]
#     label-noise.sh [CONFIG] [--config.FIELD=VALUE ...]
# CONFIG is the name of a file in config/, without .py. digits, as no CONFIG, is digits_noise: the digits
# without augmentation, of which the radii are. They were chosen on images held out from the training
# set. For another CONFIG, choose them by recipe/choose-radius.sh. ZERO_WARMUP is in epochs.
# SHARPNESS=1 measures how sharp the minimum of each run is, adds that to the table, and draws it against
# the test error. JOBS trainings run at the same time. Call it again to resume.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
config=digits_noise
if [[ ${1:-} != --* && -n ${1:-} ]]; then
    config=$1
    shift
fi
[[ $config != digits ]] || config=digits_noise # with augmentation, less can be memorized
r=${R:-1} sam_r=${SAM_R:-0.5}
if [[ ${SMOKE:-} == 1 ]]; then
    NOISE=${NOISE:-0.4} METHODS=${METHODS:-standard penalty exact}
fi
begin "250 trainings of half a minute, two hours on two CPU cores." "0 1 2 3 4"
declare -A methods=(
    [standard]="gnp.r=0 gnp.alpha=0"
    [l2_3e-3]="gnp.r=0 gnp.alpha=0 l2_regularization=3e-3"
    [l2_1e-2]="gnp.r=0 gnp.alpha=0 l2_regularization=1e-2"
    [l2_3e-2]="gnp.r=0 gnp.alpha=0 l2_regularization=3e-2"
    [label_smoothing]="gnp.r=0 gnp.alpha=0 label_smoothing=0.1"
    [random]="gnp.r=$r gnp.alpha=0.8 gnp.ascent=random"
    [sam]="gnp.r=$sam_r gnp.alpha=1"
    [penalty]="gnp.r=$r gnp.alpha=0.8"
    [zero_warmup]="gnp.r=$r gnp.alpha=0.8 gr_warmup_strategy=zero gnp.warmup_epochs=${ZERO_WARMUP:-3}"
    [exact]="gnp.r=${EXACT_R:-0.5} gnp.alpha=0.8 gnp.mode=exact"
)
order="standard l2_3e-3 l2_1e-2 l2_3e-2 label_smoothing random sam penalty zero_warmup exact"
variants=()
for method in ${METHODS:-$order}; do
    variants+=(--variant="${methods[$method]}")
done
code=0
for noise in ${NOISE:-0.4 0 0.2 0.6 0.8}; do
    echo "Labels redrawn: $noise" >&2
    runs=$working_dir/label-noise/$noise
    report=$working_dir/report/$recipe/$noise
    working_dir=$runs sweep "$config" "${variants[@]}" --config.dataset.label_noise="$noise" \
        ${smoke[@]+"${smoke[@]}"} "$@" || code=$?
    ((code <= 1)) || exit "$code" # 1: the others are trained
    if [[ ${SHARPNESS:-} == 1 ]]; then
        measure_sharpness "$runs" --lanczos_steps=20 --lanczos_runs=1 --trace_samples=10 --eigenvalues=1
        "$python" -P -m gnp.main.report --runs="$runs" --out="$report"
    fi
done
exit "$code"
