#!/usr/bin/env bash
# Compares radii of the penalty on images held out from the training set; no test image is used.
# [WORKING_DIR=DIR] [SEEDS="0 1"] [RADII="0.05 0.1 0.2 0.5 1 2"] [ALPHA=0.8] [JOBS=1] [SMOKE=1]
#     choose-radius.sh CONFIG [--config.FIELD=VALUE ...]
# Standard training is compared too. JOBS trainings run at the same time. Call it again to resume.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
config=${1:?name a file in config/, such as digits_noise}
shift
begin "a table of validation errors by radius; train with the best one." "0 1"
small_model "$config" "$@"
read -ra radii <<<"${RADII:-0.05 0.1 0.2 0.5 1 2}"
"$python" -P -m gnp.main.compare --config="$root/config/$config.py" \
    --working_dir="$working_dir/choose-radius" --out="$report" \
    --methods="standard$(printf ",gnp:%s" "${radii[@]}")" --seeds="${SEEDS// /,}" \
    --parallel="${JOBS:-1}" --config.gnp.alpha="${ALPHA:-0.8}" --config.use_test_set=False \
    ${small[@]+"${small[@]}"} ${smoke[@]+"${smoke[@]}"} "$@"
