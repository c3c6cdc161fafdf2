#!/usr/bin/env bash
# Trains any config with several seeds, plainly and with its penalty, and compares means.
# [WORKING_DIR=DIR] [SEEDS="0 1 2 3 4"] [SMOKE=1] seed-sweep.sh CONFIG [--config.FIELD=VALUE ...]
# CONFIG is the name of a file in config/, without .py. As a Slurm array, a seed for each task:
#   SEEDS="0 1 2 3 4" sbatch --array=0-4 recipe/seed-sweep.sh CONFIG
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ $# == 0 || $1 == -* || ! -f $root/config/$1.py ]]; then
    echo "Name a config, such as: $0 digits. There are:" \
        "$(cd "$root/config" && printf '%s ' [a-z]*.py | sed 's/\.py//g')" >&2
    exit 2
fi
begin "two trainings for each of the seeds ${SEEDS:=0 1 2 3 4}."
train_seeds "$1" ${smoke[@]+"${smoke[@]}"} "${@:2}" --config.gnp.r=0 --config.gnp.alpha=0
train_seeds "$1" --config.gnp.r=0.1 --config.gnp.alpha=0.8 ${smoke[@]+"${smoke[@]}"} "${@:2}"
compare
