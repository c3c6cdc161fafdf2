#!/usr/bin/env bash
# Runs a recipe as a Slurm array: one task with one GPU for each training, or for each share of
# reproduce.sh. Submit it from the root of the repository. Arguments are passed to the recipe:
#   SEEDS="0 1 2" sbatch --array=0-2 recipe/cluster/array.sh recipe/wideresnet-cifar.sh
#   sbatch --array=0-3 recipe/cluster/array.sh recipe/reproduce.sh
#SBATCH --job-name=gnp
#SBATCH --output=slurm-%A_%a.out
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --requeue
set -euo pipefail

# Slurm runs a copy of this script in another folder. Recipes need their own folder, so call them here.
cd "${SLURM_SUBMIT_DIR:?This script is for sbatch; without Slurm, call the recipe itself.}"
: "${1:?Name a recipe, such as recipe/wideresnet-cifar.sh.}"
exec bash "$@"
