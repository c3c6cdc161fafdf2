"""The trained run that a new one is distilled from (`distill.run`)."""

import logging
import pathlib
from typing import Any

import jax

from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError
from gnp.files import json_text, read_json, write_atomically
from gnp.main.config import load_config
from gnp.main.saved.trained_variables import read_trained, run_of
from gnp.main.start.build import build_model
from gnp.main.start.init_from import class_difference
from gnp.runs.data_file import DATA_FILE, read_run_data
from gnp.runs.folder import CONFIG_FILE, TEACHER_FILE
from gnp.training.checkpoints.saved_variables import find_checkpoints
from gnp.training.distillation import TaughtSource, Teacher
from gnp.training.state import fingerprint

_log = logging.getLogger(__name__)


def with_teacher(source: DataSource, config: Any, folder: pathlib.Path) -> Any:
    """The data source with the teacher's logits in its training batches, if there is a teacher.

    Every process must call it. The first one writes `teacher.json` into the folder of a new run.

    Args:
      source: of the run.
      config: its resolved config.
      folder: its folder; it exists.

    Raises:
      UserError: `distill.run` is no run, has other classes or other images, or is no more the one
        that the run began with.
    """
    if not config.distill.run:
        return source
    path = pathlib.Path(config.distill.run)
    run = run_of(path)
    if run is None or not find_checkpoints(path):
        raise UserError(
            f"distill.run names {path}, which holds no trained run; name a run's folder or "
            "RUN/checkpoints/STEP."
        )
    trained = read_trained(path)
    data = read_run_data(run)
    if data is None:
        raise UserError(
            f"distill.run {path} has no {DATA_FILE}, which says how its images are normalized; "
            "start its training command once more, which adds it."
        )
    theirs = load_config(str(run / CONFIG_FILE), [])
    _check_fits(path, theirs, trained, source)
    _check_same(path, int(fingerprint(trained.variables)), folder)
    return TaughtSource(
        source, Teacher(build_model(theirs), trained.variables, data.mean, data.std)
    )


def _check_fits(path, theirs, trained, source):
    shape = (theirs.dataset.image_size, theirs.dataset.image_size, theirs.dataset.num_channels)
    if shape != tuple(source.image_shape):
        sizes = ["x".join(map(str, s)) for s in (shape, source.image_shape)]
        raise UserError(
            f"distill.run {path} was trained on images of {sizes[0]}, but these are of {sizes[1]}; "
            "choose dataset.image_size and dataset.num_channels alike."
        )
    if difference := class_difference(trained.class_names, source.class_names):
        raise UserError(
            f"distill.run {path} was trained with other classes ({difference}); choose a run of "
            "the same classes in the same order."
        )


def _check_same(path, found, folder):
    """Whether the teacher is the one that the run began with, which `teacher.json` names."""
    file, has_begun = folder / TEACHER_FILE, bool(find_checkpoints(folder))
    if has_begun and file.exists():
        began = read_json(file)
        if began.get("fingerprint") != found:
            raise UserError(
                f"distill.run {path} holds other weights than when the run in {folder} began; put "
                "them back, or name their checkpoint as RUN/checkpoints/STEP."
            )
    elif jax.process_index() == 0:
        if has_begun:
            _log.warning(
                "%s, which says what teacher the run began with, is missing; distill.run %s is "
                "taken to be the same, and the file is written again.",
                file,
                path,
            )
        write_atomically(file, json_text({"run": str(path.absolute()), "fingerprint": found}))
