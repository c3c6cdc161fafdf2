#!/usr/bin/env bash
# Trains on a Slurm cluster. Submit it from the root of the repository. Arguments are passed to the training:
#   sbatch recipe/cluster/slurm.sh --config=config/imagenet.py --working_dir=/shared/runs
#SBATCH --job-name=gnp
#SBATCH --output=slurm-%j.out
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
# One task per GPU. JAX assigns the GPUs of a node to its tasks, so do not bind GPUs to tasks.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --gpu-bind=none
#SBATCH --cpus-per-task=8
# Slurm requeues jobs that are preempted or whose node fails. Three minutes before the time limit, the
# tasks get SIGUSR1 and stop, and this script requeues the job.
#SBATCH --requeue
#SBATCH --signal=USR1@180
set -uo pipefail

cd "${SLURM_SUBMIT_DIR:?This script is for sbatch; without Slurm, see recipe/cluster/README.md.}" || exit
python=${GNP_PYTHON:-.venv/bin/python}
stopped=75 # exit code after a signal, with everything saved

trap : TERM # on preemption, wait for the tasks, which also get SIGTERM
# srun does not inherit the number of cores from sbatch (Slurm 22.05 and newer).
# The tasks stop together. Slurm must not kill the slower ones when the first exits.
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-8}" --kill-on-bad-exit=0 \
    "$python" -m gnp.main.main "$@" --config.interrupt_exit_code=$stopped
code=$?
if ((code == stopped)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
