#!/usr/bin/env bash
# Trains any config with several seeds, without the penalty, with it, and with it after a zero warmup,
# and compares the means.
# [WORKING_DIR=DIR] [SEEDS="0 1 2 3 4"] [ZERO_WARMUP=EPOCHS] [JOBS=1] [SMOKE=1]
#     seed-sweep.sh CONFIG [--config.FIELD=VALUE ...]
# CONFIG is the name of a file in config/, without .py. The penalty is that of the config, or r = 0.1 and
# alpha = 0.8 if it has none. Without ZERO_WARMUP, the third training is skipped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ $# == 0 || $1 == -* || ! -f $root/config/$1.py ]]; then
    echo "Name a config, such as: $0 digits. There are:" \
        "$(cd "$root/config" && printf '%s ' [a-z]*.py | sed 's/\.py//g')" >&2
    exit 2
fi
begin "two or three trainings for each seed." "0 1 2 3 4"
has_penalty=$("$python" -P -c '
import sys
from gnp.main.config import load_config
gnp = load_config(sys.argv[1]).gnp
print(gnp.r > 0 and gnp.alpha > 0)' "$root/config/$1.py")
penalty=()
[[ $has_penalty == True ]] || penalty=(--config.gnp.r=0.1 --config.gnp.alpha=0.8)
variants=(
    --variant="gnp.r=0 gnp.alpha=0 gr_warmup_strategy=none" --variant="gr_warmup_strategy=none"
    ${ZERO_WARMUP:+--variant="gr_warmup_strategy=zero gnp.warmup_epochs=$ZERO_WARMUP"}
)
sweep "$1" "${variants[@]}" ${penalty[@]+"${penalty[@]}"} ${smoke[@]+"${smoke[@]}"} "${@:2}"
