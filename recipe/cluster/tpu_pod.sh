#!/usr/bin/env bash
# Trains on all hosts of a Cloud TPU slice, from your own machine. Arguments are passed to the training:
#   TPU=my-slice ZONE=us-central2-b bash recipe/cluster/tpu_pod.sh \
#       --config=config/imagenet.py --working_dir=/mnt/shared/runs
# All hosts must share the working_dir, such as a mounted Filestore.
# The hosts need Python 3.11 or newer with the module venv (apt install python3.11 python3.11-venv).
# After a preemption, recreate the slice and run this again: it resumes from the last checkpoint.
set -euo pipefail
: "${TPU:?Set TPU to the name of the slice.}" "${ZONE:?Set ZONE to its zone.}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# on_all_hosts COMMAND: runs the command on all hosts of the slice in parallel.
on_all_hosts() {
    gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"
}

source=$(mktemp -d)
trap 'rm -r "$source"' EXIT
tar -czf "$source/gnp.tar.gz" -C "$root" --exclude-vcs --exclude=.venv --exclude=runs .
gcloud compute tpus tpu-vm scp "$source/gnp.tar.gz" "$TPU:" --zone="$ZONE" --worker=all
on_all_hosts 'mkdir -p gnp && tar -xzf gnp.tar.gz -C gnp && cd gnp && source recipe/common.sh &&
    base=$(find_python) && { .venv/bin/python -c "import sys; sys.exit(sys.version_info < (3, 11))" ||
        "$base" -m venv --clear .venv; } &&
    .venv/bin/python -m pip install --quiet --editable ".[data,tpu]"'

# JAX finds the other hosts of the slice itself.
on_all_hosts "cd gnp && .venv/bin/python -m gnp.main.main ${*@Q}"
