#!/usr/bin/env bash
# The table of the method: test errors by share of wrong labels, without the penalty, with controls that
# could explain a gain otherwise, and with the forms of the penalty; and how sharp the minima are.
# [WORKING_DIR=DIR] [SEEDS="0 1 2 3 4"] [NOISE="0.4 0 0.2 0.6 0.8"] [METHODS="standard l2_3e-3 ..."]
#     [JOBS=1] [SHARPNESS=1] [SMOKE=1] label-noise.sh [CONFIG] [--config.FIELD=VALUE ...]
# JOBS trainings run at the same time. Call it again to resume. The radii were chosen on images held out
# from the training set: recipe/choose-radius.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
config=digits_noise
if [[ ${1:-} != --* && -n ${1:-} ]]; then
    config=$1
    shift
fi
if [[ ${SMOKE:-} == 1 ]]; then
    NOISE=${NOISE:-0.4} METHODS=${METHODS:-standard penalty exact}
fi
begin "225 trainings of half a minute, two hours on two CPU cores." "0 1 2 3 4"
declare -A methods=(
    [standard]="gnp.r=0 gnp.alpha=0"
    [l2_3e-3]="gnp.r=0 gnp.alpha=0 l2_regularization=3e-3"
    [l2_1e-2]="gnp.r=0 gnp.alpha=0 l2_regularization=1e-2"
    [label_smoothing]="gnp.r=0 gnp.alpha=0 label_smoothing=0.1"
    [random]="gnp.r=1 gnp.alpha=0.8 gnp.ascent=random"
    [sam]="gnp.r=0.5 gnp.alpha=1"
    [penalty]="gnp.r=1 gnp.alpha=0.8"
    [zero_warmup]="gnp.r=1 gnp.alpha=0.8 gr_warmup_strategy=zero gnp.warmup_epochs=3"
    [exact]="gnp.r=0.5 gnp.alpha=0.8 gnp.mode=exact"
)
order="standard l2_3e-3 l2_1e-2 label_smoothing random sam penalty zero_warmup exact"
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
        measure_sharpness "$runs"
        "$python" -P -m gnp.main.report --runs="$runs" --out="$report"
    fi
done
exit "$code"
