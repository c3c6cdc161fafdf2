"""Several processes as one run: flags, and the start of the JAX distributed runtime."""

import jax
from absl import flags

from gnp.errors import UserError

_COORDINATOR = flags.DEFINE_string(
    "coordinator_address", None, "host:port of the first process; unset: as the cluster tells."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes train together.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")


def initialize() -> None:
    """Joins the other processes, if there are any. Must come before anything else of JAX.

    With the three flags the cluster is what they say. Without them JAX looks for Slurm, OpenMPI and
    TPU pods itself; where it finds none of them this process trains alone.

    Raises:
      UserError: only some of the flags are given, or a cluster is there but cannot be joined.
    """
    given = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if all(value is None for value in given):
        _join_detected_cluster()
        return
    if any(value is None for value in given):
        raise UserError(
            "--coordinator_address, --num_processes and --process_id go together; give all of "
            "them, or none to let JAX find the cluster."
        )
    if not 0 <= given[2] < given[1]:
        raise UserError(f"--process_id is {given[2]}; it must be in 0 to {given[1] - 1}.")
    # JAX would still look for a cluster, and on Slurm take no more than one device of this host.
    jax.distributed.initialize(*given, cluster_detection_method="deactivate")


def _join_detected_cluster():
    try:
        jax.distributed.initialize()
    except ValueError as error:
        if "coordinator_address" not in str(error):
            raise UserError(_how_to_join(error)) from error
    except RuntimeError as error:
        raise UserError(_how_to_join(error)) from error


def _how_to_join(error):
    reason = str(error).partition("\n")[0]
    return (
        f"A cluster was found but could not be joined ({reason}); give --coordinator_address, "
        "--num_processes and --process_id."
    )
