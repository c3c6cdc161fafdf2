"""Trains a model.

python -m gnp.main.main --config=config/digits.py --working_dir=DIR [--config.FIELD=VALUE ...]
python -m gnp.main.main --resume=RUN [--config.FIELD=VALUE ...]

The first, called again with the same arguments, resumes where the run stands. The second resumes
the run in a folder, and may change a few of its fields from there on.
"""

import collections
import contextlib
import functools
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import flags

from gnp.errors import NotSavedError, UserError
from gnp.main import app
from gnp.main import config as config_flags
from gnp.main.config import default_config
from gnp.main.fields.effects import check_effects
from gnp.main.saved.run_data import defaults_of_older_runs, source_of_run
from gnp.main.start import distributed
from gnp.main.start.build import build_model, check_names
from gnp.main.start.device_memory import check_fits
from gnp.main.start.init_from import starting_point
from gnp.main.start.own_parts import try_parts
from gnp.main.start.place import Place, place_of
from gnp.main.start.resume import place_to_resume, recorded_changes
from gnp.main.start.teacher import with_teacher
from gnp.model.size import measure
from gnp.report.loss_names import evaluated_part
from gnp.runs.folder import (
    CURVES_FILE,
    claim_folder,
    files_about_run,
    missing_folders,
    removed_if_refused,
)
from gnp.runs.lock import lock_run
from gnp.runs.log import run_log
from gnp.training import parallel
from gnp.training.loop import train
from gnp.training.run_devices import fields_to_choose, with_groups_of_run
from gnp.training.settings.checks import check_fields
from gnp.training.settings.run import read_settings

_NAMES_SHOWN = 3  # of each group of fields, in --help

_log = logging.getLogger("gnp.main.main")  # __name__ is __main__ in the command


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("working_dir", None, "The folder that runs are put into.")
    flags.DEFINE_string("resume", None, "The folder of a run that continues.")
    distributed.define_flags()
    flags.adopt_module_key_flags(config_flags)


def main() -> None:
    """Trains what the flags ask for."""
    distributed.initialize()
    run_folder, working_dir = flags.FLAGS.resume, flags.FLAGS.working_dir
    if run_folder is not None:
        if flags.FLAGS.config or working_dir:
            raise UserError(
                "--resume names a run, which has its config and its folder; leave --config and "
                "--working_dir out."
            )
        resume(pathlib.Path(run_folder), config_flags.overrides())
        return
    config = config_flags.read_config()
    if not working_dir:
        raise UserError("--working_dir is missing; name the folder that runs are put into.")
    run(config, pathlib.Path(working_dir))


def run(config: Any, working_dir: pathlib.Path) -> pathlib.Path:
    """Checks a config, trains it in its folder below `working_dir` and prints what came out.

    Returns:
      The folder of the run.
    """
    check_names(config)
    check_fields(config)
    return _run_at(place_of(config, working_dir))


def resume(folder: pathlib.Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> pathlib.Path:
    """Continues the run in a folder, from where it stands with other values of some fields.

    Args:
      folder: of the run.
      overrides: those fields, as of `load_config`.

    Returns:
      The folder.
    """
    place = place_to_resume(folder, overrides)
    check_names(place.config)
    return _run_at(place)


def _run_at(place: Place) -> pathlib.Path:
    """Trains what is to be trained at a place."""
    folder, config = place.folder, place.config
    settings = read_settings(config, num_devices=jax.device_count())
    remarks = [*place.remarks, *check_effects(config, default_config())]
    model = build_model(config)
    try_parts(config, settings, model)
    is_first = jax.process_index() == 0
    made = missing_folders(folder) if is_first else []
    with lock_run(folder) if is_first else contextlib.nullcontext() as lock:
        claim_folder(
            folder,
            place.kept,
            defaults=defaults_of_older_runs(config),
            may_be_set=fields_to_choose(config, folder),
            retrain=config.retrain,
            is_writer=is_first,
        )
        parallel.barrier("run folder")
        with (
            run_log(folder, config.logging) if is_first else contextlib.nullcontext(),
            removed_if_refused(made),
        ):
            source = with_teacher(source_of_run(config, folder), config, folder)
            size = measure(model, source.image_shape)
            check_fits(config.model.model_name, size)
            for remark in remarks if is_first else ():
                _log.warning("%s", remark)
            part = evaluated_part([config])
            summary = _train(
                with_groups_of_run(settings, config, folder),
                model=model,
                source=source,
                folder=folder,
                part=part,
                start_from=starting_point(
                    config.init_from, config.init_from_weights, model, source
                ),
                forward_flops=2 * size.multiply_adds,  # a multiplication and an addition
                check_folder=lock.check if is_first else lambda: None,
                record_changes=(
                    functools.partial(recorded_changes, folder, config)
                    if is_first
                    else lambda step: []
                ),
            )
    if is_first:
        _print_summary(summary, folder, part)
    return folder


def _train(settings, *, folder, part, **job):
    files = files_about_run(folder)
    try:
        summary = train(settings, folder=folder, **job)
        if summary and (lost := files - files_about_run(folder)):
            raise NotSavedError(
                f"The run is trained to its end, but meanwhile {', '.join(sorted(lost))} in "
                f"{folder} was deleted; the same command puts it back.",
                summary,
            )
        return summary
    except NotSavedError as error:
        _print_summary(error.summary, folder, part)
        raise


def _print_summary(summary, folder, part):
    final, best = summary["final"], summary["best"]
    print(
        f"{part.capitalize()} error {100 * final['eval/error_rate']:.2f} %, "
        f"{part} loss {final['eval/loss']:.4f} "
        f"(best error {100 * best['eval/error_rate']:.2f} % at step {best['step']}) "
        f"after {summary['steps']} steps in {summary['seconds']:.0f} s."
    )
    if "eval/mean_average_precision" in final:
        print(f"Mean average precision {100 * final['eval/mean_average_precision']:.2f} %.")
    if summary["stopped_early"]:
        print("Stopped early: the evaluations no longer got better.")
    if summary["parted"]:
        print(
            "Overfitting starts at step {step}: since then the validation loss has risen from "
            "{validation_loss:.4f} to {later_validation_loss:.4f}, while the training loss fell "
            "from {train_loss:.4f} to {later_train_loss:.4f}.".format(**summary["parted"])
        )
    print(f"Run: {folder}\nCurves: {folder / CURVES_FILE}")


def more_help() -> str:
    """The configs and the groups of fields, for --help."""
    groups = collections.defaultdict(list)
    for name, *_ in config_flags.all_fields():
        block, _, inner = name.partition(".")
        groups[f"{block}.*" if inner else ""].append(inner or name)
    width = max(map(len, groups))
    lines = [
        f"  {group:<{width}}  {', '.join(names[:_NAMES_SHOWN])}"
        + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
        for group, names in groups.items()
    ]
    return "\n".join(
        [
            "",
            f"configs (--config=NAME):\n  {', '.join(config_flags.config_names())}",
            "",
            "fields (--config.FIELD=VALUE; gnp config prints all of them with their meaning):",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    app.run(main, define_flags, more_help=more_help)
