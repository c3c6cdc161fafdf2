"""Several processes as one run: flags, and the start of the JAX distributed runtime."""

import re
import socket
import time

import jax
from absl import flags

from gnp.errors import UserError, reason
from gnp.main.fields.values import shown
from gnp.main.start import peers

_MOST_PROCESSES = 100_000
_PATIENCE = 300.0  # seconds, as JAX has


def define_flags() -> None:
    """The flags of a command that several processes run together."""
    flags.DEFINE_string(
        "coordinator_address", None, "host:port of the first process; unset: as the cluster tells."
    )
    flags.DEFINE_integer("num_processes", None, "How many processes train together.")
    flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")


def initialize() -> None:
    """Joins the other processes, if there are any. Must come before anything else of JAX.

    With the three flags the cluster is what they say. Without them JAX looks for Slurm, OpenMPI and
    TPU pods itself; where it finds none of them this process trains alone.

    Raises:
      UserError: only some of the flags are given, one of them is wrong, or a cluster is there but
        cannot be joined.
    """
    values = flags.FLAGS
    given = (values.coordinator_address, values.num_processes, values.process_id)
    if all(value is None for value in given):
        _join_detected_cluster()
    else:
        _join(*given)
    peers.watch()


def _join(address, num_processes, process_id):
    if None in (address, num_processes, process_id):
        raise UserError(
            "--coordinator_address, --num_processes and --process_id go together; give all of "
            "them, or none to let JAX find the cluster."
        )
    if not 1 <= num_processes <= _MOST_PROCESSES:
        raise UserError(
            f"--num_processes is {num_processes}; it must be in 1 to {_MOST_PROCESSES}."
        )
    if not 0 <= process_id < num_processes:
        raise UserError(f"--process_id is {process_id}; it must be in 0 to {num_processes - 1}.")
    host, port = _host_and_port(address)
    if process_id > 0:
        _wait_for(host, port)
    try:
        # JAX would still look for a cluster, and on Slurm take only one device of this host.
        jax.distributed.initialize(
            address, num_processes, process_id, cluster_detection_method="deactivate"
        )
    except Exception as error:  # of many types
        raise UserError(
            f"The processes cannot be joined at --coordinator_address={address} "
            f"({reason(error)}); choose a free port of the first process's host."
        ) from error


def _host_and_port(address):
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\s]+)):([0-9]{1,5})", address)
    if not match or not 0 < int(match[3]) < 2**16:
        raise UserError(
            f"--coordinator_address is {shown(address)}; it must be host:port of the first "
            "process, such as 10.0.0.1:1234."
        )
    return match[1] or match[2], int(match[3])


def _wait_for(host, port):
    """Waits until the first process listens. Where it does not, JAX would end in a stack trace."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((host, port), timeout=_PATIENCE).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise UserError(
                    f"The first process was not reached at --coordinator_address={host}:{port} for "
                    f"{_PATIENCE:.0f} seconds ({error.strerror or error}); start it, or correct "
                    "the address."
                ) from error
        time.sleep(1)


def _join_detected_cluster():
    try:
        jax.distributed.initialize()
    except Exception as error:  # of many types
        if isinstance(error, ValueError) and "coordinator_address" in str(error):
            return  # there is no cluster
        raise UserError(
            f"A cluster was found but could not be joined ({reason(error)}); give "
            "--coordinator_address, --num_processes and --process_id."
        ) from error
