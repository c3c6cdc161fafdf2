"""Several trainings of one config: which there are, and the report of all of them."""

import collections
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
from absl import flags

from gnp.errors import SkippedError, UserError
from gnp.files import make_folder
from gnp.main import config as config_flags
from gnp.main.config import default_config
from gnp.main.fields.effects import check_effects
from gnp.main.report import report
from gnp.main.start.build import check_names
from gnp.main.start.place import place_of
from gnp.main.start.processes import train_missing
from gnp.runs.find import is_finished
from gnp.training.settings.run import read_settings

_TASK = "SLURM_ARRAY_TASK_ID"


class Training(NamedTuple):
    """One of several trainings.

    Attributes:
      name: what tells it from the others.
      flags: of the command that trains it.
      folder: of its run.
    """

    name: str
    flags: Sequence[str]
    folder: pathlib.Path


def define_flags() -> None:
    """The flags of a command that trains several runs."""
    flags.DEFINE_string("working_dir", None, "The folder that runs are put into.")
    flags.DEFINE_list("seeds", ["0"], "The seeds of each training, such as 0,1,2.")
    flags.DEFINE_integer("parallel", 1, "Trainings at the same time.", lower_bound=1)
    flags.DEFINE_string(
        "slurm", None, "Submit the trainings as a job array with these options of sbatch."
    )
    flags.DEFINE_string("out", None, "The folder for the report; unset: report in --working_dir.")
    flags.adopt_module_key_flags(config_flags)


def train_and_compare(variants: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """Trains what is missing of some variants of the flags' config, each of the seeds; compares.

    All are checked before the first is trained. In a job array of Slurm each task trains one of
    them, and the last task compares.

    Args:
      variants: the name of each, and its values of fields, as the command line writes them.

    Raises:
      UserError: a field or a seed is wrong, or a training is refused.
      SkippedError: trainings failed, such as by a radius that is too large; the others are
        compared.
      Interrupted: a signal came; the trainings under way have saved their states.
    """
    if not flags.FLAGS.working_dir:
        raise UserError("--working_dir is missing; name the folder that runs are put into.")
    trainings, remarks = _trainings(variants, pathlib.Path(flags.FLAGS.working_dir))
    if flags.FLAGS.parallel > 1 and _TASK not in os.environ:  # else each training says its own
        for remark in remarks:
            print(remark, file=sys.stderr)
    if not trainings:
        raise UserError("There is nothing to train; name at least one of --methods and --seeds.")
    if flags.FLAGS.slurm is not None:
        _submit(len(trainings))
        return
    mine = trainings if _TASK not in os.environ else [_of_task(trainings, os.environ[_TASK])]
    out = pathlib.Path(flags.FLAGS.out or pathlib.Path(flags.FLAGS.working_dir, "report"))
    if mine == trainings:
        make_folder(out, "--out")  # what cannot be is said before hours of training
    failed = train_missing(mine, flags.FLAGS.parallel)
    finished = [str(training.folder) for training in trainings if is_finished(training.folder)]
    if finished and (mine == trainings or len(finished) == len(trainings)):
        report(finished, out)
    if failed:
        raise SkippedError(f"{len(failed)} of {len(mine)} trainings failed: {' '.join(failed)}")


def _trainings(variants, working_dir):
    """All trainings, checked as far as can be told before they start; and remarks on them."""
    # The accelerators' memory is for the trainings, which are processes of their own.
    jax.config.update("jax_platforms", "cpu")
    found, remarks = [], []
    for variant, values in variants:
        for seed in flags.FLAGS.seeds:
            fields = [f"{field}={value}" for field, value in values.items()]
            fields += [f"seeds={seed}", f"init_seeds={seed}"]
            config = config_flags.read_config(*fields)
            check_names(config)
            read_settings(config, num_devices=1)
            place = place_of(config, working_dir)
            remarks += [*place.remarks, *check_effects(config, default_config())]
            found.append(
                Training(
                    ", ".join(filter(None, [variant, f"seed {seed}"])),
                    [
                        f"--config={flags.FLAGS.config}",
                        f"--working_dir={working_dir}",
                        *(f"--config.{field}" for field in [*config_flags.overrides(), *fields]),
                    ],
                    place.folder,
                )
            )
    names = collections.defaultdict(list)
    for training in found:
        names[training.folder].append(training.name)
    for same in names.values():
        if len(same) > 1:
            raise UserError(f"These are the same training: {'; '.join(same)}; name each once.")
    return found, list(dict.fromkeys(remarks))


def _of_task(trainings, task):
    if not task.isdecimal() or int(task) >= len(trainings):
        raise UserError(
            f"Task {task} of the array has no training, as there are {len(trainings)}; submit with "
            f"--array=0-{len(trainings) - 1}."
        )
    return trainings[int(task)]


def _without_slurm(arguments):
    """The arguments without --slurm=OPTIONS, or --slurm and OPTIONS."""
    kept = iter(arguments)
    for argument in kept:
        name, has_value, _ = argument.partition("=")
        if name.lstrip("-") != "slurm":
            yield argument
        elif not has_value:
            next(kept)


def _submit(count):
    """Submits this command as a job array, without --slurm."""
    module = sys.modules["__main__"].__spec__.name
    command = shlex.join([sys.executable, "-P", "-m", module, *_without_slurm(sys.argv[1:])])
    at_once = f"%{flags.FLAGS.parallel}" if flags.FLAGS.parallel > 1 else ""
    options = shlex.split(flags.FLAGS.slurm)
    try:
        subprocess.run(
            ["sbatch", f"--array=0-{count - 1}{at_once}", *options, f"--wrap={command}"], check=True
        )
    except FileNotFoundError:
        raise UserError("There is no sbatch here; call this where Slurm takes jobs.") from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"sbatch has refused the jobs (exit code {error.returncode}).") from None
