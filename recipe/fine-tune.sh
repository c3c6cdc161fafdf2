#!/usr/bin/env bash
# Fine-tunes a vision transformer on photographs, without the penalty and with it.
# [WORKING_DIR=DIR] [SEEDS="0 1 2"] [JOBS=1] [SMOKE=1] fine-tune.sh WEIGHTS [--config.FIELD=VALUE ...]
# WEIGHTS is a .npz file of `gnp convert` or the folder of a run. Name your photographs by
# --config.dataset.data_dir=FOLDER. A smoke test needs neither: it trains the weights first, on other
# classes and images of another size.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
weights=
if [[ -n ${1:-} && $1 != --* ]]; then
    weights=$(realpath "$1")
    shift
fi
if [[ -z $weights && ${SMOKE:-} != 1 ]]; then
    echo "fine-tune.sh needs weights: a .npz file of gnp convert, or the folder of a run." >&2
    exit 2
fi
smoke=(
    --config.model.model_name=ViT_Micro --config.model.model_params.patches.size=8
    --config.dataset.num_classes=3
)
begin "no published test error; the time is proportional to the number of photographs."
if [[ -z $weights ]]; then
    seed=(--config.init_seeds="${SEEDS%% *}" --config.seeds="${SEEDS%% *}")
    weights=$(working_dir=$working_dir/pretrained train fine_tune "${smoke[@]}" "${seed[@]}" \
        --config.dataset.num_classes=10 --config.dataset.image_size=16)
fi
working_dir=$working_dir/fine-tuned sweep fine_tune --variant="gnp.r=0 gnp.alpha=0" --variant="" \
    --config.init_from="$weights" ${smoke[@]+"${smoke[@]}"} "$@"
