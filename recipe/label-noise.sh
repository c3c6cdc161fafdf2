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
    [standard]="--config.gnp.r=0 --config.gnp.alpha=0"
    [l2_3e-3]="--config.gnp.r=0 --config.gnp.alpha=0 --config.l2_regularization=3e-3"
    [l2_1e-2]="--config.gnp.r=0 --config.gnp.alpha=0 --config.l2_regularization=1e-2"
    [label_smoothing]="--config.gnp.r=0 --config.gnp.alpha=0 --config.label_smoothing=0.1"
    [random]="--config.gnp.r=1 --config.gnp.alpha=0.8 --config.gnp.ascent=random"
    [sam]="--config.gnp.r=0.5 --config.gnp.alpha=1"
    [penalty]="--config.gnp.r=1 --config.gnp.alpha=0.8"
    [zero_warmup]="--config.gnp.r=1 --config.gnp.alpha=0.8 --config.gr_warmup_strategy=zero
        --config.gnp.warmup_epochs=3"
    [exact]="--config.gnp.r=0.5 --config.gnp.alpha=0.8 --config.gnp.mode=exact"
)
order="standard l2_3e-3 l2_1e-2 label_smoothing random sam penalty zero_warmup exact"
for noise in ${NOISE:-0.4 0 0.2 0.6 0.8}; do
    for method in ${METHODS:-$order}; do
        for seed in $SEEDS; do
            flags=(--config.dataset.label_noise="$noise" --config.seeds="$seed"
                --config.init_seeds="$seed" ${smoke[@]+"${smoke[@]}"})
            read -ra of_method <<<"${methods[$method]//$'\n'/ }"
            place=$working_dir/label-noise/$noise/$method
            at_once "${JOBS:-1}"
            working_dir=$place train "$config" "${flags[@]}" "${of_method[@]}" "$@" >/dev/null &
        done
    done
done
wait
for noise in ${NOISE:-0.4 0 0.2 0.6 0.8}; do
    folder=$working_dir/label-noise/$noise
    if [[ ${SHARPNESS:-} == 1 ]]; then
        measure_sharpness "$folder"
    fi
    echo "Labels redrawn: $noise" >&2
    "$python" -P -m gnp.main.report --runs="$folder" --out="$working_dir/report/$recipe/$noise"
done
