#!/usr/bin/env bash
# Trains on a Slurm cluster. Submit it from the root of the repository; arguments go on to the training:
#   sbatch recipe/cluster/slurm.sh --config=config/imagenet.py --working_dir=/shared/runs
#SBATCH --job-name=gnp
#SBATCH --output=slurm-%j.out
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
# One task for each GPU. JAX gives each task one of its node's GPUs, so do not bind GPUs to tasks.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --gpu-bind=none
#SBATCH --cpus-per-task=8
# Preempted jobs, and those whose node fails, start again. Three minutes before the time is up the tasks
# are asked to stop; this script then puts the job into the queue again.
#SBATCH --requeue
#SBATCH --signal=USR1@180
set -uo pipefail

cd "${SLURM_SUBMIT_DIR:?This script is for sbatch; without Slurm see recipe/cluster/README.md.}" || exit
python=${GNP_PYTHON:-.venv/bin/python}
stopped=75 # the exit code that says: asked to stop, everything is saved

trap : TERM # a preempted job's own SIGTERM: wait for the tasks, which got it too
# srun does not take the number of cores over from sbatch (Slurm 22.05 and newer).
# The tasks stop together; Slurm must not kill the slower ones because the first has gone.
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-8}" --kill-on-bad-exit=0 \
    "$python" -m gnp.main.main "$@" --config.interrupt_exit_code=$stopped
code=$?
if ((code == stopped)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
